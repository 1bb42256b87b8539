//! Giving images out again: to an archive, a folder or a registry, with the digests they came with.

use std::fs::{self, File};
use std::io::{self, Read};

use packer::image::from_json;
use packer::place::{Image, Source};
use packer::{Digest, ImageName};

use super::record::{CONFIG, MANIFEST};
use super::{Hold, Store, StoreError, StoredImage};

/// Some images of the store. As long as it lives, none of them is removed.
#[derive(Debug)]
pub struct Stored<'a> {
    store: &'a Store,
    images: Vec<Image>,
    _hold: Hold,
}

impl Store {
    /// Gives `images` out, each under the names beside it.
    ///
    /// # Errors
    /// What reading the store gives; [`StoreError::UnknownImage`] for one that was removed.
    pub fn source(
        &self,
        images: &[(StoredImage, Vec<ImageName>)],
    ) -> Result<Stored<'_>, StoreError> {
        let hold = self.hold()?;
        let images = images.iter().map(|(image, names)| self.whole(image, names));
        Ok(Stored {
            store: self,
            images: images.collect::<Result<_, _>>()?,
            _hold: hold,
        })
    }

    pub(super) fn whole(
        &self,
        image: &StoredImage,
        names: &[ImageName],
    ) -> Result<Image, StoreError> {
        let folder = self.images.join(image.id.hex());
        if !folder.exists() {
            return Err(StoreError::UnknownImage(image.id.to_string()));
        }
        let read = |file: &str, expected: Digest| {
            let path = folder.join(file);
            let bytes = fs::read(&path).map_err(StoreError::file(&path))?;
            match Digest::of(&bytes) == expected {
                true => Ok((path, bytes)),
                false => Err(StoreError::damaged(&path)("it has another digest")),
            }
        };
        let (path, manifest_bytes) = read(MANIFEST, image.digest)?;
        let manifest =
            from_json("the manifest", &manifest_bytes).map_err(StoreError::damaged(&path))?;
        let (path, config_bytes) = read(CONFIG, image.id)?;
        let config = from_json("the config", &config_bytes).map_err(StoreError::damaged(&path))?;
        Ok(Image {
            names: names.to_vec(),
            manifest,
            manifest_bytes,
            config,
            config_bytes,
        })
    }
}

impl Source for Stored<'_> {
    fn images(&self) -> &[Image] {
        &self.images
    }

    fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        let path = self.store.blob(digest);
        let file = File::open(&path).map_err(StoreError::file(&path))?;
        Ok(Box::new(file))
    }
}
