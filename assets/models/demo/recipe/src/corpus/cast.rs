//! Who appears in the stories.
//!
//! A name belongs to one gender and a character keeps one name and one kind from the first
//! sentence to the last: a model this small learns to keep its characters apart only from texts
//! that never mix them up.

use rand_chacha::ChaCha8Rng;

use super::template::{Bindings, capitalised, chance, pick};

const SHE: &[&str] = &[
    "Mira", "Lily", "Nora", "Ella", "Ruby", "Anna", "Clara", "Daisy", "Ivy", "Luna", "Molly",
    "Tilly", "Hazel", "Maya", "Rosa", "Olive", "Penny", "Ada", "Bea", "Poppy",
];

const HE: &[&str] = &[
    "Tom", "Ben", "Finn", "Max", "Leo", "Sam", "Otto", "Pip", "Milo", "Hugo", "Theo", "Oscar",
    "Jack", "Toby", "Felix", "Bruno", "Gus", "Arlo", "Ned", "Kit",
];

/// Names that come up now and then. They are rarely one token, and so teach the model to carry over
/// a name that it has not learned by heart.
const RARE_SHE: &[&str] = &[
    "Sarah",
    "Emma",
    "Sophie",
    "Alice",
    "Charlotte",
    "Matilda",
    "Freya",
    "Greta",
    "Whiskers",
    "Snowflake",
    "Bella",
    "Jasmine",
    "Pepper",
    "Amber",
    "Ottilie",
    "Yuki",
    "Priya",
    "Zara",
    "Bluebell",
    "Marigold",
    "Esme",
    "Dot",
    "Sunny",
    "Pearl",
];
const RARE_HE: &[&str] = &[
    "Peter", "David", "Charlie", "Harry", "William", "Bob", "Rusty", "Sparky", "Bolt", "Biscuit",
    "Barnaby", "Winston", "Kofi", "Ravi", "Kenji", "Pedro", "Igor", "Zap", "Pudding", "Humphrey",
    "Ziggy", "Shadow", "Bruce", "Smoky",
];

/// Kinds that come up now and then, for the same reason.
const RARE_KINDS: &[&str] = &[
    "whale",
    "giraffe",
    "monkey",
    "tiger",
    "crab",
    "snail",
    "parrot",
    "horse",
    "cow",
    "sheep",
    "pig",
    "hen",
    "donkey",
    "camel",
    "kangaroo",
    "koala",
    "panda",
    "seal",
    "swan",
    "bee",
    "butterfly",
    "ant",
    "ghost",
    "giant",
    "witch",
    "dinosaur",
    "unicorn",
    "cloud",
    "star",
    "train",
    "dolphin",
    "crow",
    "spider",
    "hamster",
    "pirate",
    "king",
    "queen",
    "fairy",
    "troll",
    "moose",
];

/// Kinds that go with any name.
const CREATURES: &[&str] = &[
    "fox", "rabbit", "mouse", "bear", "owl", "hedgehog", "squirrel", "turtle", "frog", "cat",
    "dog", "duck", "badger", "otter", "deer", "beaver", "goat", "pony", "penguin", "elephant",
    "lion", "wolf", "dragon", "robot",
];

const WOMEN: &[&str] = &["girl", "princess"];
const MEN: &[&str] = &["boy", "prince"];
/// Rare kinds that do not go with any name.
const RARE_WOMEN: &[&str] = &["queen", "witch", "hen", "cow"];
const RARE_MEN: &[&str] = &["king"];
const PEOPLE: &[&str] = &["baker", "farmer", "sailor", "knight", "gardener", "wizard"];

const HERO_MANNERS: &[&str] = &[
    "little", "little", "little", "young", "small", "shy", "brave", "curious", "kind", "cheerful",
    "quiet", "clever", "gentle",
];
const FRIEND_MANNERS: &[&str] =
    &["old", "wise", "friendly", "kind", "clever", "cheerful", "big", "gentle", "funny"];

/// One character of a story.
#[derive(Clone, Debug)]
pub(super) struct Character {
    /// What everyone calls it.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) kind: &'static str,
    /// What it is like.
    pub(super) manner: &'static str,
    she: bool,
}

impl Character {
    /// A character of the given kind, or of any.
    pub(super) fn hero(kind: Option<&'static str>, rng: &mut ChaCha8Rng) -> Self {
        let kind = kind.unwrap_or_else(|| any_hero_kind(rng));
        let she = match kind {
            kind if WOMEN.contains(&kind) || RARE_WOMEN.contains(&kind) => true,
            kind if MEN.contains(&kind) || RARE_MEN.contains(&kind) => false,
            _ => chance(50, rng),
        };
        let name = any_name(she, rng);
        Self { name, kind, manner: pick(HERO_MANNERS, rng), she }
    }

    /// A second character that shares neither name nor kind with the first.
    pub(super) fn friend_of(hero: &Self, rng: &mut ChaCha8Rng) -> Self {
        loop {
            let she = chance(50, rng);
            let name = any_name(she, rng);
            let kind = pick(CREATURES, rng);
            if name != hero.name && kind != hero.kind {
                return Self { name, kind, manner: pick(FRIEND_MANNERS, rng), she };
            }
        }
    }

    /// Binds the words for this character: `H` is the name and `hk` the kind when `letter` is
    /// `h`, with `he`, `him` and `his` for the hero. Friends are always called by name, so that a
    /// pronoun can only mean the hero.
    pub(super) fn bind(&self, letter: char, bindings: &mut Bindings) {
        bindings.set(letter.to_ascii_uppercase(), self.name);
        bindings.set(format!("{letter}k"), self.kind);
        bindings.set(format!("{letter}m"), self.manner);
        if letter == 'h' {
            let words = if self.she { ["she", "her", "her"] } else { ["he", "him", "his"] };
            for (key, word) in ["he", "him", "his"].into_iter().zip(words) {
                bindings.set(key, word);
                bindings.set(capitalised(key), capitalised(word));
            }
        }
    }
}

fn any_name(she: bool, rng: &mut ChaCha8Rng) -> &'static str {
    let rare = chance(12, rng);
    let names = match (she, rare) {
        (true, false) => SHE,
        (true, true) => RARE_SHE,
        (false, false) => HE,
        (false, true) => RARE_HE,
    };
    pick(names, rng)
}

/// What people ask for stories about.
pub(super) fn any_animal(rng: &mut ChaCha8Rng) -> &'static str {
    pick(if chance(75, rng) { CREATURES } else { RARE_KINDS }, rng)
}

/// What a story is about when nobody has asked for anything.
fn any_hero_kind(rng: &mut ChaCha8Rng) -> &'static str {
    match rand::Rng::random_range(rng, 0..20) {
        0..11 => pick(CREATURES, rng),
        11 | 12 => "robot",
        13 | 14 => pick(WOMEN, rng),
        15 | 16 => pick(MEN, rng),
        17 => pick(RARE_KINDS, rng),
        _ => pick(PEOPLE, rng),
    }
}
