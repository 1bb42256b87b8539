//! The caller's own standard output or error, written without ever waiting for whoever reads it.
//!
//! A reader may stop reading (`| less`) or go away (`| head`). While it stops, signals and the end of
//! the container still have to be seen; so what it does not take waits here, and nothing more is
//! read from the container until it has gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::container::log::Stream;

/// A pipe that is ready takes at least this much without blocking (pipe(7), `PIPE_BUF`).
const PIECE: usize = 4096;

/// What a regular file, which never blocks, gets at once.
const WHOLE: usize = 1 << 20;

/// One of the caller's two streams.
#[derive(Debug)]
pub(super) struct Sink {
    stream: Stream,
    piece: usize,
    pending: Vec<u8>,
}

impl Sink {
    pub(super) fn new(stream: Stream) -> Self {
        let is_file = |fd: BorrowedFd<'_>| {
            fstat(fd)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
        };
        let piece = with_descriptor(stream, |fd| if is_file(fd) { WHOLE } else { PIECE });
        Self {
            stream,
            piece,
            pending: Vec::new(),
        }
    }

    pub(super) fn stream(&self) -> Stream {
        self.stream
    }

    /// Whether the reader has not taken everything.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes `data`, as far as the reader takes it now.
    ///
    /// # Errors
    /// When nobody reads any more, or when the disk is full.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(data);
        self.flush()
    }

    /// Writes what waits, as far as the reader takes it now.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.write_while(Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }))
    }

    /// Writes what waits and waits for the reader.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_while(None)
    }

    fn write_while(&mut self, patience: Option<&Timespec>) -> io::Result<()> {
        let (pending, piece) = (&self.pending, self.piece);
        let mut written = 0;
        let result = with_descriptor(self.stream, |fd| {
            while written < pending.len() {
                match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], patience) {
                    Ok(0) => break,
                    Err(Errno::INTR) => continue,
                    Ok(_) | Err(_) => {}
                }
                let end = pending.len().min(written + piece);
                match rustix::io::write(fd, &pending[written..end]) {
                    Ok(count) => written += count,
                    Err(Errno::INTR) => {}
                    // Another process that shares the stream made it non-blocking and was faster.
                    Err(Errno::AGAIN) if patience.is_some() => break,
                    Err(Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        });
        self.pending.drain(..written);
        result
    }
}

/// The descriptor that this stream has in every process.
pub(super) fn with_descriptor<T>(stream: Stream, work: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
    match stream {
        Stream::Stdout => work(io::stdout().as_fd()),
        Stream::Stderr => work(io::stderr().as_fd()),
    }
}
