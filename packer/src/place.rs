//! Places that images come from and go to: an archive, a layout, a store.
//!
//! One pair of traits carries an image from stretch to stretch. `packer build` writes into an
//! archive; `runner run` of a directory writes into the store with the same code and no archive
//! between; `runner load` copies from an archive to the store.

use std::io::{self, Read, Write};

use crate::digest::Digest;
use crate::image::{ImageConfig, Manifest};
use crate::name::ImageName;

/// One complete image but for its blobs: names, manifest and config, with the exact bytes that
/// their digests are made of.
#[derive(Debug, Clone)]
pub struct Image {
    /// The names that point at this image; may be empty.
    pub names: Vec<ImageName>,
    /// The manifest.
    pub manifest: Manifest,
    /// The bytes of the manifest.
    pub manifest_bytes: Vec<u8>,
    /// The config.
    pub config: ImageConfig,
    /// The bytes of the config; their digest is the image id.
    pub config_bytes: Vec<u8>,
}

impl Image {
    /// The image id: the digest of the config.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.manifest.config.digest
    }

    /// The digest of the manifest, the image's name in a registry.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest_bytes)
    }
}

/// Writes the content of one blob into the writer that it is given.
pub type WriteBlob<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// A place that takes images. First every layer, then the image, which makes it visible.
pub trait Sink {
    /// Whether the blob is there already and need not be written again.
    fn has_blob(&self, digest: &Digest) -> bool;

    /// Takes a blob whose digest shows only when it was written; returns digest and size.
    ///
    /// # Errors
    /// What writing gives, or what `write` gives; nothing of the blob is left then.
    fn put_blob(&mut self, write: WriteBlob<'_>) -> io::Result<(Digest, u64)>;

    /// Takes the image whose layers were put before, and moves its names to it.
    ///
    /// # Errors
    /// What writing gives; the names point where they did before then.
    fn put_image(&mut self, image: &Image) -> io::Result<()>;
}

/// A place that gives images.
pub trait Source {
    /// The images, each with its manifest and config read and their digests checked.
    fn images(&self) -> &[Image];

    /// Opens a layer by the digest that an image's manifest names.
    ///
    /// The bytes are as they were stored; the caller checks digest and diff id.
    ///
    /// # Errors
    /// What opening gives; `NotFound` for a digest that no image names.
    fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>>;
}
