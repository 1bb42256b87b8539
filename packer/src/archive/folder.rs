//! Writing an image as a folder: an OCI layout, or what skopeo and podman call `dir:`.
//!
//! The folder gathers under a temporary name beside its place; it gets its own when it is complete
//! and on disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::index;
use crate::digest::{Digest, DigestWriter};
use crate::image::to_json;
use crate::place::{Held, Image, ImageIndex, Sink, WriteBlob};

/// What a folder looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// An OCI image layout (image specification 1.1, `image-layout.md`).
    Oci,
    /// `dir:` of containers-transports(5): the manifest of one image and its blobs.
    Directory,
}

/// A folder that is being written.
#[derive(Debug)]
pub struct FolderWriter {
    layout: Layout,
    new: TempDir,
    place: PathBuf,
    blobs: BTreeMap<Digest, u64>,
    held: Vec<Held>,
}

impl FolderWriter {
    /// Begins a folder that will be at `place`, where nothing or an empty folder may be.
    ///
    /// # Errors
    /// `DirectoryNotEmpty` and `NotADirectory` for a place that is taken; what making the folder
    /// gives.
    pub fn new(layout: Layout, place: &Path) -> io::Result<Self> {
        match fs::read_dir(place) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    let message = "it is a folder with something in it; name a new one";
                    return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, message));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let absolute = std::path::absolute(place)?;
        let parent = absolute.parent().unwrap_or(&absolute);
        let new = tempfile::Builder::new()
            .prefix(".packer-")
            .tempdir_in(parent)?;
        if layout == Layout::Oci {
            fs::create_dir_all(new.path().join("blobs/sha256"))?;
        }
        Ok(Self {
            layout,
            new,
            place: absolute,
            blobs: BTreeMap::new(),
            held: Vec::new(),
        })
    }

    /// Completes the folder and gives it its name.
    ///
    /// # Errors
    /// What writing and renaming give; nothing is left then.
    pub fn finish(self) -> io::Result<()> {
        let folder = self.new.path();
        match self.layout {
            Layout::Oci => {
                write_synced(&folder.join("index.json"), &to_json(&index::of(&self.held)))?;
                write_synced(&folder.join("oci-layout"), index::OCI_LAYOUT)?;
                sync(&folder.join("blobs/sha256"))?;
                sync(&folder.join("blobs"))?;
            }
            Layout::Directory => {
                let version = b"Directory Transport Version: 1.1\n";
                write_synced(&folder.join("version"), version)?;
                let manifest = match self.held.last() {
                    None => None,
                    Some(Held::Image(image)) => Some(&image.manifest_bytes),
                    Some(Held::Index(index)) => Some(&index.bytes),
                };
                if let Some(manifest) = manifest {
                    write_synced(&folder.join("manifest.json"), manifest)?;
                }
            }
        }
        // A temporary folder is closed to everybody else; this one is as any that a user makes.
        let mode = fs::metadata(folder)?.permissions().mode() | (0o777 & !umask());
        fs::set_permissions(folder, PermissionsExt::from_mode(mode))?;
        sync(folder)?;
        fs::rename(folder, &self.place)?;
        // It is no longer where it would be removed from.
        let _ = self.new.keep();
        sync(self.place.parent().unwrap_or(&self.place))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        match self.layout {
            Layout::Oci => self.new.path().join("blobs/sha256").join(digest.hex()),
            Layout::Directory => self.new.path().join(digest.hex()),
        }
    }

    fn put_known_blob(&mut self, digest: Digest, content: &[u8]) -> io::Result<()> {
        if !self.has_blob(&digest) {
            write_synced(&self.path(&digest), content)?;
            self.blobs.insert(digest, content.len() as u64);
        }
        Ok(())
    }
}

impl Sink for FolderWriter {
    fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    fn put_blob(&mut self, write: WriteBlob<'_>) -> io::Result<(Digest, u64)> {
        let temporary = self.new.path().join("blob");
        let mut writer = DigestWriter::new(File::create(&temporary)?);
        write(&mut writer)?;
        let (file, digest, size) = writer.finish();
        file.sync_all()?;
        fs::rename(&temporary, self.path(&digest))?;
        self.blobs.insert(digest, size);
        Ok((digest, size))
    }

    /// In a `dir:`, the last image that is put is the one that stays.
    fn put_image(&mut self, image: &Image) -> io::Result<()> {
        image.check_layers(self)?;
        self.put_known_blob(image.id(), &image.config_bytes)?;
        if self.layout == Layout::Oci {
            self.put_known_blob(image.digest(), &image.manifest_bytes)?;
        }
        self.held.push(Held::Image(Box::new(image.clone())));
        Ok(())
    }

    /// In a `dir:` the index is the manifest, and that of each image a file of its own, as skopeo
    /// has them.
    fn put_index(&mut self, index: &ImageIndex) -> io::Result<()> {
        for image in &index.images {
            image.check_layers(self)?;
            self.put_known_blob(image.id(), &image.config_bytes)?;
            match self.layout {
                Layout::Oci => self.put_known_blob(image.digest(), &image.manifest_bytes)?,
                Layout::Directory => {
                    let name = format!("{}.manifest.json", image.digest().hex());
                    write_synced(&self.new.path().join(name), &image.manifest_bytes)?;
                }
            }
        }
        if self.layout == Layout::Oci {
            self.put_known_blob(index.digest(), &index.bytes)?;
        }
        self.held.push(Held::Index(index.clone()));
        Ok(())
    }
}

/// The file mode creation mask, which can only be read by setting it.
fn umask() -> u32 {
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    mask.bits()
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Archive;
    use crate::archive::read::tests::{LAYER, image};
    use crate::place::Source;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_read_back_with_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        for (layout, name) in [(Layout::Oci, "oci"), (Layout::Directory, "dir")] {
            let place = folder.path().join(name);
            let image = image(&["hello:1"]);
            let mut writer = FolderWriter::new(layout, &place).unwrap();
            assert!(writer.put_image(&image).is_err(), "its layer is not there");
            writer.put_blob(&mut |out| out.write_all(LAYER)).unwrap();
            writer.put_image(&image).unwrap();
            writer.finish().unwrap();
            let archive = Archive::open(&place).unwrap();
            assert_eq!(archive.images()[0].digest(), image.digest());
            assert_eq!(
                archive.images()[0].names,
                image.names[..usize::from(layout == Layout::Oci)]
            );
            assert!(FolderWriter::new(layout, &place).is_err(), "it is taken");
        }
        assert_eq!(names(folder.path()), ["dir", "oci"]);
    }

    #[test]
    fn a_folder_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("empty");
        fs::create_dir(&place).unwrap();
        let mut writer = FolderWriter::new(Layout::Oci, &place).unwrap();
        let failed = writer.put_blob(&mut |_| Err(io::Error::other("enough")));
        assert!(failed.is_err());
        drop(writer);
        assert_eq!(names(folder.path()), ["empty"]);
        assert!(names(&place).is_empty());
    }
}
