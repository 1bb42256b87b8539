//! Time limits. A timer a request would cost more than the answer, so there is none: each
//! connection notes in its [`Clock`] what it is doing and since which second, and once a second
//! the worker's [`Reaper`] looks at all clocks, leaves a verdict where a limit has passed, and
//! wakes that connection. A limit is therefore kept to the second, never early.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

/// The distance between two looks at the clocks.
const TICK: Duration = Duration::from_secs(1);

/// After how many quiet seconds a connection gives its buffers back. Short, because most clients
/// that will send another request do so within milliseconds.
const PARK_AFTER: u32 = 1;

/// How many seconds a client has to read the last answer and close, once we have said that we do.
const LINGER: u32 = 2;

/// The time limits of a connection, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// From the first byte of a request to the end of its head.
    pub head: u32,
    /// Between an answer, or the start of the connection, and the next request.
    pub idle: u32,
    /// From the end of a head to the end of its body.
    pub body: u32,
    /// During which the client does not take a whole answer.
    pub write: u32,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a request, with buffers.
    Idle,
    /// Waiting for a request, without buffers.
    Parked,
    /// Receiving a head.
    Head,
    /// Receiving a body.
    Body,
    /// Waiting for the client to close, after the last answer.
    Linger,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Give the buffers back.
    Park,
    /// Say goodbye: it is idle, and was for too long or the server is ending.
    Close,
    /// The request came too slowly: answer so, and close.
    Late,
    /// The client takes no answer or does not go away: just drop it.
    Abort,
}

/// What one connection is doing, since when, and what is to become of it.
#[derive(Debug)]
pub struct Clock {
    phase: Cell<Phase>,
    since: Cell<u32>,
    blocked: Cell<Option<u32>>,
    verdict: Cell<Option<Verdict>>,
    waker: RefCell<Option<Waker>>,
}

impl Clock {
    fn new(now: u32) -> Clock {
        Clock {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(now),
            blocked: Cell::new(None),
            verdict: Cell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// What the connection is doing.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Notes that the connection begins something now.
    pub fn begin(&self, phase: Phase, now: u32) {
        self.phase.set(phase);
        self.since.set(now);
    }

    /// Notes that an idle connection changes its buffers but stays idle since when it was.
    pub fn settle(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Notes whether a part of an answer waits for the client to take it.
    pub fn set_blocked(&self, blocked: bool, now: u32) {
        match (blocked, self.blocked.get()) {
            (true, None) => self.blocked.set(Some(now)),
            (false, Some(_)) => {
                self.blocked.set(None);
                // The next request was not asked for while the client was still reading.
                self.since.set(now);
            }
            _ => {}
        }
    }

    /// Takes the verdict, if there is one, and notes who is to be woken when one comes.
    pub fn verdict(&self, waker: &Waker) -> Option<Verdict> {
        let mut noted = self.waker.borrow_mut();
        if !noted.as_ref().is_some_and(|noted| noted.will_wake(waker)) {
            *noted = Some(waker.clone());
        }
        self.verdict.take()
    }

    fn pass(&self, verdict: Verdict) {
        self.verdict.set(Some(verdict));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn judge(&self, now: u32, times: Times) -> Option<Verdict> {
        // A second counts when it is over: the one in which it began does not.
        let passed = |since: u32, limit: u32| now.saturating_sub(since) > limit;
        if let Some(blocked) = self.blocked.get() {
            return passed(blocked, times.write).then_some(Verdict::Abort);
        }
        let since = self.since.get();
        match self.phase.get() {
            Phase::Idle | Phase::Parked if passed(since, times.idle) => Some(Verdict::Close),
            Phase::Idle if passed(since, PARK_AFTER) => Some(Verdict::Park),
            Phase::Head if passed(since, times.head) => Some(Verdict::Late),
            Phase::Body if passed(since, times.body) => Some(Verdict::Late),
            Phase::Linger if passed(since, LINGER) => Some(Verdict::Abort),
            _ => None,
        }
    }

    fn is_idle(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle | Phase::Parked) && self.blocked.get().is_none()
    }
}

/// The clocks of one worker.
#[derive(Debug)]
pub struct Reaper {
    times: Times,
    start: Instant,
    now: Cell<u32>,
    clocks: RefCell<Slab<Rc<Clock>>>,
    arrived: Notify,
}

/// The entry of one connection among the clocks; it leaves when this is dropped.
#[derive(Debug)]
pub struct Entry {
    reaper: Rc<Reaper>,
    key: usize,
    /// The connection's clock.
    pub clock: Rc<Clock>,
}

impl Entry {
    /// The second that it is.
    pub fn now(&self) -> u32 {
        self.reaper.now()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.reaper.clocks.borrow_mut().remove(self.key);
    }
}

impl Reaper {
    /// A reaper without connections.
    pub fn new(times: Times) -> Reaper {
        Reaper {
            times,
            start: Instant::now(),
            now: Cell::new(0),
            clocks: RefCell::new(Slab::new()),
            arrived: Notify::new(),
        }
    }

    /// The second that it is, counted from the start.
    pub fn now(&self) -> u32 {
        self.now.get()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.clocks.borrow().is_empty()
    }

    /// Enters a new connection.
    pub fn enter(self: &Rc<Self>) -> Entry {
        let mut clocks = self.clocks.borrow_mut();
        if clocks.is_empty() {
            self.read_time();
            self.arrived.notify_one();
        }
        let clock = Rc::new(Clock::new(self.now()));
        let key = clocks.insert(clock.clone());
        Entry {
            reaper: self.clone(),
            key,
            clock,
        }
    }

    fn read_time(&self) {
        self.now
            .set(u32::try_from(self.start.elapsed().as_secs()).unwrap_or(u32::MAX));
    }

    /// Keeps the limits for as long as the worker runs. A worker without connections sleeps.
    pub async fn run(&self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.is_empty() {
                // With room for ten thousand once, there is no reason to keep it for ever.
                self.clocks.borrow_mut().shrink_to_fit();
                self.arrived.notified().await;
                ticks.reset();
            }
            ticks.tick().await;
            self.read_time();
            for (_, clock) in self.clocks.borrow().iter() {
                if let Some(verdict) = clock.judge(self.now(), self.times) {
                    clock.pass(verdict);
                }
            }
        }
    }

    /// Tells every idle connection to close.
    pub fn close_idle(&self) {
        for (_, clock) in self
            .clocks
            .borrow()
            .iter()
            .filter(|(_, clock)| clock.is_idle())
        {
            clock.pass(Verdict::Close);
        }
    }

    /// Tells the longest idle connection to close, so that a newcomer finds a place; one that
    /// came or was answered within the last second is spared.
    pub fn close_stalest(&self) {
        let clocks = self.clocks.borrow();
        let stale = clocks.iter().map(|(_, clock)| clock);
        let stale = stale.filter(|clock| {
            clock.phase.get() == Phase::Parked && self.now() > clock.since.get() + 1
        });
        if let Some(stalest) = stale.min_by_key(|clock| clock.since.get()) {
            stalest.pass(Verdict::Close);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        head: 10,
        idle: 75,
        body: 30,
        write: 20,
    };

    fn first_verdict(phase: Phase, blocked: bool) -> (u32, Verdict) {
        let clock = Clock::new(100);
        clock.begin(phase, 100);
        clock.set_blocked(blocked, 100);
        (100..)
            .find_map(|now| Some((now - 100, clock.judge(now, TIMES)?)))
            .unwrap()
    }

    #[test]
    fn each_phase_has_its_limit_and_is_never_judged_early() {
        assert_eq!(
            first_verdict(Phase::Idle, false),
            (PARK_AFTER + 1, Verdict::Park)
        );
        assert_eq!(first_verdict(Phase::Parked, false), (76, Verdict::Close));
        assert_eq!(first_verdict(Phase::Head, false), (11, Verdict::Late));
        assert_eq!(first_verdict(Phase::Body, false), (31, Verdict::Late));
        assert_eq!(
            first_verdict(Phase::Linger, false),
            (LINGER + 1, Verdict::Abort)
        );
    }

    #[test]
    fn a_client_that_does_not_read_is_dropped_whatever_it_sends() {
        for phase in [Phase::Idle, Phase::Head, Phase::Body] {
            assert_eq!(first_verdict(phase, true), (21, Verdict::Abort));
        }
    }

    #[test]
    fn reading_the_answer_late_leaves_the_whole_idle_time() {
        let clock = Clock::new(0);
        clock.set_blocked(true, 0);
        clock.set_blocked(false, 15);
        assert_eq!(clock.judge(16, TIMES), None);
    }

    #[test]
    fn a_connection_leaves_when_its_entry_is_dropped() {
        let reaper = Rc::new(Reaper::new(TIMES));
        let (first, second) = (reaper.enter(), reaper.enter());
        drop(first);
        assert!(!reaper.is_empty());
        drop(second);
        assert!(reaper.is_empty());
    }

    #[test]
    fn only_idle_connections_are_closed_for_a_drain() {
        let reaper = Rc::new(Reaper::new(TIMES));
        let (idle, busy) = (reaper.enter(), reaper.enter());
        busy.clock.begin(Phase::Head, 0);
        reaper.close_idle();
        assert_eq!(idle.clock.verdict(Waker::noop()), Some(Verdict::Close));
        assert_eq!(busy.clock.verdict(Waker::noop()), None);
    }

    #[test]
    fn the_longest_idle_connection_makes_room() {
        let reaper = Rc::new(Reaper::new(TIMES));
        let entries: Vec<_> = (0..3).map(|_| reaper.enter()).collect();
        for (entry, since) in entries.iter().zip([5, 3, 9]) {
            entry.clock.begin(Phase::Parked, since);
        }
        reaper.now.set(10);
        reaper.close_stalest();
        let verdicts = entries
            .iter()
            .map(|entry| entry.clock.verdict(Waker::noop()));
        assert!(verdicts.eq([None, Some(Verdict::Close), None]));
    }
}
