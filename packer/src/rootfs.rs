//! The planned tree of an image: a value that can be printed, compared and tested before any byte
//! of it is written.
//!
//! Entries are sorted by path, so a parent always comes before what it holds, and whatever writes
//! the tree down writes it in the same order everywhere. Modes and owners are said here and taken
//! from no file: a umask or a checkout's owner has no part in the image.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::contents::Contents;
use crate::digest::Digest;
use crate::package::{Capabilities, User};
use crate::program::Program;

mod below;
mod clash;
mod entries;
mod host;
mod host_file;
mod links;
mod sources;

pub use clash::Clash;
use entries::Entries;
pub use host::HostError;
pub use host_file::HostFile;
pub(crate) use host_file::changed;
pub(crate) use links::plain;
pub use sources::SourceError;

/// A planned tree: entries by their path, which is relative and has no `.` or `..` in it. Paths are
/// ordered by their bytes, so they need not be text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Entries,
    /// The files of the base image; none without one.
    below: Arc<Contents>,
}

/// One directory, file or symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// What a program may do though it does not run as root.
    pub capabilities: Option<Capabilities>,
    /// What it is.
    pub content: Content,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A file whose content is known already.
    Bytes(Vec<u8>),
    /// A file whose content is copied from a file of the host.
    File(HostFile),
    /// A symbolic link to this target.
    Symlink(PathBuf),
}

impl Entry {
    /// An entry that belongs to root.
    #[must_use]
    pub fn new(mode: u32, content: Content) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            capabilities: None,
            content,
        }
    }

    /// The size of a file in bytes; 0 for everything else.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(file) => file.size(),
            Content::Directory | Content::Symlink(_) => 0,
        }
    }
}

impl Tree {
    /// The smallest tree that a static program feels at home in: the program as `/bin/NAME`, the
    /// users `root` and `user`, and a `/tmp` that everybody can write to.
    #[must_use]
    pub fn around(program: &Program, name: &str, user: User) -> Self {
        let mut tree = Self::of_users(user);
        tree.insert(format!("bin/{name}"), program.entry());
        tree
    }

    /// What every image has: the users `root` and `user`, and a `/tmp` that everybody can write to.
    #[must_use]
    pub fn of_users(user: User) -> Self {
        let mut tree = Self::default();
        tree.insert("etc/passwd", text(passwd(user)));
        tree.insert("etc/group", text(group(user)));
        tree.insert("tmp", Entry::new(0o1777, Content::Directory));
        tree
    }

    /// Adds an entry, and every directory above it that is not there yet: as the base image has it,
    /// else 0755, owned by root, so that any user can reach what is below. What had the path is
    /// replaced.
    pub fn insert(&mut self, path: impl AsRef<Path>, entry: Entry) {
        let path = &*self.through_links_below(path.as_ref());
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        // The last of them is the root, which is no entry.
        above.pop();
        for folder in above.into_iter().rev() {
            if self.entries.get(folder).is_none() {
                let directory = self.directory_at(folder);
                self.entries.insert(folder, directory);
            }
        }
        self.entries.insert(path, entry);
    }

    /// The entry at a path, if there is one.
    #[must_use]
    pub fn get(&self, path: impl AsRef<Path>) -> Option<&Entry> {
        self.entries.get(path.as_ref())
    }

    /// The entries with their paths, parents first.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all files together.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entries().map(|(_, entry)| entry.size()).sum()
    }

    /// Writes one line an entry: kind and mode, owner, path, and the digest of what is in it. Equal
    /// texts mean equal trees, whatever host they were planned on.
    ///
    /// # Errors
    /// As [`HostFile::digest`], for every file is read that nobody has hashed before; what writing
    /// gives.
    pub fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        for (path, entry) in self.entries() {
            let Entry { mode, uid, gid, .. } = entry;
            let (kind, rest) = match &entry.content {
                Content::Directory => ('d', String::new()),
                Content::Bytes(bytes) => ('-', format!(" {}", Digest::of(bytes))),
                Content::File(file) => (
                    '-',
                    format!(" {}", file.digest().map_err(|error| file.named(error))?),
                ),
                Content::Symlink(target) => ('l', format!(" -> {}", escaped(target))),
            };
            let set = entry
                .capabilities
                .map_or(String::new(), |set| format!(" {set}"));
            let path = escaped(path);
            writeln!(out, "{kind}{mode:04o} {uid}:{gid} /{path}{rest}{set}")?;
        }
        Ok(())
    }
}

/// A path in one line, whatever its bytes are; two paths have two texts.
fn escaped(path: &Path) -> std::slice::EscapeAscii<'_> {
    path.as_os_str().as_encoded_bytes().escape_ascii()
}

fn text(content: String) -> Entry {
    Entry::new(0o644, Content::Bytes(content.into_bytes()))
}

/// Home directories are `/`, because no other one is in the tree.
fn passwd(user: User) -> String {
    let mut lines = String::from("root:x:0:0:root:/:/sbin/nologin\n");
    if user.uid != 0 {
        let User { uid, gid } = user;
        lines += &format!("nonroot:x:{uid}:{gid}:nonroot:/:/sbin/nologin\n");
    }
    lines
}

fn group(user: User) -> String {
    let mut lines = String::from("root:x:0:\n");
    if user.gid != 0 {
        lines += &format!("nonroot:x:{}:\n", user.gid);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Platform;

    /// A program of seven bytes in `folder`.
    fn program(folder: &tempfile::TempDir) -> Program {
        let path = folder.path().join("program");
        std::fs::write(&path, "program").unwrap();
        Program {
            file: HostFile::at(&path).unwrap(),
            platform: Platform::host(),
            needs: crate::program::Needs::default(),
            target: None,
        }
    }

    impl Tree {
        /// What [`Tree::describe`] writes.
        pub(crate) fn described(&self) -> io::Result<String> {
            let mut text = Vec::new();
            self.describe(&mut text)?;
            Ok(String::from_utf8(text).expect("paths are escaped"))
        }
    }

    /// The tree around a program, as a text.
    fn described(program: &Program, user: User) -> String {
        Tree::around(program, "hello", user).described().unwrap()
    }

    #[test]
    fn the_tree_around_a_program_has_what_a_static_program_needs() {
        let folder = tempfile::tempdir().unwrap();
        let user = User { uid: 5, gid: 6 };
        let expected = format!(
            "d0755 0:0 /bin\n-0755 0:0 /bin/hello {}\nd0755 0:0 /etc\n\
             -0644 0:0 /etc/group {}\n-0644 0:0 /etc/passwd {}\nd1777 0:0 /tmp\n",
            Digest::of(b"program"),
            Digest::of(b"root:x:0:\nnonroot:x:6:\n"),
            Digest::of(b"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:5:6:nonroot:/:/sbin/nologin\n"),
        );
        assert_eq!(described(&program(&folder), user), expected);
    }

    #[test]
    fn a_program_that_runs_as_root_needs_no_second_user() {
        let root = User { uid: 0, gid: 0 };
        assert_eq!(passwd(root).lines().count(), 1);
        assert_eq!(group(root).lines().count(), 1);
    }

    #[test]
    fn the_place_of_the_program_on_the_host_is_no_part_of_the_printed_tree() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let user = User::default();
        assert_eq!(
            described(&program(&here), user),
            described(&program(&there), user)
        );
    }
}
