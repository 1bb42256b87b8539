//! What a signature must say that it signs, beside the digest: `signedIdentity`.

use packer::reference::{InvalidReference, Reference, is_registry};
use serde::{Deserialize, Serialize};

/// How the reference in a signature and the one that was asked for must agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Identity {
    /// They are the same.
    MatchExact {},
    /// They are the same; for a digest, the repository is.
    MatchRepoDigestOrExact {},
    /// They are in the same repository.
    MatchRepository {},
    /// The signature has this reference.
    ExactReference {
        /// The reference.
        docker_reference: String,
    },
    /// The signature's reference is in this repository.
    ExactRepository {
        /// The repository.
        docker_repository: String,
    },
    /// As [`Identity::MatchRepoDigestOrExact`], with another beginning of what was asked for.
    RemapIdentity {
        /// The beginning of what was asked for.
        prefix: String,
        /// What stands in its place in the signature.
        signed_prefix: String,
    },
}

/// A reference in its long form; whether it has a tag or a digest is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    repository: String,
    tag: Option<String>,
    is_digest: bool,
    whole: String,
}

impl Name {
    fn parse(text: &str) -> Result<Self, InvalidReference> {
        let first = text.split_once('/').map_or("", |(first, _)| first);
        let reference: Reference = match is_registry(first) {
            true => text.parse()?,
            false => format!("docker.io/{text}").parse()?,
        };
        Ok(Self::of(&reference))
    }

    fn of(reference: &Reference) -> Self {
        Self {
            repository: reference.untagged(),
            tag: reference.tag().map(ToOwned::to_owned),
            is_digest: reference.digest().is_some(),
            whole: reference.to_string(),
        }
    }

    /// Neither of them: such a name says too little to be the same as another.
    fn is_bare(&self) -> bool {
        self.tag.is_none() && !self.is_digest
    }

    fn is_same(&self, other: &Self) -> bool {
        !self.is_bare() && !other.is_bare() && self.whole == other.whole
    }
}

/// What is meant where a requirement says nothing.
pub(super) const USUAL: Identity = Identity::MatchRepoDigestOrExact {};

impl Identity {
    /// Checks what cannot be checked when the file is read.
    pub(super) fn check_syntax(&self) -> Result<(), String> {
        let parsed = |text: &str| Name::parse(text).map_err(|error| error.to_string());
        match self {
            Self::ExactReference { docker_reference } => {
                match parsed(docker_reference)?.is_bare() {
                    true => Err(format!(
                        "dockerReference \"{docker_reference}\" has neither tag nor digest"
                    )),
                    false => Ok(()),
                }
            }
            Self::ExactRepository { docker_repository } => {
                match parsed(docker_repository)?.is_bare() {
                    true => Ok(()),
                    false => Err(format!(
                        "dockerRepository \"{docker_repository}\" is more than a repository"
                    )),
                }
            }
            Self::RemapIdentity {
                prefix,
                signed_prefix,
            } => {
                let is_wrong = |text: &String| {
                    let last = text.rsplit('/').next().unwrap_or_default();
                    let has_tag = text.contains('/') && last.contains(':');
                    text.is_empty() || text.ends_with('/') || has_tag || text.contains('@')
                };
                match [prefix, signed_prefix]
                    .into_iter()
                    .find(|text| is_wrong(text))
                {
                    Some(text) => Err(format!(
                        "\"{text}\" is no registry, namespace or repository"
                    )),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether a signature with the reference `signed` is one for the image `asked`.
    pub(super) fn check(&self, asked: Option<&Reference>, signed: &str) -> Result<(), String> {
        let name = Name::parse(signed).map_err(|error| error.to_string())?;
        let needs = || {
            asked.map(Name::of).ok_or_else(|| {
                "an image of this transport has no reference to compare: use exactReference or \
                 exactRepository"
                    .to_owned()
            })
        };
        let fits = match self {
            Self::MatchExact {} => needs()?.is_same(&name),
            Self::MatchRepoDigestOrExact {} => is_repo_digest_or_exact(&needs()?, &name),
            Self::MatchRepository {} => needs()?.repository == name.repository,
            Self::ExactReference { docker_reference } => {
                Name::parse(docker_reference).is_ok_and(|wanted| wanted.is_same(&name))
            }
            Self::ExactRepository { docker_repository } => Name::parse(docker_repository)
                .is_ok_and(|wanted| wanted.repository == name.repository),
            Self::RemapIdentity {
                prefix,
                signed_prefix,
            } => is_repo_digest_or_exact(&remapped(&needs()?, prefix, signed_prefix)?, &name),
        };
        match fits {
            true => Ok(()),
            false => Err(format!("it is for {}", signed.escape_debug())),
        }
    }
}

fn is_repo_digest_or_exact(asked: &Name, signed: &Name) -> bool {
    match asked.is_digest {
        true => asked.repository == signed.repository,
        false => asked.is_same(signed),
    }
}

/// `name` with another beginning, if it has the one that is to be replaced.
fn remapped(name: &Name, prefix: &str, signed_prefix: &str) -> Result<Name, String> {
    let rest = name.repository.strip_prefix(prefix);
    let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return Ok(name.clone());
    };
    let end = &name.whole[name.repository.len()..];
    Name::parse(&format!("{signed_prefix}{rest}{end}")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn fits(identity: &Identity, asked: &str, signed: &str) -> bool {
        let asked = asked.parse().unwrap();
        identity.check(Some(&asked), signed).is_ok()
    }

    #[test]
    fn each_identity_compares_what_it_says() {
        let by_digest = format!("r.example/a/b{DIGEST}");
        /// An identity, what was asked for, and which references in a signature fit.
        type Case<'a> = (&'a Identity, &'a str, &'a [(&'a str, bool)]);
        let table: [Case<'_>; 4] = [
            (
                &Identity::MatchExact {},
                "r.example/a/b:1",
                &[
                    ("r.example/a/b:1", true),
                    ("r.example/a/b:2", false),
                    ("r.example/a/b", false),
                ],
            ),
            (
                &Identity::MatchExact {},
                &by_digest,
                &[("r.example/a/b:1", false)],
            ),
            (
                &USUAL,
                &by_digest,
                &[
                    ("r.example/a/b:7", true),
                    ("r.example/a/b", true),
                    ("r.example/a/c:7", false),
                ],
            ),
            (
                &Identity::MatchRepository {},
                "docker.io/busybox:1",
                &[
                    ("busybox:2", true),
                    ("busybox", true),
                    ("docker.io/library/busybox", true),
                    ("x/busybox", false),
                ],
            ),
        ];
        for (identity, asked, signed) in table {
            for (signed, expected) in signed {
                assert_eq!(
                    fits(identity, asked, signed),
                    *expected,
                    "{identity:?} {asked} {signed}"
                );
            }
        }
        assert!(!fits(&USUAL, "r.example/a/b:latest", "r.example/a/b"));
    }

    #[test]
    fn what_is_fixed_does_not_look_at_the_image() {
        let reference = Identity::ExactReference {
            docker_reference: "vendor.example/x:1".to_owned(),
        };
        assert!(reference.check(None, "vendor.example/x:1").is_ok());
        assert!(reference.check(None, "vendor.example/x:2").is_err());
        let repository = Identity::ExactRepository {
            docker_repository: "vendor.example/x".to_owned(),
        };
        assert!(repository.check(None, "vendor.example/x:2").is_ok());
        assert!(USUAL.check(None, "vendor.example/x:2").is_err());
    }

    #[test]
    fn a_mirror_has_the_signatures_of_the_vendor() {
        let remap = Identity::RemapIdentity {
            prefix: "mirror:5000/vendor".to_owned(),
            signed_prefix: "vendor.example".to_owned(),
        };
        assert!(fits(
            &remap,
            "mirror:5000/vendor/a/b:1",
            "vendor.example/a/b:1"
        ));
        assert!(!fits(
            &remap,
            "mirror:5000/vendor/a/b:1",
            "mirror:5000/vendor/a/b:1"
        ));
        assert!(fits(
            &remap,
            "mirror:5000/vendors/b:1",
            "mirror:5000/vendors/b:1"
        ));
    }
}
