//! HTTP/2 without TLS, for clients that know beforehand that the server speaks it (RFC 9113,
//! section 3.3). hyper's HTTP/1 parser notices the preface as a version that it does not speak, so
//! HTTP/1 pays nothing for it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::rt::Executor;
use hyper::server::conn::http2;

use crate::connection::Stop;
use crate::greeter::Greeter;
use crate::io::{Io, Link};
use crate::reaper::{Phase, Verdict};

/// Streams of one connection that may be open at a time.
const STREAMS: u32 = 128;

/// Runs a connection's streams as tasks of the worker.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Local {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}

/// Serves a connection that began with the preface, which is what `link` has received.
///
/// Its streams come and go together, so the limits of a single request do not apply: a connection
/// that gets no answer for as long as it may be idle is told to finish, and ends when it has not
/// finished after as long again.
pub(crate) async fn drive(link: &Rc<Link>, greeter: Greeter) -> Stop {
    let entry = link.entry();
    let limits = greeter.limits();
    let mut http = http2::Builder::new(Local);
    http.max_concurrent_streams(STREAMS);
    http.max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX));
    let greeter = greeter.resting(Phase::Streams);
    let io = Io::new(link.clone());
    let mut http = pin!(http.serve_connection(io, greeter));
    entry.clock.begin(Phase::Streams, entry.now());
    let mut told_to_finish = false;
    poll_fn(|cx| {
        match entry.clock.verdict(cx.waker()) {
            Some(Verdict::Abort) => return Poll::Ready(Stop::Gone),
            Some(Verdict::Close) if told_to_finish && entry.is_overdue() => {
                return Poll::Ready(Stop::Gone);
            }
            Some(Verdict::Close) if !told_to_finish => {
                told_to_finish = true;
                entry.clock.begin(Phase::Streams, entry.now());
                http.as_mut().graceful_shutdown();
            }
            Some(_) | None => {}
        }
        let done = http.as_mut().poll(cx);
        match link.poll_send(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(Stop::Gone),
            _ => done.map(|_| Stop::Answered),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use crate::drain::Stage;
    use crate::service;
    use crate::worker::tests::Running;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    const HEADERS: u8 = 1;
    const DATA: u8 = 0;
    const GOAWAY: u8 = 7;

    /// `GET / http` with the authority `a`, in the static table of HPACK, as a whole stream.
    fn request(stream: u8) -> [u8; 15] {
        [
            0, 0, 6, HEADERS, 0x05, 0, 0, 0, stream, 0x82, 0x84, 0x86, 0x41, 0x01, b'a',
        ]
    }

    /// The next frame of one of the given types: its type, its stream, and what it carries.
    fn frame(server: &mut TcpStream, wanted: &[u8]) -> (u8, u8, Vec<u8>) {
        loop {
            let mut head = [0; 9];
            server.read_exact(&mut head).unwrap();
            let mut carried = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            server.read_exact(&mut carried).unwrap();
            if wanted.contains(&head[3]) {
                return (head[3], head[8], carried);
            }
        }
    }

    #[test]
    fn streams_are_answered_and_a_drain_finishes_them() {
        let worker = Running::start(service::status);
        let mut server = TcpStream::connect(worker.address).unwrap();
        let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        server
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        server
            .write_all(&[&empty_settings[..], &request(1), &request(3)].concat())
            .unwrap();
        // The frames of the two streams may come in any order.
        let frames: Vec<_> = (0..4)
            .map(|_| frame(&mut server, &[HEADERS, DATA]))
            .collect();
        for stream in [1, 3] {
            let of_stream = |wanted| {
                frames
                    .iter()
                    .find(|(kind, of, _)| (*kind, *of) == (wanted, stream))
                    .unwrap()
            };
            assert_eq!(
                of_stream(HEADERS).2[0],
                0x88,
                "stream {stream}: not `:status 200`"
            );
            assert_eq!(of_stream(DATA).2, b"Hello World!", "stream {stream}");
        }
        let client = std::thread::spawn(move || {
            frame(&mut server, &[GOAWAY]);
        });
        assert_eq!(worker.end(Stage::Silenced), 0);
        client.join().unwrap();
    }
}
