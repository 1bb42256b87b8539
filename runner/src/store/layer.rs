//! Reading a layer once, for everything that is needed of it: the blob that is kept, its digest,
//! the digest of the uncompressed tar, and the tree.
//!
//! Reading and uncompressing happen in the caller's thread, placing files in one beside it; a few
//! buffers of fixed size travel between them, so memory stays bounded for any layer. The digest of a
//! compressed layer's tar is computed where there is less to do, in the placing thread, and that of
//! a large blob in a thread of its own.

use std::fs::File;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use packer::Digest;
use packer::digest::DigestWriter;
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
    /// Whether what is kept is the tar itself, so that one digest does for both.
    is_tar: bool,
    /// Whether the bytes could be read but not kept.
    full: bool,
    observe: &'a mut dyn FnMut(u64),
}

/// What was read of a layer.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The digest of the blob that was kept, if one was and it was read to its end.
    pub(super) blob: Option<Digest>,
    /// The layer's tar, if it was one.
    pub(super) tar: Result<Contents, Stopped>,
}

/// What a layer's tar turned out to be.
#[derive(Debug)]
pub(super) struct Contents {
    /// The digest of the uncompressed tar, unless the placing thread tells it.
    pub(super) diff_id: Option<Digest>,
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
            is_tar: false,
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
        let blob = kept.map(|(_, hash)| hash.finish().0);
        let full = self.full;
        let tar = tar.and_then(|contents| {
            drained?;
            Ok(Contents {
                diff_id: if self.is_tar { blob } else { contents.diff_id },
                ..contents
            })
        });
        let tar = tar.map_err(|stopped| match stopped {
            Stopped::Reading(error) if full => Stopped::Keeping(error),
            stopped => stopped,
        });
        Outcome { blob, tar }
    }

    fn read_tar(&mut self, mut placing: Option<&mut Placing>) -> Result<Contents, Stopped> {
        let mut start = [0; 6];
        let length = fill(self, &mut start)?;
        self.is_tar = self.keep.is_some() && Encoding::of(&start[..length]) == Encoding::Plain;
        let is_hashed = self.is_tar;
        let whole = Cursor::new(start).take(length as u64).chain(self);
        let mut tar = decompress(Box::new(whole))?;
        let mut hash = (placing.is_none() && !is_hashed).then(new_hash);
        if let Some(placing) = &mut placing {
            placing.send(Message::Layer { hash: !is_hashed })?;
        }
        let mut size = 0;
        let mut spare = None;
        loop {
            let used = match &mut placing {
                Some(placing) => placing.empty.try_recv().ok(),
                None => spare.take(),
            };
            let mut piece = used.unwrap_or_else(Piece::new);
            piece.length = fill(&mut tar, &mut piece.buffer)?;
            if piece.length == 0 {
                break;
            }
            size += piece.length as u64;
            if let Some(hash) = &mut hash {
                hash.write_all(piece.content())?;
            }
            match &mut placing {
                Some(placing) => placing.send(Message::Tar(piece))?,
                None => spare = Some(piece),
            }
        }
        if let Some(placing) = placing {
            placing.send(Message::EndOfLayer)?;
        }
        let diff_id = hash.map(digest);
        Ok(Contents { diff_id, size })
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

/// The digest of a tar, computed in place.
type TarHash = DigestWriter<io::Sink>;

fn new_hash() -> TarHash {
    DigestWriter::new(io::sink())
}

fn digest(hash: TarHash) -> Digest {
    let (_, digest, _) = hash.finish();
    digest
}

/// What travels to the placing thread.
enum Message {
    /// A layer begins; whether the digest of its tar is not known otherwise.
    Layer {
        hash: bool,
    },
    Tar(Piece),
    EndOfLayer,
}

/// A part of a layer's tar, in a buffer that is used again and again. Its length does not change:
/// what it grew by would have to be written first.
struct Piece {
    buffer: Box<[u8]>,
    /// How much of the buffer is filled, in bytes.
    length: usize,
}

impl Piece {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            length: 0,
        }
    }

    fn content(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// The near end of the placing thread.
pub(super) struct Placing {
    full: SyncSender<Message>,
    empty: Receiver<Piece>,
}

impl Placing {
    fn send(&mut self, message: Message) -> Result<(), Stopped> {
        self.full.send(message).map_err(|_| Stopped::Placing)
    }
}

/// What was placed.
#[derive(Debug)]
pub(super) struct Placed {
    /// How many entries were.
    pub(super) entries: u64,
    /// The digest of each layer's tar, where it was computed here.
    pub(super) diff_ids: Vec<Option<Digest>>,
}

/// Runs `feed`, which reads layers and hands them to a thread that places them below `root`.
/// Returns what both said: the thread tells what it placed, or the number of the layer that could
/// not be.
pub(super) fn place<T>(
    root: OwnedFd,
    owners: Owners,
    layers: usize,
    feed: impl FnOnce(&mut Placing) -> T,
) -> (T, Result<Placed, (usize, LayerError)>) {
    let (full, incoming) = sync_channel(QUEUE);
    let (outgoing, empty) = channel();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let mut tree = Tree::new(root, owners).map_err(|error| (0, error))?;
            let mut diff_ids = Vec::with_capacity(layers);
            for layer in 0..layers {
                let mut tar = Tar::new(&incoming, &outgoing);
                tree.place_layer(&mut tar).map_err(|error| (layer, error))?;
                diff_ids.push(tar.hash.map(digest));
            }
            let entries = tree.finish().map_err(|error| (layers, error))?;
            Ok(Placed { entries, diff_ids })
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
    outgoing: &'a Sender<Piece>,
    hash: Option<TarHash>,
    piece: Option<Piece>,
    /// How much of the piece is read, in bytes.
    read: usize,
    ended: bool,
}

impl<'a> Tar<'a> {
    fn new(incoming: &'a Receiver<Message>, outgoing: &'a Sender<Piece>) -> Self {
        Self {
            incoming,
            outgoing,
            hash: None,
            piece: None,
            read: 0,
            ended: false,
        }
    }

    /// What of the piece is not read yet.
    fn rest(&self) -> &[u8] {
        match &self.piece {
            Some(piece) => &piece.content()[self.read..],
            None => &[],
        }
    }

    /// Waits for the next piece.
    fn receive(&mut self) -> io::Result<()> {
        match self.incoming.recv() {
            Ok(Message::Layer { hash }) => self.hash = hash.then(new_hash),
            Ok(Message::Tar(piece)) => {
                if let Some(hash) = &mut self.hash {
                    hash.write_all(piece.content())?;
                }
                self.piece = Some(piece);
            }
            // Gone without an end: reading failed, and what it says is what counts.
            Ok(Message::EndOfLayer) | Err(_) => self.ended = true,
        }
        Ok(())
    }
}

impl BufRead for Tar<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.rest().is_empty() && !self.ended {
            if let Some(piece) = self.piece.take() {
                self.read = 0;
                // The near end may be gone; it needs no buffers then.
                let _ = self.outgoing.send(piece);
            }
            self.receive()?;
        }
        Ok(self.rest())
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
