//! Writing an archive that is docker-archive and oci-archive at once.
//!
//! Its tar holds an OCI layout, and beside it a `manifest.json` whose paths point to the same
//! blobs. The tar itself is never compressed: not every client reads that.
//!
//! Everything is written in one pass. A tar header has to say the size of what follows, and a
//! compressed layer's size is known only at its end; so a hole of 512 bytes is left in front of a
//! blob, and the header is put there later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Serialize;
use tar::{EntryType, Header};

use super::index::{self, RefName};
use super::newfile::NewFile;
use crate::digest::{Digest, DigestWriter};
use crate::image::to_json;
use crate::place::{Held, Image, ImageIndex, Sink, WriteBlob};
use crate::ustar::{BLOCK, EMPTY, padding};

/// What is collected before it is written to the file.
const BUFFER: usize = 256 << 10;

/// What an archive is to its readers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// A docker-archive and an oci-archive at once.
    #[default]
    Both,
    /// A docker-archive and nothing else.
    Docker,
    /// An oci-archive and nothing else.
    Oci,
}

/// An archive that is being written.
#[derive(Debug)]
pub struct Writer {
    new: NewFile,
    /// The length of what is complete; always a multiple of [`BLOCK`].
    position: u64,
    blobs: BTreeMap<Digest, u64>,
    held: Vec<Held>,
    kind: Kind,
    ref_name: RefName,
}

/// One entry of docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Writer {
    /// Begins an archive of both kinds in `folder`, where it has no name yet.
    ///
    /// # Errors
    /// What making the file gives.
    pub fn in_folder(folder: &Path) -> io::Result<Self> {
        Self::of_kind(Kind::Both, folder)
    }

    /// Begins an archive of this kind in `folder`, where it has no name yet.
    ///
    /// # Errors
    /// What making the file gives.
    pub fn of_kind(kind: Kind, folder: &Path) -> io::Result<Self> {
        let mut writer = Self {
            new: NewFile::in_folder(folder)?,
            position: 0,
            blobs: BTreeMap::new(),
            held: Vec::new(),
            kind,
            ref_name: RefName::default(),
        };
        writer.put_directory("blobs/")?;
        writer.put_directory("blobs/sha256/")?;
        Ok(writer)
    }

    /// Calls the images so in the index.
    #[must_use]
    pub fn calling(self, ref_name: RefName) -> Self {
        Self { ref_name, ..self }
    }

    /// Completes the archive. It has no name yet: see [`NewFile::place`].
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(mut self) -> io::Result<NewFile> {
        let is = |kind| self.kind == Kind::Both || self.kind == kind;
        let (is_docker, is_oci) = (is(Kind::Docker), is(Kind::Oci));
        if is_oci {
            self.put_file(
                "index.json",
                &to_json(&index::of(&self.held, &self.ref_name)),
            )?;
        }
        if is_docker {
            let entries: Vec<DockerEntry> = self.held.iter().filter_map(docker_entry).collect();
            self.put_file("manifest.json", &to_json(&entries))?;
        }
        if is_oci {
            self.put_file("oci-layout", index::OCI_LAYOUT)?;
        }
        self.at_end()?.write_all(&EMPTY)?;
        self.new.file().write_all(&EMPTY)?;
        Ok(self.new)
    }

    fn put_directory(&mut self, path: &str) -> io::Result<()> {
        let header = header(EntryType::Directory, path, 0o755, 0)?;
        self.at_end()?.write_all(header.as_bytes())?;
        self.position += BLOCK;
        Ok(())
    }

    fn put_file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        let size = content.len() as u64;
        let mut entry = header(EntryType::Regular, path, 0o644, size)?
            .as_bytes()
            .to_vec();
        entry.extend_from_slice(content);
        entry.extend_from_slice(padding(size));
        self.at_end()?.write_all(&entry)?;
        self.position += entry.len() as u64;
        Ok(())
    }

    fn put_known_blob(&mut self, digest: Digest, content: &[u8]) -> io::Result<()> {
        if !self.has_blob(&digest) {
            self.put_file(&blob_path(&digest), content)?;
            self.blobs.insert(digest, content.len() as u64);
        }
        Ok(())
    }

    /// Config and manifest; a docker-archive has no manifests.
    fn put_documents(&mut self, image: &Image) -> io::Result<()> {
        image.check_layers(self)?;
        self.put_known_blob(image.id(), &image.config_bytes)?;
        match self.kind {
            Kind::Docker => Ok(()),
            Kind::Both | Kind::Oci => self.put_known_blob(image.digest(), &image.manifest_bytes),
        }
    }

    /// The file behind its complete part; what an error left there is cut off.
    fn at_end(&self) -> io::Result<&File> {
        let mut file = self.new.file();
        file.set_len(self.position)?;
        file.seek(SeekFrom::Start(self.position))?;
        Ok(file)
    }

    fn stream_blob(&mut self, write: WriteBlob<'_>) -> io::Result<(Digest, u64)> {
        let start = self.position;
        let mut file = self.at_end()?;
        file.write_all(&EMPTY)?;
        let mut blob = DigestWriter::new(BufWriter::with_capacity(BUFFER, file));
        write(&mut blob)?;
        let (buffered, digest, size) = blob.finish();
        file = buffered
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        if let Some(&size) = self.blobs.get(&digest) {
            return Ok((digest, size));
        }
        file.write_all(padding(size))?;
        let header = header(EntryType::Regular, &blob_path(&digest), 0o644, size)?;
        file.write_all_at(header.as_bytes(), start)?;
        self.position = start + BLOCK + size.next_multiple_of(BLOCK);
        self.blobs.insert(digest, size);
        Ok((digest, size))
    }
}

impl Sink for Writer {
    fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    fn put_blob(&mut self, write: WriteBlob<'_>) -> io::Result<(Digest, u64)> {
        self.stream_blob(write)
    }

    fn put_image(&mut self, image: &Image) -> io::Result<()> {
        self.put_documents(image)?;
        self.held.push(Held::Image(Box::new(image.clone())));
        Ok(())
    }

    fn put_index(&mut self, index: &ImageIndex) -> io::Result<()> {
        for image in &index.images {
            self.put_documents(image)?;
        }
        if self.kind != Kind::Docker {
            self.put_known_blob(index.digest(), &index.bytes)?;
        }
        self.held.push(Held::Index(index.clone()));
        Ok(())
    }
}

/// A docker-archive has one image a name; of several platforms it is the first.
fn docker_entry(held: &Held) -> Option<DockerEntry> {
    let image = held.first_image()?;
    let layers = image.manifest.layers.iter();
    Some(DockerEntry {
        config: blob_path(&image.id()),
        repo_tags: held.names().iter().map(ToString::to_string).collect(),
        layers: layers.map(|layer| blob_path(&layer.digest)).collect(),
    })
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The header of an entry. The archive's own entries have no date in any case: clients do not look
/// at it, and the same images make the same archive.
fn header(kind: EntryType, path: &str, mode: u32, size: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(path)?;
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn put(writer: &mut Writer, content: &'static [u8]) -> (Digest, u64) {
        writer.put_blob(&mut |out| out.write_all(content)).unwrap()
    }

    fn entries(new: &NewFile) -> Vec<(String, Vec<u8>)> {
        let mut file = new.file();
        file.rewind().unwrap();
        let mut archive = tar::Archive::new(file);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, content)
        });
        entries.collect()
    }

    #[test]
    fn blobs_are_entries_named_after_their_digests() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::in_folder(folder.path()).unwrap();
        for content in [&b"one"[..], &[7; 512], &[8; 1000]] {
            let (digest, size) = put(&mut writer, content);
            assert_eq!((digest, size), (Digest::of(content), content.len() as u64));
            assert!(writer.has_blob(&digest));
        }
        let entries = entries(&writer.finish().unwrap());
        assert_eq!(
            entries[2],
            (blob_path(&Digest::of(b"one")), b"one".to_vec())
        );
        assert_eq!(entries[3].1, [7; 512]);
        assert_eq!(entries[4].1, [8; 1000]);
        let rest: Vec<&str> = entries[5..].iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(rest, ["index.json", "manifest.json", "oci-layout"]);
    }

    #[test]
    fn a_blob_is_stored_once_and_a_failed_one_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::in_folder(folder.path()).unwrap();
        put(&mut writer, b"same");
        put(&mut writer, b"same");
        let failed = writer.put_blob(&mut |out| {
            out.write_all(&[1; 600_000])?;
            Err(io::Error::other("enough"))
        });
        assert!(failed.is_err());
        put(&mut writer, b"next");
        let paths: Vec<String> = entries(&writer.finish().unwrap())
            .into_iter()
            .map(|(path, _)| path)
            .filter(|path| path.len() > 20)
            .collect();
        let expected = [b"same", b"next"].map(|content| blob_path(&Digest::of(content)));
        assert_eq!(paths, expected);
    }
}
