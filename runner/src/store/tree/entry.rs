//! Reading a layer's tar, entry by entry, into plain values.
//!
//! The `tar` crate knows the shape of a header block; how long an entry is and where the next one
//! begins is decided here and nowhere else, because two readers that disagree about a size are how
//! a hidden entry gets past a check (CVE-2025-62518). The rules are those of Go's `archive/tar`,
//! which podman, docker and containerd read with: a PAX `size` wins over the header's, and an entry
//! that is no file has no content, whatever its size says.
//!
//! Source: POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
//! "Basic Tar Format".

use std::io::{self, BufRead, Read};

use super::LayerError;
use super::pax::{self, Extensions};

/// The most that a long name or an extended header may take. Real ones have a few hundred bytes.
const EXTENSION_LIMIT: u64 = 1 << 20;
const BLOCK: usize = 512;
/// The end of the year 9999; nothing that reads times goes further.
const LATEST: i64 = 253_402_300_799;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    Device,
}

/// One entry: everything that its headers say. Its content follows in the reader.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The path below the root, without `.`, empty parts and slashes at the ends; empty for the
    /// root itself.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Permission bits with set-uid, set-gid and sticky.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Seconds and nanoseconds since 1970, never negative.
    pub(super) modified: (i64, u32),
    /// The target of a symbolic link as it is written, or the path of a hard link's other name.
    pub(super) link: Vec<u8>,
    /// The extended attributes, by name.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The entries of a tar, one after the other.
#[derive(Debug)]
pub(super) struct Entries<R> {
    reader: R,
    /// The bytes of the present entry's content that were not read yet.
    content: u64,
    /// The zero bytes that fill the content's last block.
    padding: u64,
}

impl<R: BufRead> Entries<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            content: 0,
            padding: 0,
        }
    }

    /// The next entry, or `None` at the end of the archive. What the last entry's content has left
    /// is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut extensions = Extensions::default();
        let mut long_name = None;
        let mut long_link = None;
        loop {
            self.skip_content()?;
            let Some(header) = self.next_header()? else {
                return Ok(None);
            };
            let size = number(&header.as_old().size).ok_or(LayerError::NotTar("a size"))?;
            match header.as_old().linkflag[0] {
                b'x' => extensions = pax::parse(&self.extension(size)?)?,
                b'L' => long_name = Some(until_nul(&self.extension(size)?).to_vec()),
                b'K' => long_link = Some(until_nul(&self.extension(size)?).to_vec()),
                // Global headers carry comments (`git archive`); podman and docker ignore them.
                b'g' => self.set_content(size)?,
                _ => return self.entry(&header, size, extensions, long_name, long_link),
            }
        }
    }

    /// The next piece of the present entry's content; empty at its end.
    pub(super) fn content(&mut self) -> Result<&[u8], LayerError> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let available = self.reader.fill_buf().map_err(LayerError::Read)?;
        if available.is_empty() {
            return Err(LayerError::Truncated);
        }
        let length = usize::try_from(self.content)
            .map_or(available.len(), |content| content.min(available.len()));
        Ok(&available[..length])
    }

    /// Marks `length` bytes of the piece that [`Self::content`] gave as read.
    pub(super) fn consume(&mut self, length: usize) {
        self.reader.consume(length);
        self.content -= length as u64;
    }

    /// Reads what follows the end of the archive.
    pub(super) fn drain(mut self) -> Result<(), LayerError> {
        io::copy(&mut self.reader, &mut io::sink()).map_err(LayerError::Read)?;
        Ok(())
    }

    fn entry(
        &mut self,
        header: &tar::Header,
        size: u64,
        extensions: Extensions,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Option<Entry>, LayerError> {
        let old = header.as_old();
        let raw_path = long_name
            .or(extensions.path)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let refuse = |reason| LayerError::entry(&raw_path, reason);
        let kind = match old.linkflag[0] {
            0 if raw_path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'S' => {
                return Err(refuse(
                    "is a sparse file of GNU tar, which no layer may have",
                ));
            }
            _ => return Err(refuse("is of a kind that no layer may have")),
        };
        if extensions.sparse {
            return Err(refuse(
                "is a sparse file of GNU tar, which no layer may have",
            ));
        }
        let size = extensions.size.unwrap_or(size);
        self.set_content(if kind == Kind::File { size } else { 0 })?;
        let field =
            |bytes: &[u8]| number(bytes).ok_or_else(|| refuse("has a header that is no number"));
        let path = normalize(&raw_path).map_err(refuse)?;
        let link = long_link
            .or(extensions.linkpath)
            .or_else(|| header.link_name_bytes().map(Into::into))
            .unwrap_or_default();
        let link = match kind {
            Kind::HardLink => normalize(&link)
                .map_err(|_| refuse("is a hard link to something outside of the tree"))?,
            Kind::Symlink if link.is_empty() || link.contains(&0) || link.len() > 4095 => {
                return Err(refuse("is a symbolic link to an illegal path"));
            }
            _ => link,
        };
        let modified = extensions
            .modified
            .unwrap_or((signed(&old.mtime).unwrap_or(0), 0));
        Ok(Some(Entry {
            path,
            kind,
            // Truncation is meant: only the low twelve bits are permissions.
            mode: u32::try_from(field(&old.mode)? & 0o7777).unwrap_or(0),
            uid: extensions.uid.map_or_else(|| field(&old.uid), Ok)?,
            gid: extensions.gid.map_or_else(|| field(&old.gid), Ok)?,
            modified: clamp(modified),
            link,
            xattrs: extensions.xattrs,
        }))
    }

    /// The next header block with a right checksum; `None` at two zero blocks or the end.
    fn next_header(&mut self) -> Result<Option<tar::Header>, LayerError> {
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if block.iter().all(|&byte| byte == 0) {
            return match self.block()? {
                Some(second) if second.iter().any(|&byte| byte != 0) => {
                    Err(LayerError::NotTar("a block after the end"))
                }
                _ => Ok(None),
            };
        }
        let header = tar::Header::from_byte_slice(&block);
        // The field of the sum itself counts as blanks.
        let sum = sum(&block) - sum(&block[148..156]) + 8 * u64::from(b' ');
        if number(&header.as_old().cksum) == Some(sum) {
            Ok(Some(header.clone()))
        } else {
            Err(LayerError::NotTar("a header's checksum"))
        }
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(LayerError::Truncated),
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::Read(error)),
            }
        }
        Ok(Some(block))
    }

    /// The whole content of an extension header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, LayerError> {
        if size > EXTENSION_LIMIT {
            return Err(LayerError::NotTar("an extended header of more than 1 MiB"));
        }
        self.set_content(size)?;
        let mut bytes = Vec::new();
        loop {
            let piece = self.content()?;
            let length = piece.len();
            if length == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(piece);
            self.consume(length);
        }
    }

    fn set_content(&mut self, size: u64) -> Result<(), LayerError> {
        // Go refuses what no signed 64-bit number holds; so does every file system.
        if size > i64::MAX as u64 - BLOCK as u64 {
            return Err(LayerError::NotTar("an impossible size"));
        }
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    fn skip_content(&mut self) -> Result<(), LayerError> {
        let left = self.content + self.padding;
        let skipped = io::copy(&mut (&mut self.reader).take(left), &mut io::sink())
            .map_err(LayerError::Read)?;
        // Some writers leave out the last block's padding, and Go reads them.
        if skipped < self.content {
            return Err(LayerError::Truncated);
        }
        self.content = 0;
        self.padding = 0;
        Ok(())
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().copied().map(u64::from).sum()
}

/// Cleans a path without touching the disk: what comes out has no part that could lead upwards.
pub(super) fn normalize(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    if path.contains(&0) {
        return Err("has a NUL in its name");
    }
    let mut clean = Vec::with_capacity(path.len());
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("leads out of the tree with \"..\""),
            _ if part.len() > 255 => return Err("has a name of more than 255 bytes"),
            _ => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(part);
            }
        }
    }
    if clean.len() > 4095 {
        return Err("has a path of more than 4,095 bytes, which no program could open");
    }
    Ok(clean)
}

/// A number of a header: octal digits, or base 256 where the first bit is set; blank is zero.
fn number(field: &[u8]) -> Option<u64> {
    signed(field).and_then(|value| u64::try_from(value).ok())
}

fn signed(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        return base_256(field);
    }
    let digits = until_nul(field).trim_ascii();
    if digits.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// Two's complement, the most significant byte first; the first bit is only the mark.
fn base_256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (at, &byte) in field.iter().enumerate() {
        let byte = match (at, negative) {
            (0, true) => byte | 0x80,
            (0, false) => byte & 0x7f,
            _ => byte,
        };
        value = value << 8 | i128::from(byte);
    }
    i64::try_from(value).ok()
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

fn clamp((seconds, nanoseconds): (i64, u32)) -> (i64, u32) {
    if seconds < 0 {
        (0, 0)
    } else if seconds > LATEST {
        (LATEST, 0)
    } else {
        (seconds, nanoseconds)
    }
}
