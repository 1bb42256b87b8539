//! User names and passwords for registries, from the files and helpers of podman and docker.
//!
//! A registry is looked for in podman's files and then in docker's; in each file first its helper,
//! then the entries of the file, the longest path first. What is found first is used. Secrets are
//! never printed, also not by `{:?}`.
//!
//! Source: containers-auth.json(5), docker's `config.json` (`credHelpers`, `credsStore`),
//! containers-registries.conf(5) (`credential-helpers`).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::reference::Reference;

pub mod base64;
mod file;
mod helper;
mod paths;

pub(crate) use base64::encode;
pub use paths::default_path;

use file::AuthFile;

/// Who we are for a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password.
    Password {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that a token server changes into others (OAuth 2).
    IdentityToken(String),
}

/// `USER:PASSWORD`, as command lines have it.
impl FromStr for Credentials {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, password) = text.split_once(':').ok_or("USER:PASSWORD is expected")?;
        Ok(Self::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(formatter, "Password of {user:?}"),
            Self::IdentityToken(_) => formatter.write_str("IdentityToken"),
        }
    }
}

/// Why credentials are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{} cannot be read: {cause}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not understood: {reason}; correct it, or log in again", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be written.
    #[error("{} cannot be written: {cause}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A helper did not do what it should.
    #[error("the credential helper {program} failed: {reason}")]
    Helper {
        /// Its program.
        program: String,
        /// What it said.
        reason: String,
    },
    /// There is no home and no other place for a file.
    #[error("there is no place for credentials: set HOME or REGISTRY_AUTH_FILE, or use --authfile")]
    NoPlace,
}

/// The places where credentials are kept.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// The only file, when a user named one.
    file: Option<PathBuf>,
    /// Helpers that are asked for every registry.
    helpers: Vec<String>,
}

/// In the list of helpers this means the files.
const FILES: &str = "containers-auth.json";

impl Keyring {
    /// The user's keyring. `file` is what `--authfile` names; without it, and without
    /// `REGISTRY_AUTH_FILE`, all the usual files are read. `helpers` are those of `registries.conf`.
    #[must_use]
    pub fn new(file: Option<PathBuf>, helpers: &[String]) -> Self {
        let variable = || std::env::var_os("REGISTRY_AUTH_FILE").filter(|path| !path.is_empty());
        Self {
            file: file.or_else(|| variable().map(PathBuf::from)),
            helpers: helpers.to_vec(),
        }
    }

    /// The credentials for the repository of `reference`, if there are any.
    ///
    /// # Errors
    /// [`Error`] for a file or a helper that is broken; it is not passed over in silence.
    pub fn find(&self, reference: &Reference) -> Result<Option<Credentials>, Error> {
        let files = FILES.to_owned();
        let helpers = match self.helpers.as_slice() {
            [] => std::slice::from_ref(&files),
            helpers => helpers,
        };
        for helper in helpers {
            let found = match helper.as_str() {
                FILES => self.find_in_files(reference)?,
                name => helper::get(name, reference.registry())?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn find_in_files(&self, reference: &Reference) -> Result<Option<Credentials>, Error> {
        for path in self.paths() {
            let Some(file) = AuthFile::read(&path)? else {
                continue;
            };
            if let Some(helper) = file.helper(reference.registry())
                && let Some(found) = helper::get(helper, file::server(reference.registry()))?
            {
                return Ok(Some(found));
            }
            if let Some(found) = file.find(reference)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The user who is logged in at `registry` by an entry of a file that login writes.
    ///
    /// # Errors
    /// [`Error`].
    pub fn user(&self, registry: &str) -> Result<Option<String>, Error> {
        let Some(file) = AuthFile::read(&self.writable()?)? else {
            return Ok(None);
        };
        Ok(match file.entry(registry)? {
            Some(Credentials::Password { user, .. }) => Some(user),
            _ => None,
        })
    }

    /// Keeps credentials for `registry`, which may be followed by a path: in the helper that is
    /// named for it, else in the file, which only its owner can read.
    ///
    /// # Errors
    /// [`Error`]; the file is as it was then.
    pub fn store(&self, registry: &str, user: &str, password: &str) -> Result<(), Error> {
        let path = self.writable()?;
        let mut file = AuthFile::read(&path)?.unwrap_or_else(|| AuthFile::empty(&path));
        if let Some(helper) = file.helper(registry) {
            return helper::store(helper, file::server(registry), user, password);
        }
        file.insert(registry, user, password);
        file.write()
    }

    /// Forgets the credentials for `registry`; returns whether there were any.
    ///
    /// # Errors
    /// [`Error`]; the file is as it was then.
    pub fn erase(&self, registry: &str) -> Result<bool, Error> {
        let path = self.writable()?;
        let Some(mut file) = AuthFile::read(&path)? else {
            return Ok(false);
        };
        if let Some(helper) = file.helper(registry) {
            let server = file::server(registry);
            let was_there = helper::get(helper, server)?.is_some();
            helper::erase(helper, server)?;
            return Ok(was_there);
        }
        let was_there = file.remove(registry);
        if was_there {
            file.write()?;
        }
        Ok(was_there)
    }

    /// Forgets everything that is kept in the file.
    ///
    /// # Errors
    /// [`Error`]; the file is as it was then.
    pub fn erase_all(&self) -> Result<(), Error> {
        let path = self.writable()?;
        let Some(mut file) = AuthFile::read(&path)? else {
            return Ok(());
        };
        file.clear();
        file.write()
    }

    fn paths(&self) -> Vec<PathBuf> {
        match &self.file {
            Some(path) => vec![path.clone()],
            None => paths::all(),
        }
    }

    fn writable(&self) -> Result<PathBuf, Error> {
        match &self.file {
            Some(path) => Ok(path.clone()),
            None => default_path().ok_or(Error::NoPlace),
        }
    }

    /// The file that login writes.
    ///
    /// # Errors
    /// [`Error::NoPlace`].
    pub fn path(&self) -> Result<PathBuf, Error> {
        self.writable()
    }
}

fn invalid(path: &Path, reason: impl fmt::Display) -> Error {
    Error::Invalid {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests;
