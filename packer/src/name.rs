//! Names of images: `registry/repository:tag`, as docker and podman write them.

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
    reason: &'static str,
}

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
        let refuse = |reason| InvalidName {
            text: text.to_owned(),
            reason,
        };
        if text.len() > 512 {
            return Err(refuse("it has more than 512 characters"));
        }
        if text.contains('@') {
            return Err(refuse(
                "a digest is not part of a name; give the tag or the digest alone",
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

/// Whether `text` could be an image id or the beginning of one: 3 to 64 hexadecimal digits.
#[must_use]
pub fn is_short_id(text: &str) -> bool {
    (3..=64).contains(&text.len())
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

pub(crate) fn check_tag(tag: &str) -> Result<(), &'static str> {
    let first = tag.bytes().next().ok_or("the tag is empty")?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if tag.len() > 128 {
        Err("the tag has more than 128 characters")
    } else if !tag.bytes().all(legal) || b".-".contains(&first) {
        Err("a tag has letters, digits, '_', '.' and '-', and begins with none of '.' and '-'")
    } else {
        Ok(())
    }
}

pub(crate) fn check_registry(registry: &str) -> Result<(), &'static str> {
    if let Some((address, port)) = registry
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return match address.parse::<std::net::Ipv6Addr>() {
            Ok(_) if is_port => Ok(()),
            _ => Err("between [ and ] an IPv6 address is expected, behind them a port"),
        };
    }
    let (host, port) = registry.split_once(':').unwrap_or((registry, "1"));
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let malformed =
        |label: &str| label.is_empty() || label.starts_with('-') || label.ends_with('-');
    if !host.bytes().all(legal) || host.split('.').any(malformed) {
        Err("a registry is a host name, with a port if it needs one")
    } else if !is_port(port) {
        Err("the registry's port is no number from 1 to 65535")
    } else {
        Ok(())
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

pub(crate) fn check_repository(repository: &str) -> Result<(), &'static str> {
    if repository.is_empty() {
        return Err("it is empty");
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("a repository is written in lower case");
    }
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    for part in repository.split('/') {
        let bytes = part.as_bytes();
        let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
            return Err("a part between two slashes is empty");
        };
        if !bytes
            .iter()
            .all(|&byte| alphanumeric(byte) || b"._-".contains(&byte))
        {
            return Err("a repository has lower-case letters, digits, '.', '_', '-' and '/'");
        }
        if !alphanumeric(first) || !alphanumeric(last) || part.contains("..") {
            return Err("a part of a repository begins and ends with a letter or a digit");
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
            "x@sha256:00",
            "host:99999/a",
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text:?}");
        }
    }
}
