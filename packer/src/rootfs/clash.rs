//! Putting together what several wrote down: two things cannot have one place.

use std::path::{Path, PathBuf};

use super::{Content, Entry, Tree};

/// Something that cannot be where it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// Below something that holds nothing.
    #[error("/{} cannot be packed: /{} is no directory", .path.display(), .above.display())]
    Below {
        /// What should be there.
        path: PathBuf,
        /// What is above.
        above: PathBuf,
    },
    /// In the place of something of another kind.
    #[error("/{} cannot be both a directory and something else", .0.display())]
    Kind(PathBuf),
}

impl Tree {
    /// Adds an entry as [`Tree::insert`] does, unless it lies below something that is no directory,
    /// or would replace a directory by something else, or the other way round.
    ///
    /// # Errors
    /// [`Clash`].
    pub fn place(&mut self, path: &Path, entry: Entry) -> Result<(), Clash> {
        let path = &*self.through_links_below(path);
        let above = path.ancestors().skip(1);
        for above in above.filter(|above| !above.as_os_str().is_empty()) {
            if self.is_directory(above) == Some(false) {
                return Err(Clash::Below {
                    path: path.to_owned(),
                    above: above.to_owned(),
                });
            }
        }
        let is_directory = entry.content == Content::Directory;
        if self
            .is_directory(path)
            .is_some_and(|there| there != is_directory)
        {
            return Err(Clash::Kind(path.to_owned()));
        }
        self.insert(path, entry);
        Ok(())
    }

    /// Makes sure that there is a directory, owned so if it is new.
    ///
    /// # Errors
    /// [`Clash`].
    pub fn ensure_directory(&mut self, path: &Path, uid: u32, gid: u32) -> Result<(), Clash> {
        let path = &*match self.has_directory(path) {
            true => self.through_all_links(path),
            false => path.to_owned(),
        };
        let entry = match (self.get(path), self.is_directory(path)) {
            (Some(there), Some(true)) => there.clone(),
            (None, Some(true)) => self.directory_at(path),
            _ => Entry {
                uid,
                gid,
                ..Entry::new(0o755, Content::Directory)
            },
        };
        match path.as_os_str().is_empty() {
            true => Ok(()),
            false => self.place(path, entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_things_cannot_have_one_place() {
        let file = || Entry::new(0o644, Content::Bytes(Vec::new()));
        let mut tree = Tree::default();
        tree.place(Path::new("etc/x"), file()).unwrap();
        tree.place(Path::new("etc/x"), file()).unwrap();
        let below = tree.place(Path::new("etc/x/y"), file()).unwrap_err();
        assert!(
            below.to_string().contains("/etc/x is no directory"),
            "{below}"
        );
        let kind = tree.place(Path::new("etc"), file()).unwrap_err();
        assert_eq!(kind, Clash::Kind("etc".into()));
        tree.ensure_directory(Path::new("etc"), 7, 7).unwrap();
        assert_eq!(tree.get("etc").unwrap().uid, 0, "it was there before");
        tree.ensure_directory(Path::new("srv"), 7, 7).unwrap();
        assert_eq!(tree.get("srv").unwrap().uid, 7);
    }
}
