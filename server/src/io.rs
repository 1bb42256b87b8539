//! The byte stream of one connection, as hyper wants to read and write it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The most that one receive takes.
const RECEIVE: usize = 16 * 1024;

thread_local! {
    /// What was received is copied from here into hyper's buffer: a copy of some hundred bytes
    /// costs less than to tell, without `unsafe`, which part of hyper's buffer is initialized.
    static SCRATCH: RefCell<[u8; RECEIVE]> = const { RefCell::new([0; RECEIVE]) };
}

/// A connected socket.
#[derive(Debug)]
pub struct Io(TcpStream);

impl Io {
    /// Wraps a connected socket.
    pub fn new(stream: TcpStream) -> Io {
        Io(stream)
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let most = scratch.len().min(into.remaining());
            let mut buffer = ReadBuf::new(&mut scratch[..most]);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
            into.put_slice(buffer.filled());
            Poll::Ready(Ok(()))
        })
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
