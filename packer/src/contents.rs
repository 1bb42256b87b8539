//! What is in an image: its files, as a container would see them, without a place to put them.
//!
//! The layers are read once, from the lowest to the highest, and checked against their diff ids.
//! Of a file only size and digest are kept.
//!
//! Source: OCI image specification 1.1, `layer.md`; tar as POSIX pax and GNU write it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use tar::EntryType;

use crate::digest::{Digest, DigestWriter};
use crate::layer::decompress;
use crate::place::{Image, Source};

mod extension;

pub(crate) use extension::Extension;

/// Entries of an image.
const MOST_ENTRIES: usize = 2_000_000;

/// The bytes of all names together.
const MOST_NAMES: usize = 256 << 20;

/// The files of an image by their paths, without a slash at either end.
pub type Contents = BTreeMap<Vec<u8>, Entry>;

/// One file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The permission bits, with set-uid, set-gid and sticky.
    pub mode: u64,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// When it was changed: seconds since 1970, with a fraction if the archive has one.
    pub time: String,
    /// Extended attributes.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The layer that it comes from, the lowest being 0.
    pub layer: usize,
    /// Its place in that layer.
    pub order: usize,
}

/// The kinds of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File {
        /// In bytes.
        size: u64,
        /// Of its content.
        digest: Digest,
    },
    /// A folder.
    Directory,
    /// A symbolic link to this path.
    Symlink(Vec<u8>),
    /// Another name of the file at this path.
    HardLink(Vec<u8>),
    /// A device node or a FIFO, in words.
    Special(String),
}

/// Reads what is in `image`, whose layers `source` gives.
///
/// # Errors
/// What opening gives; `InvalidData` for a layer that is damaged or is not what the config says.
pub fn read(image: &Image, source: &dyn Source) -> io::Result<Contents> {
    let layers = &image.manifest.layers;
    let mut digests: Vec<Digest> = layers.iter().map(|layer| layer.digest).collect();
    let mut seen = std::collections::BTreeSet::new();
    digests.retain(|digest| seen.insert(*digest));
    source.expect(&digests);
    let mut reading = Reading::default();
    for (number, layer) in layers.iter().enumerate() {
        let named = |error: io::Error| {
            // It repeats what stands in a header, whatever that is.
            let text = error.to_string().replace(char::is_control, "\u{fffd}");
            io::Error::new(error.kind(), format!("the layer {}: {text}", layer.digest))
        };
        let stored = source.open_blob(&layer.digest).map_err(named)?;
        let mut hashed = Hashed {
            inner: decompress(stored).map_err(named)?,
            hash: DigestWriter::new(io::sink()),
        };
        reading.layer(number, &mut hashed).map_err(named)?;
        io::copy(&mut hashed, &mut io::sink()).map_err(named)?;
        let (_, found, _) = hashed.hash.finish();
        if image.config.rootfs.diff_ids.get(number) != Some(&found) {
            let message = format!("the config names other content than its {found}");
            return Err(named(invalid(message)));
        }
    }
    Ok(reading.contents)
}

#[derive(Default)]
struct Reading {
    contents: Contents,
    count: usize,
    names: usize,
}

impl Reading {
    /// Adds a layer to what is below it.
    fn layer(&mut self, number: usize, tar: &mut dyn Read) -> io::Result<()> {
        each(tar, &mut |path, order, entry, told| {
            self.count += 1;
            self.names += path.len();
            if self.count > MOST_ENTRIES || self.names > MOST_NAMES {
                return Err(invalid("it has too many entries".to_owned()));
            }
            if !self.whiteout(&path, number) && !path.is_empty() {
                let entry = described(entry, told, (number, order), &mut io::sink())?;
                if entry.kind != Kind::Directory {
                    self.remove_below(&path, number);
                }
                self.contents.insert(path, entry);
            }
            Ok(())
        })
    }

    /// Takes away what an entry of this name takes away from the layers below; whether it is one.
    fn whiteout(&mut self, path: &[u8], layer: usize) -> bool {
        let start = path
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |slash| slash + 1);
        let (folder, name) = path.split_at(start);
        let folder = folder.strip_suffix(b"/").unwrap_or(folder);
        if name == b".wh..wh..opq" {
            self.remove_below(folder, layer);
            return true;
        }
        let Some(hidden) = name.strip_prefix(b".wh.") else {
            return false;
        };
        let hidden = [&path[..start], hidden].concat();
        if self
            .contents
            .get(&hidden)
            .is_some_and(|entry| entry.layer < layer)
        {
            self.contents.remove(&hidden);
        }
        self.remove_below(&hidden, layer);
        true
    }

    /// Removes what lower layers have below a folder.
    fn remove_below(&mut self, folder: &[u8], layer: usize) {
        let start = match folder {
            b"" => Vec::new(),
            folder => [folder, b"/"].concat(),
        };
        let below = self.contents.range(start.clone()..);
        let below: Vec<Vec<u8>> = below
            .take_while(|(path, _)| path.starts_with(&start))
            .filter(|(_, entry)| entry.layer < layer)
            .map(|(path, _)| path.clone())
            .collect();
        for path in below {
            self.contents.remove(&path);
        }
    }
}

/// Is called for an entry of a tar with its path, its number, the entry and what stood before it.
type Visit<'a> =
    dyn FnMut(Vec<u8>, usize, &mut tar::Entry<'_, &mut dyn Read>, Extension) -> io::Result<()> + 'a;

/// Calls `visit` for every entry of a tar.
pub(crate) fn each(tar: &mut dyn Read, visit: &mut Visit<'_>) -> io::Result<()> {
    let mut archive = tar::Archive::new(tar);
    let mut extension = Extension::default();
    let mut order = 0;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        if extension.takes(&mut entry)? {
            continue;
        }
        let told = std::mem::take(&mut extension);
        let named = told.path.clone();
        let path = named.unwrap_or_else(|| entry.path_bytes().into_owned());
        visit(clean(&path)?, order, &mut entry, told)?;
        order += 1;
    }
    Ok(())
}

/// What an entry is, which is the one with this number of this layer. The content of a file is
/// written to `out`.
pub(crate) fn described(
    entry: &mut tar::Entry<'_, &mut dyn Read>,
    told: Extension,
    (layer, order): (usize, usize),
    out: &mut dyn Write,
) -> io::Result<Entry> {
    let header = entry.header().clone();
    let link = || {
        let own = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
        told.link.clone().or(own).unwrap_or_default()
    };
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(link()),
        EntryType::Link => Kind::HardLink(clean(&link())?),
        EntryType::Char => device(&header, "character device")?,
        EntryType::Block => device(&header, "block device")?,
        EntryType::Fifo => Kind::Special("FIFO".to_owned()),
        EntryType::Regular | EntryType::Continuous => {
            if told.size.is_some_and(|size| size != entry.size()) {
                return Err(invalid(
                    "two headers tell the size of a file differently".to_owned(),
                ));
            }
            let mut hashed = DigestWriter::new(out);
            io::copy(entry, &mut hashed)?;
            let (_, digest, size) = hashed.finish();
            Kind::File { size, digest }
        }
        other => Kind::Special(format!("entry of type {:?}", char::from(other.as_byte()))),
    };
    Ok(Entry {
        kind,
        mode: number(&header.as_old().mode, || header.mode().map(u64::from))? & 0o7777,
        uid: told
            .uid
            .map_or_else(|| number(&header.as_old().uid, || header.uid()), Ok)?,
        gid: told
            .gid
            .map_or_else(|| number(&header.as_old().gid, || header.gid()), Ok)?,
        time: match told.time {
            Some(time) => time,
            None => number(&header.as_old().mtime, || header.mtime())?.to_string(),
        },
        attributes: told.attributes,
        layer,
        order,
    })
}

/// A number of a header; a field without a digit is 0, as GNU tar reads it.
fn number(field: &[u8], read: impl Fn() -> io::Result<u64>) -> io::Result<u64> {
    match field.iter().all(|&byte| byte == 0 || byte == b' ') {
        true => Ok(0),
        false => read(),
    }
}

fn device(header: &tar::Header, name: &str) -> io::Result<Kind> {
    let (major, minor) = (header.device_major()?, header.device_minor()?);
    let (major, minor) = (major.unwrap_or_default(), minor.unwrap_or_default());
    Ok(Kind::Special(format!("{name} {major}:{minor}")))
}

/// A path without the parts that mean nothing, seen from the root.
fn clean(path: &[u8]) -> io::Result<Vec<u8>> {
    let parts = path.split(|&byte| byte == b'/');
    let parts: Vec<&[u8]> = parts
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    match parts.iter().any(|part| *part == b"..") {
        true => Err(invalid(format!(
            "the name \"{}\" has .. in it",
            path.escape_ascii()
        ))),
        false => Ok(parts.join(&b'/')),
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Hashes what is read through it.
struct Hashed<R> {
    inner: R,
    hash: DigestWriter<io::Sink>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        io::Write::write_all(&mut self.hash, &buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
