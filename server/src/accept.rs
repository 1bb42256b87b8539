//! Accepting: the listening sockets as a worker's runtime sees them, and how they are closed
//! without resetting a connection that waits in them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::io::Stream;
use crate::listen::Listener;
use crate::timer::Timer;

/// The address of a client; `None` for one that came over a unix socket.
pub type Client = Option<SocketAddr>;

/// A connection and where it came from.
pub type Accepted = (Stream, Client);

/// How long connections that are half open have to become whole once no new ones are let in.
const HANDSHAKE: Duration = Duration::from_millis(20);

/// A listening socket in a worker's runtime.
#[derive(Debug)]
pub enum Acceptor {
    /// For TCP.
    Tcp(TcpListener),
    /// For a unix socket.
    Unix(UnixListener),
}

impl Acceptor {
    /// Puts a listening socket into the runtime that this runs in.
    pub fn new(listener: Listener) -> io::Result<Acceptor> {
        match listener {
            Listener::Tcp(listener) => TcpListener::from_std(listener).map(Acceptor::Tcp),
            Listener::Unix(listener) => UnixListener::from_std(listener).map(Acceptor::Unix),
        }
    }

    /// Accepts the next connection.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match self {
            Acceptor::Tcp(listener) => {
                let (stream, client) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok((Stream::Tcp(stream), Some(client))))
            }
            Acceptor::Unix(listener) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok((Stream::Unix(stream), None)))
            }
        }
    }

    /// Closes the socket and returns the connections that had come before.
    pub async fn shut(self, timer: &mut Timer) -> Vec<Accepted> {
        match self {
            Acceptor::Tcp(listener) => {
                refuse_new(&listener);
                timer.sleep(HANDSHAKE).await;
                let Ok(listener) = listener.into_std() else {
                    return Vec::new();
                };
                let waiting = std::iter::from_fn(|| listener.accept().ok());
                let whole = waiting.filter_map(|(stream, client)| {
                    stream.set_nonblocking(true).ok()?;
                    Some((Stream::Tcp(TcpStream::from_std(stream).ok()?), Some(client)))
                });
                whole.collect()
            }
            Acceptor::Unix(listener) => {
                let Ok(listener) = listener.into_std() else {
                    return Vec::new();
                };
                let waiting = std::iter::from_fn(|| listener.accept().ok());
                let whole = waiting.filter_map(|(stream, _)| {
                    stream.set_nonblocking(true).ok()?;
                    Some((Stream::Unix(UnixStream::from_std(stream).ok()?), None))
                });
                whole.collect()
            }
        }
    }
}

/// Makes the kernel drop the first packet of every new connection (`SYN` without `ACK`), so that
/// none can begin between the last accept and the close: its client tries again and is refused,
/// instead of being let in and reset. Where the filter is not permitted, that moment stays.
fn refuse_new(listener: &impl AsFd) {
    /// Where the flags are in a TCP header, and the two of them that tell a beginning.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let filter = [
        SockFilter::new(
            code(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS),
            0,
            0,
            FLAGS,
        ),
        SockFilter::new(
            code(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K),
            0,
            0,
            SYN | ACK,
        ),
        SockFilter::new(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), 0, 1, SYN),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, 0),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, u32::MAX),
    ];
    let _ = SockRef::from(listener).attach_filter(&filter);
}

/// The code of a BPF instruction, which the kernel keeps in sixteen bits.
const fn code(parts: u32) -> u16 {
    (parts & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net;
    use tokio::runtime::Builder;

    #[test]
    fn who_came_before_the_close_is_let_in_and_who_comes_later_is_not() {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let _clients: Vec<_> = (0..3)
            .map(|_| net::TcpStream::connect(address).unwrap())
            .collect();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let late = runtime.block_on(async {
            let acceptor = Acceptor::new(Listener::Tcp(listener)).unwrap();
            let Acceptor::Tcp(inner) = &acceptor else {
                unreachable!()
            };
            refuse_new(inner);
            let late = net::TcpStream::connect_timeout(&address, Duration::from_millis(100));
            // Without the right to a filter (an ordinary user here) the late one is still let in.
            let let_in = 3 + usize::from(late.is_ok());
            assert_eq!(
                acceptor.shut(&mut Timer::new().unwrap()).await.len(),
                let_in
            );
            late
        });
        // Root always has the filter, so there the late one never gets in.
        match late {
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
            Ok(_) => assert!(!rustix::process::geteuid().is_root()),
        }
        let refused = net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
