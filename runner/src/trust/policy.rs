//! The file: its syntax, which is strict, and which of its rules holds.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Origin;
use super::identity::Identity;

/// The policy of the system.
const SYSTEM: &str = "/etc/containers/policy.json";

/// What `policy.json` says. Unknown and repeated keys are errors: a rule that is misspelt must not
/// be one that is not there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What holds where nothing else does.
    pub default: Vec<Requirement>,
    /// By transport and scope; the scope "" is the whole transport.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "transports"
    )]
    pub transports: BTreeMap<String, Scopes>,
}

/// Requirements by scope.
pub type Scopes = BTreeMap<String, Vec<Requirement>>;

/// What an image must fulfil.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Requirement {
    /// Nothing.
    InsecureAcceptAnything {},
    /// The impossible.
    Reject {},
    /// A signature of OpenPGP by one of some keys.
    SignedBy {
        /// Always `GPGKeys`.
        key_type: KeyType,
        /// A file with keys.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_path: Option<PathBuf>,
        /// Files with keys.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_paths: Option<Vec<PathBuf>>,
        /// Keys in base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_data: Option<String>,
        /// What the signature must say that it signs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed_identity: Option<Identity>,
    },
    /// A signature of sigstore by one of some keys.
    SigstoreSigned {
        /// A file with a key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_path: Option<PathBuf>,
        /// Files with a key each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_paths: Option<Vec<PathBuf>>,
        /// A key in base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_data: Option<String>,
        /// Keys in base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_datas: Option<Vec<String>>,
        /// What the signature must say that it signs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed_identity: Option<Identity>,
    },
}

/// What keys are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    /// Of OpenPGP.
    #[serde(rename = "GPGKeys")]
    GpgKeys,
}

/// The requirements that hold for an image, and where they stand.
#[derive(Debug)]
pub struct Rule<'a> {
    /// The place in the file: `default`, `transports.docker."quay.io"`.
    pub place: String,
    /// All of them must be met.
    pub requirements: &'a [Requirement],
}

/// A policy that cannot be used, so nothing is accepted.
#[derive(Debug, thiserror::Error)]
#[error("{}{place}: {reason}; no image is used before it is mended (containers-policy.json(5))", .path.display())]
pub struct BadPolicy {
    /// The file.
    pub path: PathBuf,
    /// Line and column, or nothing.
    pub place: String,
    /// What is wrong.
    pub reason: String,
}

/// The file that holds for this user, if there is one.
pub(super) fn path() -> Option<PathBuf> {
    let user = user_path().filter(|path| path.symlink_metadata().is_ok());
    let system = || Some(PathBuf::from(SYSTEM)).filter(|path| path.symlink_metadata().is_ok());
    user.or_else(system)
}

/// The user's own file, which need not be there.
pub(super) fn user_path() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(".config/containers/policy.json"))
}

/// The file of the system.
pub(super) fn system_path() -> PathBuf {
    PathBuf::from(SYSTEM)
}

impl Policy {
    /// Reads a file.
    ///
    /// # Errors
    /// [`BadPolicy`].
    pub fn read(path: &Path) -> Result<Self, BadPolicy> {
        let refuse = |place: String, reason: String| BadPolicy {
            path: path.to_owned(),
            place,
            reason,
        };
        let text = fs::read_to_string(path).map_err(|error: io::Error| {
            refuse(String::new(), format!("cannot be read: {error}"))
        })?;
        let policy: Self = serde_json::from_str(&text).map_err(|error| {
            let place = format!(", line {}, column {}", error.line(), error.column());
            let said = error.to_string();
            let end = said.rfind(" at line ").unwrap_or(said.len());
            refuse(place, said[..end].to_owned())
        })?;
        policy.check_for(path)?;
        Ok(policy)
    }

    /// Checks what the syntax alone does not say of the file at `path`.
    pub(super) fn check_for(&self, path: &Path) -> Result<(), BadPolicy> {
        self.check().map_err(|(place, reason)| BadPolicy {
            path: path.to_owned(),
            place: format!(", {place}"),
            reason,
        })
    }

    fn check(&self) -> Result<(), (String, String)> {
        let scoped = self.transports.iter().flat_map(|(transport, scopes)| {
            let scopes = scopes.iter();
            scopes.map(move |(scope, requirements)| (place(transport, scope), requirements))
        });
        for (place, requirements) in [("default".to_owned(), &self.default)]
            .into_iter()
            .chain(scoped)
        {
            if requirements.is_empty() {
                let reason = "the list is empty: write [{\"type\": \"insecureAcceptAnything\"}] or \
                              [{\"type\": \"reject\"}]";
                return Err((place, reason.to_owned()));
            }
            for requirement in requirements {
                requirement
                    .check_syntax()
                    .map_err(|reason| (place.clone(), reason))?;
            }
        }
        self.check_scopes()
    }

    fn check_scopes(&self) -> Result<(), (String, String)> {
        for (transport, scopes) in &self.transports {
            for scope in scopes.keys().filter(|scope| !scope.is_empty()) {
                let reason = match transport.as_str() {
                    "docker-archive" | "docker-daemon" | "tarball" => {
                        "this transport has no scope but \"\""
                    }
                    "dir" | "oci" | "oci-archive" if !scope.starts_with('/') => {
                        "a scope here is an absolute path"
                    }
                    "dir" | "oci" | "oci-archive" if scope == "/" => {
                        "write \"\" for the whole transport"
                    }
                    "docker" | "atomic" if scope.contains("//") || scope.ends_with('/') => {
                        "a scope here is a registry, a namespace, a repository or a tag in it"
                    }
                    "docker" | "atomic"
                        if scope.strip_prefix("*.").unwrap_or(scope).contains('*')
                            || scope.starts_with("*.") && scope.contains('/') =>
                    {
                        "a wildcard stands for subdomains only, as in *.example.com"
                    }
                    _ => continue,
                };
                return Err((place(transport, scope), reason.to_owned()));
            }
        }
        Ok(())
    }

    /// The rule for what comes from `origin`: that of the most specific scope. There is none for an
    /// image that was made here, unless the file speaks of `containers-storage`.
    #[must_use]
    pub fn rule(&self, origin: &Origin) -> Option<Rule<'_>> {
        let transport = origin.transport();
        if let Some(scopes) = self.transports.get(transport) {
            let candidates = origin.scopes().into_iter().chain([String::new()]);
            for scope in candidates {
                if let Some(requirements) = scopes.get(&scope) {
                    let place = place(transport, &scope);
                    return Some(Rule {
                        place,
                        requirements,
                    });
                }
            }
        }
        (*origin != Origin::ContainersStorage).then(|| Rule {
            place: "default".to_owned(),
            requirements: &self.default,
        })
    }
}

fn place(transport: &str, scope: &str) -> String {
    format!("transports.{transport}.\"{}\"", scope.escape_debug())
}

/// Reads a map of maps without repeated keys.
fn transports<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Scopes>, D::Error> {
    let outer = Unique::<Unique<Vec<Requirement>>>::deserialize(deserializer)?;
    Ok(outer
        .0
        .into_iter()
        .map(|(name, inner)| (name, inner.0))
        .collect())
}

/// A JSON object in which no key stands twice.
struct Unique<T>(BTreeMap<String, T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys<T>(PhantomData<T>);
        impl<'de, T: DeserializeOwned> Visitor<'de> for Keys<T> {
            type Value = Unique<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut unique = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if unique.contains_key(&key) {
                        let message = format!("the key \"{}\" stands twice", key.escape_debug());
                        return Err(serde::de::Error::custom(message));
                    }
                    let value = map.next_value()?;
                    unique.insert(key, value);
                }
                Ok(Unique(unique))
            }
        }
        deserializer.deserialize_map(Keys(PhantomData))
    }
}

#[cfg(test)]
mod tests;
