//! The holder's mailbox: a FIFO in the run root, which is open to its user alone. Who has moved a
//! container's folder out of sight leaves its path here and goes on; the holder, which is root over
//! every id that a file in it may have, removes it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mknodat};

use super::super::rest;
use super::spare::Shelf;

/// The name of a folder whose folders may be removed by anybody who finds them.
pub const TRASH: &str = "container-trash";

/// The FIFO's name.
const NAME: &str = "holder.mailbox";

/// A message of this length is written whole or not at all (pipe(7), `PIPE_BUF`).
const LONGEST: usize = 4096;

/// The holder's end.
#[derive(Debug)]
pub(super) struct Mailbox {
    fifo: File,
    /// The beginning of a message.
    pending: Vec<u8>,
}

impl Mailbox {
    /// Opens it, and makes it if it is not there.
    pub(super) fn open(runroot: &Path) -> io::Result<Self> {
        let path = runroot.join(NAME);
        match mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // Also for writing: it never ends, although every writer goes.
        let fifo = open(&path, OFlags::RDWR)?;
        let pending = Vec::new();
        Ok(Self { fifo, pending })
    }

    /// Does what is asked for, for as long as `time`; and `after` something was removed from a folder of
    /// trash, that. What comes to the `shelf` meanwhile is cleared first.
    pub(super) fn serve(&mut self, time: Duration, shelf: Option<&Shelf>, after: impl Fn(&Path)) {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let limit = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let watch = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
            let watched = std::iter::once(self.fifo.as_fd()).chain(shelf.map(Shelf::back));
            let mut watched: Vec<_> = watched.map(watch).collect();
            match rest::wait(&mut watched, Some(&limit)) {
                Ok(0) => return,
                Ok(_) => {
                    shelf.iter().for_each(|shelf| shelf.clear());
                    if let Some(trash) = self.read() {
                        after(&trash);
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Reads what there is and does it. Where the last folder lay that was removed.
    fn read(&mut self) -> Option<PathBuf> {
        let mut trash = None;
        let mut buffer = [0; LONGEST];
        let count = rustix::io::read(&self.fifo, &mut buffer).unwrap_or(0);
        self.pending.extend_from_slice(&buffer[..count]);
        while let Some(end) = self.pending.iter().position(|&byte| byte == 0) {
            let message: Vec<u8> = self.pending.drain(..=end).collect();
            let folder = Path::new(OsStr::from_bytes(&message[..end]));
            if is_trash(folder) {
                // What stays is found by the next command that looks.
                let _ = fs::remove_dir_all(folder);
                trash = folder.parent().map(Path::to_owned);
            }
        }
        trash
    }
}

/// Has the holder remove `folder`, which lies in one called [`TRASH`], while the caller goes on.
/// `false` if there is no holder, or if it has too much to do.
#[must_use]
pub fn ask_to_remove(runroot: &Path, folder: &Path) -> bool {
    let mut message = folder.as_os_str().as_bytes().to_vec();
    message.push(0);
    // Fails if nobody reads.
    let fifo = open(&runroot.join(NAME), OFlags::WRONLY);
    is_trash(folder)
        && message.len() <= LONGEST
        && fifo.is_ok_and(|fifo| rustix::io::write(&fifo, &message) == Ok(message.len()))
}

fn open(path: &Path, mode: OFlags) -> io::Result<File> {
    let flags = mode | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::Fifo => Ok(file.into()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Whether `folder` is one that nobody misses: a mistake in a message removes nothing else.
fn is_trash(folder: &Path) -> bool {
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    folder.is_absolute()
        && folder.components().all(is_plain)
        && folder.parent().and_then(Path::file_name) == Some(OsStr::new(TRASH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_removed_and_nothing_but_trash() {
        let folder = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.join("upper/deep")).unwrap();
            path
        };
        let (trash, other) = (make("container-trash/a"), make("containers/b"));
        assert!(!ask_to_remove(folder.path(), &trash));
        let mut mailbox = Mailbox::open(folder.path()).unwrap();
        assert!(ask_to_remove(folder.path(), &trash));
        assert!(!ask_to_remove(folder.path(), &other));
        assert!(!is_trash(&trash.join("../../containers/b")));
        assert!(!is_trash(Path::new("container-trash/a")));
        mailbox.serve(Duration::from_millis(20), None, |_| {});
        assert!(!trash.exists() && other.exists());
    }
}
