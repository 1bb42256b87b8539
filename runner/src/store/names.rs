//! Names: each is a symbolic link to an image's folder, so that moving it is one rename, and
//! reading through it is one open. A name has a tag, or, where an image was pulled by its digest, that.
//!
//! `packed/` has links of the same kind, from the fingerprint of what was packed to the image that
//! came out.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use packer::reference::Reference;
use packer::{Digest, ImageName};

use super::record::ImageRecord;
use super::sync::sync;
use super::{Store, StoreError, StoredImage};

/// Links in a temporary folder, each with its place.
#[derive(Debug)]
pub(super) struct Pointers(Vec<(PathBuf, PathBuf)>);

impl Pointers {
    /// Moves each name at once; the caller brings them to disk.
    pub(super) fn publish(self) -> Result<(), StoreError> {
        let mut pointers = self.0.iter();
        pointers.try_for_each(|(new, place)| {
            std::fs::rename(new, place).map_err(StoreError::file(place))
        })
    }
}

impl Store {
    /// All names with tags and the images that they point at.
    ///
    /// # Errors
    /// What reading the store gives.
    pub fn names(&self) -> Result<BTreeMap<ImageName, Digest>, StoreError> {
        let all = self.all_names()?.into_iter();
        Ok(all
            .filter_map(|(name, id)| Some((name.name()?, id)))
            .collect())
    }

    /// All names and the images that they point at.
    pub(super) fn all_names(&self) -> Result<BTreeMap<Reference, Digest>, StoreError> {
        let mut names = BTreeMap::new();
        for file in super::list(&self.names)? {
            if let Ok(name) = file.replace('+', "/").parse()
                && let Some(id) = read_pointer(&self.names.join(&file))?
            {
                names.insert(name, id);
            }
        }
        Ok(names)
    }

    /// Lets each of `names` point at the image `id` too.
    ///
    /// # Errors
    /// [`StoreError::UnknownImage`], [`StoreError::LongName`].
    pub fn tag(&self, id: &Digest, names: &[ImageName]) -> Result<(), StoreError> {
        let temporary = self.temporary()?;
        let _hold = self.hold()?;
        let names: Vec<Reference> = names.iter().map(Reference::from).collect();
        for name in &names {
            self.pointer(name)?;
        }
        match self.image(id)? {
            Some(_) => {
                self.prepare_names(&names, id, temporary.path())?
                    .publish()?;
                sync(&self.names)
            }
            None => Err(StoreError::UnknownImage(id.to_string())),
        }
    }

    /// The names that point at the image `id`.
    ///
    /// # Errors
    /// What reading the store gives.
    pub fn names_of(&self, id: &Digest) -> Result<Vec<Reference>, StoreError> {
        let names = self.all_names()?.into_iter();
        Ok(names
            .filter_map(|(name, target)| (target == *id).then_some(name))
            .collect())
    }

    /// The image that came out when what has this fingerprint was packed.
    ///
    /// # Errors
    /// What reading the store gives.
    pub fn packed(&self, fingerprint: &Digest) -> Result<Option<StoredImage>, StoreError> {
        self.through(&self.packed.join(fingerprint.hex()))
    }

    /// Remembers that packing what has this fingerprint gave the image `id`.
    ///
    /// # Errors
    /// What writing gives; what was remembered before stays then.
    pub fn remember_packed(&self, fingerprint: &Digest, id: &Digest) -> Result<(), StoreError> {
        let temporary = self.temporary()?;
        point(&self.packed.join(fingerprint.hex()), id, temporary.path())?;
        sync(&self.packed)
    }

    /// The image that `name` points at.
    pub(super) fn named(&self, name: &Reference) -> Result<Option<StoredImage>, StoreError> {
        match self.pointer(name) {
            Ok(path) => self.through(&path),
            // No such name can have been stored.
            Err(_) => Ok(None),
        }
    }

    /// Makes pointers for `names` at the image `id`, which need not be there yet. What takes room is
    /// done then.
    pub(super) fn prepare_names(
        &self,
        names: &[Reference],
        id: &Digest,
        temporary: &Path,
    ) -> Result<Pointers, StoreError> {
        let mut pointers = Vec::new();
        for (number, name) in names.iter().enumerate() {
            // What has a digest never points at anything else.
            if let Some(name) = name.name() {
                self.count_generation(&name, id, temporary)?;
            }
            let new = temporary.join(format!("pointer-{number}"));
            link(&new, id)?;
            pointers.push((new, self.pointer(name)?));
        }
        Ok(Pointers(pointers))
    }

    /// The file of a name. A name has no `+`, so it can stand for the slash.
    pub(super) fn pointer(&self, name: &Reference) -> Result<PathBuf, StoreError> {
        let file = name.to_string().replace('/', "+");
        if file.len() > 255 {
            return Err(StoreError::LongName(name.clone()));
        }
        Ok(self.names.join(file))
    }

    fn through(&self, pointer: &Path) -> Result<Option<StoredImage>, StoreError> {
        let record = ImageRecord::read(pointer)?;
        Ok(record.map(|record| record.into_image(&self.trees)))
    }
}

/// The image that the link at `path` points at; `None` for something else.
pub(super) fn read_pointer(path: &Path) -> Result<Option<Digest>, StoreError> {
    match path.read_link() {
        Ok(target) => Ok(target
            .file_name()
            .and_then(|name| Digest::from_hex(name.to_str()?).ok())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(StoreError::file(path)(error)),
    }
}

/// Lets the link at `path` point at the image `id`.
pub(super) fn point(path: &Path, id: &Digest, temporary: &Path) -> Result<(), StoreError> {
    let new = temporary.join("pointer");
    link(&new, id)?;
    std::fs::rename(&new, path).map_err(StoreError::file(path))
}

fn link(new: &Path, id: &Digest) -> Result<(), StoreError> {
    symlink(format!("../images/{}", id.hex()), new).map_err(StoreError::file(new))
}
