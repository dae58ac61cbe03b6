//! Conversations: questions with answers, small talk, and stories on request.

use anyhow::Result;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::cast::{Character, any_animal};
use super::facts::*;
use super::story::Story;
use super::template::{Bindings, capitalised, chance, expand, pick, with_article};

/// What was said, and what is said in return.
pub(super) struct Exchange {
    /// The words of the user.
    pub(super) user: String,
    /// The words of the model.
    pub(super) assistant: String,
}

impl Exchange {
    fn new(user: impl Into<String>, assistant: impl Into<String>) -> Self {
        Self { user: user.into(), assistant: assistant.into() }
    }
}

const REQUESTS: &[&str] = &[
    "Tell me a story.",
    "Tell me a story.",
    "Tell me a short story.",
    "Can you tell me a story?",
    "Please tell me a story.",
    "I want to hear a story.",
    "Write a story.",
    "Write a short story.",
    "Give me a story.",
    "A story, please.",
    "story",
    "Tell me a bedtime story.",
    "Do you know a story?",
    "Tell me something.",
    "Another story, please.",
    "Once more, please.",
];

/// A request for a story, the story, and sometimes questions about it or about something else.
///
/// The questions ask who was who. They are the most direct lesson there is in keeping the
/// characters apart.
pub(super) fn story_talk(rng: &mut ChaCha8Rng) -> Result<Vec<Exchange>> {
    let story = if chance(45, rng) {
        Story::about(Character::hero(Some(any_animal(rng)), rng), rng)?
    } else {
        Story::any(rng)?
    };
    let (hero, friend) = (&story.hero, &story.friend);
    let article_kind = with_article(hero.kind);
    let request = match rng.random_range(0..10) {
        0..4 => pick(REQUESTS, rng).to_owned(),
        4..6 => about(&article_kind, rng),
        6 => about(&format!("{article_kind} named {}", hero.name), rng),
        7 => about(&format!("{} the {}", hero.name, hero.kind), rng),
        8 => about(&format!("{article_kind} and {}", with_article(friend.kind)), rng),
        _ => about(story.subject, rng),
    };
    let mut exchanges = if chance(15, rng) { question_talk(rng)? } else { Vec::new() };
    exchanges.push(Exchange::new(casual(request, rng), story.text.clone()));
    let most = exchanges.len() + 3;
    while exchanges.len() < most && chance(45, rng) {
        exchanges.push(match rng.random_range(0..7) {
            0 => Exchange::new(
                "Who was the hero of the story?",
                format!("The hero was {} the {}.", hero.name, hero.kind),
            ),
            1 => Exchange::new(
                format!("Who was {}?", friend.name),
                format!(
                    "{} was {} and the friend of {}.",
                    friend.name,
                    with_article(friend.kind),
                    hero.name
                ),
            ),
            2 => Exchange::new(
                format!("Who was {}?", hero.name),
                format!("{} was {}, the hero of the story.", hero.name, with_article(hero.kind)),
            ),
            3 => Exchange::new(
                format!("Who helped {}?", hero.name),
                format!("It was {} the {}.", friend.name, friend.kind),
            ),
            4 => Exchange::new(
                format!("What was the name of the {}?", hero.kind),
                format!("The {} was called {}.", hero.kind, hero.name),
            ),
            5 => Exchange::new(
                format!("What was the name of the {}?", friend.kind),
                format!("The {} was called {}.", friend.kind, friend.name),
            ),
            _ => fixed(SMALL_TALK[2], rng)?,
        });
    }
    if chance(20, rng) {
        exchanges.extend(question_talk(rng)?);
    }
    Ok(exchanges)
}

fn about(subject: &str, rng: &mut ChaCha8Rng) -> String {
    let ask = [
        "Tell me a story about",
        "Tell me a story about",
        "Write a story about",
        "Tell me a short story about",
        "Can you tell me a story about",
        "I want a story about",
    ];
    let ask = pick(&ask, rng);
    format!("{ask} {subject}{}", if ask.starts_with("Can") { '?' } else { '.' })
}

/// One to five exchanges about anything but stories.
pub(super) fn question_talk(rng: &mut ChaCha8Rng) -> Result<Vec<Exchange>> {
    let count = rng.random_range(1..=5);
    (0..count)
        .map(|_| {
            let mut exchange = question(rng)?;
            exchange.user = casual(exchange.user, rng);
            Ok(exchange)
        })
        .collect()
}

fn question(rng: &mut ChaCha8Rng) -> Result<Exchange> {
    Ok(match rng.random_range(0..100) {
        0..16 => fixed(pick(SMALL_TALK, rng), rng)?,
        16..38 => fixed(pick(PRODUCT, rng), rng)?,
        38..48 => opposite(rng),
        48..55 => colour(rng),
        55..63 => capital(rng)?,
        63..69 => calendar(rng),
        69..76 => sum(rng)?,
        76..79 => sound(rng),
        79..84 => fixed(pick(SINGLE_FACTS, rng), rng)?,
        _ => unknown(rng)?,
    })
}

fn fixed((wordings, answer): (&str, &str), rng: &mut ChaCha8Rng) -> Result<Exchange> {
    let wordings: Vec<&str> = wordings.split('|').collect();
    Ok(Exchange::new(pick(&wordings, rng), expand(answer, &Bindings::default(), rng)?))
}

fn opposite(rng: &mut ChaCha8Rng) -> Exchange {
    let (mut word, mut other) = pick(OPPOSITES, rng);
    if chance(50, rng) {
        (word, other) = (other, word);
    }
    let ask = [
        "What is the opposite of",
        "What is the opposite of",
        "Opposite of",
        "Tell me the opposite of",
    ];
    Exchange::new(
        format!("{} {word}?", pick(&ask, rng)),
        format!("The opposite of {word} is {other}."),
    )
}

fn colour(rng: &mut ChaCha8Rng) -> Exchange {
    let (thing, colour) = pick(COLOURS, rng);
    let spelling = if chance(50, rng) { "colour" } else { "color" };
    let question = match chance(80, rng) {
        true => format!("What {spelling} is {thing}?"),
        false => format!("What is the {spelling} of {thing}?"),
    };
    Exchange::new(question, format!("{} is {colour}.", capitalised(thing)))
}

fn capital(rng: &mut ChaCha8Rng) -> Result<Exchange> {
    let known = chance(80, rng);
    let (country, capital) =
        if known { pick(CAPITALS, rng) } else { (pick(OTHER_COUNTRIES, rng), "") };
    let ask =
        ["What is the capital of", "What is the capital of", "What's the capital of", "Capital of"];
    let question = format!("{} {country}?", pick(&ask, rng));
    let answer = match known {
        true => format!("The capital of {country} is {capital}."),
        false => expand(NOT_KNOWN, &Bindings::default(), rng)?,
    };
    Ok(Exchange::new(question, answer))
}

fn calendar(rng: &mut ChaCha8Rng) -> Exchange {
    let (list, unit) = if chance(60, rng) { (DAYS, "day") } else { (MONTHS, "month") };
    let first = rng.random_range(0..list.len());
    let (earlier, later) = (list[first], list[(first + 1) % list.len()]);
    match chance(65, rng) {
        true => Exchange::new(
            format!("What {unit} comes after {earlier}?"),
            format!("After {earlier} comes {later}."),
        ),
        false => Exchange::new(
            format!("What {unit} comes before {later}?"),
            format!("Before {later} comes {earlier}."),
        ),
    }
}

fn sum(rng: &mut ChaCha8Rng) -> Result<Exchange> {
    if chance(20, rng) {
        let (a, b) = (rng.random_range(11..1000), rng.random_range(2..1000));
        let sign = pick(&["+", "times", "minus", "plus", "*", "/"], rng);
        return Ok(Exchange::new(
            format!("What is {a} {sign} {b}?"),
            expand(NOT_KNOWN, &Bindings::default(), rng)?,
        ));
    }
    let a = rng.random_range(0..=5);
    let b = rng.random_range(0..=5);
    let question = match rng.random_range(0..3) {
        0 => format!("What is {a} + {b}?"),
        1 => format!("What is {a} plus {b}?"),
        _ => format!("What is {} plus {}?", NUMBERS[a], NUMBERS[b]),
    };
    let answer = format!("{} plus {} is {}.", capitalised(NUMBERS[a]), NUMBERS[b], NUMBERS[a + b]);
    Ok(Exchange::new(question, answer))
}

fn sound(rng: &mut ChaCha8Rng) -> Exchange {
    let (animal, sound) = pick(SOUNDS, rng);
    let question = match chance(70, rng) {
        true => format!("What does {} say?", with_article(animal)),
        false => format!("What sound does {} make?", with_article(animal)),
    };
    Exchange::new(question, format!("{} says {sound}.", capitalised(&with_article(animal))))
}

fn unknown(rng: &mut ChaCha8Rng) -> Result<Exchange> {
    let question = if chance(75, rng) {
        pick(UNKNOWN, rng).replace("{topic}", pick(TOPICS, rng))
    } else {
        pick(UNKNOWN_FIXED, rng).to_owned()
    };
    Ok(Exchange::new(question, expand(NOT_KNOWN, &Bindings::default(), rng)?))
}

/// People do not always type capitals and full stops.
fn casual(mut text: String, rng: &mut ChaCha8Rng) -> String {
    if chance(20, rng) {
        text = text.to_lowercase();
    }
    if chance(20, rng) {
        text = text.trim_end_matches(['.', '?', '!']).to_owned();
    }
    if text.is_empty() { "?".to_owned() } else { text }
}
