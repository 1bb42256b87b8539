//! Reading a layer once, for everything that is needed of it: the blob that is kept, its digest,
//! the digest of the uncompressed tar, and the tree.
//!
//! Reading and uncompressing happen in the caller's thread, hashing and placing files each in one
//! beside it; a few buffers of fixed size travel between them, so memory stays bounded for any
//! layer.

use std::fs::File;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use packer::Digest;
use packer::layer::{Encoding, decompress};

mod hash;

use super::tree::{LayerError, Owners, Tree};
use hash::Hash;

const BUFFER: usize = 256 << 10;
/// How many full buffers wait for the placing thread.
const QUEUE: usize = 8;

/// Where a layer's bytes come from, and what else happens to them on their way.
pub(super) struct Blob<'a> {
    source: &'a mut dyn Read,
    /// Where the bytes are kept, if they are not yet.
    keep: Option<(&'a File, Hash)>,
    /// Whether the bytes could be read but not kept.
    full: bool,
    observe: &'a mut dyn FnMut(u64),
}

/// What was read of a layer.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Digest and length of the blob that was kept, if one was and it was read to its end.
    pub(super) blob: Option<(Digest, u64)>,
    /// The layer's tar, if it was one.
    pub(super) tar: Result<Contents, Stopped>,
}

/// What a layer's tar turned out to be.
#[derive(Debug)]
pub(super) struct Contents {
    /// The digest of the uncompressed tar.
    pub(super) diff_id: Digest,
    /// Its length in bytes.
    pub(super) size: u64,
}

/// Why a layer was not read to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The placing thread gave up; it knows why.
    Placing,
    /// The bytes could not be read.
    Reading(io::Error),
    /// The bytes could not be kept.
    Keeping(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Reading(error)
    }
}

impl<'a> Blob<'a> {
    pub(super) fn new(
        source: &'a mut dyn Read,
        keep: Option<&'a File>,
        observe: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self {
            source,
            keep: keep.map(|file| (file, Hash::new())),
            full: false,
            observe,
        }
    }

    /// Reads the layer to its end, also when its tar turns out to be broken: a wrong digest says
    /// more than what it leads to. `placing` gets the tar, if it is given.
    pub(super) fn read_layer(mut self, placing: Option<&mut Placing>) -> Outcome {
        let tar = self.read_tar(placing);
        // What follows the compressed stream belongs to the blob too.
        let drained = match self.full {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => io::copy(&mut self, &mut io::sink()),
        };
        let kept = self.keep.filter(|_| drained.is_ok());
        let blob = kept.map(|(_, hash)| hash.finish());
        let full = self.full;
        let tar = tar.and_then(|(hash, size)| {
            drained?;
            let diff_id = hash.or(blob.map(|(digest, _)| digest));
            let diff_id = diff_id.expect("what is not hashed as a tar is hashed as a blob");
            Ok(Contents { diff_id, size })
        });
        let tar = tar.map_err(|stopped| match stopped {
            Stopped::Reading(error) if full => Stopped::Keeping(error),
            stopped => stopped,
        });
        Outcome { blob, tar }
    }

    /// The digest of the tar, unless the blob is the tar and is hashed already, and its length.
    fn read_tar(
        &mut self,
        mut placing: Option<&mut Placing>,
    ) -> Result<(Option<Digest>, u64), Stopped> {
        let mut start = [0; 6];
        let length = fill(self, &mut start)?;
        let encoding = Encoding::of(&start[..length]);
        let hashed = encoding == Encoding::Plain && self.keep.is_some();
        let whole = Cursor::new(start).take(length as u64).chain(self);
        let mut tar = decompress(Box::new(whole))?;
        let mut hash = Hash::new();
        let mut size = 0;
        let mut spare = Vec::new();
        loop {
            let mut buffer = match &mut placing {
                Some(placing) => placing.empty.try_recv().unwrap_or_default(),
                None => std::mem::take(&mut spare),
            };
            buffer.resize(BUFFER, 0);
            let length = fill(&mut tar, &mut buffer)?;
            if length == 0 {
                break;
            }
            buffer.truncate(length);
            size += length as u64;
            if !hashed {
                hash.write_all(&buffer)?;
            }
            match &mut placing {
                Some(placing) => placing.send(Message::Tar(buffer))?,
                None => spare = buffer,
            }
        }
        if let Some(placing) = placing {
            placing.send(Message::EndOfLayer)?;
        }
        Ok(((!hashed).then(|| hash.finish().0), size))
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        if let Some((file, hash)) = &mut self.keep {
            let kept = file.write_all(&buffer[..length]);
            self.full = kept.is_err();
            kept?;
            hash.write_all(&buffer[..length])?;
        }
        (self.observe)(length as u64);
        Ok(length)
    }
}

/// Reads until `buffer` is full or the source ends.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What travels to the placing thread.
enum Message {
    Tar(Vec<u8>),
    EndOfLayer,
}

/// The near end of the placing thread.
pub(super) struct Placing {
    full: SyncSender<Message>,
    empty: Receiver<Vec<u8>>,
}

impl Placing {
    fn send(&mut self, message: Message) -> Result<(), Stopped> {
        self.full.send(message).map_err(|_| Stopped::Placing)
    }
}

/// Runs `feed`, which reads layers and hands them to a thread that places them below `root`.
/// Returns what both said: the thread gives the number of entries that it placed, or the number of
/// the layer that could not be.
pub(super) fn place<T>(
    root: OwnedFd,
    owners: Owners,
    layers: usize,
    feed: impl FnOnce(&mut Placing) -> T,
) -> (T, Result<u64, (usize, LayerError)>) {
    let (full, incoming) = sync_channel(QUEUE);
    let (outgoing, empty) = channel();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let mut tree = Tree::new(root, owners).map_err(|error| (0, error))?;
            for layer in 0..layers {
                tree.place_layer(&mut Tar::new(&incoming, &outgoing))
                    .map_err(|error| (layer, error))?;
            }
            tree.finish().map_err(|error| (layers, error))
        });
        let mut placing = Placing { full, empty };
        let fed = feed(&mut placing);
        drop(placing);
        let placed = match thread.join() {
            Ok(placed) => placed,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        (fed, placed)
    })
}

/// One layer's tar as the placing thread reads it.
struct Tar<'a> {
    incoming: &'a Receiver<Message>,
    outgoing: &'a Sender<Vec<u8>>,
    buffer: Vec<u8>,
    read: usize,
    ended: bool,
}

impl<'a> Tar<'a> {
    fn new(incoming: &'a Receiver<Message>, outgoing: &'a Sender<Vec<u8>>) -> Self {
        Self {
            incoming,
            outgoing,
            buffer: Vec::new(),
            read: 0,
            ended: false,
        }
    }
}

impl BufRead for Tar<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read == self.buffer.len() && !self.ended {
            // The near end may be gone; it needs no buffers then.
            let _ = self.outgoing.send(std::mem::take(&mut self.buffer));
            self.read = 0;
            match self.incoming.recv() {
                Ok(Message::Tar(buffer)) => self.buffer = buffer,
                // Gone without an end: reading failed, and what it says is what counts.
                Ok(Message::EndOfLayer) | Err(_) => self.ended = true,
            }
        }
        Ok(&self.buffer[self.read..])
    }

    fn consume(&mut self, length: usize) {
        self.read += length;
    }
}

impl Read for Tar<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
