//! Removing names and images, and the blobs and trees that no image needs any more.
//!
//! Under the lock things are only renamed into the temporary folder, which is quick; they are
//! deleted when the lock is free again. A tree or blob that a crash left without an image goes the
//! same way.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use packer::Digest;
use packer::reference::Reference;
use rustix::fs::FlockOperation;

use super::names::read_pointer;
use super::record::ImageRecord;
use super::sync::sync;
use super::temporary::Temporary;
use super::{Resolved, Store, StoreError, list};

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The names that are gone.
    pub untagged: Vec<Reference>,
    /// The image that is gone, if it is.
    pub deleted: Option<Digest>,
}

impl Store {
    /// Removes what was named: the name, and with its last name the image. An image that was named
    /// by its id loses all its names if `force` is set or it has only one.
    ///
    /// `in_use` tells which containers use an image; it is asked while nobody else can begin to
    /// (see [`Store::hold`]).
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::SeveralNames`]; nothing is removed then.
    pub fn remove(
        &self,
        resolved: &Resolved,
        force: bool,
        in_use: &dyn Fn(&Digest) -> Vec<String>,
    ) -> Result<Removed, StoreError> {
        // Before the lock, because it may have leftovers to delete.
        let temporary = self.temporary()?;
        let lock = self.lock(FlockOperation::LockExclusive)?;
        let id = resolved.image.id;
        let names = self.names_of(&id)?;
        let removed = match &resolved.name {
            Some(name) if names.len() > 1 => {
                self.remove_names(std::slice::from_ref(name))?;
                Removed {
                    untagged: vec![name.clone()],
                    deleted: None,
                }
            }
            None if names.len() > 1 && !force => {
                return Err(StoreError::SeveralNames { id, names });
            }
            _ => {
                if let Some(container) = in_use(&id).into_iter().next() {
                    return Err(StoreError::InUse { container });
                }
                let removed = self.take(id, names, &temporary)?;
                self.sweep(&temporary)?;
                removed
            }
        };
        drop(lock);
        drop(temporary);
        Ok(removed)
    }

    /// Removes a name and leaves the image, even without any name. Says whether the name was there.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn untag(&self, name: &Reference) -> Result<bool, StoreError> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let known = self.named(name)?.is_some();
        if known {
            self.remove_names(std::slice::from_ref(name))?;
        }
        Ok(known)
    }

    /// Takes an image with all its names out of sight.
    pub(super) fn take(
        &self,
        id: Digest,
        names: Vec<Reference>,
        temporary: &Temporary,
    ) -> Result<Removed, StoreError> {
        self.remove_names(&names)?;
        throw_away(&self.images, &id.hex(), temporary)?;
        sync(&self.images)?;
        Ok(Removed {
            untagged: names,
            deleted: Some(id),
        })
    }

    fn remove_names(&self, names: &[Reference]) -> Result<(), StoreError> {
        for name in names {
            remove_file(&self.pointer(name)?)?;
            self.forget_generations(name)?;
        }
        sync(&self.names)
    }

    /// Removes what no image needs.
    pub(super) fn sweep(&self, temporary: &Temporary) -> Result<(), StoreError> {
        let mut blobs = BTreeSet::new();
        let mut trees = BTreeSet::new();
        for folder in list(&self.images)? {
            if let Some(record) = ImageRecord::read(&self.images.join(folder))? {
                blobs.extend(record.blobs().iter().map(Digest::hex));
                trees.insert(record.tree);
            }
        }
        for (folder, needed) in [(&self.blobs, &blobs), (&self.trees, &trees)] {
            for name in list(folder)? {
                if !needed.contains(&name) {
                    throw_away(folder, &name, temporary)?;
                }
            }
        }
        self.sweep_generations()?;
        for folder in [&self.packed, &self.names] {
            for file in list(folder)? {
                let path = folder.join(file);
                if let Some(id) = read_pointer(&path)?
                    && !self.images.join(id.hex()).exists()
                {
                    remove_file(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// Moves `name` into the temporary folder, which is deleted later. Blobs and trees have names of
/// different kinds but for a blob and a tree of one layer, so they go by folder.
fn throw_away(folder: &Path, name: &str, temporary: &Temporary) -> Result<(), StoreError> {
    let kind = folder.file_name().unwrap_or_default().to_string_lossy();
    let from = folder.join(name);
    match fs::rename(&from, temporary.path().join(format!("{kind}-{name}"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed.map_err(StoreError::file(&from)),
    }
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(StoreError::file(path)),
    }
}
