//! Links to directories in a planned tree, such as `/lib` on most machines: whatever is put below one
//! lies where it leads.

use std::path::{Component, Path, PathBuf};

use super::{Content, Entry, Tree};

/// As many links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

impl Tree {
    /// Adds an entry where `path` leads through the links that the tree has, unless something is
    /// there.
    pub fn complete(&mut self, path: impl AsRef<Path>, entry: Entry) {
        let path = self.through_links(path.as_ref());
        if self.get(&path).is_none() {
            self.insert(path, entry);
        }
    }

    /// Makes `path` a link to a directory. What the tree has below `path` moves to where the link
    /// leads; what is there and no directory stays.
    pub fn link(&mut self, path: impl AsRef<Path>, target: impl Into<PathBuf>) {
        let path = self.through_links(path.as_ref());
        if self
            .get(&path)
            .is_some_and(|entry| entry.content != Content::Directory)
        {
            return;
        }
        let below = self.entries().map(|(below, _)| below);
        let below: Vec<PathBuf> = below
            .filter(|below| below.starts_with(&path))
            .map(Path::to_owned)
            .collect();
        let moved: Vec<(PathBuf, Entry)> = below
            .into_iter()
            .filter_map(|path| Some((path.clone(), self.entries.remove(&path)?)))
            .collect();
        let link = Content::Symlink(target.into());
        self.insert(&path, Entry::new(0o777, link));
        for (moved, entry) in moved.into_iter().filter(|(moved, _)| path != *moved) {
            self.complete(moved, entry);
        }
    }

    /// `path` with the links above its last step followed; after 40 of them they are left alone,
    /// as the kernel does.
    pub(crate) fn through_links(&self, path: &Path) -> PathBuf {
        follow(path, 1, |above| self.link_at(above))
    }

    /// The same with the last step followed too.
    pub(crate) fn through_all_links(&self, path: &Path) -> PathBuf {
        follow(path, 0, |above| self.link_at(above))
    }

    /// `path` with the links of the base image above its last step followed.
    pub(super) fn through_links_below(&self, path: &Path) -> PathBuf {
        match self.below.is_empty() {
            true => path.to_owned(),
            false => follow(path, 1, |above| match self.get(above) {
                None => self.link_at(above),
                Some(_) => None,
            }),
        }
    }
}

/// Follows the links on the way to `path`, without its last `kept` steps.
fn follow(path: &Path, kept: usize, link_at: impl Fn(&Path) -> Option<PathBuf>) -> PathBuf {
    let mut path = plain(path);
    for _ in 0..MOST_LINKS {
        let mut above: Vec<&Path> = path.ancestors().skip(kept).collect();
        above.reverse();
        let mut links = above
            .into_iter()
            .filter_map(|above| Some((above, link_at(above)?)));
        let Some((link, target)) = links.next() else {
            break;
        };
        let rest = path.strip_prefix(link).unwrap_or(&path);
        let folder = link.parent().unwrap_or(Path::new(""));
        // An absolute target takes the place of the folder.
        path = plain(&Path::new("/").join(folder).join(target).join(rest));
    }
    path
}

/// The path without a root, `.` and `..`.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for step in path.components() {
        match step {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_directory_moves_when_that_becomes_a_link() {
        let mut tree = Tree::default();
        let file = || Entry::new(0o644, Content::Bytes(Vec::new()));
        tree.insert("lib/x/a", file());
        tree.link("lib", "usr/lib");
        tree.link("lib", "usr/lib");
        tree.complete("lib/x/b", file());
        tree.insert("libx", file());
        let paths: Vec<&Path> = tree.entries().map(|(path, _)| path).collect();
        let expected = [
            "lib",
            "libx",
            "usr",
            "usr/lib",
            "usr/lib/x",
            "usr/lib/x/a",
            "usr/lib/x/b",
        ];
        assert_eq!(paths, expected.map(Path::new));
    }

    #[test]
    fn a_path_that_leads_in_a_circle_ends() {
        let mut tree = Tree::default();
        tree.link("a", "b");
        tree.link("b", "/a");
        tree.complete("a/c", Entry::new(0o755, Content::Directory));
        assert!(tree.entries().count() >= 3);
    }

    #[test]
    fn what_is_there_stays() {
        let mut tree = Tree::default();
        let file = |text: &str| Entry::new(0o644, Content::Bytes(text.into()));
        tree.insert("etc/a", file("own"));
        tree.insert("lib", file("own"));
        tree.complete("/etc/a", file("other"));
        tree.link("lib", "usr/lib");
        for path in ["etc/a", "lib"] {
            assert_eq!(tree.get(path), Some(&file("own")), "{path}");
        }
    }
}
