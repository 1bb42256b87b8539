//! The load: connections that each send some requests at once and wait for all the answers. One
//! thread with epoll on the last core, so that every server gets the same from it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::thread::{CpuSet, sched_setaffinity};

/// What is asked: one header, as in the figures of the peers.
pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// How many connections, and how many requests at once on each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
}

impl Load {
    /// Sends requests for `time` and says how many were answered, and how many a second. To connect
    /// is no part of that: where the other side has no room for a newcomer, the kernel waits a second.
    pub(crate) fn run(self, port: u16, time: Duration) -> (f64, f64) {
        let load = std::thread::spawn(move || {
            pin_to(std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1));
            self.run_here(port, time)
        });
        load.join().expect("the load")
    }

    fn run_here(self, port: u16, time: Duration) -> (f64, f64) {
        let batch = REQUEST.repeat(self.pipeline);
        let queue = epoll::create(CreateFlags::CLOEXEC).expect("an epoll descriptor");
        let mut clients: Vec<_> = (0..self.connections).map(|_| (connect(port), 0)).collect();
        let expected = self.pipeline * answer_length(port);
        for (key, (client, _)) in clients.iter_mut().enumerate() {
            epoll::add(
                &queue,
                &*client,
                EventData::new_u64(key as u64),
                EventFlags::IN,
            )
            .expect("to watch");
            client.write_all(batch.as_bytes()).expect("to send");
        }
        let mut buffer = vec![0; 64 * 1024];
        let mut events: Vec<Event> = Vec::with_capacity(self.connections);
        let mut answered = 0;
        let start = Instant::now();
        while start.elapsed() < time {
            events.clear();
            epoll::wait(&queue, spare_capacity(&mut events), None).expect("events");
            for event in &events {
                let (client, received) =
                    &mut clients[usize::try_from(event.data.u64()).expect("a key")];
                let length = client.read(&mut buffer).expect("an answer");
                assert!(length > 0, "the server closed");
                *received += length;
                if *received == expected {
                    *received = 0;
                    answered += self.pipeline;
                    client.write_all(batch.as_bytes()).expect("to send");
                }
            }
        }
        let answered = answered as f64;
        (answered, answered / start.elapsed().as_secs_f64())
    }
}

/// Sends exactly `requests` on one connection, `pipeline` at a time: the same again and again, or
/// alternately one of two, so that none is like the one before.
pub(crate) fn exactly(port: u16, requests: usize, pipeline: usize, alike: bool) {
    let mut client = connect(port);
    let batches = [REQUEST, &REQUEST.replace("GET / ", "GET /x ")].map(|one| one.repeat(pipeline));
    let mut answers = vec![0; answer_length(port) * pipeline];
    for number in 0..requests / pipeline {
        let batch = &batches[if alike { 0 } else { number % 2 }];
        client.write_all(batch.as_bytes()).expect("to send");
        client.read_exact(&mut answers).expect("the answers");
    }
}

fn connect(port: u16) -> TcpStream {
    let client = TcpStream::connect(("127.0.0.1", port)).expect("to connect");
    client.set_nodelay(true).expect("an option");
    client
}

/// How long this server's answer is, which is the same each time.
fn answer_length(port: u16) -> usize {
    let mut client = connect(port);
    client.write_all(REQUEST.as_bytes()).expect("to send");
    let mut answer = Vec::new();
    while !answer.ends_with(b"Hello World!") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    answer.len()
}

fn pin_to(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // Not permitted in some containers; then the figures are only noisier.
    let _ = sched_setaffinity(None, &cores);
}
