//! What can go wrong with the images on disk, each in one line: what, where, what to do.

use std::io;
use std::path::{Path, PathBuf};

use packer::reference::Reference;
use packer::{Digest, ImageName};

use super::tree::LayerError;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No image has this name or id.
    #[error("{0}: image not known; `runner images` lists those that are")]
    UnknownImage(String),
    /// The beginning of an id, or the end of a name, fits several images.
    #[error("{text}: several images fit: {}; give more of it", .found.join(", "))]
    Ambiguous {
        /// What was typed.
        text: String,
        /// The ids or names that fit.
        found: Vec<String>,
    },
    /// A name never pointed at what it is to point at again.
    #[error(
        "{name} has no generation {}: `runner image history --generations {name}` lists those that there are",
        .number.map_or("before the present one".to_owned(), |number| number.to_string())
    )]
    NoGeneration {
        /// The name.
        name: ImageName,
        /// What was asked for; `None` is the one before.
        number: Option<u64>,
    },
    /// A text that is neither a name nor an id.
    #[error(transparent)]
    InvalidName(#[from] packer::name::InvalidName),
    /// A name that is no file name.
    #[error("{0} is longer than the 255 characters that a name in the store may have")]
    LongName(Reference),
    /// An image that was asked for by its id has more names than one.
    #[error(
        "unable to delete image \"{}\" by ID with more than one tag ([{}]): please force removal",
        .id.hex(), list(.names)
    )]
    SeveralNames {
        /// The image.
        id: Digest,
        /// Its names.
        names: Vec<Reference>,
    },
    /// A container was made from the image.
    #[error(
        "image used by {container}: image is in use by a container: remove the container first, or both with --force"
    )]
    InUse {
        /// The container.
        container: String,
    },
    /// A blob is not what its descriptor says.
    #[error(
        "the blob {expected} has other content ({found}): the archive is damaged or was tampered with"
    )]
    WrongDigest {
        /// The digest that the manifest names.
        expected: Digest,
        /// The digest of what is there.
        found: Digest,
    },
    /// A layer's tar is not what the config says.
    #[error(
        "the layer {layer} unpacks to {found}, but the image's config says {expected}: the image was tampered with or badly made"
    )]
    WrongDiffId {
        /// The layer's digest.
        layer: Digest,
        /// The diff id in the config.
        expected: Digest,
        /// The digest of the layer's tar.
        found: Digest,
    },
    /// Manifest and config do not belong together.
    #[error(
        "the image's manifest lists {layers} layers and its config {diff_ids}: they must agree"
    )]
    LayerCount {
        /// How many the manifest lists.
        layers: usize,
        /// How many the config lists.
        diff_ids: usize,
    },
    /// A layer could not be read.
    #[error("the layer {layer} cannot be read: {cause}")]
    ReadLayer {
        /// The layer's digest.
        layer: Digest,
        /// Why not.
        cause: io::Error,
    },
    /// A layer could not be placed.
    #[error("{cause} (layer {layer})")]
    Layer {
        /// The layer's digest.
        layer: Digest,
        /// Why not.
        cause: LayerError,
    },
    /// A file of the store failed.
    #[error("{}: {cause}{}", .path.display(), advice(.cause))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file of the store has content that is not the store's.
    #[error("{} is damaged ({reason}): delete its folder, then load the image again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder that says it is a store, but not of which format.
    #[error("{} holds no store that can be read: choose another place with --root", .0.display())]
    NoStore(PathBuf),
    /// A newer program wrote the store.
    #[error(
        "{} was written by a newer runner (format {found}, this one knows {known}): use that one, or another place with --root",
        .path.display()
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// The format of the store.
        found: u64,
        /// The newest format that this program knows.
        known: u64,
    },
    /// The store belongs to somebody else.
    #[error("{} belongs to another user: choose a place of your own with --root", .0.display())]
    Foreign(PathBuf),
}

impl StoreError {
    /// Wraps an error of the file at `path`.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |cause| Self::File {
            path: path.to_owned(),
            cause,
        }
    }

    /// Says that the content of the file at `path` is not the store's.
    pub(super) fn damaged<E: ToString>(path: &Path) -> impl FnOnce(E) -> Self + '_ {
        |reason| Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// What to do about an error of the file system, as the end of a line.
pub(super) fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; remove images or other files, or choose another place with --root"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; choose another place with --root"
        }
        _ => "",
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}

fn list(names: &[Reference]) -> String {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.join(" ")
}
