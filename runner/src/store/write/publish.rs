//! The last steps of a write: what gathered in the temporary folder reaches the disk and its place.
//!
//! In the order in which one thing needs the other: first blobs and tree, then the image.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use packer::image::to_json;
use packer::place::Image;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::{Flattened, Writer, make_folder};
use crate::store::StoreError;
use crate::store::record::{
    CONFIG, ImageRecord, MANIFEST, ORIGINS, RECORD, read_origins, sync_directory, write_synced,
};

/// Up to this number of files each is brought to disk by itself. With more of them, the whole file
/// system is: one call, which also waits for what other programs wrote.
const SYNC_EACH: u64 = 64;

impl Writer<'_> {
    /// Writes the image's own files into the temporary folder.
    pub(super) fn write_image(
        &mut self,
        image: &Image,
        flattened: &Flattened,
    ) -> Result<ImageRecord, StoreError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut config = image.config.clone();
        config.history.clear();
        let record = ImageRecord {
            id: image.id(),
            digest: image.digest(),
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
        write_synced(&folder.join(MANIFEST), &image.manifest_bytes)?;
        write_synced(&folder.join(CONFIG), &image.config_bytes)?;
        write_synced(&folder.join(RECORD), &bytes)?;
        if !self.origins.is_empty() {
            write_synced(&folder.join(ORIGINS), &to_json(&self.origins))?;
        }
        sync_directory(&folder)?;
        Ok(record)
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
            let new = self.new_path("origins");
            write_synced(&new, &to_json(&origins))?;
            fs::rename(&new, &path).map_err(StoreError::file(&path))?;
        }
        sync_directory(place)
    }

    /// Brings blobs and tree to disk and into their places.
    pub(super) fn publish_content(
        &mut self,
        image: &Image,
        flattened: &Flattened,
    ) -> Result<(), StoreError> {
        let store = self.store;
        self.sync(flattened)?;
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
        sync_directory(&store.blobs)?;
        sync_directory(&store.trees)
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
        sync_directory(&self.store.images)
    }

    fn sync(&self, flattened: &Flattened) -> Result<(), StoreError> {
        if flattened.placed > SYNC_EACH {
            let path = &self.store.root;
            return File::open(path)
                .and_then(|root| Ok(rustix::fs::syncfs(&root)?))
                .map_err(StoreError::file(path));
        }
        for path in flattened.blobs.iter().map(|(_, path)| path) {
            sync_file(path).map_err(StoreError::file(path))?;
        }
        if let Some(folder) = &flattened.new_tree {
            sync_tree(folder).map_err(StoreError::file(folder))?;
        }
        Ok(())
    }

    fn image_folder(&self) -> PathBuf {
        self.temporary.path().join(format!("image-{}", self.count))
    }
}

fn rename(from: &Path, to: &Path, flags: RenameFlags) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags)
}

pub(super) fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Brings a small tree to disk. What is neither a file nor a directory goes with its directory.
fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in path.read_dir()? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            sync_file(&entry.path())?;
        }
    }
    sync_file(path)
}
