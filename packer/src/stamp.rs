//! What changes with a file: enough to tell, without reading it, that it is still what it was.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// In a second.
const NANOSECONDS: i64 = 1_000_000_000;

/// A file at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970, until 2262. The time of the last change of the inode, because nobody can
    /// set that: no file of another device has this and the inode's number in common with it.
    changed: i64,
}

impl Stamp {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self {
            inode: file.ino(),
            size: file.size(),
            changed: file
                .ctime()
                .saturating_mul(NANOSECONDS)
                .saturating_add(file.ctime_nsec()),
        }
    }

    /// The file's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether the file was last changed in a second before that of `time`. One that was changed
    /// shortly before it was looked at could change again without another stamp, because the kernel's
    /// clock for files ticks some hundred times a second.
    pub(crate) fn is_before(&self, time: SystemTime) -> bool {
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = u64::try_from(self.changed / NANOSECONDS);
        seconds.is_ok_and(|seconds| seconds < time.as_secs())
    }
}
