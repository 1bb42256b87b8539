//! Names of images: `registry/repository:tag`, as docker and podman write them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::reference::is_registry;

/// The full name of an image: a registry, a repository and a tag.
///
/// A name is always complete: what was typed short is completed when it is parsed
/// (`server` → `localhost/server:latest`), so two spellings of one name are equal values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    registry: String,
    repository: String,
    tag: String,
}

/// A text that is no image name, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no image name: {reason}", .text.escape_debug())]
pub struct InvalidName {
    text: String,
    reason: Reason,
}

/// What is wrong with a part of a name.
pub(crate) type Reason = Cow<'static, str>;

impl ImageName {
    /// The registry's host, with its port if it has one: `localhost`, `docker.io`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path below the registry: `server`, `library/alpine`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, `latest` if none was given.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The name without its tag: `localhost/server`.
    #[must_use]
    pub fn untagged(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository with another tag.
    ///
    /// # Errors
    /// [`InvalidName`] when `tag` has a character that no tag may have.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidName> {
        format!("{}:{tag}", self.untagged()).parse()
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{}:{}",
            self.registry, self.repository, self.tag
        )
    }
}

impl FromStr for ImageName {
    type Err = InvalidName;

    /// Reads a name and completes it. A first part counts as a registry when it has a dot or a
    /// colon or is `localhost` (the rule of the docker reference grammar); a name without one is a
    /// local one and gets `localhost`. `docker.io/alpine` means `docker.io/library/alpine`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = |reason: Reason| InvalidName {
            text: text.to_owned(),
            reason,
        };
        if text.len() > 512 {
            return Err(refuse("it has more than 512 characters".into()));
        }
        if text.contains('@') {
            return Err(refuse(
                "a digest is not part of a name; give the tag or the digest alone".into(),
            ));
        }
        let (path, tag) = split_tag(text);
        check_tag(tag).map_err(refuse)?;
        let (registry, repository) = split_registry(path);
        check_registry(registry).map_err(refuse)?;
        let repository = match (registry, repository.contains('/')) {
            ("docker.io", false) => format!("library/{repository}"),
            _ => repository.to_owned(),
        };
        check_repository(&repository).map_err(refuse)?;
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.to_owned(),
        })
    }
}

/// Whether `text` could be an image id or the beginning of one: up to 64 hexadecimal digits.
#[must_use]
pub fn is_short_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        || text.parse::<Digest>().is_ok()
}

/// Splits the tag off. A colon that stands before a slash belongs to a port.
fn split_tag(text: &str) -> (&str, &str) {
    match text.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (text, "latest"),
    }
}

fn split_registry(path: &str) -> (&str, &str) {
    match path.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => ("localhost", path),
    }
}

pub(crate) fn check_tag(tag: &str) -> Result<(), Reason> {
    let first = tag.chars().next().ok_or("the tag is empty")?;
    let legal = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    if tag.len() > 128 {
        return Err("the tag has more than 128 characters".into());
    }
    if ".-".contains(first) {
        return Err(format!("a tag does not begin with {first:?}").into());
    }
    match tag.chars().find(|&letter| !legal(letter)) {
        Some(letter) => Err(format!(
            "{letter:?} cannot be in a tag, which has letters, digits, '_', '.' and '-'"
        )
        .into()),
        None => Ok(()),
    }
}

pub(crate) fn check_registry(registry: &str) -> Result<(), Reason> {
    if let Some((address, port)) = registry
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return match address.parse::<std::net::Ipv6Addr>() {
            Ok(_) if is_port => Ok(()),
            _ => Err("between [ and ] an IPv6 address is expected, behind them a port".into()),
        };
    }
    let (host, port) = registry.split_once(':').unwrap_or((registry, "1"));
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let malformed =
        |label: &str| label.is_empty() || label.starts_with('-') || label.ends_with('-');
    if !host.bytes().all(legal) || host.split('.').any(malformed) {
        Err("a registry is a host name, with a port if it needs one".into())
    } else if !is_port(port) {
        Err("the registry's port is no number from 1 to 65535".into())
    } else {
        Ok(())
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

pub(crate) fn check_repository(repository: &str) -> Result<(), Reason> {
    if repository.is_empty() {
        return Err("it is empty".into());
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("a repository is written in lower case".into());
    }
    let alphanumeric = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let legal = |letter: char| alphanumeric(letter) || "._-/".contains(letter);
    if let Some(letter) = repository.chars().find(|&letter| !legal(letter)) {
        let rule = "which has lower-case letters, digits, '.', '_', '-' and '/'";
        return Err(format!("{letter:?} cannot be in a repository, {rule}").into());
    }
    for part in repository.split('/') {
        let (Some(first), Some(last)) = (part.chars().next(), part.chars().last()) else {
            return Err("a part between two slashes is empty".into());
        };
        if !alphanumeric(first) || !alphanumeric(last) {
            let rule = "a part of a repository begins and ends with a letter or a digit";
            return Err(format!("{part:?}: {rule}").into());
        }
        let mut between = part.split(alphanumeric);
        let separates = |text: &str| {
            ["", ".", "_", "__"].contains(&text) || text.bytes().all(|byte| byte == b'-')
        };
        if let Some(text) = between.find(|text| !separates(text)) {
            let rule = "one dot, one or two underscores, or dashes";
            return Err(format!("{text:?} cannot be in a repository: {rule} can").into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        for (typed, meant) in [
            ("server", "localhost/server:latest"),
            ("localhost/server", "localhost/server:latest"),
            ("team/server:1.2", "localhost/team/server:1.2"),
            ("docker.io/alpine", "docker.io/library/alpine:latest"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            (
                "registry.example.org/a_b/c-d",
                "registry.example.org/a_b/c-d:latest",
            ),
        ] {
            assert_eq!(typed.parse::<ImageName>().unwrap().to_string(), meant);
        }
    }

    #[test]
    fn illegal_names_are_refused() {
        for text in [
            "",
            "a:",
            "A",
            "../x",
            "a//b",
            "a/",
            "/a",
            "a:b:c",
            "a b",
            "a\n",
            "a:-x",
            "-a",
            "localhost/a..b",
            "a._b",
            "a___b",
            "x@sha256:00",
            "host:99999/a",
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text:?}");
        }
        for text in ["a__b", "a---b", "a.b_c-d"] {
            assert!(text.parse::<ImageName>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn what_is_illegal_is_said() {
        for (text, said) in [
            ("a:b:c", "':' cannot be in a repository"),
            ("a b", "' ' cannot be in a repository"),
            ("a/\u{fc}", "'\u{fc}' cannot be in a repository"),
            ("a/-b", "\"-b\": a part of a repository begins"),
            ("a._b", "\"._\" cannot be in a repository"),
            ("a:b+c", "'+' cannot be in a tag"),
            ("a:.b", "a tag does not begin with '.'"),
        ] {
            let error = text.parse::<ImageName>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
