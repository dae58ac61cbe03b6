//! Puts a cast and a plot together into one story.

use anyhow::Result;
use rand_chacha::ChaCha8Rng;

use super::cast::Character;
use super::plots::{PLOTS, Plot};
use super::template::{Bindings, capitalised, chance, expand, pick, with_article};

/// First sentences that also say where the hero lives, and those that leave it open.
const OPENINGS: &[&str] = &[
    "Once upon a time, there was {a hm} {hk} named {H}. {He} lived {home}.",
    "Once upon a time, there was {a hm} {hk} named {H}. {H} lived {home}.",
    "Once upon a time, there was {a hm} {hk} named {H}, who lived {home}.",
    "Once upon a time, {a hm} {hk} named {H} lived {home}.",
    "Once upon a time there lived {a hm} {hk} [named|called] {H}. {H} lived {home}.",
    "Once there was {a hm} {hk} named {H}, who lived {home}.",
    "There was once {a hk} named {H}. {He} was {a hm} {hk}, and {he} lived {home}.",
    "There was once {a hm} {hk} [named|called] {H}, who lived {home}.",
    "There once was {a hm} {hk} named {H}. {H} lived {home}.",
    "A long time ago, {a hm} {hk} named {H} lived {home}.",
    "Long ago,[ in a land far away,| in another time,|] there was {a hm} {hk} named {H}. {H} lived {home}.",
    "[Far away|Far, far away], {home}, there lived {a hm} {hk} named {H}.",
    "{Home} lived {a hm} {hk} named {H}.",
    "{Home}, there lived {a hm} {hk} named {H}.",
    "{Home}, there was {a hm} {hk} named {H}.",
    "The {hm} {hk} was called {H}. {He} lived {home}.",
    "The {hm} {hk} lived {home}. {His} name was {H}.",
    "The {hm} {hk} {H} lived {home}.",
    "{H} was {a hm} {hk}. {He} lived {home}.",
    "{H} the {hk} lived {home}. {He} was {a hm} {hk}.",
    "This is the story of {H}, {a hm} {hk} who lived {home}.",
    "One [sunny|cold|quiet|windy|bright] morning, {a hm} {hk} named {H} woke up early. {H} lived {home}.",
    "One day, {a hm} {hk} named {H} looked out of the window. {H} lived {home}.",
];

const HOMES: &[&str] = &[
    "in a small village",
    "in a small village",
    "in a small village by the sea",
    "in a village between two hills",
    "in a small town",
    "in a little house at the edge of the forest",
    "in the forest",
    "deep in the forest",
    "on a small island",
    "high on a hill",
    "by a quiet river",
    "in a green valley",
    "near the mountains",
    "on a little farm",
    "in a big old city",
    "in a castle by a lake",
];

const CLOSINGS: &[&str] =
    &["The end.", "And that is the end of the story.", "And they all lived happily."];

/// One story, and who and what it is about.
pub(super) struct Story {
    /// The text, one paragraph.
    pub(super) text: String,
    /// Whom it is about.
    pub(super) hero: Character,
    /// Whom the hero meets.
    pub(super) friend: Character,
    /// What it is about.
    pub(super) subject: &'static str,
}

impl Story {
    /// A story about anyone and anything.
    pub(super) fn any(rng: &mut ChaCha8Rng) -> Result<Self> {
        let hero = Character::hero(None, rng);
        Self::about(hero, rng)
    }

    /// A story about this hero.
    pub(super) fn about(hero: Character, rng: &mut ChaCha8Rng) -> Result<Self> {
        let friend = Character::friend_of(&hero, rng);
        let plot = loop {
            let plot = pick(PLOTS, rng);
            let machines = hero.kind == "robot" || friend.kind == "robot";
            if !(plot.for_the_living && machines) {
                break plot;
            }
        };
        let text = tell(&hero, &friend, &plot, rng)?;
        Ok(Self { text, hero, friend, subject: plot.subject })
    }
}

fn tell(hero: &Character, friend: &Character, plot: &Plot, rng: &mut ChaCha8Rng) -> Result<String> {
    let mut bindings = Bindings::default();
    hero.bind('h', &mut bindings);
    friend.bind('f', &mut bindings);
    // A sentence that begins with the friend's introduction.
    bindings.set("A fm", capitalised(&with_article(friend.manner)));
    let home = pick(HOMES, rng);
    bindings.set("home", home);
    bindings.set("Home", capitalised(home));
    let opening = expand(pick(OPENINGS, rng), &bindings, rng)?;
    for (name, choices) in plot.picks {
        let value = expand(pick(choices, rng), &bindings, rng)?;
        bindings.set(*name, value);
    }
    let mut text = opening;
    for beat in plot.beats {
        let beat = match beat.strip_prefix('?') {
            Some(optional) if chance(50, rng) => optional,
            Some(_) => continue,
            None => beat,
        };
        text.push(' ');
        text.push_str(&expand(beat, &bindings, rng)?);
    }
    if chance(40, rng) {
        text.push(' ');
        text.push_str(pick(CLOSINGS, rng));
    }
    Ok(text)
}
