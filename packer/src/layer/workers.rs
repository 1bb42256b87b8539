//! Threads that compress blocks, and give them back in the order in which they came.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use super::blocks::{Compressor, Pair};

/// Blocks in hand beside those that are compressed: who has finished one finds the next one there.
const WAITING: usize = 1;

/// A block that is compressed.
type Answer = io::Result<Pair>;

/// A block and where its answer goes.
type Job = (Pair, Sender<Answer>);

/// The threads. They end when this is dropped.
pub(super) struct Workers {
    most: usize,
    running: usize,
    jobs: Sender<Job>,
    queue: Arc<Mutex<Receiver<Job>>>,
    /// One for each block that was taken and not given back, in order.
    answers: VecDeque<Receiver<Answer>>,
}

impl Workers {
    /// At most `most` threads; they start as blocks come.
    pub(super) fn new(most: usize) -> Self {
        let (jobs, queue) = mpsc::channel();
        Self {
            most,
            running: 0,
            jobs,
            queue: Arc::new(Mutex::new(queue)),
            answers: VecDeque::new(),
        }
    }

    /// Whether there is work for every thread, so that a block should be taken back first.
    pub(super) fn are_busy(&self) -> bool {
        self.answers.len() >= self.most + WAITING
    }

    /// Takes a block.
    pub(super) fn take(&mut self, pair: Pair, compressor: &dyn Fn() -> Compressor) {
        let (answer, receiver) = mpsc::channel();
        self.answers.push_back(receiver);
        // What fits into one block is compressed sooner than a thread starts; and where no thread
        // can be had, there is still this one.
        let is_only = pair.block.is_last && self.running == 0;
        if is_only || !self.is_staffed(compressor) {
            // The receiver was just made, and the answer waits there.
            let _ = answer.send(compress(pair, &mut compressor()));
        } else {
            // The queue lives as long as this does.
            let _ = self.jobs.send((pair, answer));
        }
    }

    /// The oldest block that was taken and not given back, compressed.
    pub(super) fn next(&mut self) -> Option<Answer> {
        let answer = self.answers.pop_front()?;
        let ended = |_| Err(io::Error::other("a thread that compresses ended"));
        Some(answer.recv().unwrap_or_else(ended))
    }

    /// Starts one more thread while there may be more; says whether there is any.
    fn is_staffed(&mut self, compressor: &dyn Fn() -> Compressor) -> bool {
        if self.running < self.most {
            let (queue, mut compressor) = (Arc::clone(&self.queue), compressor());
            let thread = thread::Builder::new().spawn(move || {
                while let Some((pair, answer)) = next_of(&queue) {
                    // Nobody waits for it any more when writing failed.
                    let _ = answer.send(compress(pair, &mut compressor));
                }
            });
            self.running += usize::from(thread.is_ok());
        }
        self.running > 0
    }
}

/// The next job; nothing when there will be none. The lock is held while waiting: who waits first
/// gets the next block.
fn next_of(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().ok()?.recv().ok()
}

fn compress(mut pair: Pair, compressor: &mut Compressor) -> Answer {
    compressor(&pair.block, &mut pair.compressed)?;
    Ok(pair)
}

impl fmt::Debug for Workers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Workers")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
