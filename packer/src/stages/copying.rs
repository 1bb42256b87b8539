//! `COPY`, and `ADD` of what is here.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::forest::{Forest, Kind, Node};
use super::state::State;
use super::{Execution, unpack};
use crate::containerfile::{Copy, CopySource, Heredoc, expand_raw};
use crate::rootfs::{Clash, Content, Entry, Tree, plain};

/// How what is copied is owned and protected, where that is said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rights {
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
}

/// Where it goes.
struct Destination {
    path: PathBuf,
    is_folder: bool,
}

impl Execution<'_> {
    pub(super) fn copy(
        &mut self,
        state: &mut State,
        copy: &Copy,
        unpacks: bool,
        number: usize,
    ) -> Result<(), String> {
        let escape = self.build.file.escape;
        let rights = self.rights(state, copy)?;
        let text = state.expand(&copy.destination, escape)?;
        let path = state.absolute(&text);
        let is_folder = text.ends_with('/') || text == "." || text.ends_with("/.");
        if copy.sources.len() > 1 && !is_folder {
            return Err(format!(
                "several sources need a folder to be copied to: write \"{}/\"",
                text.escape_debug()
            ));
        }
        let to = Destination {
            is_folder: is_folder || state.tree.has_directory(&path),
            path,
        };
        let image;
        let from = match &copy.from {
            None => &self.build.context,
            Some(name) => {
                image = self.forest(name, number)?;
                &image
            }
        };
        let files = self.build.files.path();
        for source in &copy.sources {
            match source {
                CopySource::Here(document) => here(state, document, &to, rights)?,
                CopySource::Path(text) => {
                    let text = state.expand(text, escape)?;
                    let found = from.select(&text)?;
                    if found.is_empty() {
                        return Err(match copy.from {
                            None => format!(
                                "\"{}\" is not in the context, or an ignore file leaves it out",
                                text.escape_debug()
                            ),
                            Some(_) => format!("\"{}\" is not there", text.escape_debug()),
                        });
                    }
                    for path in found {
                        let copying = Copying {
                            from,
                            files,
                            to: &to,
                            rights,
                            unpacks,
                        };
                        copying.copy(&mut state.tree, &path)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The files of a stage or an image.
    fn forest(&mut self, name: &str, number: usize) -> Result<Forest, String> {
        if let Some(earlier) = self.build.earlier(name, number) {
            let state = &self.done[&earlier];
            return Ok(Forest::of_image(&state.tree, state.base.as_ref()));
        }
        let platform = self.platform.clone();
        let base = self.image(name, &platform)?;
        Ok(Forest::of_image(&Tree::default(), Some(&base)))
    }

    fn rights(&self, state: &State, copy: &Copy) -> Result<Rights, String> {
        let escape = self.build.file.escape;
        let expand = |text: &Option<String>| {
            text.as_ref()
                .map(|text| state.expand(text, escape))
                .transpose()
        };
        let mode = expand(&copy.mode)?.map(|text| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let mode = u32::from_str_radix(&text, 8)
                .ok()
                .filter(|mode| digits && *mode <= 0o7777);
            mode.ok_or_else(|| format!("\"{}\" is no mode: 0644 is one", text.escape_debug()))
        });
        let owner = expand(&copy.owner)?.map(|text| self.owner(state, &text));
        Ok(Rights {
            owner: owner.transpose()?,
            mode: mode.transpose()?,
        })
    }

    /// `USER[:GROUP]`, names or numbers; names are those of the image.
    fn owner(&self, state: &State, text: &str) -> Result<(u32, u32), String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let forest = Forest::of_image(&state.tree, state.base.as_ref());
        let find = |file: &str, name: &str| -> Result<Vec<String>, String> {
            let lines = self.text(&forest, file)?;
            let mut lines = lines
                .lines()
                .map(|line| line.split(':').map(ToOwned::to_owned).collect());
            let is_it = |fields: &Vec<String>| fields.first().is_some_and(|first| first == name);
            let unknown = || format!("\"{}\" is not in /{file} of the image", name.escape_debug());
            lines.find(is_it).ok_or_else(unknown)
        };
        let number = |fields: &[String], place: usize| {
            let number = fields.get(place).and_then(|field| field.parse().ok());
            number.ok_or_else(|| format!("the line of {text} in the image has no number"))
        };
        let (uid, own_group) = match user.parse() {
            Ok(uid) => (uid, uid),
            Err(_) => {
                let fields = find("etc/passwd", user)?;
                (number(&fields, 2)?, number(&fields, 3)?)
            }
        };
        let gid = match group.map(|group| (group, group.parse())) {
            None => own_group,
            Some((_, Ok(gid))) => gid,
            Some((group, Err(_))) => number(&find("etc/group", group)?, 2)?,
        };
        Ok((uid, gid))
    }

    /// The content of a small file of an image; nothing if it is not there.
    fn text(&self, forest: &Forest, path: &str) -> Result<String, String> {
        let real = forest.real(Path::new(path));
        let Some(node) = real.and_then(|path| forest.get(&path)) else {
            return Ok(String::new());
        };
        let folder = self.build.files.path();
        let read = || {
            forest.fetch([node].into_iter(), folder)?;
            match node.content(folder)? {
                Content::Bytes(bytes) => Ok(bytes),
                Content::File(file) => std::fs::read(file.path()),
                _ => Ok(Vec::new()),
            }
        };
        let bytes = read().map_err(|error| format!("/{path}: {error}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// One source on its way.
struct Copying<'a> {
    from: &'a Forest,
    /// Where files are put that are taken out of images and archives.
    files: &'a Path,
    to: &'a Destination,
    rights: Rights,
    unpacks: bool,
}

impl Copying<'_> {
    fn copy(&self, tree: &mut Tree, path: &Path) -> Result<(), String> {
        let real = self.from.real(path);
        let real = real.ok_or_else(|| format!("\"{}\" leads nowhere", path.display()))?;
        let nowhere = || format!("\"{}\" is not there", path.display());
        let node = self.from.get(&real).ok_or_else(nowhere)?;
        if node.kind == Kind::Directory {
            return self.folder(tree, &real);
        }
        self.fetch([node].into_iter())?;
        if self.unpacks
            && let Kind::OnDisk(archive) = &node.kind
            && let Some(archive) = unpack::open(archive)?
        {
            return self.unpack(tree, archive, path);
        }
        let to = match self.to.is_folder {
            true => self.to.path.join(path.file_name().unwrap_or_default()),
            false => self.to.path.clone(),
        };
        self.place(tree, &to, node, path)
    }

    fn unpack(&self, tree: &mut Tree, archive: File, path: &Path) -> Result<(), String> {
        let named = |error: &dyn std::fmt::Display| format!("\"{}\": {error}", path.display());
        let entries = unpack::entries(archive, self.files).map_err(|error| named(&error))?;
        self.make_folder(tree)?;
        for (inside, entry) in entries {
            let to = self.to.path.join(inside);
            // Its owners and modes are the archive's, whatever --chown and --chmod say.
            put(tree, &to, entry, Rights::default()).map_err(|error| named(&error))?;
        }
        Ok(())
    }

    /// What is in a folder, and not the folder itself.
    fn folder(&self, tree: &mut Tree, folder: &Path) -> Result<(), String> {
        self.fetch(self.from.below(folder).map(|(_, node)| node))?;
        self.make_folder(tree)?;
        for (path, node) in self.from.below(folder) {
            let inside = path.strip_prefix(folder).unwrap_or(path);
            self.place(tree, &self.to.path.join(inside), node, path)?;
        }
        Ok(())
    }

    fn make_folder(&self, tree: &mut Tree) -> Result<(), String> {
        let folder = Entry::new(0o755, Content::Directory);
        let rights = Rights {
            mode: None,
            ..self.rights
        };
        let is_root = self.to.path.as_os_str().is_empty();
        let made = match is_root {
            true => Ok(()),
            false => put(tree, &self.to.path, folder, rights),
        };
        made.map_err(|error| error.to_string())
    }

    fn fetch<'a>(&self, nodes: impl Iterator<Item = &'a Node>) -> Result<(), String> {
        let fetched = self.from.fetch(nodes, self.files);
        fetched.map_err(|error| error.to_string())
    }

    fn place(&self, tree: &mut Tree, to: &Path, node: &Node, source: &Path) -> Result<(), String> {
        let named = |error: &dyn std::fmt::Display| format!("\"{}\": {error}", source.display());
        let content = node.content(self.files).map_err(|error| named(&error))?;
        // Who owned a file in another image does so here; the context's files are root's.
        let entry = Entry {
            uid: node.uid,
            gid: node.gid,
            ..Entry::new(node.mode, content)
        };
        put(tree, to, entry, self.rights).map_err(|error| named(&error))
    }
}

impl Rights {
    fn apply(self, mut entry: Entry) -> Entry {
        if let Some((uid, gid)) = self.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if let Some(mode) = self.mode
            && !matches!(entry.content, Content::Symlink(_))
        {
            entry.mode = mode;
        }
        entry
    }
}

/// Puts an entry where the links of the tree lead. A folder that is there stays as it is; one that is
/// missing on the way gets the owner that was said.
fn put(tree: &mut Tree, to: &Path, entry: Entry, rights: Rights) -> Result<(), Clash> {
    let to = tree.through_links(to);
    let (uid, gid) = rights.owner.unwrap_or_default();
    let mut above: Vec<&Path> = to.ancestors().skip(1).collect();
    above.reverse();
    for folder in above {
        tree.ensure_directory(folder, uid, gid)?;
    }
    match entry.content == Content::Directory && tree.has_directory(&to) {
        true => Ok(()),
        false => tree.place(&to, rights.apply(entry)),
    }
}

fn here(
    state: &mut State,
    document: &Heredoc,
    to: &Destination,
    rights: Rights,
) -> Result<(), String> {
    let text = match document.expands {
        true => expand_raw(&document.content, &|name| state.variable(name))?,
        false => document.content.clone(),
    };
    let path = match to.is_folder {
        true => to.path.join(&document.name),
        false => plain(&to.path),
    };
    let entry = Entry::new(0o644, Content::Bytes(text.into_bytes()));
    put(&mut state.tree, &path, entry, rights).map_err(|error| error.to_string())
}
