//! What belongs to an image in a registry without being part of it: signatures, by the convention of
//! cosign. They are the layers of another image in the same repository, whose tag is made of the
//! digest: `sha256-HEX.sig`.
//!
//! Source: cosign, `specs/SIGNATURE_SPEC.md`, "Storage"; containers-registries.d(5),
//! `use-sigstore-attachments`.

use std::collections::BTreeMap;

use super::error::{Error, Problem};
use super::manifest::Content;
use super::push::Push;
use super::repository::Repository;
use crate::digest::Digest;
use crate::image::{Descriptor, ImageConfig, Manifest, RootFs, media_type, to_json};

/// What one signature may have, in bytes.
const MOST_PAYLOAD: u64 = 4 << 20;

/// Signatures of one image that are read.
const MOST_ATTACHMENTS: usize = 128;

/// One thing that is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// What the payload is.
    pub media_type: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// What is said about it: a signature of it.
    pub annotations: BTreeMap<String, String>,
}

fn tag(image: &Digest) -> String {
    format!("sha256-{}.sig", image.hex())
}

impl Repository {
    /// What is attached to the image with this manifest digest; nothing is no error.
    ///
    /// # Errors
    /// [`Error`].
    pub fn attachments(&self, image: &Digest) -> Result<Vec<Attachment>, Error> {
        let Some(manifest) = self.attached(image)? else {
            return Ok(Vec::new());
        };
        let layers = manifest.layers.iter().take(MOST_ATTACHMENTS);
        let read = layers.map(|layer| {
            Ok(Attachment {
                media_type: layer.media_type.clone(),
                payload: self.small_blob("a signature", layer, MOST_PAYLOAD)?,
                annotations: layer.annotations.clone(),
            })
        });
        read.collect()
    }

    fn attached(&self, image: &Digest) -> Result<Option<Manifest>, Error> {
        match self.document(&tag(image)) {
            Ok(document) => match document.content {
                Content::Manifest(manifest) => Ok(Some(manifest)),
                Content::Index(_) => Ok(None),
            },
            Err(Error::Registry {
                problem: Problem::NotFound(_),
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Push {
    /// Attaches something to the image with this manifest digest, beside what is attached already.
    ///
    /// # Errors
    /// [`Error`].
    pub fn attach(&self, image: &Digest, new: &Attachment) -> Result<(), Error> {
        let before = self.repository.attached(image)?;
        let mut layers = before.map_or_else(Vec::new, |manifest| manifest.layers);
        let mut layer = Descriptor::new(
            &new.media_type,
            Digest::of(&new.payload),
            new.payload.len() as u64,
        );
        layer.annotations.clone_from(&new.annotations);
        if layers.contains(&layer) {
            return Ok(());
        }
        self.small_blob(&layer, &new.payload)?;
        layers.push(layer);
        let config = ImageConfig {
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: layers.iter().map(|layer| layer.digest).collect(),
            },
            ..ImageConfig::default()
        };
        let config = to_json(&config);
        let described =
            Descriptor::new(media_type::CONFIG, Digest::of(&config), config.len() as u64);
        self.small_blob(&described, &config)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.to_owned(),
            config: described,
            layers,
            annotations: BTreeMap::new(),
        };
        self.document(&tag(image), media_type::MANIFEST, &to_json(&manifest))?;
        Ok(())
    }

    fn small_blob(&self, blob: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
        self.blob(blob, &|| Ok(Box::new(bytes)), &|_| ())
    }
}
