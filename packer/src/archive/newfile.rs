//! A file that has no name before it is complete.
//!
//! While it is written, the file has no name at all where the file system can do that
//! (`O_TMPFILE`): whatever kills the writer leaves nothing behind. Elsewhere it has a temporary name
//! in the target's folder. At the end it is synced, and gets its name in one step; who looks sees
//! the old file or the new one, after a power cut too. That the name itself outlives a power cut right
//! afterwards is not waited for: what is packed can be packed again.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use tempfile::TempPath;

use crate::digest::Digest;

/// A file that is being written in a folder.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    folder: PathBuf,
    /// The temporary name, where the file system needs one.
    temporary: Option<TempPath>,
}

impl NewFile {
    /// An empty file without a name in `folder`.
    ///
    /// # Errors
    /// What making it gives.
    pub fn in_folder(folder: &Path) -> io::Result<Self> {
        let folder = match folder.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => folder.to_owned(),
        };
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(&folder, flags, Mode::from_raw_mode(0o666)) {
            Ok(descriptor) => Ok(Self {
                file: File::from(descriptor),
                folder,
                temporary: None,
            }),
            // Old kernels answer EISDIR, file systems that cannot do it EOPNOTSUPP (open(2)).
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Self::with_name(folder),
            Err(error) => Err(error.into()),
        }
    }

    fn with_name(folder: PathBuf) -> io::Result<Self> {
        let (file, path) = tempfile::Builder::new()
            .prefix(".packer-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(&folder)?
            .into_parts();
        Ok(Self {
            file,
            folder,
            temporary: Some(path),
        })
    }

    /// The file, to be written and read.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The digest of what was written.
    ///
    /// # Errors
    /// What reading gives.
    pub fn digest(&self) -> io::Result<Digest> {
        let mut file = &self.file;
        file.rewind()?;
        Digest::of_reader(&mut file).map(|(digest, _)| digest)
    }

    /// Copies what was written into `out`; the file itself is gone afterwards.
    ///
    /// # Errors
    /// What reading and writing give.
    pub fn copy_to(self, out: &mut dyn Write) -> io::Result<()> {
        let mut file = &self.file;
        file.rewind()?;
        io::copy(&mut file, out)?;
        out.flush()
    }

    /// Syncs the file and gives it the name `path`, which must be in its folder. A file that had
    /// that name is replaced.
    ///
    /// # Errors
    /// What syncing or naming gives; `path` is as it was then.
    pub fn place(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        match self.temporary {
            Some(temporary) => temporary.persist(path).map_err(|error| error.error),
            None => link(&self.file, &self.folder, path),
        }
    }
}

/// Gives a file without a name its first one. A link never replaces, so an old file is replaced by
/// renaming over it.
fn link(file: &File, folder: &Path, path: &Path) -> io::Result<()> {
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let to = |path: &Path| {
        rustix::fs::linkat(CWD, &descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW)
            .map_err(io::Error::from)
    };
    match to(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let temporary = tempfile::Builder::new()
                .prefix(".packer-")
                .make_in(folder, to)?
                .into_temp_path();
            fs::rename(&temporary, path)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn placed(file: NewFile, path: &Path) {
        file.file().write_all(b"new").unwrap();
        file.place(path).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"new");
    }

    #[test]
    fn a_file_is_there_when_it_is_complete_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = NewFile::in_folder(folder.path()).unwrap();
        assert!(file.temporary.is_some() || names(folder.path()).is_empty());
        placed(file, &folder.path().join("a"));
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn an_old_file_is_replaced_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old and longer").unwrap();
        placed(NewFile::in_folder(folder.path()).unwrap(), &path);
        fs::write(&path, "old and longer").unwrap();
        placed(NewFile::with_name(folder.path().to_owned()).unwrap(), &path);
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(NewFile::in_folder(folder.path()).unwrap());
        drop(NewFile::with_name(folder.path().to_owned()).unwrap());
        assert!(names(folder.path()).is_empty());
    }
}
