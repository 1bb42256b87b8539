//! What a connection was asked last and what it answered, byte for byte.
//!
//! Clients repeat themselves: a health check, a load balancer, a page that is loaded again. The
//! answer depends on the request and on the second (`date`) and on nothing else, so if the same
//! bytes come again within that second, the same bytes answer them, and nobody has to take the
//! request apart.
//!
//! This is sound because only what lies between two *rests* is remembered: moments in which
//! everything that came has been answered and nothing that came is kept back for later. What was
//! received in between is then a run of whole requests, and no other reading of it exists. Each
//! connection remembers its own requests only, so none can find out what another was asked.
//!
//! To watch costs a copy of the request and one of the answer. A client that does not repeat itself
//! is therefore watched now and then only.

use std::rc::Rc;

use crate::worker::Worker;

/// The end of a head, and of a chunked body.
pub(crate) const END: &[u8] = b"\r\n\r\n";

/// Longer requests and answers are not remembered: sixteen short ones at once fit, and so does
/// what a browser sends.
pub(crate) const LONGEST: usize = 4096;

/// After how many exchanges in a row that did not repeat the one before a client counts as one that
/// does not repeat itself.
const UNLIKE: u8 = 2;

/// How often the requests of such a client are watched nevertheless: every sixteenth time.
const LOOK_AGAIN: u8 = 16;

/// The last exchange of one connection.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Says whether the server is ending, when every answer is another; `None` remembers nothing.
    worker: Option<Rc<Worker>>,
    /// The request, and behind it the answer: beside each other, because with many connections it
    /// is fetching them from memory that costs.
    exchange: Vec<u8>,
    /// How much of the exchange is the request.
    asked: usize,
    state: State,
    /// How many exchanges in a row did not repeat the one before.
    unlike: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Nothing,
    /// What is being answered, asked in this second.
    Watching(u32),
    /// What was answered, asked in this second.
    Known(u32),
}

impl Memory {
    /// A memory without content. Where requests are logged nothing is ever remembered, because a
    /// line of the log needs the request's parts.
    pub(crate) fn new(worker: &Rc<Worker>) -> Memory {
        Memory {
            worker: worker.log.is_none().then(|| worker.clone()),
            exchange: Vec::new(),
            asked: 0,
            state: State::Nothing,
            unlike: 0,
        }
    }

    /// Forgets what is remembered, and gives the room for it back.
    pub(crate) fn forget(&mut self) {
        self.exchange = Vec::new();
        self.state = State::Nothing;
    }

    /// Whether what comes now can be answered, if it is the same again.
    pub(crate) fn is_known(&self, now: u32) -> bool {
        self.state == State::Known(now)
    }

    /// Notes that more was asked for, at rest or not.
    pub(crate) fn settle(&mut self, at_rest: bool) {
        self.state = match self.state {
            State::Watching(since) if at_rest && self.exchange.len() > self.asked => {
                State::Known(since)
            }
            State::Known(since) if at_rest => State::Known(since),
            _ => State::Nothing,
        };
    }

    /// The answer to what `received` begins with, and how much of it that is.
    pub(crate) fn recall(&mut self, received: &[u8], now: u32) -> Option<(usize, &[u8])> {
        let is_fresh = self.is_known(now)
            && self
                .worker
                .as_ref()
                .is_some_and(|worker| !worker.is_draining());
        let (asked, answered) = self.exchange.split_at_checked(self.asked)?;
        if !is_fresh || !starts_with(received, asked) {
            return None;
        }
        self.unlike = 0;
        Some((self.asked, answered))
    }

    /// Watches how `asked`, which came at rest, is answered.
    pub(crate) fn watch(&mut self, asked: &[u8], now: u32) {
        self.state = State::Nothing;
        self.unlike = self.unlike.wrapping_add(1);
        if self.unlike > UNLIKE && !self.unlike.is_multiple_of(LOOK_AGAIN) {
            return;
        }
        if self.worker.is_some() && asked.len() <= LONGEST && asked.ends_with(END) {
            self.exchange.clear();
            self.exchange.extend_from_slice(asked);
            self.asked = asked.len();
            self.state = State::Watching(now);
        }
    }

    /// Notes a part of the answer.
    pub(crate) fn note(&mut self, answer: &[u8]) {
        if !matches!(self.state, State::Watching(_)) {
            return;
        }
        if self.exchange.len() - self.asked + answer.len() <= LONGEST {
            self.exchange.extend_from_slice(answer);
        } else {
            self.state = State::Nothing;
        }
    }
}

/// Whether `bytes` begin with `start`. musl compares byte by byte, which would be a tenth of what an
/// answer costs; arrays are compared in registers, the last one across the end of the one before.
fn starts_with(bytes: &[u8], start: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..start.len()) else {
        return false;
    };
    let ends = (bytes.last_chunk::<16>(), start.last_chunk::<16>());
    let (Some(bytes_end), Some(start_end)) = ends else {
        return bytes == start;
    };
    let mut pairs = bytes.as_chunks::<16>().0.iter().zip(start.as_chunks().0);
    bytes_end == start_end && pairs.all(|(bytes, start)| bytes == start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::tests::idle;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// A memory of [`REQUEST`], answered by `x` in second 7.
    fn known(at_rest: bool) -> Memory {
        let mut memory = Memory::new(&Rc::new(idle()));
        memory.settle(true);
        memory.watch(REQUEST, 7);
        memory.note(b"x");
        memory.settle(at_rest);
        memory
    }

    #[test]
    fn the_same_request_has_the_same_answer_within_its_second() {
        let mut memory = known(true);
        let twice = [REQUEST, REQUEST].concat();
        assert_eq!(memory.recall(&twice, 7), Some((REQUEST.len(), &b"x"[..])));
        assert_eq!(memory.recall(&twice, 8), None);
        assert_eq!(memory.recall(&REQUEST[1..], 7), None);
        assert_eq!(memory.recall(&REQUEST[..9], 7), None);
    }

    #[test]
    fn only_what_ended_in_a_rest_is_known() {
        assert_eq!(known(false).recall(REQUEST, 7), None);
        let mut memory = known(true);
        memory.settle(false);
        assert_eq!(memory.recall(REQUEST, 7), None);
        memory.watch(&REQUEST[..9], 7);
        memory.note(b"x");
        memory.settle(true);
        assert_eq!(memory.recall(&REQUEST[..9], 7), None);
    }

    #[test]
    fn who_asks_for_something_else_each_time_is_watched_now_and_then() {
        let mut memory = Memory::new(&Rc::new(idle()));
        let mut ask = |request: &[u8]| {
            memory.settle(true);
            if memory.recall(request, 7).is_some() {
                return None;
            }
            memory.watch(request, 7);
            memory.note(b"x");
            Some(memory.state != State::Nothing)
        };
        let request = |number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
        let watched = (0..64).filter(|number| ask(&request(*number)) == Some(true));
        assert_eq!(watched.count(), 2 + 4);
        // Who begins to repeat something is noticed, and from then on always.
        let answered = (0..64).take_while(|_| ask(&request(0)).is_some()).count();
        assert!(answered <= 16, "{answered}");
        assert_eq!(ask(&request(1)), Some(true));
        assert_eq!(ask(&request(1)), None);
    }

    #[test]
    fn what_is_long_is_forgotten() {
        let mut memory = known(true);
        memory.watch(REQUEST, 7);
        memory.note(&[b'x'; LONGEST]);
        memory.note(b"x");
        memory.settle(true);
        assert_eq!(memory.recall(REQUEST, 7), None);
    }

    #[test]
    fn starts_are_compared_to_their_last_byte() {
        let text: Vec<u8> = (0..50).collect();
        for length in 0..=text.len() {
            assert!(starts_with(&text, &text[..length]));
            for wrong in 0..length {
                let mut start = text[..length].to_vec();
                start[wrong] ^= 1;
                assert!(!starts_with(&text, &start), "{length}, {wrong}");
            }
        }
        assert!(!starts_with(&text[..49], &text));
    }
}
