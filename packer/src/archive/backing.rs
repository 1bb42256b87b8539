//! What an archive is stored in: a tar, or a folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::entries::{Entries, Extent};
use super::{MOST_JSON, Problem};
use crate::digest::Digest;
use crate::layer::Encoding;
use crate::slice::Slice;

/// The bytes of all indexes, manifests and configs of an archive together.
const MOST_JSON_TOGETHER: u64 = 64 << 20;

/// Files by their paths in the archive.
#[derive(Debug)]
pub(super) struct Backing {
    storage: Storage,
    json_left: AtomicU64,
}

#[derive(Debug)]
enum Storage {
    Tar { file: File, entries: Entries },
    Folder { folder: File, name: Option<String> },
}

/// The content of one file of an archive.
pub(super) struct Content<'a> {
    pub(super) size: u64,
    pub(super) reader: Box<dyn Read + 'a>,
}

impl Backing {
    pub(super) fn tar(file: File) -> Result<Self, Problem> {
        let entries = Entries::scan(&file)?;
        Ok(Self::new(Storage::Tar { file, entries }))
    }

    pub(super) fn folder(path: &Path) -> Result<Self, Problem> {
        let folder = File::open(path).map_err(Problem::Io)?;
        let whole = std::path::absolute(path).map_err(Problem::Io)?;
        let name = whole.file_name().and_then(|name| name.to_str());
        let name = name.map(ToOwned::to_owned);
        Ok(Self::new(Storage::Folder { folder, name }))
    }

    fn new(storage: Storage) -> Self {
        Self {
            storage,
            json_left: AtomicU64::new(MOST_JSON_TOGETHER),
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        matches!(self.storage, Storage::Folder { .. })
    }

    /// What the folder is called, if it is one.
    pub(super) fn folder_name(&self) -> Option<&str> {
        match &self.storage {
            Storage::Folder { name, .. } => name.as_deref(),
            Storage::Tar { .. } => None,
        }
    }

    /// Opens the file at `path`, if there is one.
    pub(super) fn open(&self, path: &str) -> Result<Option<Content<'_>>, Problem> {
        match &self.storage {
            Storage::Tar { file, entries } => {
                let content = entries.find(path)?;
                Ok(content.map(|Extent { offset, size }| Content {
                    size,
                    reader: Box::new(Slice { file, offset, size }),
                }))
            }
            Storage::Folder { folder, .. } => {
                let file = open_beneath(folder, path)?;
                file.map(|file| {
                    Ok(Content {
                        size: file.metadata()?.len(),
                        reader: Box::new(file) as Box<dyn Read>,
                    })
                })
                .transpose()
            }
        }
    }

    /// Reads a JSON document. `what` names it when it is too big.
    pub(super) fn read_json(&self, path: &str, what: &str) -> Result<Option<Vec<u8>>, Problem> {
        let Some(content) = self.open(path)? else {
            return Ok(None);
        };
        let too_big = |what: &str, limit: u64| Problem::TooBig {
            what: what.to_owned(),
            limit: format!("{} MiB", limit >> 20),
        };
        if content.size > MOST_JSON {
            return Err(too_big(what, MOST_JSON));
        }
        let less = |left: u64| left.checked_sub(content.size);
        let all = "the list of its images";
        self.json_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .map_err(|_| too_big(all, MOST_JSON_TOGETHER))?;
        let mut bytes = Vec::new();
        content.reader.take(MOST_JSON).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Reads a JSON document that is the blob at `path`, and checks its digest.
    pub(super) fn read_json_blob(
        &self,
        path: &str,
        digest: &Digest,
        what: &str,
    ) -> Result<Vec<u8>, Problem> {
        let bytes = self.read_json(path, what)?;
        let bytes = bytes.ok_or_else(|| Problem::Missing(format!("{what}, {digest}")))?;
        check_digest(what, *digest, &bytes)?;
        Ok(bytes)
    }

    /// How the file at `path` is compressed, by its first bytes, and how big it is.
    pub(super) fn encoding(&self, path: &str) -> Result<Option<(Encoding, u64)>, Problem> {
        let Some(content) = self.open(path)? else {
            return Ok(None);
        };
        Ok(Some((Encoding::read(content.reader)?, content.size)))
    }
}

pub(super) fn check_digest(what: &str, expected: Digest, bytes: &[u8]) -> Result<(), Problem> {
    let found = Digest::of(bytes);
    if found == expected {
        return Ok(());
    }
    Err(Problem::Digest {
        what: what.to_owned(),
        expected,
        found,
    })
}

/// Opens a regular file below `folder`. A link inside the folder is followed, one that leads out
/// of it is refused: who made the folder does not decide which files of this machine are read.
fn open_beneath(folder: &File, path: &str) -> Result<Option<File>, Problem> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let clean = super::path::clean(path)?;
    let file = match rustix::fs::openat2(folder, &clean, flags, Mode::empty(), resolve) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::XDEV) => return Err(Problem::Outside(clean)),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    if file.metadata()?.is_file() {
        return Ok(Some(file));
    }
    let problem = format!("\"{}\" is no regular file", clean.escape_debug());
    Err(Problem::Damaged(problem))
}

/// Where a blob lies in an OCI layout.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
