//! Reading a layer once, for everything that is needed of it: the blob that is kept, its digest,
//! the digest of the uncompressed tar, and the tree.
//!
//! Reading and uncompressing happen in the caller's thread, placing files in one beside it; a few
//! buffers of fixed size travel between them, so memory stays bounded for any layer. What else there
//! is to do happens where there is less: the digest of a compressed layer's tar is computed in the
//! placing thread, and a layer that is not compressed is kept there. The digest of a large compressed
//! blob is computed in a thread of its own.

use std::fs::File;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use packer::Digest;
use packer::digest::DigestWriter;
use packer::layer::{Encoding, decompress};

mod hash;

use super::sync;
use super::tree::{LayerError, Owners, Tree};
use hash::Hash;

const BUFFER: usize = 128 << 10;
/// How many full buffers wait for the placing thread.
const QUEUE: usize = 16;

/// Where a layer's bytes come from, and what else happens to them on their way.
pub(super) struct Blob<'a> {
    source: &'a mut dyn Read,
    /// Where the bytes are to be kept, if they are not yet and the placing thread does not do it.
    keep: Option<&'a File>,
    /// How many bytes were kept here.
    kept: u64,
    /// The digest of what is kept.
    hash: Option<Hash>,
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
            keep,
            kept: 0,
            hash: keep.map(|_| Hash::new()),
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
        let hash = self.hash.filter(|_| drained.is_ok());
        let blob = hash.map(|hash| hash.finish().0);
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
        self.is_tar = self.hash.is_some() && Encoding::of(&start[..length]) == Encoding::Plain;
        let is_hashed = self.is_tar;
        if let Some(placing) = &mut placing {
            let keep = self.leave_keeping().map_err(Stopped::Keeping)?;
            placing.send(Message::Layer {
                hash: !is_hashed,
                keep,
            })?;
        }
        let whole = Cursor::new(start).take(length as u64).chain(self);
        let mut tar = decompress(Box::new(whole))?;
        let mut hash = (placing.is_none() && !is_hashed).then(new_hash);
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

    /// The file that the placing thread is to keep the tar in, if it gets the very bytes of the blob.
    /// Two threads have about as much to do then, and none passes on what it has hashed.
    fn leave_keeping(&mut self) -> io::Result<Option<File>> {
        match (self.is_tar, &mut self.hash) {
            (true, Some(hash)) => hash.stay_here(),
            _ => return Ok(None),
        }
        self.keep.take().map(File::try_clone).transpose()
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        if let Some(file) = &mut self.keep {
            let kept = file.write_all(&buffer[..length]);
            self.full = kept.is_err();
            kept?;
            sync::start(file, self.kept, length as u64);
            self.kept += length as u64;
        }
        if let Some(hash) = &mut self.hash {
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
    /// A layer begins.
    Layer {
        /// Whether the digest of its tar is not known otherwise.
        hash: bool,
        /// Where the tar is kept too.
        keep: Option<File>,
    },
    Tar(Piece),
    EndOfLayer,
    /// Everything before this is to be done, and then the other end closed.
    Pause(Sender<()>),
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

    /// Waits until every layer that was read is kept in whole. If one can not be, the thread has ended,
    /// which shows when more is sent to it.
    pub(super) fn settle(&mut self) {
        let (done, wait) = channel();
        if self.send(Message::Pause(done)).is_ok() {
            let _ = wait.recv();
        }
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
                let placed = tree.place_layer(&mut tar);
                match tar.unkept {
                    Some(error) => return Err((layer, LayerError::Keep(error))),
                    None => placed.map_err(|error| (layer, error))?,
                }
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
    /// Where it is kept, and how many bytes of it are.
    keep: Option<(File, u64)>,
    /// Why it could not be kept.
    unkept: Option<io::Error>,
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
            keep: None,
            unkept: None,
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

    fn keep(&mut self, piece: &Piece) -> io::Result<()> {
        let Some((file, kept)) = &mut self.keep else {
            return Ok(());
        };
        // From the beginning, of which the reader has written some bytes: whole pages are faster.
        if let Err(error) = file.write_all_at(piece.content(), *kept) {
            self.unkept = Some(error);
            return Err(io::ErrorKind::StorageFull.into());
        }
        sync::start(file, *kept, piece.length as u64);
        *kept += piece.length as u64;
        Ok(())
    }

    /// Waits for the next piece.
    fn receive(&mut self) -> io::Result<()> {
        match self.incoming.recv() {
            Ok(Message::Layer { hash, keep }) => {
                self.hash = hash.then(new_hash);
                self.keep = keep.map(|file| (file, 0));
            }
            Ok(Message::Tar(piece)) => {
                if let Some(hash) = &mut self.hash {
                    hash.write_all(piece.content())?;
                }
                self.keep(&piece)?;
                self.piece = Some(piece);
            }
            Ok(Message::Pause(done)) => drop(done),
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
