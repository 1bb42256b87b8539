//! One carried connection: two sockets and what was read from one and not yet written to the other.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

/// How many times one event reads before others get their turn.
const TURNS: usize = 16;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The client outside.
    Client,
    /// The program inside.
    Program,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Program,
            Self::Program => Self::Client,
        }
    }
}

/// Whether a connection goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Open,
    /// Both directions have ended.
    Done,
}

/// A socket, and the direction of the data that comes from it.
#[derive(Debug)]
struct End {
    socket: OwnedFd,
    /// Read from this socket and not yet written to the other.
    pending: Vec<u8>,
    /// Whether this socket has sent its last byte.
    ended: bool,
    /// Whether the other one was told so.
    passed_on: bool,
    /// What the epoll set watches it for; `None` when it is not in the set.
    watched: Option<EventFlags>,
}

impl End {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            pending: Vec::new(),
            ended: false,
            passed_on: false,
            watched: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    client: End,
    program: End,
}

impl Connection {
    pub(super) fn new(client: OwnedFd, program: OwnedFd) -> Self {
        Self {
            client: End::new(client),
            program: End::new(program),
        }
    }

    fn end(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::Client => (&mut self.client, &mut self.program),
            Side::Program => (&mut self.program, &mut self.client),
        }
    }

    /// Does what an event on `side` makes possible.
    ///
    /// An error means that one end broke the connection off; the caller resets the other.
    pub(super) fn advance(
        &mut self,
        side: Side,
        flags: EventFlags,
        scratch: &mut [u8],
    ) -> io::Result<Progress> {
        if flags.contains(EventFlags::ERR) {
            sockopt::socket_error(&self.end(side).0.socket)??;
        }
        if flags.intersects(EventFlags::OUT) {
            self.flush(side.other())?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::RDHUP) {
            self.pump(side, scratch)?;
        }
        let done = self.client.passed_on && self.program.passed_on;
        Ok(if done { Progress::Done } else { Progress::Open })
    }

    /// Moves data that comes from `side` to the other one.
    fn pump(&mut self, side: Side, scratch: &mut [u8]) -> Result<(), Errno> {
        for _ in 0..TURNS {
            let (from, to) = self.end(side);
            if from.ended || !from.pending.is_empty() {
                break;
            }
            let count = match recv(&from.socket, &mut *scratch, RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    from.ended = true;
                    break;
                }
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let written = write(&to.socket, &scratch[..count])?;
            if written < count {
                from.pending.extend_from_slice(&scratch[written..count]);
            }
        }
        self.pass_on_end(side);
        Ok(())
    }

    /// Writes what waits from `side` to the other one.
    fn flush(&mut self, side: Side) -> Result<(), Errno> {
        let (from, to) = self.end(side);
        if !from.pending.is_empty() {
            let written = write(&to.socket, &from.pending)?;
            from.pending.drain(..written);
            if from.pending.is_empty() {
                // An idle connection keeps no buffer.
                from.pending = Vec::new();
            }
        }
        self.pass_on_end(side);
        Ok(())
    }

    /// Half-closes the other socket once everything from `side` has been written to it.
    fn pass_on_end(&mut self, side: Side) {
        let (from, to) = self.end(side);
        if from.ended && from.pending.is_empty() && !from.passed_on {
            from.passed_on = true;
            // A peer that has gone meanwhile shows at the next read.
            let _ = shutdown(&to.socket, Shutdown::Write);
        }
    }

    /// Brings the epoll set up to date with what this connection waits for. `event` is the number
    /// of the client's events; the program's is one more.
    pub(super) fn watch(&mut self, set: impl AsFd, event: u64) -> Result<(), Errno> {
        let wanted = [self.wanted(Side::Client), self.wanted(Side::Program)];
        for ((end, wanted), event) in [&mut self.client, &mut self.program]
            .into_iter()
            .zip(wanted)
            .zip(event..)
        {
            if end.watched == wanted {
                continue;
            }
            let data = EventData::new_u64(event);
            match (end.watched, wanted) {
                (None, Some(flags)) => epoll::add(&set, &end.socket, data, flags)?,
                (Some(_), Some(flags)) => epoll::modify(&set, &end.socket, data, flags)?,
                // Left in the set it would report a hang-up again and again.
                (_, None) => epoll::delete(&set, &end.socket)?,
            }
            end.watched = wanted;
        }
        Ok(())
    }

    fn wanted(&mut self, side: Side) -> Option<EventFlags> {
        let (own, other) = self.end(side);
        let mut flags = EventFlags::empty();
        if !own.ended && own.pending.is_empty() {
            flags |= EventFlags::IN;
        }
        if !other.pending.is_empty() {
            flags |= EventFlags::OUT;
        }
        (!flags.is_empty()).then_some(flags)
    }

    /// Breaks both ends off, as the one that failed did.
    pub(super) fn reset(self) {
        reset(&self.client.socket);
        reset(&self.program.socket);
    }
}

/// Lets the coming close of `socket` be a reset and not an end (socket(7), SO_LINGER).
pub(super) fn reset(socket: impl AsFd) {
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

fn write(socket: &OwnedFd, mut data: &[u8]) -> Result<usize, Errno> {
    let all = data.len();
    while !data.is_empty() {
        match send(socket, data, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => data = &data[count..],
            // The connection inside is still being made, or the reader is slow.
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all - data.len())
}
