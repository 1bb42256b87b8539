//! Folders for what is being written, which vanish with their process.
//!
//! Each writer has a folder of its own below `tmp/` and holds a lock on it. A folder that nobody
//! holds belongs to a process that was killed; the next writer removes it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::delete;

/// A folder that is removed when it goes out of scope, or by the next writer after a crash.
#[derive(Debug)]
pub(super) struct Temporary {
    parent: File,
    name: String,
    path: PathBuf,
    _lock: File,
}

impl Temporary {
    /// Makes a new folder below `parent`, after what dead processes left there was removed.
    pub(super) fn new(parent: &Path) -> io::Result<Self> {
        let directory = File::open(parent)?;
        remove_leftovers(parent, &directory);
        for attempt in 0_u64.. {
            let name = format!("{}-{attempt}", std::process::id());
            let path = parent.join(&name);
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            if let Some(lock) = lock(&path)? {
                return Ok(Self {
                    parent: directory,
                    name,
                    path,
                    _lock: lock,
                });
            }
        }
        unreachable!("one of 2^64 names is free")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next writer.
        let _ = delete::remove(&self.parent, self.name.as_bytes());
    }
}

/// The names of what dead processes left below `parent`.
pub(super) fn leftovers(parent: &Path) -> Vec<String> {
    let entries = parent.read_dir().into_iter().flatten().flatten();
    entries
        .filter(|entry| matches!(lock(&entry.path()), Ok(Some(_))))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn remove_leftovers(parent: &Path, directory: &File) {
    for entry in parent.read_dir().into_iter().flatten().flatten() {
        if let Ok(Some(_lock)) = lock(&entry.path()) {
            // Whatever resists, such as a file of another user's, resists the next time too, and
            // no command should fail for it.
            let _ = delete::remove(directory, entry.file_name().as_encoded_bytes());
        }
    }
}

/// The lock of the folder at `path`, or `None` if another process holds it or removed the folder.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let opened = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        locked => locked?,
    }
    // A folder that was removed between the two calls is no folder to work in.
    let alive = opened.metadata()?.nlink() > 0
        && path.metadata().is_ok_and(|now| {
            opened
                .metadata()
                .is_ok_and(|metadata| metadata.ino() == now.ino())
        });
    Ok(alive.then_some(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_removed_and_what_a_living_one_has_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = Temporary::new(parent.path()).unwrap();
        let dead = parent.path().join("1-0");
        std::fs::create_dir_all(dead.join("deep/er")).unwrap();
        std::fs::write(parent.path().join("file"), "").unwrap();
        let next = Temporary::new(parent.path()).unwrap();
        assert!(living.path().exists() && next.path().exists());
        assert!(!dead.exists());
        assert!(!parent.path().join("file").exists());
        drop((living, next));
        assert_eq!(parent.path().read_dir().unwrap().count(), 0);
    }
}
