//! The fastest server that gives the same answer: an epoll loop that counts the ends of heads and
//! knows nothing of HTTP. It is the unit in which the others are measured.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// The argument that turns this benchmark into the raw loop, followed by the port.
pub(crate) const FLAG: &str = "--raw-loop";

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain;charset=utf-8\r\ncontent-length: 12\r\n\
                      date: Mon, 23 Nov 2026 16:44:11 GMT\r\n\r\nHello World!";

const LISTENER: u64 = u64::MAX;

/// Serves for ever.
pub(crate) fn serve(port: u16) -> ! {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("to listen");
    listener.set_nonblocking(true).expect("to be non-blocking");
    let queue = epoll::create(CreateFlags::CLOEXEC).expect("an epoll descriptor");
    epoll::add(
        &queue,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )
    .expect("to watch");
    let mut clients: HashMap<u64, TcpStream> = HashMap::new();
    let mut buffer = vec![0; 64 * 1024];
    // Enough for a buffer that is full of the shortest heads.
    let answers = ANSWER.repeat(buffer.len() / 16);
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&queue, spare_capacity(&mut events), None).expect("events");
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    client
                        .set_nonblocking(true)
                        .and_then(|()| client.set_nodelay(true))
                        .expect("options");
                    let key = u64::try_from(client.as_raw_fd()).expect("a descriptor");
                    let flags = EventFlags::IN | EventFlags::ET;
                    epoll::add(&queue, &client, EventData::new_u64(key), flags).expect("to watch");
                    clients.insert(key, client);
                }
            } else if let Some(client) = clients.get_mut(&key)
                && !answer(client, &mut buffer, answers.as_bytes())
            {
                clients.remove(&key);
            }
        }
    }
}

/// Answers what has come; `false` when the client has gone.
fn answer(client: &mut TcpStream, buffer: &mut [u8], answers: &[u8]) -> bool {
    match client.read(buffer) {
        Ok(0) => false,
        Ok(length) => {
            let requests = buffer[..length]
                .windows(4)
                .filter(|end| end == b"\r\n\r\n")
                .count();
            client
                .write_all(&answers[..requests * ANSWER.len()])
                .is_ok()
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
