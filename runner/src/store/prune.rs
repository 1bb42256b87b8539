//! Removing all images that nobody needs.

use packer::Digest;
use rustix::fs::FlockOperation;

use super::remove::Removed;
use super::{ListedImage, Store, StoreError};

/// What a prune takes.
#[derive(Debug, Clone, Copy)]
pub struct Pruning {
    /// How many of the last generations of each name stay.
    pub keep: usize,
    /// Whether everything that no container uses goes, also what has a name.
    pub all: bool,
}

impl Store {
    /// Removes every image that has no name, is used by no container, is none of the last
    /// generations of a name and is `wanted` away.
    ///
    /// `in_use` tells which containers use an image; it is asked while nobody else can begin to.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn prune(
        &self,
        pruning: Pruning,
        wanted: &dyn Fn(&ListedImage) -> bool,
        in_use: &dyn Fn(&Digest) -> Vec<String>,
    ) -> Result<Vec<Removed>, StoreError> {
        // Before the lock, because it may have leftovers to delete.
        let temporary = self.temporary()?;
        let images = self.images()?;
        let lock = self.lock(FlockOperation::LockExclusive)?;
        let kept = self.last_generations(pruning.keep)?;
        let mut removed = Vec::new();
        for listed in images.into_iter().rev() {
            let id = listed.id;
            let names = self.names_of(&id)?;
            let needed = !pruning.all && (!names.is_empty() || kept.contains(&id));
            if !needed && in_use(&id).is_empty() && wanted(&listed) {
                removed.push(self.take(id, names, &temporary)?);
            }
        }
        self.sweep(&temporary)?;
        drop(lock);
        Ok(removed)
    }
}
