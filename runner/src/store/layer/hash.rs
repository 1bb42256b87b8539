//! The digest of a stream, computed beside the thread that reads it.

use std::io::{self, Sink, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use packer::Digest;
use packer::digest::DigestWriter;

/// What is hashed in place: to start a thread and to wake it again and again takes longer.
const SMALL: u64 = 1 << 20;

/// How many buffers wait for the thread; they are as large as what is written at once.
const QUEUE: usize = 4;

/// Hashes what is written to it, in a thread of its own once that is much.
#[derive(Debug)]
pub(super) struct Hash {
    worker: Worker,
    size: u64,
    /// How many bytes are hashed in place.
    here: u64,
}

#[derive(Debug)]
enum Worker {
    Here(DigestWriter<Sink>),
    Beside(Thread),
}

#[derive(Debug)]
struct Thread {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<DigestWriter<Sink>>,
}

impl Hash {
    pub(super) fn new() -> Self {
        Self {
            worker: Worker::Here(DigestWriter::new(io::sink())),
            size: 0,
            here: SMALL,
        }
    }

    /// Hashes what is still to come in place, however much that is.
    pub(super) fn stay_here(&mut self) {
        self.here = u64::MAX;
    }

    /// The digest of what was written, and its length in bytes.
    pub(super) fn finish(self) -> (Digest, u64) {
        let writer = match self.worker {
            Worker::Here(writer) => writer,
            Worker::Beside(thread) => thread.join(),
        };
        let (_, digest, _) = writer.finish();
        (digest, self.size)
    }
}

impl Thread {
    fn start(mut writer: DigestWriter<Sink>) -> io::Result<Self> {
        let (full, incoming) = sync_channel::<Vec<u8>>(QUEUE);
        let (outgoing, empty) = channel();
        let handle = std::thread::Builder::new().spawn(move || {
            for buffer in incoming {
                // A sink takes everything.
                let _ = writer.write_all(&buffer);
                // The other end may need no buffers any more.
                let _ = outgoing.send(buffer);
            }
            writer
        })?;
        Ok(Self {
            full,
            empty,
            handle,
        })
    }

    fn hash(&self, content: &[u8]) -> io::Result<()> {
        let mut buffer = self.empty.try_recv().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(content);
        let gone = |_| io::Error::other("the thread that computes a digest has ended");
        self.full.send(buffer).map_err(gone)
    }

    fn join(self) -> DigestWriter<Sink> {
        drop(self.full);
        match self.handle.join() {
            Ok(writer) => writer,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Write for Hash {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.size += content.len() as u64;
        match &mut self.worker {
            Worker::Beside(thread) => thread.hash(content)?,
            Worker::Here(writer) if self.size <= self.here => writer.write_all(content)?,
            Worker::Here(writer) => {
                let writer = std::mem::replace(writer, DigestWriter::new(io::sink()));
                let thread = Thread::start(writer)?;
                thread.hash(content)?;
                self.worker = Worker::Beside(thread);
            }
        }
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_same_here_and_beside() {
        for length in [0, 1, 1000, 128 << 10, 1 << 20, (1 << 20) + 1, 5_000_000] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            for step in [1 << 10, 77_777, 1 << 20] {
                let mut hash = Hash::new();
                for piece in content.chunks(step) {
                    hash.write_all(piece).unwrap();
                }
                assert_eq!(
                    hash.finish(),
                    (Digest::of(&content), content.len() as u64),
                    "{length} {step}"
                );
            }
        }
    }
}
