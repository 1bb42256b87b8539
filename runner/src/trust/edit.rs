//! Showing and changing the policy.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::lookaside::Lookaside;
use super::openpgp;
use super::policy::{self, BadPolicy, KeyType, Policy, Requirement};

/// What an image of some scope has to fulfil, as `image trust set` knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Accept,
    /// The impossible.
    Reject,
    /// A signature of OpenPGP.
    SignedBy,
    /// A signature of sigstore.
    SigstoreSigned,
}

/// One line of `image trust show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `all`, `repository` for a registry, or the name of the transport.
    pub transport: String,
    /// The scope, or `* (default)`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The scope again, where there is one.
    #[serde(rename = "repo_name", skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// `accept`, `reject`, `signed` or `sigstoreSigned`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who signs: the addresses of the keys.
    #[serde(rename = "gpg_id", skip_serializing_if = "String::is_empty")]
    pub ids: String,
    /// Where the signatures are.
    #[serde(rename = "sigstore", skip_serializing_if = "String::is_empty")]
    pub store: String,
}

/// The file that `image trust show` reads: the user's, or else the system's.
#[must_use]
pub fn path() -> PathBuf {
    policy::path().unwrap_or_else(policy::system_path)
}

/// The file that `image trust set` writes: the system's for root, the user's for everybody else.
#[must_use]
pub fn path_for_writing() -> PathBuf {
    let user = policy::user_path();
    match user {
        Some(user) if !rustix::process::geteuid().is_root() || user.exists() => user,
        _ => policy::system_path(),
    }
}

/// The lines of a policy, the default first.
#[must_use]
pub fn lines(policy: &Policy, lookaside: &Lookaside) -> Vec<Line> {
    let mut lines: Vec<Line> = policy
        .default
        .iter()
        .map(|one| line("all", "", one))
        .collect();
    for (transport, scopes) in &policy.transports {
        let shown = match transport.as_str() {
            "docker" => "repository",
            other => other,
        };
        for (scope, requirements) in scopes {
            lines.extend(requirements.iter().map(|one| {
                let mut line = line(shown, scope, one);
                if transport == "docker"
                    && matches!(line.kind.as_str(), "signed" | "sigstoreSigned")
                {
                    line.store = lookaside.address_of_scope(scope).unwrap_or_default();
                }
                line
            }));
        }
    }
    lines
}

fn line(transport: &str, scope: &str, requirement: &Requirement) -> Line {
    let (kind, ids) = match requirement {
        Requirement::InsecureAcceptAnything {} => ("accept", String::new()),
        Requirement::Reject {} => ("reject", String::new()),
        Requirement::SigstoreSigned { .. } => ("sigstoreSigned", "N/A".to_owned()),
        Requirement::SignedBy {
            key_path,
            key_paths,
            ..
        } => {
            let paths = key_path.iter().chain(key_paths.iter().flatten());
            let ids = paths.flat_map(|path| ids(path));
            ("signed", ids.collect::<Vec<_>>().join(", "))
        }
    };
    Line {
        transport: transport.to_owned(),
        name: match transport {
            "all" => "* (default)".to_owned(),
            _ => scope.to_owned(),
        },
        repository: match transport {
            "all" => "default".to_owned(),
            _ => scope.to_owned(),
        },
        kind: kind.to_owned(),
        ids,
        store: String::new(),
    }
}

/// Whose keys are in a file; one that cannot be read has none to show.
fn ids(path: &Path) -> Vec<String> {
    let keys = fs::read(path)
        .ok()
        .and_then(|bytes| openpgp::read_keys(&bytes).ok());
    let keys = keys.unwrap_or_default();
    keys.iter().map(openpgp::Certificate::address).collect()
}

/// Sets what holds for `scope` of the registries, or with `default` for everything, in the file at
/// `path`. One that is not there begins as the one that holds now.
///
/// # Errors
/// [`BadPolicy`] for a file that is not understood, and for one that cannot be written.
pub fn set(path: &Path, scope: &str, kind: Kind, keys: &[PathBuf]) -> Result<(), BadPolicy> {
    let mut policy = match (path.exists(), policy::path()) {
        (true, _) => Policy::read(path)?,
        (false, Some(other)) => Policy::read(&other)?,
        (false, None) => Policy {
            default: vec![Requirement::InsecureAcceptAnything {}],
            transports: Default::default(),
        },
    };
    let requirements = requirements(kind, keys);
    match scope {
        "default" => policy.default = requirements,
        scope => {
            let docker = policy.transports.entry("docker".to_owned()).or_default();
            docker.insert(scope.to_owned(), requirements);
        }
    }
    policy.check_for(path)?;
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(new, "{:#}", serde_json::to_value(&policy)?)?;
        new.as_file().sync_all()?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(new.path(), mode)?;
        new.persist(path)?;
        Ok(())
    };
    write().map_err(|error: io::Error| BadPolicy {
        path: path.to_owned(),
        place: String::new(),
        reason: format!("cannot be written: {error}"),
    })
}

fn requirements(kind: Kind, keys: &[PathBuf]) -> Vec<Requirement> {
    let signed = |key: &PathBuf| match kind {
        Kind::SigstoreSigned => Requirement::SigstoreSigned {
            key_path: Some(key.clone()),
            key_paths: None,
            key_data: None,
            key_datas: None,
            signed_identity: None,
        },
        _ => Requirement::SignedBy {
            key_type: KeyType::GpgKeys,
            key_path: Some(key.clone()),
            key_paths: None,
            key_data: None,
            signed_identity: None,
        },
    };
    match kind {
        Kind::Accept => vec![Requirement::InsecureAcceptAnything {}],
        Kind::Reject => vec![Requirement::Reject {}],
        Kind::SignedBy | Kind::SigstoreSigned => keys.iter().map(signed).collect(),
    }
}
