//! Files and folders of the host in the planned tree.
//!
//! Only what is in a file is taken from it, and whether its owner may execute it; modes, owners and
//! times come from the definition, so that a checkout with another umask gives the same image.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Clash, Content, Entry, HostFile, Tree};
use crate::package::Files;
use crate::program::open_regular;

/// A file or folder that cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("{} cannot be packed: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A pipe, a socket or a device.
    #[error("{} cannot be packed: it is no file, no folder and no symbolic link", .0.display())]
    Special(PathBuf),
    /// Capabilities for a folder.
    #[error("{} is a folder: only a file can have capabilities", .0.display())]
    Folder(PathBuf),
    /// It has no room in the tree.
    #[error(transparent)]
    Clash(#[from] Clash),
}

impl Tree {
    /// Adds what an entry of a definition's `files` says.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn add(&mut self, files: &Files) -> Result<(), SourceError> {
        let kind = fs::metadata(&files.source).map_err(unreadable(&files.source))?;
        match (kind.is_dir(), &files.capabilities) {
            (true, None) => self.add_folder(&files.source, &files.destination, files),
            (true, Some(_)) => Err(SourceError::Folder(files.source.clone())),
            (false, _) => {
                let folder = files.source.parent().unwrap_or(&files.source).to_owned();
                let name = files.source.file_name().unwrap_or_default();
                self.add_file(&Arc::new(folder), name, &files.destination, files)
            }
        }
    }

    /// A file, or what a link leads to.
    fn add_file(
        &mut self,
        folder: &Arc<PathBuf>,
        name: &OsStr,
        to: &Path,
        files: &Files,
    ) -> Result<(), SourceError> {
        let source = &*folder.join(name);
        let file = open_regular(source).map_err(unreadable(source))?;
        let metadata = file.metadata().map_err(unreadable(source))?;
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        let content = Content::File(HostFile::in_folder(folder, name, &metadata));
        let entry = Entry {
            capabilities: files.capabilities,
            ..owned(files.mode.unwrap_or(mode), content, files)
        };
        Ok(self.place(to, entry)?)
    }

    /// A folder with everything in it, in the order of the names.
    fn add_folder(&mut self, source: &Path, to: &Path, files: &Files) -> Result<(), SourceError> {
        if !to.as_os_str().is_empty() {
            // Who may read the files may also search the folders.
            let mode = files.mode.map_or(0o755, |mode| {
                let read = mode & 0o444;
                mode & 0o777 | read >> 2
            });
            // A directory of a base image stays as it is.
            match self.get(to).is_none() && self.has_directory(to) {
                true => self.ensure_directory(to, 0, 0)?,
                false => self.place(to, owned(mode, Content::Directory, files))?,
            }
        }
        let to = &*self.through_all_links(to);
        let mut inside = Vec::new();
        for entry in fs::read_dir(source).map_err(unreadable(source))? {
            let entry = entry.map_err(unreadable(source))?;
            let kind = entry.file_type().map_err(unreadable(&entry.path()))?;
            inside.push((entry.file_name(), kind));
        }
        inside.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let folder = Arc::new(source.to_owned());
        for (name, kind) in inside {
            let (source, to) = (source.join(&name), to.join(&name));
            if kind.is_dir() {
                self.add_folder(&source, &to, files)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&source).map_err(unreadable(&source))?;
                self.place(&to, owned(0o777, Content::Symlink(target), files))?;
            } else if kind.is_file() {
                self.add_file(&folder, &name, &to, files)?;
            } else {
                return Err(SourceError::Special(source));
            }
        }
        Ok(())
    }
}

fn owned(mode: u32, content: Content, files: &Files) -> Entry {
    Entry {
        uid: files.owner.uid,
        gid: files.owner.gid,
        ..Entry::new(mode, content)
    }
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> SourceError + '_ {
    |cause| SourceError::Unreadable {
        path: path.to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::package::User;

    fn files(source: &Path, to: &str) -> Files {
        Files {
            source: source.to_owned(),
            destination: to.into(),
            mode: None,
            owner: User { uid: 3, gid: 4 },
            capabilities: None,
            location: None,
        }
    }

    #[test]
    fn a_folder_is_packed_with_modes_that_no_umask_has_a_part_in() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("sub")).unwrap();
        for (path, mode) in [("b", 0o600), ("a", 0o4700), ("sub/c", 0o777)] {
            fs::write(root.join(path), path).unwrap();
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("../a", root.join("sub/link")).unwrap();
        let mut tree = Tree::default();
        tree.add(&files(root, "srv/x")).unwrap();
        let lines: Vec<String> = tree
            .described()
            .unwrap()
            .lines()
            .map(|line| line.split(" sha256").next().unwrap().to_owned())
            .collect();
        assert_eq!(
            lines,
            [
                "d0755 0:0 /srv",
                "d0755 3:4 /srv/x",
                "-0755 3:4 /srv/x/a",
                "-0644 3:4 /srv/x/b",
                "d0755 3:4 /srv/x/sub",
                "-0755 3:4 /srv/x/sub/c",
                "l0777 3:4 /srv/x/sub/link -> ../a",
            ]
        );
    }

    #[test]
    fn a_mode_that_is_said_is_that_of_every_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        let mut tree = Tree::default();
        let mut said = files(folder.path(), "x");
        said.mode = Some(0o4640);
        tree.add(&said).unwrap();
        assert_eq!(tree.get("x").unwrap().mode, 0o750);
        assert_eq!(tree.get("x/a").unwrap().mode, 0o4640);
    }

    #[test]
    fn what_cannot_be_packed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent");
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for source in [absent.as_path(), &fifo, folder.path()] {
            let error = Tree::default().add(&files(source, "x")).unwrap_err();
            assert!(error.to_string().contains("cannot be packed"), "{error}");
        }
    }
}
