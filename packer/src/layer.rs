//! From a planned tree to a layer: a deterministic tar, compressed, with its diff id from the same
//! pass.
//!
//! The headers are POSIX ustar without names of users and with one time for every entry; a PAX
//! header stands only where ustar has no room. So the same tree always gives the same tar, and the
//! same tar the same layer: see `blocks` for why threads do not change it.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{EntryType, Header};

use crate::digest::{Digest, DigestWriter};
use crate::epoch::Epoch;
use crate::progress::Progress;
use crate::rootfs::{self, Content, Entry, HostFile, Tree};
use crate::ustar::{EMPTY, LARGEST_ID, LARGEST_SIZE, padding};

mod blocks;
mod compression;
pub mod gzip;
mod stored;
mod workers;
mod zstd;

pub use compression::{Compression, InvalidCompression};
pub use stored::{Encoding, decompress};
use zstd::Zstd;

/// How much of a file is copied between two reports of progress.
const CHUNK: usize = 128 << 10;

/// Writes `tree` into `out` as a compressed layer and returns its diff id.
///
/// Every entry has the time `epoch`, or the beginning of 1970 when there is none.
///
/// # Errors
/// What reading a file of the tree or writing gives; `InvalidData` when a file is not any more what
/// it was when the tree was planned.
pub fn write(
    tree: &Tree,
    compression: Compression,
    epoch: Option<Epoch>,
    out: &mut dyn Write,
    progress: &dyn Progress,
) -> io::Result<Digest> {
    compress(compression, out, |out| {
        write_tar(tree, epoch, out, progress)
    })
}

/// Compresses into `out` what `write` writes.
///
/// # Errors
/// What `write` gives, and what writing does.
pub fn compress<T>(
    compression: Compression,
    out: &mut dyn Write,
    write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
) -> io::Result<T> {
    match compression {
        Compression::None => write(out),
        Compression::Gzip(level) => {
            let mut gzip = gzip::writer(out, level);
            let written = write(&mut gzip)?;
            gzip.finish()?;
            Ok(written)
        }
        Compression::Zstd(level) => {
            let mut frames = blocks::Writer::new(out, Zstd { level });
            let written = write(&mut frames)?;
            frames.finish()?;
            Ok(written)
        }
    }
}

fn write_tar(
    tree: &Tree,
    epoch: Option<Epoch>,
    out: &mut dyn Write,
    progress: &dyn Progress,
) -> io::Result<Digest> {
    let mut tar = DigestWriter::new(out);
    let (mut done, total) = (0, tree.size());
    let mtime = epoch.map_or(0, Epoch::seconds);
    let mut buffer = vec![0; CHUNK];
    for (path, entry) in tree.entries() {
        write_header(&mut tar, path, entry, mtime)?;
        match &entry.content {
            Content::Bytes(bytes) => {
                tar.write_all(bytes)?;
                done += entry.size();
            }
            Content::File(file) => copy_planned(file, &mut buffer, &mut tar, |count| {
                done += count;
                progress.packed(done, total);
            })?,
            Content::Directory | Content::Symlink(_) => {}
        }
        tar.write_all(padding(entry.size()))?;
    }
    tar.write_all(&EMPTY)?;
    tar.write_all(&EMPTY)?;
    let (_, diff_id, _) = tar.finish();
    Ok(diff_id)
}

/// Copies a file, which has to be and to stay what it was when it was planned. Only its own errors
/// name it, so that those of what it is copied to are not taken for them.
fn copy_planned(
    planned: &HostFile,
    buffer: &mut [u8],
    out: &mut dyn Write,
    mut copied: impl FnMut(u64),
) -> io::Result<()> {
    let named = |error| planned.named(error);
    let mut file = planned.open().map_err(named)?;
    // Who knew the digest may have told it to others, so this is what has to be in the image. Else the
    // file's stamp says enough.
    let known = planned.digest_if_known();
    let mut found = known.map(|_| DigestWriter::new(io::sink()));
    let mut left = planned.size();
    while left > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = file.read(&mut buffer[..most]).map_err(named)?;
        if count == 0 {
            return Err(named(rootfs::changed()));
        }
        let piece = &buffer[..count];
        if let Some(found) = &mut found {
            found.write_all(piece)?;
        }
        out.write_all(piece)?;
        left -= count as u64;
        copied(count as u64);
    }
    // Files of proc(5) say that they are empty. Every other one that grew has another stamp.
    if planned.size() == 0 && file.read(buffer).map_err(named)? > 0 {
        let made_up = "the kernel makes it up while it is read; copy it into a file first";
        return Err(named(io::Error::new(io::ErrorKind::InvalidData, made_up)));
    }
    planned.expect_unchanged(&file).map_err(named)?;
    match known == found.map(|found| found.finish().1) {
        true => Ok(()),
        false => Err(named(rootfs::changed())),
    }
}

fn write_header(out: &mut dyn Write, path: &Path, entry: &Entry, mtime: u64) -> io::Result<()> {
    let mut path = path.as_os_str().as_encoded_bytes().to_vec();
    let (kind, target) = match &entry.content {
        Content::Directory => {
            path.push(b'/');
            (EntryType::Directory, Path::new(""))
        }
        Content::Symlink(target) => (EntryType::Symlink, target.as_path()),
        Content::Bytes(_) | Content::File(_) => (EntryType::Regular, Path::new("")),
    };
    let target = target.as_os_str().as_encoded_bytes();
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(entry.mode);
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    header.set_mtime(mtime);
    let mut extensions: Vec<(&str, Vec<u8>)> = Vec::new();
    if header.set_path(OsStr::from_bytes(&path)).is_err() {
        extensions.push(("path", path));
        header.set_path("long")?;
    }
    if !target.is_empty() && header.set_link_name_literal(target).is_err() {
        extensions.push(("linkpath", target.to_owned()));
        header.set_link_name_literal("long")?;
    }
    if entry.size() > LARGEST_SIZE {
        extensions.push(("size", entry.size().to_string().into_bytes()));
    } else {
        header.set_size(entry.size());
    }
    // The spelling that every tar and every engine reads (star(1), "xattr").
    if let Some(set) = entry.capabilities {
        let key = "SCHILY.xattr.security.capability";
        extensions.push((key, set.attribute().to_vec()));
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if u64::from(id) > LARGEST_ID {
            extensions.push((key, id.to_string().into_bytes()));
        }
    }
    let is_text = |(key, value): &(&str, Vec<u8>)| {
        !["path", "linkpath"].contains(key) || std::str::from_utf8(value).is_ok()
    };
    if !extensions.iter().all(is_text) {
        // Names in such a header are text, unless it says that they are bytes (pax(1), "hdrcharset").
        extensions.insert(0, ("hdrcharset", b"BINARY".to_vec()));
    }
    if !extensions.is_empty() {
        write_extensions(out, &extensions, mtime)?;
    }
    header.set_cksum();
    out.write_all(header.as_bytes())
}

/// A PAX header for the entry that follows.
fn write_extensions(
    out: &mut dyn Write,
    extensions: &[(&str, Vec<u8>)],
    mtime: u64,
) -> io::Result<()> {
    let records: Vec<u8> = extensions
        .iter()
        .flat_map(|(key, value)| record(key, value))
        .collect();
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_path("pax")?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    header.set_size(records.len() as u64);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(&records)?;
    out.write_all(padding(records.len() as u64))
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits too.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + " =\n".len();
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        let file = |bytes: &[u8]| Entry::new(0o644, Content::Bytes(bytes.to_vec()));
        tree.insert("bin/program", file(&[7; 3000]));
        tree.insert(
            "bin/sh",
            Entry::new(0o777, Content::Symlink("program".into())),
        );
        tree.insert("tmp", Entry::new(0o1777, Content::Directory));
        tree
    }

    fn layer(tree: &Tree, compression: Compression) -> (Vec<u8>, Digest) {
        let mut bytes = Vec::new();
        let diff_id = write(tree, compression, None, &mut bytes, &Silent).unwrap();
        (bytes, diff_id)
    }

    fn listed(tar: &[u8]) -> Vec<(String, u32, u64)> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            (path, entry.header().mode().unwrap(), entry.size())
        });
        entries.collect()
    }

    #[test]
    fn a_layer_is_a_tar_of_the_tree_in_order() {
        let (bytes, diff_id) = layer(&tree(), Compression::None);
        assert_eq!(
            listed(&bytes),
            [
                ("bin/".to_owned(), 0o755, 0),
                ("bin/program".to_owned(), 0o644, 3000),
                ("bin/sh".to_owned(), 0o777, 0),
                ("tmp/".to_owned(), 0o1777, 0),
            ]
        );
        assert_eq!(diff_id, Digest::of(&bytes));
    }

    #[test]
    fn compression_changes_the_layer_and_not_the_diff_id() {
        let (plain, plain_id) = layer(&tree(), Compression::None);
        for compression in [Compression::Gzip(1), Compression::GZIP, Compression::ZSTD] {
            let (stored, stored_id) = layer(&tree(), compression);
            assert_eq!(plain_id, stored_id);
            let mut read = Vec::new();
            decompress(Box::new(stored.as_slice()))
                .unwrap()
                .read_to_end(&mut read)
                .unwrap();
            assert_eq!(read, plain);
        }
    }

    #[test]
    fn names_that_are_too_long_for_ustar_are_kept() {
        let (name, target) = ("n".repeat(200), "t/".repeat(100));
        let mut tree = Tree::default();
        tree.insert(
            &name,
            Entry::new(0o777, Content::Symlink(target.as_str().into())),
        );
        let (bytes, _) = layer(&tree, Compression::None);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path_bytes(), name.as_bytes());
        assert_eq!(entry.link_name_bytes().unwrap(), target.as_bytes());
    }

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        assert_eq!(record("a", b"b"), b"6 a=b\n");
        let long = record("path", &[b'x'; 92]);
        assert!(long.starts_with(format!("{} ", long.len()).as_bytes()));
    }

    #[test]
    fn a_file_that_changed_after_it_was_planned_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let planned = |content: &str| {
            std::fs::write(&path, content).unwrap();
            let mut tree = Tree::default();
            let file = Content::File(HostFile::at(&path).unwrap());
            tree.insert("program", Entry::new(0o755, file));
            tree
        };
        let refused = |tree: &Tree| {
            let error = write(tree, Compression::GZIP, None, &mut io::sink(), &Silent).unwrap_err();
            assert!(error.to_string().contains("changed"), "{error}");
        };
        for content in ["plan", "planned and longer"] {
            let tree = planned("planned");
            std::fs::write(&path, content).unwrap();
            refused(&tree);
        }
        // The stamp may be the same when this happens shortly after the last change.
        let tree = planned("planned");
        tree.described().unwrap();
        std::fs::write(&path, "changed").unwrap();
        refused(&tree);
    }

    #[test]
    fn a_file_that_changes_while_it_is_packed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, vec![0; 3 * CHUNK]).unwrap();
        let mut tree = Tree::default();
        let file = Content::File(HostFile::at(&path).unwrap());
        tree.insert("program", Entry::new(0o755, file));
        let changes: [&dyn Fn(&mut std::fs::File); 2] =
            [&|file| file.set_len(1).unwrap(), &|file| {
                file.write_all(b"longer").unwrap()
            }];
        for change in changes {
            let meanwhile = Meanwhile(&|| {
                let mut file = std::fs::File::options().append(true).open(&path).unwrap();
                change(&mut file);
            });
            let error =
                write(&tree, Compression::None, None, &mut io::sink(), &meanwhile).unwrap_err();
            assert!(error.to_string().contains("changed"), "{error}");
        }
    }

    #[test]
    fn a_file_that_only_looks_empty_is_refused() {
        let mut tree = Tree::default();
        let file = Content::File(HostFile::at(Path::new("/proc/self/status")).unwrap());
        tree.insert("status", Entry::new(0o644, file));
        let error = write(&tree, Compression::None, None, &mut io::sink(), &Silent).unwrap_err();
        assert!(error.to_string().contains("makes it up"), "{error}");
    }

    /// Does something whenever progress is reported.
    struct Meanwhile<'a>(&'a dyn Fn());

    impl Progress for Meanwhile<'_> {
        fn packed(&self, _done: u64, _total: u64) {
            self.0();
        }
    }

    #[test]
    fn the_epoch_is_the_time_of_every_entry() {
        let mut bytes = Vec::new();
        let epoch = Some("1700000000".parse().unwrap());
        write(&tree(), Compression::None, epoch, &mut bytes, &Silent).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        for entry in archive.entries().unwrap() {
            assert_eq!(entry.unwrap().header().mtime().unwrap(), 1_700_000_000);
        }
    }

    /// The bytes that everybody gets, on any machine. Whoever changes them gives every image a new
    /// name, and should know it.
    #[test]
    fn a_tree_has_the_digest_that_it_always_had() {
        let mut tree = tree();
        let bytes = super::blocks::tests::sample(3 << 20);
        tree.insert("srv/sample", Entry::new(0o640, Content::Bytes(bytes)));
        let digests = [Compression::None, Compression::GZIP, Compression::ZSTD]
            .map(|compression| Digest::of(&layer(&tree, compression).0).hex());
        assert_eq!(
            digests,
            [
                "c3a49241d407147960545605b52131fa695a83ec96e288b019922b4f44bbcfaa",
                "5f2543e16f23ee125c3e8bd67c081aa23ae85d162f6db430451e3466c9f4e207",
                "ffe4ab2f784e427085164fb3c3482cd7485e885bdd3954afb546db346566f42d",
            ]
        );
    }
}
