//! Comparing what is kept with its digests: blobs, images, trees, names, and what was left behind.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use packer::Digest;
use packer::place::Source;
use rustix::fs::{FlockOperation, RenameFlags};

use super::names::read_pointer;
use super::record::{ImageRecord, TREE_ROOT};
use super::{Store, StoreError, list, temporary};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is, as a sentence.
    pub what: String,
    /// Whether it is mended now.
    pub mended: bool,
}

/// What the images need, by its name in its folder. A tree and a layer may have the same one.
#[derive(Default)]
struct Needed {
    blobs: BTreeSet<String>,
    trees: BTreeSet<String>,
}

impl Store {
    /// Compares everything with its digests; with `repair`, mends what can be mended. The caller is
    /// where the owners of the images' files exist. Nobody else uses the store meanwhile.
    ///
    /// `in_use` tells which containers use an image.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn check(
        &self,
        repair: bool,
        in_use: &dyn Fn(&Digest) -> Vec<String>,
    ) -> Result<Vec<Finding>, StoreError> {
        let mut found = Vec::new();
        for name in temporary::leftovers(&self.tmp) {
            // The next writer removes it, and that is this one.
            note(
                &mut found,
                format!("tmp/{name} was left by a command that was killed"),
                true,
            );
        }
        let temporary = self.temporary()?;
        let lock = self.lock(FlockOperation::LockExclusive)?;
        let mut needed = Needed::default();
        for folder in list(&self.images)? {
            let read = ImageRecord::read(&self.images.join(&folder));
            let problem = match read {
                Err(error) => Some(error.to_string()),
                Ok(None) => Some(format!("images/{folder} is no image")),
                Ok(Some(record)) => {
                    needed.blobs.extend(record.blobs().iter().map(Digest::hex));
                    needed.trees.insert(record.tree.clone());
                    self.damage(&record)
                }
            };
            let Some(problem) = problem else { continue };
            let id = Digest::from_hex(&folder).ok();
            let removable = id.filter(|id| repair && in_use(id).is_empty());
            if let Some(id) = removable {
                self.take(id, self.names_of(&id)?, &temporary)?;
            }
            note(&mut found, problem, removable.is_some());
        }
        self.check_pointers(repair, &needed, &mut found)?;
        if repair {
            self.sweep(&temporary)?;
        }
        drop(lock);
        self.check_trees(repair, &mut found)?;
        Ok(found)
    }

    /// What is wrong with an image's own files and its blobs.
    fn damage(&self, record: &ImageRecord) -> Option<String> {
        for digest in record.blobs() {
            let path = self.blob(&digest);
            let read = File::open(&path).and_then(|mut blob| Digest::of_reader(&mut blob));
            match read {
                Ok((found, _)) if found == digest => {}
                Ok(_) => {
                    return Some(format!(
                        "{} is damaged: it has another digest",
                        path.display()
                    ));
                }
                Err(error) => return Some(format!("{} cannot be read: {error}", path.display())),
            }
        }
        let image = ImageRecord::read(&self.images.join(record.id.hex()))
            .ok()??
            .into_image(&self.trees);
        self.whole(&image, &[]).err().map(|error| error.to_string())
    }

    /// Names that point at nothing, and blobs and trees that no image needs.
    fn check_pointers(
        &self,
        repair: bool,
        needed: &Needed,
        found: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        for folder in [&self.names, &self.packed] {
            for file in list(folder)? {
                let path = folder.join(&file);
                let target = read_pointer(&path)?;
                if !target.is_some_and(|id| self.images.join(id.hex()).exists()) {
                    note(
                        found,
                        format!("{} points at no image", path.display()),
                        repair,
                    );
                }
            }
        }
        for (folder, needed) in [(&self.blobs, &needed.blobs), (&self.trees, &needed.trees)] {
            for name in list(folder)? {
                if !needed.contains(&name) {
                    let path = folder.join(&name);
                    note(
                        found,
                        format!("{} is needed by no image", path.display()),
                        repair,
                    );
                }
            }
        }
        Ok(())
    }

    /// Places every image anew and compares the files.
    fn check_trees(&self, repair: bool, found: &mut Vec<Finding>) -> Result<(), StoreError> {
        let mut seen = BTreeSet::new();
        for listed in self.images()? {
            let Some(stored) = self.image(&listed.id)? else {
                continue;
            };
            let (tree, owners) = (stored.tree.clone(), stored.owners);
            if !seen.insert(tree.clone()) {
                continue;
            }
            let source = self.source(&[(stored, Vec::new())])?;
            let [image] = source.images() else { continue };
            let mut writer = self.writer(owners)?;
            let new = match writer.place_anew(image) {
                Ok(new) => new,
                Err(error) => {
                    note(found, format!("{}: {error}", tree.display()), false);
                    continue;
                }
            };
            if let Some(path) = first_difference(&tree, &new.join(TREE_ROOT)) {
                let place = tree.parent().unwrap_or(&tree);
                let mended = repair && exchange(&new, place).is_ok();
                let what = format!("{} differs from the layers of its image", path.display());
                note(found, what, mended);
            }
        }
        Ok(())
    }
}

fn note(found: &mut Vec<Finding>, what: String, mended: bool) {
    found.push(Finding { what, mended });
}

fn exchange(new: &Path, place: &Path) -> rustix::io::Result<()> {
    let here = rustix::fs::CWD;
    match place.exists() {
        true => rustix::fs::renameat_with(here, new, here, place, RenameFlags::EXCHANGE),
        false => rustix::fs::rename(new, place),
    }
}

/// The first path of `tree` that is not as in `expected`.
fn first_difference(tree: &Path, expected: &Path) -> Option<PathBuf> {
    let mut pairs = vec![(tree.to_owned(), expected.to_owned())];
    let names = |folder: &Path| -> BTreeSet<std::ffi::OsString> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    while let Some((ours, theirs)) = pairs.pop() {
        if is_folder(&ours) && is_folder(&theirs) {
            let (found, wanted) = (names(&ours), names(&theirs));
            if let Some(name) = found.symmetric_difference(&wanted).next() {
                return Some(ours.join(name));
            }
            pairs.extend(
                wanted
                    .iter()
                    .map(|name| (ours.join(name), theirs.join(name))),
            );
        }
        if !is_same(&ours, &theirs).unwrap_or(false) {
            return Some(ours);
        }
    }
    None
}

/// Whether kind, mode, owner, time, attributes and content of two files are the same.
fn is_same(ours: &Path, theirs: &Path) -> io::Result<bool> {
    let (one, other) = (ours.symlink_metadata()?, theirs.symlink_metadata()?);
    let facts = |metadata: &fs::Metadata| {
        let size = if metadata.is_dir() { 0 } else { metadata.len() };
        (
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.rdev(),
            size,
            metadata.mtime(),
        )
    };
    if facts(&one) != facts(&other) || attributes(ours)? != attributes(theirs)? {
        return Ok(false);
    }
    let kind = one.file_type();
    if kind.is_symlink() {
        return Ok(fs::read_link(ours)? == fs::read_link(theirs)?);
    }
    if !kind.is_file() {
        return Ok(true);
    }
    Ok(digest(ours)? == digest(theirs)?)
}

fn digest(path: &Path) -> io::Result<Digest> {
    let mut file: Box<dyn Read> = Box::new(File::open(path)?);
    Ok(Digest::of_reader(&mut file)?.0)
}

/// The extended attributes of a file, in the order of their names.
fn attributes(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let mut found = Vec::new();
    for name in names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(length);
        found.push((name.to_owned(), value));
    }
    found.sort();
    Ok(found)
}
