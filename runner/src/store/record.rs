//! What the store writes down about an image: one small file that holds all that a start needs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use packer::Digest;
use packer::image::{Descriptor, ImageConfig, Platform};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::tree::Owners;
use crate::trust::Provenance;

/// The file of an image that a start reads.
pub(super) const RECORD: &str = "image.json";
/// The manifest as it came.
pub(super) const MANIFEST: &str = "manifest.json";
/// The config as it came.
pub(super) const CONFIG: &str = "config.json";
/// The file beside a tree's root that says what the tree is.
pub(super) const TREE_RECORD: &str = "tree.json";
/// How an image came here: a list of [`Provenance`]; missing for one that was made here.
pub(super) const ORIGINS: &str = "origins.json";
/// The tree itself, beside its record.
pub(super) const TREE_ROOT: &str = "root";

/// An image in the store.
#[derive(Debug, Clone)]
pub struct StoredImage {
    /// The image id: the digest of its config.
    pub id: Digest,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digests of the indexes that listed it where it was pulled, the last one last.
    pub indexes: Vec<Digest>,
    /// How a container of it runs, and what it runs on. The history is not part of it:
    /// [`super::Store::config`] reads the whole config.
    pub config: ImageConfig,
    /// The flattened root file system.
    pub tree: PathBuf,
    /// Whose the files of the tree are.
    pub owners: Owners,
    /// Bytes of the uncompressed layers.
    pub size: u64,
    /// When it was loaded, in seconds since 1970.
    pub loaded: u64,
    /// The layers as they are stored, the lowest first.
    pub layers: Vec<Descriptor>,
}

impl StoredImage {
    /// All digests by which it is known, the one first that was pulled last.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.indexes.iter().rev().chain([&self.digest])
    }

    /// What the image runs on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.config.architecture.clone(),
            os: self.config.os.clone(),
            variant: self.config.variant.clone(),
        }
    }

    /// The digest that lists show, as podman has it: of the index, where it was pulled from one.
    #[must_use]
    pub fn shown_digest(&self) -> Digest {
        *self.indexes.last().unwrap_or(&self.digest)
    }

    /// The first twelve digits of the id, as lists show it.
    #[must_use]
    pub fn short_id(&self) -> String {
        self.id.hex()[..12].to_owned()
    }
}

/// What is written into [`RECORD`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    pub(super) id: Digest,
    pub(super) digest: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) indexes: Vec<Digest>,
    /// The name of the tree's folder.
    pub(super) tree: String,
    pub(super) owners: Owners,
    pub(super) size: u64,
    pub(super) loaded: u64,
    pub(super) layers: Vec<Descriptor>,
    pub(super) config: ImageConfig,
}

impl ImageRecord {
    /// Reads the record of the image whose folder is `folder`; `None` where there is no image.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(RECORD);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => {
                let bytes = read.map_err(StoreError::file(&path))?;
                serde_json::from_slice(&bytes)
                    .map(Some)
                    .map_err(StoreError::damaged(&path))
            }
        }
    }

    pub(super) fn into_image(self, trees: &Path) -> StoredImage {
        StoredImage {
            id: self.id,
            digest: self.digest,
            indexes: self.indexes,
            tree: trees.join(self.tree).join(TREE_ROOT),
            owners: self.owners,
            size: self.size,
            loaded: self.loaded,
            layers: self.layers,
            config: self.config,
        }
    }

    /// The blobs that the image needs.
    pub(super) fn blobs(&self) -> BTreeSet<Digest> {
        self.layers.iter().map(|layer| layer.digest).collect()
    }
}

/// The ways in which the image came whose folder is `folder`, the newest last.
pub(super) fn read_origins(folder: &Path) -> Result<Vec<Provenance>, StoreError> {
    let path = folder.join(ORIGINS);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => {
            let bytes = read.map_err(StoreError::file(&path))?;
            serde_json::from_slice(&bytes).map_err(StoreError::damaged(&path))
        }
    }
}

/// What is written into [`TREE_RECORD`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TreeRecord {
    /// Bytes of the uncompressed layers.
    pub(super) size: u64,
    /// The same for each layer; empty where it was not written down.
    #[serde(default)]
    pub(super) layers: Vec<u64>,
}

/// Writes a new file.
pub(super) fn write_new(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let write = || File::create_new(path)?.write_all(content);
    write().map_err(StoreError::file(path))
}
