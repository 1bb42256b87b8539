//! Bringing what was written to disk.
//!
//! One call for the whole file system costs as much as one for a single file: one commit of the
//! journal, one flush of the disk. But it waits for what other programs wrote, too, so it is only
//! made where that is little, or where our own files are many.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;

/// With more files than this, the whole file system is synced whatever else waits to be written.
const MANY: u64 = 64;

/// How many kilobytes may wait to be written in the whole system, our own among them, for a call
/// that waits for all of them: a slow disk takes some tenths of a second.
const LITTLE: u64 = 16 << 10;

/// Waits until a file's content or a folder's names are on disk.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    sync_one(path).map_err(StoreError::file(path))
}

/// Waits until files, and folders with everything in them, are on disk. All are on the file system
/// of the folder `root`; `count` is about how many they are.
pub(super) fn sync_content(root: &Path, paths: &[PathBuf], count: u64) -> Result<(), StoreError> {
    if paths.is_empty() {
        return Ok(());
    }
    if count > MANY || waiting().is_some_and(|kilobytes| kilobytes <= LITTLE) {
        return File::open(root)
            .and_then(|root| Ok(rustix::fs::syncfs(&root)?))
            .map_err(StoreError::file(root));
    }
    paths
        .iter()
        .try_for_each(|path| sync_all(path).map_err(StoreError::file(path)))
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
