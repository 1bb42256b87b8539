//! A folder for what a command needs as long as it runs.
//!
//! It is gone when the command ends. Where the command was killed it stays, but nobody locks it any
//! more: the next command that needs such a folder removes it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

/// How the names of all such folders begin.
const PREFIX: &str = "packer-scratch-";

/// A new folder, which nobody else can read.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    /// Locked for as long as this lives.
    _lock: File,
}

impl Scratch {
    /// A folder where temporary files belong.
    pub(crate) fn new() -> io::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn below(place: &Path) -> io::Result<Self> {
        remove_abandoned(place);
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
            let lock = File::open(folder.path())?;
            // A file system without locks keeps what is left there.
            let _ = lock.lock();
            // Before it was locked, it looked abandoned to others.
            if folder.path().exists() {
                return Ok(Self {
                    folder,
                    _lock: lock,
                });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes our folders that no command locks. What cannot be removed is nothing that anybody asked for.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(opened) = rustix::fs::open(entry.path(), flags, Mode::empty()) else {
            continue;
        };
        let folder = File::from(opened);
        let is_ours = |found: fs::Metadata| found.uid() == rustix::process::geteuid().as_raw();
        if folder.metadata().is_ok_and(is_ours) && folder.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_command_left_is_removed_and_what_another_one_needs_is_not() {
        let place = tempfile::tempdir().unwrap();
        let abandoned = place.path().join(format!("{PREFIX}abandoned"));
        fs::create_dir_all(abandoned.join("inside")).unwrap();
        let other = place.path().join("somebody's");
        fs::create_dir(&other).unwrap();
        let needed = Scratch::below(place.path()).unwrap();
        fs::write(needed.path().join("file"), "needed").unwrap();
        assert!(!abandoned.exists() && other.exists());
        drop(Scratch::below(place.path()).unwrap());
        assert!(needed.path().join("file").exists());
        drop(needed);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
