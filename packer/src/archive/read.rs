//! Opening an archive of any kind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::backing::Backing;
use super::whole::Whole;
use super::{ArchiveError, Problem, directory, docker, oci};
use crate::digest::Digest;
use crate::image::Platform;
use crate::layer::{Encoding, decompress};
use crate::place::{Held, Image, Source};
use crate::program::open_regular;

/// An image that was found in an archive, and where its layers are.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) image: Image,
    /// The paths of its layers in the archive.
    pub(super) layers: BTreeMap<Digest, String>,
}

/// An archive that was opened: its images are known, checked and complete but for the content of
/// their layers, which whoever reads them checks.
#[derive(Debug)]
pub struct Archive {
    transport: &'static str,
    backing: Backing,
    images: Vec<Image>,
    layers: BTreeMap<Digest, String>,
}

impl Archive {
    /// Opens a file, or a folder: an OCI layout, what `skopeo copy … dir:` writes, or an unpacked
    /// docker-archive. What is compressed, or cannot be read twice, is
    /// copied to a temporary file without a name, in the system's folder for such files.
    ///
    /// # Errors
    /// [`ArchiveError`], which names `path`.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::open_with(path, &std::env::temp_dir())
    }

    /// Like [`Archive::open`], with a temporary file in the folder `temporary`.
    ///
    /// # Errors
    /// [`ArchiveError`], which names `path`.
    pub fn open_with(path: &Path, temporary: &Path) -> Result<Self, ArchiveError> {
        Self::open_for(path, temporary, &Platform::host())
    }

    /// The same for whom another platform matters: of what is there for several, its images are
    /// found.
    ///
    /// # Errors
    /// [`ArchiveError`], which names `path`.
    pub fn open_for(
        path: &Path,
        temporary: &Path,
        platform: &Platform,
    ) -> Result<Self, ArchiveError> {
        Self::open_path(path, temporary)
            .and_then(|backing| Self::of_backing(backing, platform))
            .map_err(|problem| problem.of(&path.display().to_string()))
    }

    /// As [`Archive::from_reader`], with all that it holds, for all platforms.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn whole_from_reader(
        name: &str,
        stream: &mut dyn Read,
        temporary: &Path,
    ) -> Result<(Self, Vec<Held>), ArchiveError> {
        spool(stream, temporary)
            .and_then(Backing::tar)
            .and_then(Self::whole)
            .map_err(|problem| problem.of(name))
    }

    /// Opens a file or a folder to copy it whole: with what it holds, and the images for all
    /// platforms.
    ///
    /// # Errors
    /// [`ArchiveError`], which names `path`.
    pub fn open_whole(path: &Path, temporary: &Path) -> Result<(Self, Vec<Held>), ArchiveError> {
        Self::open_path(path, temporary)
            .and_then(Self::whole)
            .map_err(|problem| problem.of(&path.display().to_string()))
    }

    /// Reads an archive from a stream, such as standard input; `name` is what errors call it.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn from_reader(
        name: &str,
        stream: &mut dyn Read,
        temporary: &Path,
    ) -> Result<Self, ArchiveError> {
        spool(stream, temporary)
            .and_then(Backing::tar)
            .and_then(|backing| Self::of_backing(backing, &Platform::host()))
            .map_err(|problem| problem.of(name))
    }

    /// As what it was read, as containers-transports(5) calls it: `oci-archive`, `docker-archive`,
    /// `oci` and `dir`. An unpacked docker-archive is a `docker-archive`.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.transport
    }

    /// What the folder is called, if it is an OCI layout in one.
    #[must_use]
    pub fn folder_name(&self) -> Option<&str> {
        self.backing
            .folder_name()
            .filter(|_| self.transport == "oci")
    }

    fn open_path(path: &Path, temporary: &Path) -> Result<Backing, Problem> {
        let kind = fs::metadata(path).map_err(Problem::Io)?.file_type();
        if kind.is_dir() {
            return Backing::folder(path);
        }
        if !kind.is_file() {
            let mut stream = File::open(path).map_err(Problem::Io)?;
            return Backing::tar(spool(&mut stream, temporary)?);
        }
        let mut file = open_regular(path).map_err(Problem::Io)?;
        let encoding = Encoding::read(&file).map_err(Problem::Io)?;
        file.rewind().map_err(Problem::Io)?;
        match encoding {
            Encoding::Plain => Backing::tar(file),
            _ => Backing::tar(spool(&mut file, temporary)?),
        }
    }

    /// An archive that is an OCI layout and a docker-archive at once is read as the former, because
    /// only that has the manifests, and with them the digests that registries know.
    fn of_backing(backing: Backing, platform: &Platform) -> Result<Self, Problem> {
        let found = match oci::images(&backing, platform)? {
            Some(found) => Some(found),
            None => match directory::images(&backing, platform)? {
                Some(found) => Some(found),
                None => docker::images(&backing)?,
            },
        };
        let found = some_image(found)?;
        let mut archive = Self {
            transport: transport(&backing)?,
            backing,
            images: Vec::new(),
            layers: BTreeMap::new(),
        };
        for found in found {
            archive.layers.extend(found.layers);
            archive.images.push(found.image);
        }
        Ok(archive)
    }

    fn whole(backing: Backing) -> Result<(Self, Vec<Held>), Problem> {
        let whole = Whole::of(&backing)?;
        let (held, layers) = whole.map_or((None, BTreeMap::new()), |whole| {
            (Some(whole.held), whole.layers)
        });
        let held = some_image(held)?;
        let archive = Self {
            transport: transport(&backing)?,
            backing,
            images: held.iter().flat_map(Held::images).cloned().collect(),
            layers,
        };
        Ok((archive, held))
    }
}

/// What an archive is read as.
fn transport(backing: &Backing) -> Result<&'static str, Problem> {
    if oci::layout_index(backing)?.is_some() {
        return Ok(match backing.is_folder() {
            true => "oci",
            false => "oci-archive",
        });
    }
    Ok(match directory::document(backing)?.is_some() {
        true => "dir",
        false => "docker-archive",
    })
}

/// What was found in an archive, if that is one and holds anything.
fn some_image<T>(found: Option<Vec<T>>) -> Result<Vec<T>, Problem> {
    let found = found.ok_or_else(|| {
        Problem::NotAnArchive("it has neither manifest.json nor index.json".to_owned())
    })?;
    match found.is_empty() {
        true => Err(Problem::NotAnArchive("it holds no image".to_owned())),
        false => Ok(found),
    }
}

impl Source for Archive {
    fn images(&self) -> &[Image] {
        &self.images
    }

    fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        let not_found = || {
            let message = format!("no image of the archive has the layer {digest}");
            io::Error::new(io::ErrorKind::NotFound, message)
        };
        let path = self.layers.get(digest).ok_or_else(not_found)?;
        let content = self.backing.open(path).map_err(io::Error::other)?;
        Ok(content.ok_or_else(not_found)?.reader)
    }
}

/// Copies a stream, decompressed, to a file without a name.
fn spool(stream: &mut dyn Read, folder: &Path) -> Result<File, Problem> {
    let full = |error: io::Error| {
        let place = format!("{} (no place to unpack it): {error}", folder.display());
        Problem::Io(io::Error::new(error.kind(), place))
    };
    let mut file = tempfile::tempfile_in(folder).map_err(full)?;
    let mut content = decompress(Box::new(stream)).map_err(undecodable)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => file.write_all(&buffer[..count]).map_err(full)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(undecodable(error)),
        }
    }
    Ok(file)
}

/// What an error of a decompressor means; an error of the system has a number.
fn undecodable(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Problem::Truncated("its compressed content".to_owned()),
        _ if error.raw_os_error().is_some() => Problem::Io(error),
        _ => Problem::Damaged(error.to_string()),
    }
}

#[cfg(test)]
pub(super) mod tests;
