//! The folder of one container: what it is, what became of it, and the lock of who has it in hand.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{At, ContainerError};
use crate::container::record::Record;
use crate::container::state::{Exit, State, Status, UNSEEN};

/// How long a monitor may take to write down how its container ended.
const SETTLE: Duration = Duration::from_secs(1);

/// How often a lock that somebody has is tried again.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The file that says that a container has a copy of the image's files.
const COPIED: &str = "copied";

/// One container.
#[derive(Debug, Clone)]
pub struct Container {
    /// What it is.
    pub record: Record,
    pub(super) folder: PathBuf,
}

impl Container {
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join("config.json")).ok()?;
        Some(Self {
            record: serde_json::from_slice(&text).ok()?,
            folder: folder.to_owned(),
        })
    }

    /// The container's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether its files are a copy of the image's, and no overlay over them.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.folder.join(COPIED).exists()
    }

    /// Lets its files be a copy of the image's, from its next start on.
    ///
    /// # Errors
    /// When that can not be written down.
    pub fn copy_image(&self) -> Result<(), ContainerError> {
        let path = self.folder.join(COPIED);
        fs::File::create(&path).map(drop).at("write", &path)
    }

    /// The file with what the program printed.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("ctr.log")
    }

    /// Writes anew what it is.
    ///
    /// # Errors
    /// When the disk is full; the old record is still there then.
    pub(in crate::container) fn write_record(&self) -> Result<(), ContainerError> {
        write_json(&self.folder.join("config.json"), &self.record)
    }

    /// What became of it, as its monitor wrote it down; `None` before its first start.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        let text = fs::read(self.folder.join("state.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What can be said of it now.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state();
        let is_unseen = state
            .as_ref()
            .is_some_and(|state| state.exit.is_none() && state.process.open().is_none());
        if is_unseen && let Ok(watched) = self.watch() {
            // It has just ended and its monitor is writing down how, or the monitor was killed.
            return match Self::settle(&watched) {
                Ok(exit) => Status::Exited(exit.unwrap_or(UNSEEN)),
                Err(_) => Status::of(self.state().as_ref()),
            };
        }
        Status::of(state.as_ref())
    }

    /// Whether it was to be removed at its end and whoever was to do that may be dead. Nobody is waited
    /// for here: of many that look after each other at once, each would wait for all the others.
    pub(super) fn is_left_over(&self) -> bool {
        let never_began = || {
            let creator = self.record.creator;
            creator.is_some_and(|creator| creator.open().is_none())
        };
        self.record.remove
            && match Status::of(self.state().as_ref()) {
                Status::Running(_) => false,
                // Who still has the lock will remove it.
                Status::Exited(_) => true,
                Status::Created => never_began(),
            }
    }

    /// Writes down what became of it.
    ///
    /// # Errors
    /// When the disk is full; the old state is still there then.
    pub fn write_state(&self, state: &State) -> Result<(), ContainerError> {
        write_json(&self.folder.join("state.json"), state)
    }

    /// Takes out of the locked file how it ended before, if it did.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn forget_end(lock: &File) -> io::Result<()> {
        empty(lock)
    }

    /// Writes down how it ended: also into the file that the monitor keeps locked, where whoever
    /// waits finds it even if the container is removed at its end.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write_end(&self, lock: &File, state: &State) -> Result<(), ContainerError> {
        let path = self.folder.join("lock");
        serde_json::to_vec(&state.exit)
            .map_err(io::Error::other)
            .and_then(|text| {
                Self::forget_end(lock)?;
                lock.write_all_at(&text, 0)
            })
            .at("write", &path)?;
        if self.record.remove {
            // It is about to go, and until then the lock file says enough.
            return Ok(());
        }
        self.write_state(state)
    }

    /// Opens what [`settle`](Self::settle) needs; to be called while the container is still there.
    ///
    /// # Errors
    /// `NotFound` when it has been removed.
    pub fn watch(&self) -> io::Result<File> {
        File::open(self.folder.join("lock"))
    }

    /// Waits until the monitor of a container whose process has ended is done with it, and says
    /// how it ended; `None` if the monitor was killed before it could say so.
    ///
    /// # Errors
    /// `TimedOut` when the monitor does not go on, because it was stopped for instance.
    pub fn settle(watched: &File) -> io::Result<Option<Exit>> {
        lock_within(watched, FlockOperation::NonBlockingLockShared, SETTLE)?;
        let mut text = Vec::new();
        let mut reader = watched;
        reader.read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text).ok().flatten())
    }

    /// Locks it; the lock lasts until the file is closed. The monitor has the exclusive one.
    ///
    /// # Errors
    /// `WouldBlock` for an operation that does not wait.
    pub fn lock(&self, operation: FlockOperation) -> io::Result<File> {
        let lock = self.open_lock()?;
        rustix::io::retry_on_intr(|| flock(&lock, operation))?;
        Ok(lock)
    }

    /// Locks it for this process alone, and waits for that for a moment: its monitor may just be
    /// writing down how it ended.
    ///
    /// # Errors
    /// `TimedOut` when it runs, or when its monitor was stopped; `NotFound` when it was removed.
    pub fn lock_soon(&self) -> io::Result<File> {
        let lock = self.open_lock()?;
        lock_within(&lock, FlockOperation::NonBlockingLockExclusive, SETTLE)?;
        Ok(lock)
    }

    fn open_lock(&self) -> io::Result<File> {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join("lock"))
    }
}

/// Tries `operation`, which does not wait, until it succeeds.
fn lock_within(lock: &File, operation: FlockOperation, limit: Duration) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match rustix::io::retry_on_intr(|| flock(lock, operation)) {
            Err(Errno::WOULDBLOCK) if start.elapsed() < limit => std::thread::sleep(LOOK_EVERY),
            Err(Errno::WOULDBLOCK) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
            other => return Ok(other?),
        }
    }
}

/// Writes a file so that a reader sees the old content or the new one.
pub(super) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), ContainerError> {
    let new = path.with_extension("new");
    write_unseen(&new, value)?;
    fs::rename(&new, path).at("write", path)
}

/// Writes a file that nobody can see yet.
pub(super) fn write_unseen(
    path: &Path,
    value: &impl serde::Serialize,
) -> Result<(), ContainerError> {
    let write = |text: Vec<u8>| {
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false);
        let file = file.open(path)?;
        empty(&file)?;
        file.write_all_at(&text, 0)
    };
    let text = serde_json::to_vec(value).map_err(io::Error::other);
    text.and_then(write).at("write", path)
}

/// Cuts a file if there is something in it. ext4 takes the cutting of an empty one, too, as a sign that new
/// content is about to take the place of the old, which it brings to disk when the file is closed.
fn empty(file: &File) -> io::Result<()> {
    match file.metadata()?.len() {
        0 => Ok(()),
        _ => file.set_len(0),
    }
}
