//! Where `COPY` takes files from: the context, or what is in a stage or an image. A value with every
//! path in it, so that links lead nowhere else and patterns mean the same in all of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ignore::Ignore;
use crate::base::Base;
use crate::contents;
use crate::digest::Digest;
use crate::glob::Pattern;
use crate::rootfs::{Content, HostFile, Tree, plain};

/// As many links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Files by their path, which is relative.
#[derive(Debug, Default)]
pub(super) struct Forest {
    nodes: BTreeMap<PathBuf, Node>,
    base: Option<Arc<Base>>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    Symlink(PathBuf),
    /// A file whose content is known.
    Known(Content),
    /// A file of the context.
    OnDisk(PathBuf),
    /// A file of a base image: where it stands in its layers.
    InBase {
        layer: usize,
        order: usize,
        size: u64,
        digest: Digest,
    },
    /// A device or a FIFO of a base image.
    Special,
}

impl Forest {
    /// The files of a folder that are not left out. Sockets, FIFOs and devices are no part of it.
    pub(super) fn of_context(root: &Path, ignore: &Ignore) -> io::Result<Self> {
        let mut forest = Self::default();
        forest.nodes.insert(PathBuf::new(), Node::directory(0o755));
        forest.walk(root, Path::new(""), ignore)?;
        Ok(forest)
    }

    fn walk(&mut self, root: &Path, below: &Path, ignore: &Ignore) -> io::Result<()> {
        let folder = root.join(below);
        let named = |error: io::Error, path: &Path| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        for entry in fs::read_dir(&folder).map_err(|error| named(error, &folder))? {
            let entry = entry.map_err(|error| named(error, &folder))?;
            let path = below.join(entry.file_name());
            let on_disk = root.join(&path);
            let left_out = ignore.leaves_out(&path);
            let metadata = entry.metadata().map_err(|error| named(error, &on_disk))?;
            let kind = metadata.file_type();
            if left_out && !(kind.is_dir() && ignore.has_exceptions()) {
                continue;
            }
            let node = |kind| Node {
                mode: metadata.permissions().mode() & 0o7777,
                uid: 0,
                gid: 0,
                kind,
            };
            if kind.is_dir() {
                let before = self.nodes.len();
                self.walk(root, &path, ignore)?;
                // One that is left out is there for what was taken back in it.
                if !left_out || self.nodes.len() > before {
                    self.nodes.insert(path, node(Kind::Directory));
                }
            } else if kind.is_symlink() {
                let target = fs::read_link(&on_disk).map_err(|error| named(error, &on_disk))?;
                self.nodes.insert(
                    path,
                    Node {
                        mode: 0o777,
                        ..node(Kind::Symlink(target))
                    },
                );
            } else if kind.is_file() {
                self.nodes.insert(path, node(Kind::OnDisk(on_disk)));
            }
        }
        Ok(())
    }

    /// The files of a tree and of the base image below it.
    pub(super) fn of_image(tree: &Tree, base: Option<&Arc<Base>>) -> Self {
        let mut forest = Self::default();
        forest.nodes.insert(PathBuf::new(), Node::directory(0o755));
        if let Some(base) = base {
            let contents = base.contents();
            for (path, entry) in contents.iter() {
                let path = PathBuf::from(OsString::from_vec(path.clone()));
                forest.nodes.insert(path, Node::below(entry, contents));
            }
            forest.base = Some(Arc::clone(base));
        }
        for (path, entry) in tree.entries() {
            let kind = match &entry.content {
                Content::Directory => Kind::Directory,
                Content::Symlink(target) => Kind::Symlink(target.clone()),
                content => Kind::Known(content.clone()),
            };
            let node = Node {
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                kind,
            };
            forest.nodes.insert(path.to_owned(), node);
        }
        forest
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Where a path leads when every link on the way is followed inside; nothing if nowhere.
    pub(super) fn real(&self, path: &Path) -> Option<PathBuf> {
        let mut path = plain(path);
        for _ in 0..=MOST_LINKS {
            let mut above: Vec<&Path> = path.ancestors().collect();
            above.reverse();
            let link = above
                .into_iter()
                .find_map(|above| match &self.get(above)?.kind {
                    Kind::Symlink(target) => Some((above, target)),
                    _ => None,
                });
            let Some((link, target)) = link else {
                return self.get(&path).is_some().then_some(path);
            };
            let rest = path.strip_prefix(link).unwrap_or(Path::new(""));
            let folder = link.parent().unwrap_or(Path::new(""));
            path = plain(&Path::new("/").join(folder).join(target).join(rest));
        }
        None
    }

    /// The paths that fit a pattern, in their order; one without `*`, `?` and `[` fits itself.
    pub(super) fn select(&self, text: &str) -> Result<Vec<PathBuf>, String> {
        if !text.contains(['*', '?', '[']) {
            return Ok(self
                .real(Path::new(text))
                .map(|_| plain(Path::new(text)))
                .into_iter()
                .collect());
        }
        let mut found = vec![PathBuf::new()];
        for step in plain(Path::new(text)).iter() {
            let pattern =
                Pattern::new(&step.to_string_lossy()).map_err(|error| error.to_string())?;
            let mut deeper = Vec::new();
            for folder in &found {
                let Some(real) = self.real(folder) else {
                    continue;
                };
                let fitting = self
                    .children(&real)
                    .filter(|name| pattern.matches(&name.to_string_lossy()));
                deeper.extend(fitting.map(|name| folder.join(name)));
            }
            found = deeper;
        }
        Ok(found)
    }

    fn children(&self, folder: &Path) -> impl Iterator<Item = OsString> {
        let below = self.below(folder);
        let depth = folder.iter().count();
        below
            .filter(move |(path, _)| path.iter().count() == depth + 1)
            .filter_map(|(path, _)| path.file_name().map(ToOwned::to_owned))
    }

    /// Everything in a folder, parents first.
    pub(super) fn below<'a>(&'a self, folder: &Path) -> impl Iterator<Item = (&'a Path, &'a Node)> {
        let folder = folder.to_owned();
        let start = folder.clone();
        self.nodes
            .range(folder.clone()..)
            .take_while(move |(path, _)| path.starts_with(&start))
            .filter(move |(path, _)| **path != folder)
            .map(|(path, node)| (path.as_path(), node))
    }

    /// Puts the content of these nodes where it can be read again: what is in a base image is
    /// written into `folder`.
    pub(super) fn fetch<'a>(
        &self,
        nodes: impl Iterator<Item = &'a Node>,
        folder: &Path,
    ) -> io::Result<()> {
        let mut wanted: BTreeMap<usize, BTreeMap<usize, Digest>> = BTreeMap::new();
        for node in nodes {
            if let Kind::InBase {
                layer,
                order,
                digest,
                ..
            } = node.kind
                && !folder.join(digest.hex()).exists()
            {
                wanted.entry(layer).or_default().insert(order, digest);
            }
        }
        match &self.base {
            Some(base) if !wanted.is_empty() => base.extract(&wanted, folder),
            _ => Ok(()),
        }
    }
}

impl Node {
    fn directory(mode: u32) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            kind: Kind::Directory,
        }
    }

    fn below(entry: &contents::Entry, contents: &contents::Contents) -> Self {
        let in_base = |entry: &contents::Entry| match &entry.kind {
            contents::Kind::File { size, digest } => Some(Kind::InBase {
                layer: entry.layer,
                order: entry.order,
                size: *size,
                digest: *digest,
            }),
            _ => None,
        };
        let kind = match &entry.kind {
            contents::Kind::Directory => Kind::Directory,
            contents::Kind::Symlink(target) => {
                Kind::Symlink(PathBuf::from(OsString::from_vec(target.clone())))
            }
            contents::Kind::HardLink(target) => {
                let file = contents.get(target).and_then(in_base);
                file.unwrap_or(Kind::Special)
            }
            contents::Kind::File { .. } => in_base(entry).unwrap_or(Kind::Special),
            contents::Kind::Special(_) => Kind::Special,
        };
        Self {
            mode: u32::try_from(entry.mode & 0o7777).unwrap_or(0o644),
            uid: u32::try_from(entry.uid).unwrap_or_default(),
            gid: u32::try_from(entry.gid).unwrap_or_default(),
            kind,
        }
    }

    /// The content of a tree's entry; what is in a base image was put into `folder` before.
    pub(super) fn content(&self, folder: &Path) -> io::Result<Content> {
        Ok(match &self.kind {
            Kind::Directory => Content::Directory,
            Kind::Symlink(target) => Content::Symlink(target.clone()),
            Kind::Known(content) => content.clone(),
            Kind::OnDisk(path) => Content::File(HostFile::at(path)?),
            Kind::InBase { digest, .. } => {
                Content::File(HostFile::known(&folder.join(digest.hex()), *digest)?)
            }
            Kind::Special => return Err(io::Error::other("it is a device or a FIFO")),
        })
    }
}
