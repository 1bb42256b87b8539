//! How our server ends: requests that are lost on TERM under load, and the time without clients.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::load::REQUEST;
use super::peers::{Peer, Running};

const CLIENTS: usize = 26;

/// Requests that were sent on a connection that was accepted, and not answered, when the server is
/// told to end under load; half of the clients keep their connections, half make new ones.
pub(crate) fn lost_requests(peer: &Peer) -> f64 {
    let mut server = Running::start(peer);
    let (lost, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (port, lost, is_over) = (server.port, &lost, &is_over);
            scope.spawn(move || {
                lost.fetch_add(ask_until(port, number % 2 == 0, is_over), Ordering::Relaxed)
            });
        }
        thread::sleep(Duration::from_millis(300));
        server.end();
        is_over.store(true, Ordering::Relaxed);
    });
    lost.into_inner() as f64
}

/// Asks until nobody lets us in, and says how many requests were lost.
fn ask_until(port: u16, keep: bool, is_over: &AtomicBool) -> usize {
    let mut lost = 0;
    let mut kept = None;
    while !is_over.load(Ordering::Relaxed) {
        let Some(mut client) = kept
            .take()
            .or_else(|| TcpStream::connect(("127.0.0.1", port)).ok())
        else {
            break;
        };
        match ask(&mut client) {
            Some(is_last) => kept = (keep && !is_last).then_some(client),
            None => lost += 1,
        }
    }
    lost
}

/// Whether the answer was the last of its connection; `None` if there was none.
fn ask(client: &mut TcpStream) -> Option<bool> {
    let _ = client.write_all(REQUEST.as_bytes());
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !answer.ends_with(b"Hello World!") {
        match client.read(&mut part) {
            Ok(length @ 1..) => answer.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return None,
        }
    }
    Some(
        answer
            .windows(17)
            .any(|window| window == b"connection: close"),
    )
}

/// Seconds from TERM to the end of a server without clients.
pub(crate) fn exit_time(peer: &Peer) -> f64 {
    let mut server = Running::start(peer);
    let start = Instant::now();
    server.end();
    start.elapsed().as_secs_f64()
}
