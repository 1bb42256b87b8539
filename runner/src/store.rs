//! Images on the user's machine: blobs as they came, one flattened tree an image, names.
//!
//! There is no daemon; the state is files. Everything is found by its digest, and a name is a
//! pointer that moves at once. What is written appears under a temporary name, reaches the disk,
//! and is then renamed, so whatever happens, the old state or the new one is there. Who reads or
//! adds shares a lock; who removes has it alone.
//!
//! ```text
//! version                    the format of all this
//! lock
//! blobs/sha256/HEX           layers, as they came
//! images/HEX/                by image id: manifest.json, config.json, image.json
//! trees/HEX[.squashed]/      by chain id: root/ and tree.json
//! names/localhost+server:latest -> ../images/HEX
//! names/quay.io+server@sha256:HEX -> ../images/HEX
//! generations/localhost+server:latest/N -> ../../images/HEX
//! packed/HEX                 -> ../images/HEX, by the fingerprint of what was packed
//! list.json                  what lists show of all images, only to be quick
//! tmp/                       what is being written or thrown away
//! ```
//!
//! The store works inside the user namespace of its caller: trees have owners that only exist
//! there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use packer::Digest;
use packer::image::{ImageConfig, Manifest, from_json};
use packer::layer::decompress;
use rustix::fs::FlockOperation;

mod check;
mod delete;
mod error;
mod generations;
mod layer;
mod list;
mod names;
mod prune;
mod record;
mod remove;
mod resolve;
mod source;
mod sync;
mod temporary;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
mod write;

pub use check::Finding;
pub use error::StoreError;
pub use generations::Generation;
pub use list::ListedImage;
pub use prune::Pruning;
pub use record::StoredImage;
pub use remove::Removed;
pub use resolve::Resolved;
pub use source::Stored;
pub use tree::{LayerError, MAPPED_IDS, Owners};
pub use write::{Digests, Writer};

use crate::paths::Paths;
use crate::trust::Provenance;
use record::{CONFIG, ImageRecord, MANIFEST, TREE_RECORD, TreeRecord};
use temporary::Temporary;

/// The format that this program reads and writes.
const FORMAT: u64 = 1;

/// The images of one user.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    blobs: PathBuf,
    images: PathBuf,
    trees: PathBuf,
    names: PathBuf,
    packed: PathBuf,
    generations: PathBuf,
    tmp: PathBuf,
}

/// As long as it lives, no image is removed: between finding an image and writing down that a
/// container uses it.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
}

impl Store {
    /// Opens the store below `paths.graphroot`, and makes it if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::Foreign`], or what the file system gives.
    pub fn open(paths: &Paths) -> Result<Self, StoreError> {
        let root = paths.graphroot.clone();
        let store = Self {
            blobs: root.join("blobs/sha256"),
            images: root.join("images"),
            trees: root.join("trees"),
            names: root.join("names"),
            packed: root.join("packed"),
            generations: root.join("generations"),
            tmp: root.join("tmp"),
            root,
        };
        store.check_version()?;
        Ok(store)
    }

    /// Keeps every image where it is until the result is dropped.
    ///
    /// # Errors
    /// What opening and locking the lock file gives.
    pub fn hold(&self) -> Result<Hold, StoreError> {
        let lock = self.lock(FlockOperation::LockShared)?;
        Ok(Hold { _lock: lock })
    }

    /// The image `id`, if it is there.
    ///
    /// # Errors
    /// What reading the store gives.
    pub fn image(&self, id: &Digest) -> Result<Option<StoredImage>, StoreError> {
        let record = ImageRecord::read(&self.images.join(id.hex()))?;
        Ok(record.map(|record| record.into_image(&self.trees)))
    }

    /// The whole config of an image, with its history.
    ///
    /// # Errors
    /// What reading the store gives.
    pub fn config(&self, image: &StoredImage) -> Result<ImageConfig, StoreError> {
        let path = self.images.join(image.id.hex()).join(CONFIG);
        let bytes = fs::read(&path).map_err(StoreError::file(&path))?;
        from_json("the config", &bytes).map_err(StoreError::damaged(&path))
    }

    /// The bytes of each of an image's layers when it is not compressed, the lowest first.
    ///
    /// # Errors
    /// What reading the store gives.
    pub fn layer_sizes(&self, image: &StoredImage) -> Result<Vec<u64>, StoreError> {
        let path = image.tree.with_file_name(TREE_RECORD);
        let bytes = fs::read(&path).map_err(StoreError::file(&path))?;
        let record: TreeRecord =
            serde_json::from_slice(&bytes).map_err(StoreError::damaged(&path))?;
        if record.layers.len() == image.layers.len() {
            return Ok(record.layers);
        }
        // An older program did not write them down.
        let sizes = image.layers.iter().map(|layer| {
            let path = self.blob(&layer.digest);
            File::open(&path)
                .and_then(|blob| Ok(Digest::of_reader(&mut decompress(Box::new(blob))?)?.1))
                .map_err(StoreError::file(&path))
        });
        sizes.collect()
    }

    /// The ways in which an image came here, the newest last; none for one that was made here.
    ///
    /// # Errors
    /// What reading the store gives.
    pub fn origins(&self, id: &Digest) -> Result<Vec<Provenance>, StoreError> {
        record::read_origins(&self.images.join(id.hex()))
    }

    /// The manifest of an image.
    ///
    /// # Errors
    /// What reading the store gives.
    pub fn manifest(&self, image: &StoredImage) -> Result<Manifest, StoreError> {
        let path = self.images.join(image.id.hex()).join(MANIFEST);
        let bytes = fs::read(&path).map_err(StoreError::file(&path))?;
        from_json("the manifest", &bytes).map_err(StoreError::damaged(&path))
    }

    /// The folder for files without a name that are too large for memory; it is on the file system
    /// of the images.
    #[must_use]
    pub fn temporary_folder(&self) -> &Path {
        &self.tmp
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    fn temporary(&self) -> Result<Temporary, StoreError> {
        Temporary::new(&self.tmp).map_err(StoreError::file(&self.tmp))
    }

    fn lock(&self, operation: FlockOperation) -> Result<File, StoreError> {
        let path = self.root.join("lock");
        let file = File::open(&path).map_err(StoreError::file(&path))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&file, operation))
            .map_err(|error| StoreError::file(&path)(error.into()))?;
        Ok(file)
    }

    /// Reads the format, or makes an empty store where there is none.
    fn check_version(&self) -> Result<(), StoreError> {
        let path = self.root.join("version");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(found) if found > FORMAT => Err(StoreError::Newer {
                    path: self.root.clone(),
                    found,
                    known: FORMAT,
                }),
                Ok(_) => Ok(()),
                Err(_) => Err(StoreError::NoStore(self.root.clone())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(&path),
            Err(error) => Err(StoreError::file(&path)(error)),
        }
    }

    /// Makes an empty store. The version comes last: where it is, everything is.
    fn create(&self, version: &Path) -> Result<(), StoreError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for folder in [
            &self.root,
            &self.blobs,
            &self.images,
            &self.trees,
            &self.names,
            &self.packed,
            &self.tmp,
        ] {
            builder.create(folder).map_err(StoreError::file(folder))?;
        }
        let metadata = self.root.metadata().map_err(StoreError::file(&self.root))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(StoreError::Foreign(self.root.clone()));
        }
        let lock = self.root.join("lock");
        File::options()
            .create(true)
            .append(true)
            .open(&lock)
            .map_err(StoreError::file(&lock))?;
        let temporary = self.temporary()?;
        let new = temporary.path().join("version");
        record::write_new(&new, format!("{FORMAT}\n").as_bytes())?;
        sync::sync(&new)?;
        fs::rename(&new, version).map_err(StoreError::file(version))?;
        sync::sync(&self.root)
    }
}

/// The names in a folder of the store, in no order.
fn list(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in folder.read_dir().map_err(StoreError::file(folder))? {
        let name = entry.map_err(StoreError::file(folder))?.file_name();
        names.extend(name.into_string());
    }
    Ok(names)
}
