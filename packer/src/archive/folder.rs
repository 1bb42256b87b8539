//! Writing an image as a folder: an OCI layout, or what skopeo and podman call `dir:`.
//!
//! The folder is made when everything that will be in it is complete and on disk. Until then its files
//! have no name, as that of an archive has none: whatever kills the writer, nothing is left.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::NewFile;
use super::index::{self, REF_NAME, RefName};
use crate::digest::{Digest, DigestWriter};
use crate::image::{Descriptor, Index, from_json, to_json};
use crate::place::{Held, Image, ImageIndex, Sink, WriteBlob};

/// What a folder looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// An OCI image layout (image specification 1.1, `image-layout.md`).
    Oci,
    /// `dir:` of containers-transports(5): the manifest of one image and its blobs.
    Directory,
}

/// A folder that is going to be written.
#[derive(Debug)]
pub struct FolderWriter {
    layout: Layout,
    place: PathBuf,
    /// The folder that it will be in.
    parent: PathBuf,
    /// What will be in it, by the paths in it.
    files: BTreeMap<PathBuf, NewFile>,
    held: Vec<Held>,
    ref_name: RefName,
    taken: Taken,
}

/// What is at the place before.
#[derive(Debug)]
enum Taken {
    /// Nothing, or an empty folder.
    Free,
    /// An image as `dir:` has it, which gives way.
    Image,
    /// A layout with this index, to which something is added.
    Layout(Index),
}

impl FolderWriter {
    /// Begins a folder that will be at `place`, where nothing or an empty folder may be.
    ///
    /// # Errors
    /// `DirectoryNotEmpty` and `NotADirectory` for a place that is taken; `NotFound` when there is no
    /// folder for it.
    pub fn new(layout: Layout, place: &Path) -> io::Result<Self> {
        match is_free(place)? {
            true => Self::begin(layout, place, Taken::Free),
            false => Err(taken()),
        }
    }

    /// The same where an image may be: one of a `dir:` gives way at once when the new one is
    /// complete, and to a layout is added, as podman and skopeo do it.
    ///
    /// # Errors
    /// As [`FolderWriter::new`], for what is neither; `InvalidData` for a layout that is damaged.
    pub fn over(layout: Layout, place: &Path) -> io::Result<Self> {
        if is_free(place)? {
            return Self::begin(layout, place, Taken::Free);
        }
        let found = match layout {
            Layout::Directory => fs::read_to_string(place.join("version"))
                .ok()
                .filter(|version| version.starts_with("Directory Transport Version"))
                .map(|_| Taken::Image),
            Layout::Oci => match fs::read(place.join("index.json")) {
                Ok(bytes) => Some(Taken::Layout(
                    from_json("index.json", &bytes)
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
                )),
                Err(_) => None,
            },
        };
        Self::begin(layout, place, found.ok_or_else(taken)?)
    }

    fn begin(layout: Layout, place: &Path, taken: Taken) -> io::Result<Self> {
        let place = std::path::absolute(place)?;
        let parent = match taken {
            // Its files get their names one by one.
            Taken::Layout(_) => place.clone(),
            Taken::Free | Taken::Image => place.parent().unwrap_or(&place).to_owned(),
        };
        // Whether something can be written there is better known at once.
        drop(NewFile::in_folder(&parent)?);
        allow_many_files();
        Ok(Self {
            layout,
            place,
            parent,
            files: BTreeMap::new(),
            held: Vec::new(),
            ref_name: RefName::default(),
            taken,
        })
    }

    /// Calls the images so in the index.
    #[must_use]
    pub fn calling(self, ref_name: RefName) -> Self {
        Self { ref_name, ..self }
    }

    /// Completes the folder and gives it its name.
    ///
    /// # Errors
    /// What writing and renaming give; nothing is left then.
    pub fn finish(mut self) -> io::Result<()> {
        match self.layout {
            Layout::Oci => {
                let mut index = index::of(&self.held, &self.ref_name);
                if let Taken::Layout(before) = &self.taken {
                    index = added(before, index);
                }
                self.put_file("index.json".into(), &to_json(&index))?;
                self.put_file("oci-layout".into(), index::OCI_LAYOUT)?;
            }
            Layout::Directory => {
                self.put_file("version".into(), b"Directory Transport Version: 1.1\n")?;
                let manifest = match self.held.last() {
                    None => None,
                    Some(Held::Image(image)) => Some(image.manifest_bytes.clone()),
                    Some(Held::Index(index)) => Some(index.bytes.clone()),
                };
                if let Some(manifest) = manifest {
                    self.put_file("manifest.json".into(), &manifest)?;
                }
            }
        }
        if let Taken::Layout(_) = self.taken {
            return self.add();
        }
        let new = tempfile::Builder::new()
            .prefix(".packer-")
            .tempdir_in(&self.parent)?;
        let folder = new.path();
        if self.layout == Layout::Oci {
            fs::create_dir_all(folder.join("blobs/sha256"))?;
        }
        for (path, file) in self.files {
            file.place(&folder.join(path))?;
        }
        if self.layout == Layout::Oci {
            sync(&folder.join("blobs/sha256"))?;
            sync(&folder.join("blobs"))?;
        }
        // A temporary folder is closed to everybody else; this one is as any that a user makes.
        let mode = fs::metadata(folder)?.permissions().mode() | (0o777 & !umask());
        fs::set_permissions(folder, PermissionsExt::from_mode(mode))?;
        sync(folder)?;
        if let Taken::Image = self.taken {
            // What was there goes with the temporary folder.
            renameat_with(CWD, folder, CWD, &self.place, RenameFlags::EXCHANGE)?;
            return sync(&self.parent);
        }
        fs::rename(folder, &self.place)?;
        // It is no longer where it would be removed from.
        let _ = new.keep();
        sync(&self.parent)
    }

    /// Adds everything to a layout that is there: the index comes last, and makes it visible.
    fn add(mut self) -> io::Result<()> {
        let index = self.files.remove(Path::new("index.json"));
        let blobs = self.place.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        for (path, file) in self.files {
            file.place(&self.place.join(path))?;
        }
        sync(&blobs)?;
        if let Some(index) = index {
            index.place(&self.place.join("index.json"))?;
        }
        sync(&self.place)
    }

    /// Where a blob is in the folder.
    fn path(&self, digest: &Digest) -> PathBuf {
        match self.layout {
            Layout::Oci => Path::new("blobs/sha256").join(digest.hex()),
            Layout::Directory => digest.hex().into(),
        }
    }

    fn put_known_blob(&mut self, digest: Digest, content: &[u8]) -> io::Result<()> {
        match self.has_blob(&digest) {
            true => Ok(()),
            false => self.put_file(self.path(&digest), content),
        }
    }

    fn put_file(&mut self, path: PathBuf, content: &[u8]) -> io::Result<()> {
        let file = NewFile::in_folder(&self.parent)?;
        file.file().write_all(content)?;
        self.keep(path, file)
    }

    /// Brings a file to disk, so that the end takes no time.
    fn keep(&mut self, path: PathBuf, file: NewFile) -> io::Result<()> {
        file.file().sync_all()?;
        self.files.insert(path, file);
        Ok(())
    }
}

/// Whether nothing or an empty folder is there.
fn is_free(place: &Path) -> io::Result<bool> {
    match fs::read_dir(place) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn taken() -> io::Error {
    let message = "it is a folder with something else in it; name a new one";
    io::Error::new(io::ErrorKind::DirectoryNotEmpty, message)
}

/// The index `before` with the entries of `new`, which take the places of those that are called the
/// same or are the same.
fn added(before: &Index, new: Index) -> Index {
    let called = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
    let stays = |old: &&Descriptor| {
        let replaces = |entry: &Descriptor| match called(entry) {
            Some(name) => called(old) == Some(name),
            None => old.digest == entry.digest,
        };
        !new.manifests.iter().any(replaces)
    };
    let mut manifests: Vec<_> = before.manifests.iter().filter(stays).cloned().collect();
    manifests.extend(new.manifests);
    Index { manifests, ..new }
}

impl Sink for FolderWriter {
    fn has_blob(&self, digest: &Digest) -> bool {
        self.files.contains_key(&self.path(digest))
    }

    fn put_blob(&mut self, write: WriteBlob<'_>) -> io::Result<(Digest, u64)> {
        let new = NewFile::in_folder(&self.parent)?;
        let mut writer = DigestWriter::new(BufWriter::new(new.file()));
        write(&mut writer)?;
        let (mut file, digest, size) = writer.finish();
        file.flush()?;
        drop(file);
        self.keep(self.path(&digest), new)?;
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
                    self.put_file(name.into(), &image.manifest_bytes)?;
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

/// Every blob is an open file until the end, and an index has many: as many as we may have, and not
/// the 1,024 that are usual for the sake of select(2).
fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    // It is only needed for the largest images; opening a file says what is missing.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The file mode creation mask, which can only be read by setting it.
fn umask() -> u32 {
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    mask.bits()
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
