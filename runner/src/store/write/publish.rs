//! The last steps of a write: what gathered in the temporary folder reaches the disk and its place.
//!
//! In the order in which one thing needs the other: first blobs and tree, then the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use packer::Digest;
use packer::image::to_json;
use packer::place::Image;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::{Flattened, Writer, make_folder};
use crate::store::record::{
    CONFIG, ImageRecord, MANIFEST, ORIGINS, RECORD, read_origins, write_new,
};
use crate::store::sync::{Barrier, sync};
use crate::store::{Store, StoreError};

impl Writer<'_> {
    /// Writes the image's own files into the temporary folder.
    pub(super) fn write_image(
        &mut self,
        image: &Image,
        flattened: &Flattened,
        indexes: Vec<Digest>,
    ) -> Result<ImageRecord, StoreError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut config = image.config.clone();
        config.history.clear();
        let record = ImageRecord {
            id: image.id(),
            digest: image.digest(),
            indexes,
            tree: flattened.tree.clone(),
            owners: self.owners,
            size: flattened.size,
            loaded: now.map_or(0, |now| now.as_secs()),
            layers: image.manifest.layers.clone(),
            config,
        };
        let folder = self.image_folder();
        make_folder(&folder)?;
        let bytes = serde_json::to_vec(&record).map_err(StoreError::damaged(&folder))?;
        write_new(&folder.join(MANIFEST), &image.manifest_bytes)?;
        write_new(&folder.join(CONFIG), &image.config_bytes)?;
        write_new(&folder.join(RECORD), &bytes)?;
        if !self.origins.is_empty() {
            write_new(&folder.join(ORIGINS), &to_json(&self.origins))?;
        }
        Ok(record)
    }

    /// The indexes that list an image, of which `before` is what is known so far.
    pub(super) fn indexes(&self, before: Option<&ImageRecord>) -> Vec<Digest> {
        let mut indexes = before.map_or_else(Vec::new, |before| before.indexes.clone());
        if let Some(index) = self.digests.index {
            indexes.retain(|known| *known != index);
            indexes.push(index);
        }
        indexes
    }

    /// Writes down that these indexes list the image in `place`.
    pub(super) fn set_indexes(
        &mut self,
        place: &Path,
        known: ImageRecord,
        indexes: Vec<Digest>,
    ) -> Result<ImageRecord, StoreError> {
        if known.indexes == indexes {
            return Ok(known);
        }
        let record = ImageRecord { indexes, ..known };
        self.replace(&place.join(RECORD), &to_json(&record))?;
        sync(place)?;
        Ok(record)
    }

    /// Puts a file in the place of one that others may be reading.
    fn replace(&mut self, path: &Path, content: &[u8]) -> Result<(), StoreError> {
        let new = self.new_path("file");
        write_new(&new, content)?;
        sync(&new)?;
        fs::rename(&new, path).map_err(StoreError::file(path))
    }

    /// Remembers one more way in which the image in `place` came, or that it was made here too, of
    /// which nothing else has to be remembered.
    pub(super) fn add_origin(&mut self, place: &Path) -> Result<(), StoreError> {
        let known = read_origins(place)?;
        let mut origins = known.clone();
        if self.origins.is_empty() {
            origins.clear();
        } else if !known.is_empty() {
            // What was made here needs no other way.
            origins.retain(|old| self.origins.iter().all(|new| new.origin != old.origin));
            origins.extend(self.origins.iter().cloned());
        }
        if origins == known {
            return Ok(());
        }
        let path = place.join(ORIGINS);
        if origins.is_empty() {
            fs::remove_file(&path).map_err(StoreError::file(&path))?;
        } else {
            self.replace(&path, &to_json(&origins))?;
        }
        sync(place)
    }

    /// Brings everything to disk that the image needs and that is new. Only then may it be found.
    /// Returns what does the same for the names.
    pub(super) fn bring_to_disk(
        &self,
        image: &Image,
        flattened: &Flattened,
        with_image: bool,
    ) -> Result<Barrier, StoreError> {
        let layers = image.manifest.layers.iter();
        let blobs = layers.filter_map(|layer| self.blobs.get(&layer.digest).cloned());
        let mut new: Vec<PathBuf> = blobs.collect();
        new.extend(flattened.new_tree.clone());
        new.extend(with_image.then(|| self.image_folder()));
        let barrier = Barrier::new(&self.store.root, flattened.placed);
        barrier.content(&new)?;
        Ok(barrier)
    }

    /// Renames blobs and tree into their places.
    pub(super) fn publish_content(
        &mut self,
        image: &Image,
        flattened: &Flattened,
    ) -> Result<(), StoreError> {
        let store = self.store;
        for layer in &image.manifest.layers {
            if let Some(path) = self.blobs.remove(&layer.digest) {
                let place = store.blob(&layer.digest);
                fs::rename(&path, &place).map_err(StoreError::file(&place))?;
            }
        }
        if let Some(folder) = &flattened.new_tree {
            let place = store.trees.join(&flattened.tree);
            match rename(folder, &place, RenameFlags::NOREPLACE) {
                // Another process placed the same layers at the same time.
                Err(Errno::EXIST | Errno::NOTEMPTY) => {}
                renamed => renamed.map_err(|error| StoreError::file(&place)(error.into()))?,
            }
        }
        Ok(())
    }

    /// Renames the image's folder into place. One that is there (the same config came with another
    /// manifest, or with other owners) changes places with it, and goes with the temporary folder.
    pub(super) fn publish_image(&mut self, place: &Path) -> Result<(), StoreError> {
        let folder = self.image_folder();
        let renamed = match rename(&folder, place, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST | Errno::NOTEMPTY) => rename(&folder, place, RenameFlags::EXCHANGE),
            renamed => renamed,
        };
        renamed.map_err(|error| StoreError::file(place)(error.into()))?;
        // Frees the name for the next image.
        self.count += 1;
        Ok(())
    }

    fn image_folder(&self) -> PathBuf {
        self.temporary.path().join(format!("image-{}", self.count))
    }
}

impl Store {
    /// Waits until the places of things are on disk. They were renamed in the order in which one
    /// needs the other, and reach the disk in the same one.
    pub(super) fn sync_places(&self, barrier: &Barrier) -> Result<(), StoreError> {
        barrier.names(&[&self.blobs, &self.trees, &self.images, &self.names])
    }
}

fn rename(from: &Path, to: &Path, flags: RenameFlags) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags)
}
