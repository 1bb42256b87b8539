//! What lies below a planned tree: the files of a base image. Its directories keep their modes and
//! owners, and what is put below one of its links lies where that leads.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Content, Entry, Tree};
use crate::contents::{self, Contents, Kind};

impl Tree {
    /// An empty tree on the files of a base image.
    #[must_use]
    pub fn on(below: Arc<Contents>) -> Self {
        Self {
            below,
            ..Self::default()
        }
    }

    /// Whether there is anything at `path`, in the tree or below it, through links.
    #[must_use]
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        let path = self.through_all_links(path.as_ref());
        path.as_os_str().is_empty()
            || self.is_directory(&path).is_some() && self.link_at(&path).is_none()
    }

    /// Whether there is a directory at `path`, in the tree or below it, through links.
    #[must_use]
    pub fn has_directory(&self, path: impl AsRef<Path>) -> bool {
        let path = self.through_all_links(path.as_ref());
        path.as_os_str().is_empty() || self.is_directory(&path) == Some(true)
    }

    /// The paths of the base image.
    pub(crate) fn paths_below(&self) -> impl Iterator<Item = &Path> {
        self.below
            .keys()
            .map(|path| Path::new(OsStr::from_bytes(path)))
    }

    /// The entry of the base image that nothing in the tree hides.
    pub(crate) fn below(&self, path: &Path) -> Option<&contents::Entry> {
        self.below.get(path.as_os_str().as_bytes())
    }

    /// Whether what is at `path` itself is a directory; nothing if there is nothing.
    pub(super) fn is_directory(&self, path: &Path) -> Option<bool> {
        match self.get(path) {
            Some(entry) => Some(entry.content == Content::Directory),
            None => self.below(path).map(|entry| entry.kind == Kind::Directory),
        }
    }

    /// A directory as the base image has it, or a plain one of root.
    pub(super) fn directory_at(&self, path: &Path) -> Entry {
        let directory = Entry::new(0o755, Content::Directory);
        match self.below(path) {
            Some(below) if below.kind == Kind::Directory => Entry {
                mode: u32::try_from(below.mode).unwrap_or(0o755),
                uid: u32::try_from(below.uid).unwrap_or_default(),
                gid: u32::try_from(below.gid).unwrap_or_default(),
                ..directory
            },
            _ => directory,
        }
    }

    /// Where the link at `path` itself leads, if it is one.
    pub(super) fn link_at(&self, path: &Path) -> Option<PathBuf> {
        match (self.get(path), self.below(path)) {
            (Some(entry), _) => match &entry.content {
                Content::Symlink(target) => Some(target.clone()),
                _ => None,
            },
            (None, Some(below)) => match &below.kind {
                Kind::Symlink(target) => {
                    Some(PathBuf::from(std::ffi::OsString::from_vec(target.clone())))
                }
                _ => None,
            },
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Arc<Contents> {
        let entry = |kind, mode| contents::Entry {
            kind,
            mode,
            uid: 0,
            gid: 42,
            time: String::new(),
            attributes: std::collections::BTreeMap::new(),
            layer: 0,
            order: 0,
        };
        let entries = [
            ("bin", entry(Kind::Symlink(b"usr/bin".to_vec()), 0o777)),
            ("usr", entry(Kind::Directory, 0o755)),
            ("usr/bin", entry(Kind::Directory, 0o2750)),
            ("a", entry(Kind::Symlink(b"/b".to_vec()), 0o777)),
            ("b", entry(Kind::Symlink(b"a".to_vec()), 0o777)),
        ];
        let entries = entries.into_iter();
        Arc::new(entries.map(|(path, entry)| (path.into(), entry)).collect())
    }

    #[test]
    fn a_file_lies_where_the_links_of_the_base_lead_and_its_folders_keep_their_modes() {
        let mut tree = Tree::on(base());
        let file = Entry::new(0o755, Content::Bytes(Vec::new()));
        tree.place(Path::new("bin/program"), file).unwrap();
        let lines = tree.described().unwrap();
        let modes: Vec<&str> = lines
            .lines()
            .filter_map(|line| line.split(" sha").next())
            .collect();
        assert_eq!(
            modes,
            [
                "d0755 0:42 /usr",
                "d2750 0:42 /usr/bin",
                "-0755 0:0 /usr/bin/program"
            ]
        );
        for (path, is_there) in [
            ("bin/program", true),
            ("usr/bin", true),
            ("bin/x", false),
            ("a", false),
        ] {
            assert_eq!(tree.has(path), is_there, "{path}");
        }
        assert!(tree.has_directory("bin") && !tree.has_directory("bin/program"));
    }

    #[test]
    fn a_directory_of_the_base_stays_as_it_is_and_no_file_takes_its_place() {
        let mut tree = Tree::on(base());
        tree.ensure_directory(Path::new("usr/bin"), 7, 7).unwrap();
        assert_eq!(tree.get("usr/bin").unwrap().gid, 42);
        let file = Entry::new(0o644, Content::Bytes(Vec::new()));
        assert!(tree.place(Path::new("usr/bin"), file.clone()).is_err());
        assert!(tree.place(Path::new("usr/bin/x/y"), file.clone()).is_ok());
        assert!(tree.place(Path::new("usr/bin/x/y/z"), file).is_err());
    }
}
