//! Names of containers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::ContainerId;

/// A name that is legal for a container: it becomes part of a path and of a host name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{}\" is no name for a container: it begins with a letter or a digit and goes on with \
     letters, digits, '_', '.' and '-', at most 128 in all", .0.chars().take(64).collect::<String>().escape_debug()
)]
pub struct InvalidName(String);

const ADJECTIVES: [&str; 32] = [
    "able", "airy", "bold", "brisk", "calm", "clear", "crisp", "deft", "eager", "early", "fair",
    "fleet", "fond", "gentle", "glad", "hardy", "keen", "kind", "light", "lively", "lucid",
    "merry", "neat", "nimble", "plain", "proud", "quick", "quiet", "ready", "sharp", "sunny",
    "warm",
];
const NOUNS: [&str; 32] = [
    "acorn", "anchor", "apple", "badger", "beacon", "birch", "canoe", "cedar", "clover", "comet",
    "ember", "falcon", "fern", "fiddle", "harbor", "hazel", "heron", "kettle", "lantern", "maple",
    "meadow", "orchard", "otter", "pebble", "plover", "quill", "raven", "river", "sparrow",
    "thistle", "violin", "willow",
];

impl ContainerName {
    /// A name for a container that got none, made of its random id. `attempt` gives another one
    /// if the first is taken.
    #[must_use]
    pub fn for_id(id: &ContainerId, attempt: usize) -> Self {
        let digits = |range| usize::from_str_radix(&id.as_str()[range], 16).unwrap_or(0);
        let adjective = ADJECTIVES[(digits(0..4) + attempt) % ADJECTIVES.len()];
        let noun = NOUNS[digits(4..8) % NOUNS.len()];
        // Two words are easy to remember; the number comes when they are taken.
        Self(match attempt {
            0..8 => format!("{adjective}_{noun}"),
            _ => format!("{adjective}_{noun}_{}", digits(8..12) + attempt),
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ContainerName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins_well = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins_well && text.len() <= 128 && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ContainerName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for text in [
            "",
            "..",
            ".",
            "a/b",
            "-a",
            "a\nb",
            "\u{1b}[1m",
            &"x".repeat(129),
        ] {
            assert!(text.parse::<ContainerName>().is_err(), "{text:?}");
        }
        assert!("web-1.a_b".parse::<ContainerName>().is_ok());
    }

    #[test]
    fn another_attempt_gives_another_name() {
        let id = ContainerId::random().unwrap();
        assert_ne!(ContainerName::for_id(&id, 0), ContainerName::for_id(&id, 1));
        assert_ne!(ContainerName::for_id(&id, 8), ContainerName::for_id(&id, 9));
    }
}
