//! Fetching layers ahead of whoever reads them: several at once, each into a file without a name,
//! read while it grows. So transfers go on while a layer is decompressed and placed, and whoever
//! reads needs to know nothing of it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::repository::Repository;
use crate::digest::Digest;
use crate::image::Descriptor;

/// Layers that are fetched at once. A registry is seldom faster with more, and some count.
const MOST_AT_ONCE: usize = 4;

/// The layers that are fetched ahead.
#[derive(Debug)]
pub(super) struct Prefetch {
    temporary: PathBuf,
    spools: Mutex<BTreeMap<Digest, Arc<Spool>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// Nobody reads any more.
    given_up: Arc<AtomicBool>,
}

/// One layer on its way.
#[derive(Debug)]
struct Spool {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// There once the transfer has begun.
    file: Option<Arc<File>>,
    written: u64,
    end: Option<Result<(), String>>,
}

impl Prefetch {
    pub(super) fn new(temporary: &Path) -> Self {
        Self {
            temporary: temporary.to_owned(),
            spools: Mutex::default(),
            workers: Mutex::default(),
            given_up: Arc::default(),
        }
    }

    /// Begins to fetch layers in this order.
    pub(super) fn begin(&self, repository: &Arc<Repository>, layers: Vec<Descriptor>) {
        let mut queue = VecDeque::new();
        let mut spools = lock(&self.spools);
        for layer in layers {
            let spool = Arc::new(Spool {
                state: Mutex::default(),
                changed: Condvar::new(),
            });
            if spools.insert(layer.digest, Arc::clone(&spool)).is_none() {
                queue.push_back((layer, spool));
            }
        }
        let count = queue.len().min(MOST_AT_ONCE);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..count {
            let (repository, queue) = (Arc::clone(repository), Arc::clone(&queue));
            let (temporary, given_up) = (self.temporary.clone(), Arc::clone(&self.given_up));
            let work = move || {
                while !given_up.load(Ordering::Relaxed)
                    && let Some((layer, spool)) = { lock(&queue).pop_front() }
                {
                    spool.fill(&repository, &layer, &temporary, &given_up);
                }
            };
            lock(&self.workers).push(std::thread::spawn(work));
        }
    }

    /// The content of a layer that is being fetched; each only once.
    pub(super) fn take(&self, digest: &Digest) -> Option<Follower> {
        let spool = lock(&self.spools).remove(digest)?;
        Some(Follower { spool, position: 0 })
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        for worker in lock(&self.workers).drain(..) {
            // A worker that panicked has said so, and left nothing.
            let _ = worker.join();
        }
    }
}

impl Spool {
    fn fill(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        folder: &Path,
        given_up: &AtomicBool,
    ) {
        let filled = self.fetch(repository, layer, folder, given_up);
        let mut state = lock(&self.state);
        state.end = Some(filled.map_err(|error| error.to_string()));
        self.changed.notify_all();
    }

    fn fetch(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        folder: &Path,
        given_up: &AtomicBool,
    ) -> io::Result<()> {
        let file = Arc::new(tempfile::tempfile_in(folder)?);
        lock(&self.state).file = Some(Arc::clone(&file));
        let (mut download, mut written) = (repository.download(layer)?, 0);
        while let Some(piece) = download.next()? {
            if given_up.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            file.write_all_at(&piece, written)?;
            written += piece.len() as u64;
            lock(&self.state).written = written;
            self.changed.notify_all();
        }
        Ok(())
    }
}

/// Reads a layer behind the one who writes it. Its end is the end of a layer that was checked.
#[derive(Debug)]
pub(super) struct Follower {
    spool: Arc<Spool>,
    position: u64,
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut state = lock(&self.spool.state);
        while state.written == self.position && state.end.is_none() {
            state = self
                .spool
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let ready = state.written - self.position;
        if ready == 0 {
            return match &state.end {
                Some(Err(reason)) => Err(io::Error::other(reason.clone())),
                _ => Ok(0),
            };
        }
        let file = state.file.clone().ok_or(io::ErrorKind::NotFound)?;
        drop(state);
        let most = usize::try_from(ready)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = file.read_at(&mut buffer[..most], self.position)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += count as u64;
        Ok(count)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
