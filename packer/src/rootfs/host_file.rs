//! A file of the host that is going to be packed.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::digest::Digest;
use crate::program::{open_regular, open_without_waiting};
use crate::stamp::Stamp;

/// A file of the host as it was when the tree was planned. Its content is only hashed for who asks:
/// packing itself reads it once.
#[derive(Debug, Clone)]
pub struct HostFile {
    /// All files of a folder share its path.
    folder: Arc<PathBuf>,
    name: Name,
    stamp: Stamp,
    digest: OnceLock<Digest>,
}

/// A name in a folder. Most are short, and are kept where a pointer and a length would be.
#[derive(Debug, Clone)]
enum Name {
    Short(u8, [u8; SHORT]),
    Long(Box<OsStr>),
}

/// As many bytes as there are beside a tag and a length in the room of three words.
const SHORT: usize = 22;

impl Name {
    fn new(name: &OsStr) -> Self {
        let bytes = name.as_bytes();
        let mut short = [0; SHORT];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(bytes);
                Self::Short(length, short)
            }
            _ => Self::Long(name.into()),
        }
    }

    fn as_os_str(&self) -> &OsStr {
        match self {
            Self::Short(length, bytes) => OsStr::from_bytes(&bytes[..usize::from(*length)]),
            Self::Long(name) => name,
        }
    }
}

/// The same file of the host, unchanged.
impl PartialEq for HostFile {
    fn eq(&self, other: &Self) -> bool {
        self.stamp == other.stamp && self.path() == other.path()
    }
}

impl Eq for HostFile {}

impl HostFile {
    /// The regular file at `path`, as it is now.
    ///
    /// # Errors
    /// Whatever opening it gives; `InvalidInput` and `IsADirectory` for what is no regular file.
    pub fn at(path: &Path) -> io::Result<Self> {
        Self::opened(path, &open_regular(path)?)
    }

    /// The file that was opened at `path`.
    pub(crate) fn opened(path: &Path, file: &File) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(path);
        let name = path.file_name().unwrap_or_default();
        let file = file.metadata()?;
        Ok(Self::in_folder(&Arc::new(folder.to_owned()), name, &file))
    }

    /// The file `name` in `folder`, of which the kernel says this.
    pub(crate) fn in_folder(folder: &Arc<PathBuf>, name: &OsStr, file: &Metadata) -> Self {
        Self {
            folder: Arc::clone(folder),
            name: Name::new(name),
            stamp: Stamp::of(file),
            digest: OnceLock::new(),
        }
    }

    /// The file at `path`, whose digest is known.
    pub(crate) fn known(path: &Path, digest: Digest) -> io::Result<Self> {
        let file = Self::at(path)?;
        Ok(Self {
            digest: digest.into(),
            ..file
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.name.as_os_str())
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.stamp.size()
    }

    /// The digest of its content, which is read the first time.
    ///
    /// # Errors
    /// Whatever reading gives; `InvalidData` when it was changed since it was planned.
    pub fn digest(&self) -> io::Result<Digest> {
        if let Some(&known) = self.digest.get() {
            return Ok(known);
        }
        let mut file = self.open()?;
        let (digest, _) = Digest::of_reader(&mut file)?;
        self.expect_unchanged(&file)?;
        Ok(*self.digest.get_or_init(|| digest))
    }

    /// The digest, if anybody has asked for it.
    pub(crate) fn digest_if_known(&self) -> Option<Digest> {
        self.digest.get().copied()
    }

    /// Opens it for reading, if it is still the file that was planned.
    pub(crate) fn open(&self) -> io::Result<File> {
        // What has the stamp of a regular file is one.
        let file = open_without_waiting(&self.path())?;
        self.expect_unchanged(&file)?;
        Ok(file)
    }

    /// `InvalidData` when `file`, which was opened at its path, is not what was planned.
    pub(crate) fn expect_unchanged(&self, file: &File) -> io::Result<()> {
        match Stamp::of(&file.metadata()?) == self.stamp {
            true => Ok(()),
            false => Err(changed()),
        }
    }

    /// An error that names the file.
    pub(crate) fn named(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path().display()))
    }
}

/// Somebody wrote while we read.
pub(crate) fn changed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "it was changed while it was packed; pack it again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_digest_and_a_changed_one_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "planned").unwrap();
        let file = HostFile::at(&path).unwrap();
        let fresh = file.clone();
        assert_eq!(file.digest_if_known(), None);
        assert_eq!(file.digest().unwrap(), Digest::of(b"planned"));
        assert_eq!(file.digest_if_known(), Some(Digest::of(b"planned")));
        assert_eq!(file, fresh);
        std::fs::write(&path, "changed now").unwrap();
        let error = fresh.digest().unwrap_err().to_string();
        assert!(error.contains("changed"), "{error}");
        assert_ne!(HostFile::at(&path).unwrap(), file);
    }

    #[test]
    fn a_file_is_where_it_was_found_however_long_its_name_is() {
        let folder = tempfile::tempdir().unwrap();
        for length in [1, SHORT - 1, SHORT, SHORT + 1, 255] {
            let path = folder.path().join("x".repeat(length));
            std::fs::write(&path, "content").unwrap();
            assert_eq!(HostFile::at(&path).unwrap().path(), path, "{length}");
        }
    }
}
