//! Where an image comes from: what a policy is asked about.

use std::fmt;
use std::path::{Path, PathBuf};

use packer::reference::Reference;
use packer::transport::Found;
use serde::{Deserialize, Serialize};

use super::Signature;

/// Where an image comes from.
///
/// Source: containers-transports(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "transport", rename_all = "kebab-case")]
pub enum Origin {
    /// A registry.
    Docker {
        /// The complete reference that was asked for.
        reference: String,
    },
    /// An archive as docker writes it.
    DockerArchive {
        /// The file; empty for standard input.
        path: PathBuf,
    },
    /// An archive of an OCI layout.
    OciArchive {
        /// The file; empty for standard input.
        path: PathBuf,
    },
    /// An OCI layout.
    Oci {
        /// The folder.
        path: PathBuf,
    },
    /// A folder as skopeo writes it.
    Dir {
        /// The folder.
        path: PathBuf,
    },
    /// The tar of a root file system.
    Tarball,
    /// This store: it was made here.
    ContainersStorage,
}

/// How an image came here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Where from.
    pub origin: Origin,
    /// With which signatures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
}

impl Provenance {
    /// From `origin`, without signatures.
    #[must_use]
    pub fn unsigned(origin: Origin) -> Self {
        Self {
            origin,
            signatures: Vec::new(),
        }
    }
}

impl Origin {
    /// A registry.
    #[must_use]
    pub fn registry(reference: &Reference) -> Self {
        // A digest goes before the tag, which is not looked at then.
        let reference = match reference.digest() {
            Some(digest) => reference.with_digest(digest),
            None => reference.clone(),
        };
        Self::Docker {
            reference: reference.to_string(),
        }
    }

    /// What was read as `transport` from `path`, the path of an archive or a folder; nothing for
    /// standard input.
    #[must_use]
    pub fn archive(transport: &str, path: Option<&Path>) -> Self {
        let path = path.unwrap_or(Path::new(""));
        // Scopes are real paths without symbolic links.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match transport {
            "oci" => Self::Oci { path },
            "dir" => Self::Dir { path },
            "oci-archive" => Self::OciArchive { path },
            _ => Self::DockerArchive { path },
        }
    }

    /// Where an image was found; `path` is that of the archive, if it is one with a path.
    #[must_use]
    pub fn of(found: &Found, path: Option<&Path>) -> Self {
        match (found.pull(), found.archive()) {
            (Some(pull), _) => Self::registry(pull.asked()),
            (None, Some(archive)) => Self::archive(archive.transport(), path),
            (None, None) => Self::ContainersStorage,
        }
    }

    /// The name of the transport.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Docker { .. } => "docker",
            Self::DockerArchive { .. } => "docker-archive",
            Self::OciArchive { .. } => "oci-archive",
            Self::Oci { .. } => "oci",
            Self::Dir { .. } => "dir",
            Self::Tarball => "tarball",
            Self::ContainersStorage => "containers-storage",
        }
    }

    /// The reference of an image of a registry.
    #[must_use]
    pub fn reference(&self) -> Option<Reference> {
        match self {
            Self::Docker { reference } => reference.parse().ok(),
            _ => None,
        }
    }

    /// The folder of a `dir:`, in which signatures may lie.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Dir { path } => Some(path),
            _ => None,
        }
    }

    /// The scopes that hold for it, the most specific one first; without the one of the whole
    /// transport.
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        match self {
            Self::Docker { .. } => self
                .reference()
                .map_or_else(Vec::new, |it| of_reference(&it)),
            Self::OciArchive { path } | Self::Oci { path } | Self::Dir { path } => of_path(path),
            // docker-archive has no scopes in podman either: one file may hold many images.
            Self::DockerArchive { .. } | Self::Tarball | Self::ContainersStorage => Vec::new(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docker { reference } => write!(formatter, "docker://{reference}"),
            Self::DockerArchive { path }
            | Self::OciArchive { path }
            | Self::Oci { path }
            | Self::Dir { path } => {
                write!(formatter, "{}:", self.transport())?;
                match path.as_os_str().is_empty() {
                    true => formatter.write_str("(standard input)"),
                    false => path.display().fmt(formatter),
                }
            }
            Self::Tarball => formatter.write_str("a tarball"),
            Self::ContainersStorage => formatter.write_str("an image that was made here"),
        }
    }
}

/// The image itself, its repository, the namespaces above, the registry, and wildcards for the
/// domains that the registry is in.
fn of_reference(reference: &Reference) -> Vec<String> {
    let mut scopes = vec![reference.to_string()];
    let mut name = reference.untagged();
    scopes.push(name.clone());
    while let Some((above, _)) = name.rsplit_once('/') {
        scopes.push(above.to_owned());
        name = above.to_owned();
    }
    let mut host = name.as_str();
    while let Some((_, domain)) = host.split_once('.') {
        scopes.push(format!("*.{domain}"));
        host = domain;
    }
    scopes
}

fn of_path(path: &Path) -> Vec<String> {
    let above = path.ancestors().filter(|above| {
        // The root and standard input have no scope but that of the transport.
        above.parent().is_some()
    });
    above
        .filter_map(|path| path.to_str().map(ToOwned::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scopes_of_a_reference_end_with_the_widest() {
        let origin = |text: &str| Origin::registry(&text.parse().unwrap());
        assert_eq!(
            origin("a.example.org:5000/x/y:1").scopes(),
            [
                "a.example.org:5000/x/y:1",
                "a.example.org:5000/x/y",
                "a.example.org:5000/x",
                "a.example.org:5000",
                "*.example.org:5000",
                "*.org:5000",
            ]
        );
        assert_eq!(
            origin("docker.io/busybox").scopes()[..2],
            [
                "docker.io/library/busybox:latest",
                "docker.io/library/busybox"
            ]
        );
    }

    #[test]
    fn the_scopes_of_a_path_are_the_folders_above() {
        let origin = Origin::Dir {
            path: "/a/b/c".into(),
        };
        assert_eq!(origin.scopes(), ["/a/b/c", "/a/b", "/a"]);
        assert_eq!(Origin::archive("oci-archive", None).scopes(), [""; 0]);
    }
}
