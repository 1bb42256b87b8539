//! The folder of the next container, made ahead: with the directories of its writable layer and with
//! empty files, which take a disk longer than all else that is written for a container. The holder
//! makes it after it has removed another one; whoever moves it away first has it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// The folder in which it lies, beside the trash.
const AHEAD: &str = "container-ahead";

/// Its name while nobody has it.
const NEXT: &str = "next";

/// The files that every container has in it: to make one takes a disk longer than to write it.
const FILES: [&str; 3] = ["lock", "config.json", "state.new"];

/// Makes it if there is none, beside `trash`. What is in it belongs to who calls: to root over the ids of
/// containers.
pub(super) fn make_ahead(trash: &Path) -> io::Result<()> {
    let folder = trash.with_file_name(AHEAD);
    let next = folder.join(NEXT);
    if next.exists() {
        return Ok(());
    }
    let new = folder.join("new");
    // Of a holder that was killed.
    let _ = fs::remove_dir_all(&new);
    let make = |path: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(path);
    make(&folder, 0o700)?;
    make(&new, 0o711)?;
    make(&new.join("upper"), 0o755)?;
    make(&new.join("work"), 0o755)?;
    for name in FILES {
        File::create(new.join(name))?;
    }
    fs::rename(&new, &next)
}

/// Moves the one that was made ahead below `graphroot` to `place`. Whether there was one.
#[must_use]
pub fn take_ahead(graphroot: &Path, place: &Path) -> bool {
    fs::rename(graphroot.join(AHEAD).join(NEXT), place).is_ok()
}

/// Removes what was made ahead below `graphroot`: its owner is one of before.
///
/// # Errors
/// What the file system gives.
pub fn forget_ahead(graphroot: &Path) -> io::Result<()> {
    remove_tree(&graphroot.join(AHEAD))
}

/// Removes a folder with all that is in it, if it is there.
///
/// # Errors
/// What the file system gives.
pub fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_once_and_whole() {
        let graphroot = tempfile::tempdir().unwrap();
        let trash = graphroot.path().join("trash");
        let place = |name: &str| graphroot.path().join(name);
        assert!(!take_ahead(graphroot.path(), &place("a")));
        // As a holder leaves it that is killed on the way.
        fs::create_dir_all(graphroot.path().join(AHEAD).join("new/upper")).unwrap();
        make_ahead(&trash).unwrap();
        make_ahead(&trash).unwrap();
        assert!(take_ahead(graphroot.path(), &place("a")));
        assert!(!take_ahead(graphroot.path(), &place("b")));
        for name in ["upper", "work"].iter().chain(&FILES) {
            assert!(place("a").join(name).exists(), "{name}");
        }
        make_ahead(&trash).unwrap();
        forget_ahead(graphroot.path()).unwrap();
        forget_ahead(graphroot.path()).unwrap();
        assert!(!take_ahead(graphroot.path(), &place("b")));
    }
}
