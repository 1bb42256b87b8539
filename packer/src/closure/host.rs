//! The machine whose libraries are packed: paths looked up step by step, with every link on the
//! way, so that the image can have the same links.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ClosureError;
use crate::elf::{NoProgram, Object};
use crate::program::open_regular;

/// As many links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// A file of text that is longer is none that we look for.
const LONGEST_TEXT: u64 = 16 << 20;

/// The file system that a program is taken from. All paths are absolute and below `root`.
#[derive(Debug, Clone)]
pub(super) struct Host {
    root: PathBuf,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Found {
    /// The links on the way, each with what it says.
    pub(super) links: Vec<(String, String)>,
    /// The path without links.
    pub(super) path: String,
    /// What is there.
    pub(super) metadata: Metadata,
}

impl Host {
    /// This machine.
    pub(super) fn here() -> Self {
        Self::below(Path::new("/"))
    }

    /// The tree in a folder.
    pub(super) fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where a path of this tree is for us.
    pub(super) fn real(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The path in this tree of what is `real` for us.
    pub(super) fn path_of(&self, real: &Path) -> Result<String, ClosureError> {
        let path = real.strip_prefix(&self.root).unwrap_or(real);
        let text = path.to_str();
        let text = text.ok_or_else(|| ClosureError::NotUtf8(real.to_owned()))?;
        Ok(format!("/{text}"))
    }

    /// Follows `path` to its end; `None` when there is nothing.
    pub(super) fn find(&self, path: &str) -> Result<Option<Found>, ClosureError> {
        let mut links = Vec::new();
        let mut done = String::new();
        let mut ahead: VecDeque<String> = path.split('/').map(ToOwned::to_owned).collect();
        let mut metadata = self.look(&done)?;
        while let Some(step) = ahead.pop_front() {
            match step.as_str() {
                "" | "." => continue,
                ".." => done.truncate(done.rfind('/').unwrap_or(0)),
                name => done = format!("{done}/{name}"),
            }
            metadata = self.look(&done)?;
            let Some(found) = &metadata else {
                return Ok(None);
            };
            if found.is_symlink() {
                let target = self.target(&done)?;
                for step in target.split('/').rev() {
                    ahead.push_front(step.to_owned());
                }
                links.push((done.clone(), target.clone()));
                if links.len() > MOST_LINKS {
                    return Ok(None);
                }
                let keep = match target.starts_with('/') {
                    true => 0,
                    false => done.rfind('/').unwrap_or(0),
                };
                done.truncate(keep);
                metadata = self.look(&done)?;
            }
        }
        Ok(metadata.map(|metadata| Found {
            links,
            path: done,
            metadata,
        }))
    }

    fn look(&self, path: &str) -> Result<Option<Metadata>, ClosureError> {
        match fs::symlink_metadata(self.real(path)) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(ClosureError::unreadable(path, error)),
        }
    }

    fn target(&self, link: &str) -> Result<String, ClosureError> {
        let target = fs::read_link(self.real(link));
        let target = target.map_err(|error| ClosureError::unreadable(link, error))?;
        let text = target.to_str().map(ToOwned::to_owned);
        text.ok_or(ClosureError::NotUtf8(target))
    }

    /// Opens the regular file that `path` leads to; `None` when there is none.
    pub(super) fn open(&self, path: &str) -> Result<Option<File>, ClosureError> {
        match self.find(path)? {
            Some(found) if found.metadata.is_file() => {
                let file = open_regular(&self.real(&found.path));
                file.map(Some)
                    .map_err(|error| ClosureError::unreadable(path, error))
            }
            _ => Ok(None),
        }
    }

    /// The ELF file that `path` leads to; `None` when it is anything else.
    pub(super) fn object(&self, path: &str) -> Result<Option<Object>, ClosureError> {
        let Some(file) = self.open(path)? else {
            return Ok(None);
        };
        match Object::read(&file) {
            Ok(object) => Ok(Some(object)),
            Err(NoProgram::Io(error)) => Err(ClosureError::unreadable(path, error)),
            Err(_) => Ok(None),
        }
    }

    /// The text of the file that `path` leads to; `None` when there is none.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, ClosureError> {
        let Some(file) = self.open(path)? else {
            return Ok(None);
        };
        let mut text = Vec::new();
        let read = file.take(LONGEST_TEXT).read_to_end(&mut text);
        read.map_err(|error| ClosureError::unreadable(path, error))?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// The names in the folder that `path` leads to, sorted; none when there is no such folder.
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, ClosureError> {
        let unreadable = |error| ClosureError::unreadable(path, error);
        let folder = match self.find(path)? {
            Some(found) if found.metadata.is_dir() => found.path,
            _ => return Ok(Vec::new()),
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(self.real(&folder)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name().into_string();
            names.push(name.map_err(|_| ClosureError::NotUtf8(entry.path()))?);
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether `path` leads to a folder.
    pub(super) fn is_folder(&self, path: &str) -> Result<bool, ClosureError> {
        Ok(self
            .find(path)?
            .is_some_and(|found| found.metadata.is_dir()))
    }

    /// Whether `path` leads to a file.
    pub(super) fn is_file(&self, path: &str) -> Result<bool, ClosureError> {
        Ok(self
            .find(path)?
            .is_some_and(|found| found.metadata.is_file()))
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_is_followed_through_links_and_not_out_of_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("usr/lib/x")).unwrap();
        fs::write(root.join("usr/lib/x/liba.so.1.2"), "").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("liba.so.1.2", root.join("usr/lib/x/liba.so.1")).unwrap();
        symlink("/lib/x/../../lib/x/liba.so.1", root.join("far")).unwrap();
        symlink("../../../etc", root.join("out")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let host = Host::below(root);
        let found = host.find("/far").unwrap().unwrap();
        assert_eq!(found.path, "/usr/lib/x/liba.so.1.2");
        let links: Vec<&str> = found.links.iter().map(|(link, _)| link.as_str()).collect();
        assert_eq!(links, ["/far", "/lib", "/usr/lib/x/liba.so.1"]);
        for nowhere in ["/out", "/loop", "/lib/x/liba.so.1/y", "/none"] {
            assert!(host.find(nowhere).unwrap().is_none(), "{nowhere}");
        }
        assert_eq!(host.list("/lib/x").unwrap(), ["liba.so.1", "liba.so.1.2"]);
    }
}
