//! Whether an image may be used here: `policy.json`, as podman and skopeo read it.
//!
//! The policy finds, for the place that an image comes from, the requirements that hold there, and
//! each of them must be met. Where there is no file, everything is accepted. A refusal names the file
//! and the rule. What was accepted is remembered with the image, with the signatures that it came
//! with, so that a run can ask the policy again without asking a registry.
//!
//! Source: containers-policy.json(5), containers-registries.d(5), container-signature(5).

use std::path::PathBuf;

use packer::Digest;

pub mod edit;
mod identity;
pub mod lookaside;
pub mod openpgp;
mod origin;
mod payload;
mod policy;
mod requirement;
mod signature;
pub mod sigstore;

pub use identity::Identity;
pub use origin::{Origin, Provenance};
pub use payload::Claim;
pub use policy::{BadPolicy, KeyType, Policy, Requirement, Rule, Scopes};
pub use signature::Signature;

/// The policy of this user, if there is one.
#[derive(Debug, Clone)]
pub struct Trust {
    file: Option<(PathBuf, Policy)>,
}

/// An image that may not be used.
#[derive(Debug, thiserror::Error)]
#[error("{image} is refused by {}, rule {rule}: {reason}", .file.display())]
pub struct Refusal {
    /// The image, as containers-transports(5) writes it.
    pub image: String,
    /// The policy.
    pub file: PathBuf,
    /// The place in the policy and the requirement that is not met there.
    pub rule: String,
    /// Why it is not met.
    pub reason: String,
}

impl Trust {
    /// Reads the policy of this user, or else that of the system.
    ///
    /// # Errors
    /// [`BadPolicy`].
    pub fn load() -> Result<Self, BadPolicy> {
        let file = match policy::path() {
            Some(path) => Some((path.clone(), Policy::read(&path)?)),
            None => None,
        };
        Ok(Self { file })
    }

    /// Whether signatures decide about what comes from `origin`. Where they do not, none are
    /// fetched.
    #[must_use]
    pub fn needs_signatures(&self, origin: &Origin) -> bool {
        let rule = self
            .file
            .as_ref()
            .and_then(|(_, policy)| policy.rule(origin));
        rule.is_some_and(|rule| {
            let mut requirements = rule.requirements.iter();
            requirements.any(|one| {
                matches!(
                    one,
                    Requirement::SignedBy { .. } | Requirement::SigstoreSigned { .. }
                )
            })
        })
    }

    /// Checks an image with this manifest digest against the requirements for where it comes from.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, image: &Digest, provenance: &Provenance) -> Result<(), Refusal> {
        let Some((file, policy)) = &self.file else {
            return Ok(());
        };
        let Provenance { origin, signatures } = provenance;
        let Some(rule) = policy.rule(origin) else {
            return Ok(());
        };
        for requirement in rule.requirements {
            requirement
                .check(image, origin, signatures)
                .map_err(|reason| Refusal {
                    image: origin.to_string(),
                    file: file.clone(),
                    rule: format!("{}: {}", rule.place, requirement.kind()),
                    reason,
                })?;
        }
        Ok(())
    }

    /// Checks an image that is here already: one of the ways in which it came must be accepted now.
    /// One that was made here and came from nowhere is refused only by a rule for
    /// `containers-storage`.
    ///
    /// # Errors
    /// The [`Refusal`] of the last way.
    pub fn check_stored(&self, image: &Digest, ways: &[Provenance]) -> Result<(), Refusal> {
        if ways.is_empty() {
            return self.check(image, &Provenance::unsigned(Origin::ContainersStorage));
        }
        let mut outcome = Ok(());
        for way in ways.iter().rev() {
            outcome = self.check(image, way);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}
