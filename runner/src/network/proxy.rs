//! The proxy: carries connections to published ports into the container's network.
//!
//! One thread, one epoll set, nothing kept for an idle connection but its two descriptors. It runs in
//! the stage after that has entered the container's network namespace: the sockets that it accepts
//! from were opened on the host and stay there, the connections that it makes are inside.
//!
//! A client from outside must not look like one from inside (CVE-2021-20199): connections go to the
//! container's own address and come from the gateway's. Only a port that is published on a
//! loopback address alone, whose clients are local, may also lead to 127.0.0.1 inside.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::Listener;
use crate::sandbox::rest;
use crate::sandbox::stage::GuardContext;

mod connection;
mod inside;

use connection::{Connection, Progress, Side};
use inside::Attempt;

/// Where the connections of one listening socket go.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Route {
    port: u16,
    /// Whether all clients are on this machine.
    local: bool,
}

/// The text that tells a guard where the connections of its sockets go.
#[must_use]
pub fn describe(listeners: &[Listener]) -> String {
    let routes: Vec<_> = listeners
        .iter()
        .map(|listener| Route {
            port: listener.mapping.container_port,
            local: listener
                .mapping
                .address
                .is_some_and(|address| address.is_loopback()),
        })
        .collect();
    serde_json::to_string(&routes).unwrap_or_default()
}

/// How long after its start a program may take until it listens. Until then a connection waits
/// instead of being refused, so that whoever sees the address can use it at once.
const GRACE: Duration = Duration::from_secs(10);

/// How often a connection that waits for the program is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// How long accepting pauses when there is no descriptor left.
const PAUSE: Duration = Duration::from_millis(20);

/// The first events of the epoll set; the rest are listening sockets and connections.
const CALLER: u64 = 0;
const CONTAINER: u64 = 1;
const FIRST_LISTENER: u64 = 2;
/// Connection `n` has the events `FIRST_CONNECTION + 2 n` (client) and one more (program).
const FIRST_CONNECTION: u64 = 1 << 32;

/// Carries connections until the caller or the container ends.
pub fn main(context: &mut GuardContext) {
    raise_descriptor_limit();
    let routes = serde_json::from_str(&context.text).unwrap_or_default();
    if let Ok(mut proxy) = Proxy::new(context, routes) {
        proxy.run();
    }
}

fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

struct Proxy<'a> {
    set: OwnedFd,
    listeners: Vec<(&'a OwnedFd, Route)>,
    connections: HashMap<u64, Connection>,
    /// Clients whose connection to the program is not made yet, and the listening socket.
    attempts: HashMap<u64, (OwnedFd, usize, Attempt)>,
    next: u64,
    /// Connections that the program refused while it may still be starting.
    waiting: Vec<(OwnedFd, usize)>,
    /// Since when nothing is accepted, for want of descriptors.
    paused: Option<Instant>,
    started: Instant,
    scratch: Box<[u8]>,
}

impl<'a> Proxy<'a> {
    fn new(context: &'a GuardContext, routes: Vec<Route>) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let watch = |fd: &dyn AsFdObject, number, flags| {
            epoll::add(
                &set,
                fd.as_object(),
                epoll::EventData::new_u64(number),
                flags,
            )
        };
        watch(&context.caller, CALLER, epoll::EventFlags::RDHUP)?;
        watch(&context.container, CONTAINER, epoll::EventFlags::IN)?;
        let listeners: Vec<_> = context.sockets.iter().zip(routes).collect();
        for (number, (socket, _)) in (FIRST_LISTENER..).zip(&listeners) {
            watch(*socket, number, epoll::EventFlags::IN)?;
        }
        Ok(Self {
            set,
            listeners,
            connections: HashMap::new(),
            attempts: HashMap::new(),
            next: 0,
            waiting: Vec::new(),
            paused: None,
            started: Instant::now(),
            scratch: vec![0; 64 * 1024].into_boxed_slice(),
        })
    }

    fn run(&mut self) {
        let mut events = Vec::with_capacity(256);
        loop {
            let timeout = self.timeout().map(|duration| Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(duration.subsec_nanos()),
            });
            events.clear();
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.set, buffer, timeout.as_ref().or(Some(&rest::AWAKE))) {
                // The set tells of what has ended this again.
                Ok(0) if timeout.is_none() => {
                    let _ = rest::sleep(&mut [PollFd::new(&self.set, PollFlags::IN)], None);
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            for event in &events {
                match event.data.u64() {
                    CALLER | CONTAINER => return,
                    number if number >= FIRST_CONNECTION => self.carry(number, event.flags),
                    number => self.accept(number),
                }
            }
            self.retry();
        }
    }

    /// How long the next wait may last.
    fn timeout(&self) -> Option<Duration> {
        match (self.waiting.is_empty(), self.paused) {
            (false, _) => Some(RETRY),
            (true, Some(_)) => Some(PAUSE),
            (true, None) => None,
        }
    }

    fn accept(&mut self, number: u64) {
        let Ok(index) = usize::try_from(number - FIRST_LISTENER) else {
            return;
        };
        let Some(&(socket, _)) = self.listeners.get(index) else {
            return;
        };
        // A few at a time, so that established connections are carried in between.
        for _ in 0..64 {
            match accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(client) => {
                    let _ = sockopt::set_tcp_nodelay(&client, true);
                    self.connect(client, index, 0);
                }
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    return self.pause();
                }
                Err(Errno::AGAIN) => return,
                // Such as ECONNABORTED: that client is gone, the next may not be.
                Err(_) => {}
            }
        }
    }

    /// Stops watching the listening sockets for a moment: they would be ready all the time.
    fn pause(&mut self) {
        self.paused = Some(Instant::now());
        for (socket, _) in &self.listeners {
            let _ = epoll::delete(&self.set, socket);
        }
    }

    fn resume(&mut self) {
        self.paused = None;
        for (number, (socket, _)) in (FIRST_LISTENER..).zip(&self.listeners) {
            let data = epoll::EventData::new_u64(number);
            let _ = epoll::add(&self.set, socket, data, epoll::EventFlags::IN);
        }
    }

    /// Connects a client with the program at one of its places from `place` on, or lets it wait if
    /// the program may still be starting. Whether there was somebody to connect to.
    fn connect(&mut self, client: OwnedFd, index: usize, place: usize) -> bool {
        match inside::try_places(&self.listeners[index].1, place) {
            Ok(attempt) if attempt.made => self.begin(client, attempt.socket),
            Ok(attempt) => self.wait_until_made(client, index, attempt),
            Err(Errno::CONNREFUSED) if self.started.elapsed() < GRACE => {
                self.waiting.push((client, index));
                return false;
            }
            Err(_) => connection::reset(&client),
        }
        true
    }

    fn begin(&mut self, client: OwnedFd, program: OwnedFd) {
        // From now on a refusal is the program's own will.
        let number = self.new_number();
        let mut connection = Connection::new(client, program);
        let event = FIRST_CONNECTION + 2 * number;
        if connection.watch(&self.set, event).is_ok() {
            self.connections.insert(number, connection);
        } else {
            connection.reset();
        }
    }

    fn wait_until_made(&mut self, client: OwnedFd, index: usize, attempt: Attempt) {
        let number = self.new_number();
        let data = epoll::EventData::new_u64(FIRST_CONNECTION + 2 * number);
        match epoll::add(&self.set, &attempt.socket, data, epoll::EventFlags::OUT) {
            Ok(()) => {
                self.attempts.insert(number, (client, index, attempt));
            }
            Err(_) => connection::reset(&client),
        }
    }

    fn new_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// An attempt is made, or has failed.
    fn decide(&mut self, client: OwnedFd, index: usize, attempt: Attempt) {
        let _ = epoll::delete(&self.set, &attempt.socket);
        match sockopt::socket_error(&attempt.socket) {
            Ok(Ok(())) => self.begin(client, attempt.socket),
            Ok(Err(error)) if inside::nobody_listens(error) => {
                self.connect(client, index, attempt.place + 1);
            }
            _ => connection::reset(&client),
        }
    }

    fn retry(&mut self) {
        if self.paused.is_some_and(|since| since.elapsed() >= PAUSE) {
            self.resume();
        }
        // One of the clients of a port is enough to learn that nobody listens yet.
        let mut refused = Vec::new();
        for (client, index) in std::mem::take(&mut self.waiting) {
            if refused.contains(&index) && self.started.elapsed() < GRACE {
                self.waiting.push((client, index));
            } else if !self.connect(client, index, 0) {
                refused.push(index);
            }
        }
    }

    fn carry(&mut self, event: u64, flags: epoll::EventFlags) {
        let number = (event - FIRST_CONNECTION) / 2;
        let side = if (event - FIRST_CONNECTION).is_multiple_of(2) {
            Side::Client
        } else {
            Side::Program
        };
        if let Some((client, index, attempt)) = self.attempts.remove(&number) {
            return self.decide(client, index, attempt);
        }
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let progress = connection
            .advance(side, flags, &mut self.scratch)
            .and_then(|progress| {
                connection.watch(&self.set, FIRST_CONNECTION + 2 * number)?;
                Ok(progress)
            });
        match progress {
            Ok(Progress::Open) => {}
            Ok(Progress::Done) => {
                self.connections.remove(&number);
            }
            Err(_) => {
                if let Some(connection) = self.connections.remove(&number) {
                    connection.reset();
                }
            }
        }
    }
}

/// Lets descriptors of different types be watched by one closure.
trait AsFdObject {
    fn as_object(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd> AsFdObject for T {
    fn as_object(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}
