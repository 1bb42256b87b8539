//! The byte stream of one connection: one receive and one send a request.
//!
//! hyper flushes after each answer. [`Io`] collects instead, and [`Link::poll_send`], which the
//! connection calls at the end of each of its turns, sends everything at once: sixteen pipelined
//! requests cost one receive and one send. What repeats the exchange before is answered from
//! [`Memory`] without hyper, whose state is many times as large as what a [`Link`] touches: with
//! hundreds of connections it is no longer in the nearest caches when a request comes.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::memory::{self, Memory};
use crate::reaper::{Entry, Phase};

/// The most that one receive takes.
const RECEIVE: usize = 16 * 1024;

/// How much is collected before hyper is asked to wait until the client has read some of it.
const COLLECT: usize = 16 * 1024;

thread_local! {
    /// What was received is copied from here into hyper's buffer: a copy of some hundred bytes
    /// costs less than to tell, without `unsafe`, which part of hyper's buffer is initialized.
    static SCRATCH: RefCell<[u8; RECEIVE]> = const { RefCell::new([0; RECEIVE]) };
}

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Stream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Nearly always the kernel takes it at once, and nobody has to be noted for a wake-up.
        let tried = match self {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
        };
        match (tried, self) {
            (Err(error), Stream::Tcp(stream)) if error.kind() == io::ErrorKind::WouldBlock => {
                Pin::new(stream).poll_write(cx, bytes)
            }
            (Err(error), Stream::Unix(stream)) if error.kind() == io::ErrorKind::WouldBlock => {
                Pin::new(stream).poll_write(cx, bytes)
            }
            (tried, _) => Poll::Ready(tried),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A connection's socket, what is still to be sent over it, its memory and its clock.
#[derive(Debug)]
pub struct Link {
    stream: RefCell<Stream>,
    memory: RefCell<Memory>,
    unsent: RefCell<Vec<u8>>,
    /// What was received and hyper has not been given yet.
    received: RefCell<Vec<u8>>,
    /// Where in `unsent` the last answer of hyper's begins. Not `usize`, which would make an idle
    /// connection larger.
    last: Cell<u32>,
    /// Whether there is an answer that hyper has not written yet.
    owes: Cell<bool>,
    entry: Entry,
}

impl Link {
    /// Wraps a connected socket.
    pub(crate) fn new(stream: Stream, entry: Entry, memory: Memory) -> Link {
        Link {
            stream: RefCell::new(stream),
            memory: RefCell::new(memory),
            unsent: RefCell::default(),
            received: RefCell::default(),
            last: Cell::new(0),
            owes: Cell::new(false),
            entry,
        }
    }

    /// The entry among the reaper's clocks.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Notes that there is an answer, which hyper will write.
    pub(crate) fn owe(&self) {
        self.owes.set(true);
    }

    /// Whether every answer has been handed to the kernel.
    pub fn is_sent(&self) -> bool {
        self.unsent.borrow().is_empty()
    }

    /// Waits until there is something to receive, or the client has closed.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow().poll_readable(cx)
    }

    /// Queues bytes to be sent.
    pub fn queue(&self, bytes: &[u8]) {
        self.unsent.borrow_mut().extend_from_slice(bytes);
    }

    /// Puts another answer in the place of the last one, which must not have been sent.
    pub(crate) fn replace_last(&self, bytes: &[u8]) {
        self.unsent.borrow_mut().truncate(self.last.get() as usize);
        self.queue(bytes);
    }

    /// Sends what was queued.
    pub fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            match self.stream.borrow_mut().poll_write(cx, &unsent) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) if sent == unsent.len() => unsent.clear(),
                Poll::Ready(Ok(sent)) => drop(unsent.drain(..sent)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.entry.clock.set_blocked(true, self.entry.now());
                    return Poll::Pending;
                }
            }
        }
        self.entry.clock.set_blocked(false, self.entry.now());
        Poll::Ready(Ok(()))
    }

    /// Sends all that was collected, if it is much.
    fn poll_collected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.borrow().len() < COLLECT {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx)
    }

    /// Answers what repeats the exchange before. Ready when something else came, or nothing is
    /// remembered: that is for hyper.
    #[inline]
    pub(crate) fn poll_repeats(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.memory.borrow().is_known(self.entry.now()) && !self.has_received() {
            return self.answer_repeats(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn answer_repeats(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                ready!(self.poll_collected(cx))?;
                let mut buffer = ReadBuf::new(&mut scratch[..memory::LONGEST]);
                ready!(self.stream.borrow_mut().poll_read(cx, &mut buffer))?;
                let came = buffer.filled();
                let rest = self.answer_known(cx, came)?;
                if !rest.is_empty() || came.is_empty() {
                    self.received.borrow_mut().extend_from_slice(rest);
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }

    /// Answers what is remembered, and returns the rest.
    fn answer_known<'a>(
        &self,
        cx: &mut Context<'_>,
        mut received: &'a [u8],
    ) -> io::Result<&'a [u8]> {
        let now = self.entry.now();
        let mut memory = self.memory.borrow_mut();
        while let Some((asked, answer)) = memory.recall(received, now) {
            received = &received[asked..];
            if received.is_empty() {
                self.send(cx, answer)?;
            } else {
                self.queue(answer);
            }
            self.entry.clock.begin(Phase::Idle, now);
        }
        Ok(received)
    }

    /// Sends bytes from where they are, and queues only what the kernel does not take.
    fn send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        if self.is_sent() {
            match self.stream.borrow_mut().poll_write(cx, bytes) {
                Poll::Ready(result) => sent = result?,
                Poll::Pending => {}
            }
        }
        if sent < bytes.len() {
            self.queue(&bytes[sent..]);
        }
        Ok(())
    }

    /// Whether there is something that hyper has not been given yet.
    pub(crate) fn has_received(&self) -> bool {
        !self.received.borrow().is_empty()
    }

    /// Takes back what hyper was given and has not used.
    pub(crate) fn put_back(&self, unused: &[u8]) {
        self.received
            .borrow_mut()
            .splice(..0, unused.iter().copied());
    }

    /// Gives the buffers back.
    pub fn release(&self) {
        self.unsent.take();
        self.received.take();
        self.memory.borrow_mut().forget();
    }

    /// Tells the client that nothing more will be sent.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.stream.borrow_mut().poll_shutdown(cx)
    }

    /// Receives and forgets until the client closes. To close a socket while unread bytes are in
    /// it makes the kernel send a reset, which can take the last answer from the client's hands.
    pub fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                let mut buffer = ReadBuf::new(scratch);
                let result = ready!(self.stream.borrow_mut().poll_read(cx, &mut buffer));
                if result.is_err() || buffer.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        })
    }
}

/// A connection as hyper reads and writes it.
#[derive(Debug)]
pub struct Io {
    link: Rc<Link>,
    /// Whether what hyper was given ended where a request may end. If not, it may keep a part.
    is_whole: bool,
}

impl Io {
    /// A connection of which hyper has seen nothing.
    pub(crate) fn new(link: Rc<Link>) -> Io {
        Io {
            link,
            is_whole: true,
        }
    }

    /// Whether every byte that came has been answered, now that hyper asks for more. It may ask
    /// before it writes an answer that it has.
    fn is_at_rest(&self) -> bool {
        self.is_whole && !self.link.owes.get() && self.link.entry.clock.phase() == Phase::Idle
    }

    /// Gives hyper what came, at rest or not.
    #[inline]
    fn give(&mut self, received: &[u8], at_rest: bool, into: &mut ReadBufCursor<'_>) {
        let entry = &self.link.entry;
        if at_rest {
            self.link.memory.borrow_mut().watch(received, entry.now());
        }
        if entry.clock.phase() == Phase::Idle && !received.is_empty() {
            entry.clock.begin(Phase::Head, entry.now());
        }
        self.is_whole = received.ends_with(memory::END);
        into.put_slice(received);
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let at_rest = self.is_at_rest();
        self.link.memory.borrow_mut().settle(at_rest);
        ready!(self.link.poll_repeats(cx))?;
        if self.link.has_received() {
            let mut received = self.link.received.take();
            let most = received.len().min(into.remaining());
            self.give(&received[..most], at_rest, &mut into);
            received.drain(..most);
            self.link.received.replace(received);
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            ready!(self.link.poll_collected(cx))?;
            let most = scratch.len().min(into.remaining());
            let mut buffer = ReadBuf::new(&mut scratch[..most]);
            ready!(self.link.stream.borrow_mut().poll_read(cx, &mut buffer))?;
            self.give(buffer.filled(), at_rest, &mut into);
            Poll::Ready(Ok(()))
        })
    }
}

impl Write for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.link.poll_collected(cx))?;
        self.link.memory.borrow_mut().note(bytes);
        let last = self.link.unsent.borrow().len();
        self.link.last.set(u32::try_from(last).unwrap_or(u32::MAX));
        self.link.queue(bytes);
        self.link.owes.set(false);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection sends at the end of its turn.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.poll_shutdown(cx)
    }
}
