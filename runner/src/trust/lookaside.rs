//! Where the signatures of an image are: `registries.d`, and beside the image itself.
//!
//! For an image of a registry they are files in a folder or on a web server (the lookaside), or
//! attachments in the registry; for a `dir:` they are files in it. Nothing of the configuration has
//! to exist.
//!
//! Source: containers-registries.d(5); containers/image, `docs/signature-protocols.md`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use packer::Digest;
use packer::reference::Reference;
use packer::registry::{self, Pull};
use serde::Deserialize;

use super::{Origin, Signature};

/// Signatures of one image that are read.
const MOST_SIGNATURES: usize = 128;

/// What one signature may have, in bytes.
const MOST_BYTES: u64 = 4 << 20;

/// What the files of `registries.d` say, all together.
#[derive(Debug, Clone, Default)]
pub struct Lookaside {
    default: Option<Section>,
    docker: BTreeMap<String, Section>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct File {
    default_docker: Option<Section>,
    docker: Option<BTreeMap<String, Section>>,
}

/// What holds for the images of one scope. Lookasides were called sigstores once.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Section {
    #[serde(alias = "sigstore")]
    lookaside: Option<String>,
    #[serde(alias = "sigstore-staging")]
    lookaside_staging: Option<String>,
    use_sigstore_attachments: Option<bool>,
}

/// Signatures that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of `registries.d`.
    #[error("{} is not understood: {reason} (containers-registries.d(5))", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place.
        reason: String,
    },
    /// A file with a signature.
    #[error("the signature {} cannot be read or written: {cause}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A lookaside that is neither a folder nor on a web server.
    #[error("the lookaside {url} for {image} {reason}")]
    Address {
        /// What `registries.d` says.
        url: String,
        /// For which image.
        image: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A registry or a web server.
    #[error(transparent)]
    Registry(#[from] registry::Error),
}

impl Lookaside {
    /// Reads the configuration of this user, or else that of the system.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn load() -> Result<Self, Error> {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let user = home.map(|home| PathBuf::from(home).join(".config/containers/registries.d"));
        let system = PathBuf::from("/etc/containers/registries.d");
        let folder = user.filter(|folder| folder.is_dir()).unwrap_or(system);
        let mut paths: Vec<PathBuf> = match fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => Vec::new(),
        };
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        });
        paths.sort();
        let mut all = Self::default();
        for path in paths {
            let refuse = |reason: String| Error::Config {
                path: path.clone(),
                reason,
            };
            let text = fs::read_to_string(&path).map_err(|error| refuse(error.to_string()))?;
            all.merge(&text).map_err(refuse)?;
        }
        Ok(all)
    }

    /// Adds what a file says. A scope has one section in all files together.
    fn merge(&mut self, text: &str) -> Result<(), String> {
        let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| {
            let said = error.to_string();
            said.lines().next().unwrap_or_default().to_owned()
        })?;
        let file = file.unwrap_or_default();
        if let Some(section) = file.default_docker {
            if self.default.is_some() {
                return Err("default-docker stands in another file too".to_owned());
            }
            self.default = Some(section);
        }
        for (scope, section) in file.docker.unwrap_or_default() {
            if self.docker.contains_key(&scope) {
                return Err(format!("docker.\"{scope}\" stands in another file too"));
            }
            self.docker.insert(scope, section);
        }
        Ok(())
    }

    /// What the section for an image says, or a wider one.
    fn find<T>(&self, image: &Reference, value: impl Fn(&Section) -> Option<T>) -> Option<T> {
        let scopes = Origin::registry(image).scopes();
        let sections = scopes.iter().filter_map(|scope| self.docker.get(scope));
        sections.chain(&self.default).find_map(value)
    }

    /// Whether signatures are attached to an image in its registry.
    #[must_use]
    pub fn uses_attachments(&self, image: &Reference) -> bool {
        self.find(image, |section| section.use_sigstore_attachments)
            .unwrap_or(false)
    }

    /// The address under which the signatures of an image lie, as `trust show` prints it.
    #[must_use]
    pub fn address(&self, image: &Reference) -> Option<String> {
        self.find(image, |section| section.lookaside.clone())
    }

    /// The address for a scope of a policy, which is no complete reference.
    #[must_use]
    pub fn address_of_scope(&self, scope: &str) -> Option<String> {
        let section = self.docker.get(scope).or(self.default.as_ref())?;
        section.lookaside.clone()
    }

    /// The folder of the signatures of one manifest, for whoever signs.
    ///
    /// # Errors
    /// [`Error::Address`] when they are kept on a web server.
    pub fn folder_for_writing(&self, image: &Reference, digest: &Digest) -> Result<PathBuf, Error> {
        let url = self
            .find(image, |section| section.lookaside_staging.clone())
            .or_else(|| self.address(image));
        let base = match url {
            None => usual_folder(),
            Some(url) => match url.strip_prefix("file://") {
                Some(path) => PathBuf::from(path),
                None => {
                    return Err(Error::Address {
                        url,
                        image: image.to_string(),
                        reason: "can only be read: name a folder with --directory, or set \
                                 lookaside-staging to a file:// address",
                    });
                }
            },
        };
        Ok(base.join(folder_name(image, digest)))
    }

    fn of_registry(&self, image: &Reference, digest: &Digest) -> Result<Vec<Signature>, Error> {
        let Some(url) = self.address(image) else {
            return in_folder(&usual_folder().join(folder_name(image, digest)));
        };
        if let Some(path) = url.strip_prefix("file://") {
            return in_folder(&Path::new(path).join(folder_name(image, digest)));
        }
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Error::Address {
                url,
                image: image.to_string(),
                reason: "is none: it begins with file://, https:// or http://",
            });
        }
        let base = format!(
            "{}/{}",
            url.trim_end_matches('/'),
            folder_name(image, digest)
        );
        let mut found = Vec::new();
        for number in 1..=MOST_SIGNATURES {
            match registry::fetch(&format!("{base}/signature-{number}"), MOST_BYTES)? {
                Some(bytes) => found.extend(Signature::from_file(&bytes)),
                None => break,
            }
        }
        Ok(found)
    }
}

/// The signatures of the image with this manifest digest; `pull` is where it was found, if that is a
/// registry.
///
/// # Errors
/// [`Error`].
pub fn gather(
    origin: &Origin,
    pull: Option<&Pull>,
    digest: &Digest,
) -> Result<Vec<Signature>, Error> {
    if let Some(folder) = origin.folder() {
        return in_folder(folder);
    }
    let Some(pull) = pull else {
        return Ok(Vec::new());
    };
    let lookaside = Lookaside::load()?;
    let mut found = lookaside.of_registry(pull.asked(), digest)?;
    if lookaside.uses_attachments(pull.asked()) {
        let attached = pull.repository().attachments(digest)?;
        found.extend(attached.into_iter().map(Signature::Sigstore));
    }
    Ok(found)
}

/// `signature-1` and so on in a folder.
fn in_folder(folder: &Path) -> Result<Vec<Signature>, Error> {
    let mut found = Vec::new();
    for number in 1..=MOST_SIGNATURES {
        let path = folder.join(format!("signature-{number}"));
        let mut bytes = Vec::new();
        let read =
            fs::File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => found.extend(Signature::from_file(&bytes)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => break,
            Err(cause) => return Err(Error::File { path, cause }),
        }
    }
    Ok(found)
}

/// Writes a signature beside those that are in `folder`; its path.
///
/// # Errors
/// [`Error::File`].
pub fn add(folder: &Path, signature: &Signature) -> Result<PathBuf, Error> {
    let write = || {
        fs::create_dir_all(folder)?;
        let bytes = signature.to_file();
        for number in 1..=MOST_SIGNATURES {
            let path = folder.join(format!("signature-{number}"));
            let mut new = tempfile::NamedTempFile::new_in(folder)?;
            io::Write::write_all(&mut new, &bytes)?;
            new.as_file().sync_all()?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(new.path(), mode)?;
            match new.persist_noclobber(&path) {
                Ok(_) => return Ok(path),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.error),
            }
        }
        Err(io::Error::other(format!(
            "there are {MOST_SIGNATURES} already"
        )))
    };
    write().map_err(|cause| Error::File {
        path: folder.to_owned(),
        cause,
    })
}

/// The folder of the signatures of one manifest below a lookaside. The registry is not part of it.
#[must_use]
pub fn folder_name(image: &Reference, digest: &Digest) -> String {
    format!("{}@sha256={}", image.repository(), digest.hex())
}

/// Where signatures are when nothing is configured.
fn usual_folder() -> PathBuf {
    match std::env::var_os("HOME") {
        Some(home) if !rustix::process::geteuid().is_root() => {
            PathBuf::from(home).join(".local/share/containers/sigstore")
        }
        _ => PathBuf::from("/var/lib/containers/sigstore"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Result<Lookaside, String> {
        let mut lookaside = Lookaside::default();
        for text in texts {
            lookaside.merge(text)?;
        }
        Ok(lookaside)
    }

    #[test]
    fn the_narrowest_section_that_says_something_holds() {
        let lookaside = of(&[
            "default-docker: {lookaside: 'file:///all'}\n",
            "docker:\n  r.example: {sigstore: 'https://r.example/s'}\n  r.example/x:\n    use-sigstore-attachments: true\n",
        ])
        .unwrap();
        let image = |text: &str| -> Reference { text.parse().unwrap() };
        let address = |text: &str| lookaside.address(&image(text)).unwrap();
        assert_eq!(address("r.example/x/y:1"), "https://r.example/s");
        assert_eq!(address("s.example/x"), "file:///all");
        assert!(lookaside.uses_attachments(&image("r.example/x/y:1")));
        assert!(!lookaside.uses_attachments(&image("r.example/z")));
    }

    #[test]
    fn a_scope_that_stands_twice_and_a_key_that_is_unknown_are_refused() {
        let section = "docker: {r.example: {lookaside: 'file:///a'}}";
        assert!(of(&[section, section]).unwrap_err().contains("r.example"));
        assert!(of(&["docker: {r.example: {lookasid: 'file:///a'}}"]).is_err());
        assert!(of(&["", "docker:\n"]).is_ok());
    }

    #[test]
    fn signatures_are_numbered() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("a/b");
        let signatures = [Signature::Simple(vec![0x90]), Signature::Simple(vec![0x91])];
        for (number, signature) in signatures.iter().enumerate() {
            let path = add(&folder, signature).unwrap();
            assert!(path.ends_with(format!("signature-{}", number + 1)));
        }
        assert_eq!(in_folder(&folder).unwrap(), signatures);
    }
}
