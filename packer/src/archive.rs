//! Image archives: one file, or one folder, that holds images.
//!
//! Written is one plain tar that is docker-archive and oci-archive at once ([`Writer`]), or a folder
//! ([`FolderWriter`]). Read is whatever the known tools write ([`Archive`]): docker-archives of
//! docker (old and new), podman, skopeo and Guix, oci-archives, and folders: OCI layouts, `dir:` of
//! skopeo and unpacked docker-archives; compressed or not.
//!
//! An archive may come from anywhere, so nothing in it is believed: sizes are bounded, names stay
//! inside the archive, digests are checked, and every refusal is one line.

use std::io;

use crate::digest::Digest;

mod backing;
mod directory;
mod docker;
mod entries;
mod folder;
mod index;
mod newfile;
mod oci;
mod path;
mod read;
mod whole;
mod write;

pub use folder::{FolderWriter, Layout};
pub use index::RefName;
pub use newfile::NewFile;
pub use read::Archive;
pub use write::{Kind, Writer};

/// The media type of an index, a manifest or a config says little about its size; more than this
/// has none that anybody meant.
const MOST_JSON: u64 = 4 << 20;

/// An archive that could not be read: which one, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{archive} {problem}")]
pub struct ArchiveError {
    /// The archive, as the user named it.
    pub archive: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with an archive. Each reads as the end of a sentence that begins with the
/// archive's name.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Opening or reading it failed.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// It ends too early.
    #[error("ends in the middle of {0}: it was not copied completely")]
    Truncated(String),
    /// It is something else.
    #[error("is no image archive: {0}")]
    NotAnArchive(String),
    /// Its tar is malformed.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// Something in it is bigger than is reasonable.
    #[error("is refused: {what} has more than {limit}")]
    TooBig {
        /// What it is.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// It names something that it does not hold.
    #[error("is incomplete: it does not hold {0}")]
    Missing(String),
    /// A blob's bytes are not those that its digest names.
    #[error("is damaged: {what} should have the digest {expected} and has {found}")]
    Digest {
        /// What it is.
        what: String,
        /// The digest by which it is named.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// It would be a way out of the archive.
    #[error("is refused: \"{}\" leads out of the archive", .0.escape_debug())]
    Outside(String),
    /// JSON that says something impossible.
    #[error("is not understood: {0}")]
    Invalid(String),
    /// An image in it has a name that no image can have.
    #[error("names an image wrongly: {0}")]
    Name(String),
    /// It holds the image for other platforms only.
    #[error("has no image for {wanted}, only for {there}")]
    Platform {
        /// The host's platform.
        wanted: String,
        /// The platforms that there are.
        there: String,
    },
}

impl Problem {
    /// The same problem, of the archive that the user named so.
    fn of(self, archive: &str) -> ArchiveError {
        ArchiveError {
            archive: archive.to_owned(),
            problem: self,
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated("its content".to_owned()),
            _ => Self::Io(error),
        }
    }
}

impl From<crate::image::InvalidJson> for Problem {
    fn from(error: crate::image::InvalidJson) -> Self {
        Self::Invalid(error.to_string())
    }
}
