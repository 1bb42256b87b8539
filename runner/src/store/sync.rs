//! Bringing what was written to disk.
//!
//! One call for the whole file system costs as much as one for a single file: one commit of the
//! journal, one flush of the disk. But it waits for what other programs wrote, too, so it is only
//! made where that is little, or where our own files are many.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::sandbox::start_writing;

/// Files from this size on are on their way to the disk while others are still being made.
const LARGE: u64 = 64 << 10;

/// With more files than this, the whole file system is synced whatever else waits to be written.
const MANY: u64 = 64;

/// How many kilobytes may wait to be written in the whole system, our own among them, for a call
/// that waits for all of them: a slow disk takes some tenths of a second.
const LITTLE: u64 = 32 << 10;

/// Waits until a file's content or a folder's names are on disk.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    sync_one(path).map_err(StoreError::file(path))
}

/// Has the disk begin with what was just written to `file`, `length` bytes from `offset` on, if that is much.
/// It saves what waits for it later the time in which we read and uncompress more.
pub(super) fn start(file: impl AsFd, offset: u64, length: u64) {
    if length >= LARGE {
        start_writing(file, offset, length);
    }
}

/// How things reach the disk together: with one call for the whole file system or one for each.
#[derive(Debug)]
pub(super) struct Barrier {
    root: PathBuf,
    is_whole: bool,
}

impl Barrier {
    /// For what is on the file system of the folder `root`; `count` is about how many files there are.
    pub(super) fn new(root: &Path, count: u64) -> Self {
        Self {
            root: root.to_owned(),
            is_whole: count > MANY || little_waits(),
        }
    }

    /// Waits until files, and folders with everything in them, are on disk.
    pub(super) fn content(&self, paths: &[PathBuf]) -> Result<(), StoreError> {
        if paths.is_empty() {
            return Ok(());
        }
        self.whole_or(|| {
            paths
                .iter()
                .try_for_each(|path| sync_all(path).map_err(StoreError::file(path)))
        })
    }

    /// Waits until the names in folders are on disk.
    pub(super) fn names(&self, folders: &[&Path]) -> Result<(), StoreError> {
        self.whole_or(|| folders.iter().try_for_each(|folder| sync(folder)))
    }

    fn whole_or(&self, each: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        if !self.is_whole {
            return each();
        }
        File::open(&self.root)
            .and_then(|root| Ok(rustix::fs::syncfs(&root)?))
            .map_err(StoreError::file(&self.root))
    }
}

fn little_waits() -> bool {
    waiting().is_some_and(|kilobytes| kilobytes <= LITTLE)
}

/// The kilobytes that wait to be written in the whole system (proc_meminfo(5)).
fn waiting() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let value = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(value("Dirty:")? + value("Writeback:")?)
}

/// Brings a file or a tree to disk. What is neither a file nor a folder goes with its folder.
fn sync_all(path: &Path) -> io::Result<()> {
    let kind = path.symlink_metadata()?.file_type();
    if kind.is_dir() {
        for entry in path.read_dir()? {
            sync_all(&entry?.path())?;
        }
    }
    match kind.is_dir() || kind.is_file() {
        true => sync_one(path),
        false => Ok(()),
    }
}

fn sync_one(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
