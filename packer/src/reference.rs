//! References: what names an image in a registry, `registry/repository:tag@digest`.
//!
//! The grammar is that of the distribution project. A [`Reference`] is always complete; a name without
//! a registry, such as `alpine`, is a short name, and what it means is decided by
//! [`crate::registries`].

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::name::{ImageName, check_registry, check_repository, check_tag};

/// The tag that is meant when neither tag nor digest is given.
const LATEST: &str = "latest";

/// A complete reference: a registry, a repository, and what is meant in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is no reference, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no reference of an image: {reason}", .text.escape_debug())]
pub struct InvalidReference {
    text: String,
    reason: String,
}

impl InvalidReference {
    /// The same refusal of what a user typed, to which `prefix` was added before it was read.
    pub(crate) fn without_prefix(mut self, prefix: &str) -> Self {
        if let Some(typed) = self.text.strip_prefix(prefix) {
            self.text = typed.to_owned();
        }
        self
    }

    /// The same for a `suffix`.
    pub(crate) fn without_suffix(mut self, suffix: &str) -> Self {
        if let Some(typed) = self.text.strip_suffix(suffix) {
            self.text = typed.to_owned();
        }
        self
    }
}

impl Reference {
    /// The registry as it is written, with its port if it has one: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path below the registry: `library/alpine`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given. It goes before the tag.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Registry and repository: `docker.io/library/alpine`.
    #[must_use]
    pub fn untagged(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What a registry is asked for: the digest if there is one, else the tag.
    #[must_use]
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => LATEST.to_owned(),
        }
    }

    /// The name that an image gets which was pulled by this reference; none for a digest alone.
    #[must_use]
    pub fn name(&self) -> Option<ImageName> {
        let tag = match (&self.tag, &self.digest) {
            (Some(tag), _) => tag,
            (None, None) => LATEST,
            (None, Some(_)) => return None,
        };
        format!("{}:{tag}", self.untagged()).parse().ok()
    }

    /// The same image in another place: `place` is a registry, with a path if the repository is in
    /// one there.
    ///
    /// # Errors
    /// [`InvalidReference`] when the two together are none.
    pub fn at(&self, place: &str) -> Result<Self, InvalidReference> {
        let moved: Self = place.parse()?;
        Ok(Self {
            tag: self.tag.clone(),
            digest: self.digest,
            ..moved
        })
    }

    /// The same repository, another tag.
    ///
    /// # Errors
    /// [`InvalidReference`] when `tag` can be none.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        format!("{}:{tag}", self.untagged()).parse()
    }

    /// The same repository, one manifest in it.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            tag: None,
            ..self.clone()
        }
    }
}

impl From<&ImageName> for Reference {
    fn from(name: &ImageName) -> Self {
        Self {
            registry: name.registry().to_owned(),
            repository: name.repository().to_owned(),
            tag: Some(name.tag().to_owned()),
            digest: None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(formatter, "@{digest}"),
            None if self.tag.is_none() => write!(formatter, ":{LATEST}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    /// Reads a reference that begins with a registry. `docker.io/alpine` means
    /// `docker.io/library/alpine`, as with every client.
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let refuse = |reason: &str| InvalidReference {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        if text.len() > 512 {
            return Err(refuse("it has more than 512 characters"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse::<Digest>();
                (
                    name,
                    Some(digest.map_err(|error| refuse(&error.to_string()))?),
                )
            }
            None => (text, None),
        };
        let (path, tag) = match name.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') && path.contains('/') => (path, Some(tag)),
            _ => (name, None),
        };
        let (registry, repository) = path
            .split_once('/')
            .filter(|(first, _)| is_registry(first))
            .ok_or_else(|| refuse("it does not begin with a registry, such as docker.io/"))?;
        check_registry(registry).map_err(|reason| refuse(&reason))?;
        let repository = match (registry, repository.contains('/')) {
            ("docker.io", false) => format!("library/{repository}"),
            _ => repository.to_owned(),
        };
        check_repository(&repository).map_err(|reason| refuse(&reason))?;
        tag.map_or(Ok(()), check_tag)
            .map_err(|reason| refuse(&reason))?;
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.map(ToOwned::to_owned),
            digest,
        })
    }
}

/// Whether the first part of a name is a registry and not a part of a path: it has a dot or a
/// colon, or is `localhost`.
#[must_use]
pub fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_read_and_written() {
        for (typed, meant) in [
            ("docker.io/alpine", "docker.io/library/alpine:latest"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("localhost/a", "localhost/a:latest"),
            ("[::1]:5000/a:1", "[::1]:5000/a:1"),
        ] {
            assert_eq!(typed.parse::<Reference>().unwrap().to_string(), meant);
        }
        for text in [
            format!("x.example/a@{DIGEST}"),
            format!("x.example/a:1@{DIGEST}"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.selector(), DIGEST);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let short = &DIGEST[..20];
        for text in [
            "",
            "alpine",
            "team/alpine",
            "x.example/",
            "x.example/A",
            "x.example/a:",
            "x.example/a:b c",
            "x.example/../a",
            "x.example:99999/a",
            "[::1/a",
            "x.example/a@sha256:../../x",
            &format!("x.example/a@{short}"),
            &format!("x.example/a@{DIGEST}@{DIGEST}"),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_image_that_was_pulled_by_its_digest_has_no_name() {
        let name = |text: &str| text.parse::<Reference>().unwrap().name();
        assert!(name(&format!("x.example/a@{DIGEST}")).is_none());
        let both = name(&format!("x.example/a:1@{DIGEST}")).unwrap();
        assert_eq!(both.to_string(), "x.example/a:1");
    }
}
