//! Compares the time of two commands on a machine whose speed changes from minute to minute.
//!
//! The two run in turn, A B A B, and each pair gives one ratio: what slows the machine down for a
//! while slows both. The median of the ratios is the result; the absolute times are only printed to say of what
//! order they are.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Run, janitor};

/// How many pairs at most.
const ROUNDS: usize = 40;

/// When enough pairs were run, so that a benchmark of slow programs ends too.
const ENOUGH: Duration = Duration::from_secs(20);

/// The pause before each run: what the last one left to the kernel, or to a process that stays, is no
/// part of the next one's time.
const SETTLE: Duration = Duration::from_millis(20);

/// At least this many pairs, however long they take.
const LEAST: usize = 5;

/// One of two commands that are compared.
pub struct Side<'a> {
    /// What to call it in the table.
    pub name: &'static str,
    /// Makes the command; called for each run.
    pub command: Box<dyn Fn() -> Run + 'a>,
    /// What has to be undone after each run, and is not measured.
    pub undo: Option<Box<dyn Fn() + 'a>>,
}

impl std::fmt::Debug for Side<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Side")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<'a> Side<'a> {
    /// A command that can be run again and again.
    pub fn new(name: &'static str, command: impl Fn() -> Run + 'a) -> Self {
        Self {
            name,
            command: Box::new(command),
            undo: None,
        }
    }

    /// Runs `undo` after each run, outside of the measured time.
    #[must_use]
    pub fn undone_by(mut self, undo: impl Fn() + 'a) -> Self {
        self.undo = Some(Box::new(undo));
        self
    }

    /// Runs the command once, and says how long it took.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn measure(&self) -> Duration {
        let line = (self.command)().line();
        let mut command: Command = (self.command)().into_command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        std::thread::sleep(SETTLE);
        let start = Instant::now();
        let child = janitor::spawn(&mut command);
        let status = child.and_then(|mut child| {
            let status = child.wait();
            janitor::collected(child.id());
            status
        });
        let time = start.elapsed();
        let success = status.as_ref().is_ok_and(std::process::ExitStatus::success);
        assert!(success, "{line}: {status:?}");
        if let Some(undo) = &self.undo {
            undo();
        }
        time
    }
}

/// What came of a comparison: medians.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    /// Our time to the peer's, pair by pair.
    pub ratio: f64,
    /// Our time in milliseconds.
    pub ours: f64,
    /// The peer's time in milliseconds.
    pub peer: f64,
    /// How many pairs there were.
    pub pairs: usize,
}

/// Runs ours and a peer in turn.
///
/// # Panics
/// When one of the commands fails.
#[must_use]
pub fn take_turns(ours: &Side<'_>, peer: &Side<'_>) -> Comparison {
    // Once each for the caches.
    let _ = (ours.measure(), peer.measure());
    let start = Instant::now();
    let mut pairs = Vec::new();
    while pairs.len() < ROUNDS && (pairs.len() < LEAST || start.elapsed() < ENOUGH) {
        pairs.push((ours.measure().as_secs_f64(), peer.measure().as_secs_f64()));
    }
    Comparison {
        ratio: median(pairs.iter().map(|pair| pair.0 / pair.1).collect()),
        ours: median(pairs.iter().map(|pair| pair.0 * 1e3).collect()),
        peer: median(pairs.iter().map(|pair| pair.1 * 1e3).collect()),
        pairs: pairs.len(),
    }
}

/// Compares ours with a peer, and prints a row of a markdown table and both commands.
///
/// # Panics
/// When one of the commands fails.
pub fn compare(ours: &Side<'_>, peer: &Side<'_>) -> Comparison {
    let found = take_turns(ours, peer);
    println!(
        "| {} | {} | {:.2} | {:.1} ms | {:.1} ms | {} |",
        ours.name, peer.name, found.ratio, found.ours, found.peer, found.pairs
    );
    print_commands(ours, peer);
    found
}

/// Says what to type to see it again.
pub fn print_commands(ours: &Side<'_>, peer: &Side<'_>) {
    eprintln!(
        "  A: {}\n  B: {}",
        (ours.command)().line(),
        (peer.command)().line()
    );
}

/// Prints the head of the table that [`compare`] prints the rows of.
pub fn print_head() {
    println!("| A | B | A/B (median) | A | B | pairs |\n|---|---|---|---|---|---|");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}
