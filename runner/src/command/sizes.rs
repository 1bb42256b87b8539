//! How much room a container takes.

use super::system;
use crate::container::Container;
use crate::human;
use crate::store::Store;

/// The bytes of a container's files.
#[derive(Debug)]
pub(super) struct Sizes {
    /// Of those that it wrote or changed.
    pub(super) written: u64,
    /// Of those of its image, which is 0 if that is gone.
    pub(super) image: u64,
}

impl Sizes {
    /// What it takes now. What it wrote may be closed to everybody but its own root, so this is called from
    /// inside the user namespace.
    ///
    /// # Errors
    /// What reading the store gives.
    pub(super) fn of(container: &Container, store: &Store) -> anyhow::Result<Self> {
        let image = store.image(&container.record.image_id)?;
        Ok(Self {
            written: system::room(&container.folder().join("upper")),
            image: image.map_or(0, |image| image.size),
        })
    }

    /// As podman prints them.
    pub(super) fn text(&self) -> String {
        let [written, image] =
            [self.written, self.image].map(|size| human::size(size).replace(' ', ""));
        format!("{written} (virtual {image})")
    }
}
