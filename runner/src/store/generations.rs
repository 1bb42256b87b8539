//! Generations: what a name pointed at before, so that it can point there again.
//!
//! `generations/NAME/` has a link to an image for each time that the name moved, numbered from 1,
//! and `current`, the number that it points at now. It is written beside the names and not before
//! or behind them with a sync of its own: where a crash lets the two disagree, the name is right,
//! and the number is found again by its image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use packer::reference::Reference;
use packer::{Digest, ImageName};

use super::names::{point, read_pointer};
use super::sync::sync;
use super::{Store, StoreError, StoredImage, list};

/// The link to the present number.
const CURRENT: &str = "current";

/// One thing that a name pointed at.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u64,
    /// When the name began to point there.
    pub since: SystemTime,
    /// Whether it points there now.
    pub is_current: bool,
    /// The image.
    pub image: StoredImage,
}

impl Store {
    /// What `name` has pointed at, the oldest first; without those whose image was removed.
    ///
    /// # Errors
    /// [`StoreError::UnknownImage`] for a name that points at nothing.
    pub fn generations(&self, name: &ImageName) -> Result<Vec<Generation>, StoreError> {
        let pointer = self.pointer(&name.into())?;
        let present =
            read_pointer(&pointer)?.ok_or_else(|| StoreError::UnknownImage(name.to_string()))?;
        let folder = self.generations_of(name)?;
        let mut numbers = numbers(&folder)?;
        if !numbers.values().any(|id| *id == present) {
            // The name was set by a program that did not count.
            let number = numbers.keys().next_back().map_or(1, |last| last + 1);
            numbers.insert(number, present);
        }
        let current = current(&folder, &numbers, &present);
        let mut generations = Vec::new();
        for (number, id) in numbers {
            let link = folder.join(number.to_string());
            let known = link
                .symlink_metadata()
                .or_else(|_| pointer.symlink_metadata());
            if let Some(image) = self.image(&id)? {
                generations.push(Generation {
                    number,
                    since: known
                        .and_then(|metadata| metadata.modified())
                        .unwrap_or(SystemTime::UNIX_EPOCH),
                    is_current: Some(number) == current,
                    image,
                });
            }
        }
        Ok(generations)
    }

    /// Lets `name` point at what it pointed at in generation `number`, or in the one before the
    /// present one.
    ///
    /// # Errors
    /// [`StoreError::NoGeneration`] when there is none.
    pub fn rollback(
        &self,
        name: &ImageName,
        number: Option<u64>,
    ) -> Result<Generation, StoreError> {
        // Before anything is read, so that no image of the list is removed meanwhile.
        let temporary = self.temporary()?;
        let _hold = self.hold()?;
        let generations = self.generations(name)?;
        let wanted = match number {
            Some(number) => generations.iter().find(|one| one.number == number),
            None => {
                let current = generations.iter().position(|one| one.is_current);
                current.and_then(|at| generations.get(at.checked_sub(1)?))
            }
        };
        let wanted = wanted.ok_or_else(|| StoreError::NoGeneration {
            name: name.clone(),
            number,
        })?;
        self.remember(name, &wanted.image.id)?;
        point(
            &self.pointer(&name.into())?,
            &wanted.image.id,
            temporary.path(),
        )?;
        set_current(&self.generations_of(name)?, wanted.number, temporary.path())?;
        sync(&self.names)?;
        Ok(wanted.clone())
    }

    /// Counts that `name` points at the image `id` from now on.
    pub(super) fn count_generation(
        &self,
        name: &ImageName,
        id: &Digest,
        temporary: &Path,
    ) -> Result<(), StoreError> {
        let before = read_pointer(&self.pointer(&name.into())?)?;
        if before == Some(*id) {
            return Ok(());
        }
        if let Some(before) = before {
            self.remember(name, &before)?;
        }
        let folder = self.generations_of(name)?;
        make_folder(&folder)?;
        let number = match numbers(&folder)?.pop_last() {
            // From a command that came no further than this.
            Some((last, known)) if known == *id && !self.images.join(id.hex()).exists() => last,
            _ => add(&folder, id)?,
        };
        set_current(&folder, number, temporary)
    }

    /// Removes what is known of `name`.
    pub(super) fn forget_generations(&self, name: &Reference) -> Result<(), StoreError> {
        let folder = self.folder_of(name)?;
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(StoreError::file(&folder)),
        }
    }

    /// The images of the last `keep` generations of each name.
    pub(super) fn last_generations(&self, keep: usize) -> Result<BTreeSet<Digest>, StoreError> {
        let mut kept = BTreeSet::new();
        for name in self.names()?.keys() {
            let generations = self.generations(name)?;
            let last = generations.iter().rev().take(keep);
            kept.extend(last.map(|one| one.image.id));
        }
        Ok(kept)
    }

    /// Removes the links to images that are gone, and what is left of names that are.
    pub(super) fn sweep_generations(&self) -> Result<(), StoreError> {
        for file in list_if_there(&self.generations)? {
            let folder = self.generations.join(&file);
            if read_pointer(&self.names.join(&file))?.is_none() {
                fs::remove_dir_all(&folder).map_err(StoreError::file(&folder))?;
                continue;
            }
            for (number, id) in numbers(&folder)? {
                if !self.images.join(id.hex()).exists() {
                    let link = folder.join(number.to_string());
                    fs::remove_file(&link).map_err(StoreError::file(&link))?;
                }
            }
        }
        Ok(())
    }

    /// Sees to it that the image `id`, at which `name` points, has a number.
    fn remember(&self, name: &ImageName, id: &Digest) -> Result<(), StoreError> {
        let folder = self.generations_of(name)?;
        make_folder(&folder)?;
        if !numbers(&folder)?.values().any(|known| known == id) {
            add(&folder, id)?;
        }
        Ok(())
    }

    fn generations_of(&self, name: &ImageName) -> Result<PathBuf, StoreError> {
        self.folder_of(&name.into())
    }

    fn folder_of(&self, name: &Reference) -> Result<PathBuf, StoreError> {
        let pointer = self.pointer(name)?;
        Ok(self
            .generations
            .join(pointer.file_name().unwrap_or_default()))
    }
}

/// The links of a folder by their numbers.
fn numbers(folder: &Path) -> Result<BTreeMap<u64, Digest>, StoreError> {
    let mut numbers = BTreeMap::new();
    for file in list_if_there(folder)? {
        if let Ok(number) = file.parse()
            && let Some(id) = read_pointer(&folder.join(&file))?
        {
            numbers.insert(number, id);
        }
    }
    Ok(numbers)
}

/// The number that is in force: what `current` says if that is the image that the name points at,
/// else the last one of that image.
fn current(folder: &Path, numbers: &BTreeMap<u64, Digest>, present: &Digest) -> Option<u64> {
    let said = folder.join(CURRENT).read_link().ok();
    let said = said.and_then(|target| target.to_str()?.parse().ok());
    said.filter(|number| numbers.get(number) == Some(present))
        .or_else(|| {
            let mut fitting = numbers.iter().filter(|(_, id)| *id == present);
            fitting.next_back().map(|(number, _)| *number)
        })
}

/// Adds a link behind the last one; its number.
fn add(folder: &Path, id: &Digest) -> Result<u64, StoreError> {
    let last = numbers(folder)?.keys().next_back().copied();
    let mut number = last.unwrap_or(0) + 1;
    loop {
        let link = folder.join(number.to_string());
        match symlink(format!("../../images/{}", id.hex()), &link) {
            Ok(()) => return Ok(number),
            // Somebody else loads an image of the same name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(StoreError::file(&link)(error)),
        }
    }
}

fn set_current(folder: &Path, number: u64, temporary: &Path) -> Result<(), StoreError> {
    let new = temporary.join(CURRENT);
    symlink(number.to_string(), &new)
        .and_then(|()| fs::rename(&new, folder.join(CURRENT)))
        .map_err(StoreError::file(folder))
}

/// Stores that are older than generations have no folder for them.
fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(StoreError::file(folder))
}

fn list_if_there(folder: &Path) -> Result<Vec<String>, StoreError> {
    match folder.exists() {
        true => list(folder),
        false => Ok(Vec::new()),
    }
}
