//! The load: connections that each send some requests at once and wait for all the answers. One
//! thread with epoll on the last core, so that every server gets the same from it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
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

/// The clients of one server: connections that stay, so that servers can take short turns.
#[derive(Debug)]
pub(crate) struct Clients {
    load: Load,
    queue: OwnedFd,
    /// Each connection, and how much of its answers has come.
    each: Vec<(TcpStream, usize)>,
    /// How long the answers to one batch are.
    expected: usize,
}

/// What was answered in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Requests a second, until the time was over.
    pub(crate) rate: f64,
    /// Requests, with those that were still under way at that moment.
    pub(crate) requests: f64,
}

impl Clients {
    /// Connects. That is no part of a turn: where the other side has no room for a newcomer, the
    /// kernel waits a second.
    pub(crate) fn connect(load: Load, port: u16) -> Clients {
        let queue = epoll::create(CreateFlags::CLOEXEC).expect("an epoll descriptor");
        let each: Vec<_> = (0..load.connections).map(|_| (connect(port), 0)).collect();
        for (key, (client, _)) in each.iter().enumerate() {
            let key = EventData::new_u64(key as u64);
            epoll::add(&queue, client, key, EventFlags::IN).expect("to watch");
        }
        Clients {
            load,
            queue,
            each,
            expected: load.pipeline * answer_length(port),
        }
    }

    /// Sends requests for `time`, and then waits for the answers that are still to come: between
    /// turns the server has nothing to do.
    pub(crate) fn turn(&mut self, time: Duration) -> Turn {
        let batch = REQUEST.repeat(self.load.pipeline);
        let mut buffer = vec![0; 64 * 1024];
        let mut events: Vec<Event> = Vec::with_capacity(self.each.len());
        let mut answered = 0;
        let mut rate = None;
        let start = Instant::now();
        for (client, _) in &mut self.each {
            client.write_all(batch.as_bytes()).expect("to send");
        }
        let mut open = self.each.len();
        while open > 0 {
            events.clear();
            epoll::wait(&self.queue, spare_capacity(&mut events), None).expect("events");
            for event in &events {
                let key = usize::try_from(event.data.u64()).expect("a key");
                let (client, received) = &mut self.each[key];
                let length = client.read(&mut buffer).expect("an answer");
                assert!(length > 0, "the server closed");
                *received += length;
                if *received == self.expected {
                    *received = 0;
                    answered += self.load.pipeline;
                    if rate.is_none() {
                        client.write_all(batch.as_bytes()).expect("to send");
                    } else {
                        open -= 1;
                    }
                }
            }
            let elapsed = start.elapsed();
            if elapsed >= time && rate.is_none() {
                rate = Some(answered as f64 / elapsed.as_secs_f64());
            }
        }
        Turn {
            rate: rate.unwrap_or_default(),
            requests: answered as f64,
        }
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

/// Keeps this thread on the last core, away from the servers'.
pub(crate) fn pin() {
    let mut cores = CpuSet::new();
    cores.set(std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1));
    // Not permitted in some containers; then the figures are only noisier.
    let _ = sched_setaffinity(None, &cores);
}
