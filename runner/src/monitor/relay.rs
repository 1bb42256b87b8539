//! Carries bytes between a process in a container and the caller: standard input in, standard
//! output and error out and into the log, and signals.
//!
//! The container never gets the caller's own descriptors: a terminal of the caller's in a container's
//! hands could be typed into.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::termios::{Winsize, tcsetwinsize};

use super::Attach;
use super::terminal::{self, RawMode};
use crate::container::log::{LogWriter, Stream};
use crate::human::tell;
use crate::sandbox::handle::{Handle, ProcessId};
use crate::sandbox::{self, Running, rest};

mod sink;

use sink::Sink;

/// Signals that are passed on to the container, as podman's `--sig-proxy` does, and those that tell of
/// a change: of the terminal's size, of a child.
const CAUGHT: [i32; 9] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
    libc::SIGCHLD,
];

/// How often the user may ask before a container that ignores it is killed: the third INT or TERM ends it.
const PATIENCE: u32 = 3;

/// The most that a pipe can hold without privilege, in bytes (`/proc/sys/fs/pipe-max-size`).
const LARGEST_PIPE: usize = 1 << 20;

/// What is read at once, in bytes. Memory that nothing was read into is never touched.
const READ: usize = 64 * 1024;

/// Blocks the signals that are passed on; they are read from the descriptor from now on.
///
/// # Errors
/// When the process has no descriptor left.
pub fn catch_signals() -> io::Result<OwnedFd> {
    sandbox::signal_descriptor(&CAUGHT)
}

/// The ends of a process's streams, before it starts.
#[derive(Debug)]
pub struct Streams {
    input: (OwnedFd, Option<OwnedFd>),
    output: Option<[(OwnedFd, OwnedFd); 2]>,
}

impl Streams {
    /// Pipes for input, output and error; for a process with a terminal none of them.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(terminal: bool, interactive: bool) -> io::Result<Self> {
        let null = || {
            Ok::<_, io::Error>(OwnedFd::from(
                File::options().read(true).write(true).open("/dev/null")?,
            ))
        };
        if terminal {
            return Ok(Self {
                input: (null()?, None),
                output: None,
            });
        }
        let pipe = || io::pipe().map(|(read, write)| (OwnedFd::from(read), OwnedFd::from(write)));
        let input = if interactive {
            let (read, write) = pipe()?;
            sandbox::set_non_blocking(&write)?;
            (read, Some(write))
        } else {
            (null()?, None)
        };
        let output = [pipe()?, pipe()?];
        for (read, _) in &output {
            sandbox::set_non_blocking(read)?;
        }
        Ok(Self {
            input,
            output: Some(output),
        })
    }

    /// What the process gets as 0, 1 and 2.
    #[must_use]
    pub fn inside(&self) -> [BorrowedFd<'_>; 3] {
        let input = self.input.0.as_fd();
        match &self.output {
            Some([out, error]) => [input, out.1.as_fd(), error.1.as_fd()],
            None => [input; 3],
        }
    }
}

/// What carries the bytes.
#[derive(Debug)]
pub struct Relay {
    signals: OwnedFd,
    /// Where our standard input goes.
    input: Option<OwnedFd>,
    /// Whether our standard input still gives.
    reading: bool,
    pending: Vec<u8>,
    outputs: Vec<(OwnedFd, Stream)>,
    /// Our own streams, if the output is also ours.
    sinks: Vec<Sink>,
    terminal: Option<OwnedFd>,
    log: Option<LogWriter>,
    asked: u32,
    /// When the process is killed.
    deadline: Option<Instant>,
    _raw: Option<RawMode>,
}

impl Relay {
    /// Connects the caller's streams with those of `running`.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(
        running: &mut Running,
        signals: OwnedFd,
        streams: Streams,
        log: Option<LogWriter>,
        attach: Attach,
    ) -> io::Result<Self> {
        let mut relay = Self {
            signals,
            input: streams.input.1,
            reading: attach.input,
            pending: Vec::new(),
            outputs: Vec::new(),
            sinks: Vec::new(),
            terminal: running.terminal.take(),
            log,
            asked: 0,
            deadline: None,
            _raw: None,
        };
        // Our copies of the process's own ends go, or their end would never show.
        drop(streams.input.0);
        if let Some([(out, _), (error, _)]) = streams.output {
            relay.outputs = vec![(out, Stream::Stdout), (error, Stream::Stderr)];
        }
        if let Some(terminal) = &relay.terminal {
            sandbox::set_non_blocking(terminal)?;
            relay.outputs.push((terminal.try_clone()?, Stream::Stdout));
            relay.input = Some(terminal.try_clone()?);
            relay._raw = attach.input.then(RawMode::enter).flatten();
        }
        if relay.input.is_none() {
            relay.reading = false;
        }
        let shown = [
            (attach.output, Stream::Stdout),
            (attach.error, Stream::Stderr),
        ];
        let shown = shown.into_iter().filter(|(is_shown, _)| *is_shown);
        relay.sinks = shown.map(|(_, stream)| Sink::new(stream)).collect();
        Ok(relay)
    }

    /// Has the process killed when it is still there after `limit`.
    pub fn kill_after(&mut self, limit: Duration) {
        self.deadline = Instant::now().checked_add(limit);
    }

    /// How long to wait for an event; kills a process that is late.
    fn patience(&mut self, process: Option<&Handle>) -> Option<Timespec> {
        let left = self.deadline?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.deadline = None;
            let _ = process.map(|process| process.signal(libc::SIGKILL));
            return None;
        }
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        })
    }

    /// Carries until `process`, a child of this one, ends; its exit code. `on_child` is called
    /// whenever a child may have ended.
    pub fn run(&mut self, process: ProcessId, mut on_child: impl FnMut()) -> u8 {
        let handle = Pid::from_raw(process.pid).and_then(|pid| Handle::of_child(pid).ok());
        while handle.as_ref().is_some_and(Handle::is_alive) {
            self.turn(handle.as_ref(), &mut on_child);
        }
        self.drain();
        exit_code(process)
    }

    /// Lets go of the log, in which everything is.
    pub fn close_log(&mut self) {
        self.log = None;
    }

    /// Writes what the caller's reader has not taken yet, however long that takes. Everything that
    /// others wait for is done by then, and a signal ends the caller as it would end any program.
    pub fn finish(mut self) {
        if self.sinks.iter().any(Sink::is_waiting) {
            while let Ok(Some(_)) = sandbox::next_signal(self.signals.as_fd()) {}
            sandbox::unblock_signals();
        }
        for sink in self.sinks.drain(..) {
            // Whoever does not read to the end does not want to know it.
            let _ = sink.finish();
        }
    }

    /// Waits for the next event and does what it asks for.
    fn turn(&mut self, process: Option<&Handle>, on_child: &mut impl FnMut()) {
        let patience = self.patience(process);
        let (standard_input, own) = (io::stdin(), (io::stdout(), io::stderr()));
        let mut set = vec![PollFd::new(&self.signals, PollFlags::IN)];
        set.extend(process.map(|process| PollFd::new(process, PollFlags::IN)));
        // Either something can be read from a stream, or what was read can be written.
        let mut read = Vec::new();
        let waiting: Vec<Stream> = self.waiting().collect();
        for (index, (fd, stream)) in self.outputs.iter().enumerate() {
            if !waiting.contains(stream) {
                read.push((set.len(), index));
                set.push(PollFd::new(fd, PollFlags::IN));
            }
        }
        for stream in &waiting {
            let own = match stream {
                Stream::Stdout => own.0.as_fd(),
                Stream::Stderr => own.1.as_fd(),
            };
            set.push(PollFd::from_borrowed_fd(own, PollFlags::OUT));
        }
        let input = set.len();
        match &self.input {
            Some(to) if !self.pending.is_empty() => set.push(PollFd::new(to, PollFlags::OUT)),
            Some(_) if self.reading => set.push(PollFd::new(&standard_input, PollFlags::IN)),
            _ => {}
        }
        let _ = rest::wait(&mut set, patience.as_ref());
        let ready: Vec<bool> = set.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(set);
        // The end of the container's own process is no news of any other child.
        let has_ended = process.is_some() && ready[1];
        if ready[0] && !has_ended {
            self.pass_signals(process, on_child);
        }
        if ready.get(input).copied().unwrap_or(false) {
            self.pass_input();
        }
        for (_, index) in read.iter().rev().filter(|(place, _)| ready[*place]) {
            self.pass_output(*index);
        }
        for stream in waiting {
            self.show(stream, &[]);
        }
    }

    /// The streams whose reader has not taken everything.
    fn waiting(&self) -> impl Iterator<Item = Stream> {
        let sinks = self.sinks.iter();
        sinks.filter(|sink| sink.is_waiting()).map(Sink::stream)
    }

    fn pass_signals(&mut self, process: Option<&Handle>, on_child: &mut impl FnMut()) {
        while let Ok(Some(number)) = sandbox::next_signal(self.signals.as_fd()) {
            match number {
                libc::SIGCHLD => on_child(),
                libc::SIGWINCH => self.resize(),
                _ => {
                    if matches!(number, libc::SIGINT | libc::SIGTERM) {
                        self.asked += 1;
                    }
                    let signal = if self.asked >= PATIENCE {
                        libc::SIGKILL
                    } else {
                        number
                    };
                    if let Some(process) = process {
                        let _ = process.signal(signal);
                    }
                }
            }
        }
    }

    fn resize(&self) {
        if let Some(terminal) = &self.terminal {
            let (ws_row, ws_col) = terminal::own_size();
            let size = Winsize {
                ws_row,
                ws_col,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            let _ = tcsetwinsize(terminal, size);
        }
    }

    /// Moves what the caller typed to the process.
    fn pass_input(&mut self) {
        let Some(to) = &self.input else {
            return;
        };
        if self.pending.is_empty() {
            let mut buffer = vec![0; 16 * 1024];
            match rustix::io::read(io::stdin(), &mut buffer) {
                Ok(0) | Err(Errno::IO | Errno::BADF) => {
                    // The end of our input is the end of the process's.
                    self.reading = false;
                    self.input = None;
                    return;
                }
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(_) => return,
            }
        }
        match rustix::io::write(to, &self.pending) {
            Ok(count) => {
                self.pending.drain(..count);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The process reads no more.
            Err(_) => {
                self.pending.clear();
                self.input = None;
                self.reading = false;
            }
        }
    }

    /// Moves what the process printed; forgets the stream at its end.
    fn pass_output(&mut self, index: usize) {
        let mut buffer = Vec::with_capacity(READ);
        // Showing a stream may have ended it.
        let Some((from, stream)) = self.outputs.get(index) else {
            return;
        };
        let stream = *stream;
        match rustix::io::read(from, spare_capacity(&mut buffer)) {
            Ok(count) if count > 0 => self.take(stream, &buffer),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // EIO is the end of a terminal.
            Ok(_) | Err(_) => {
                self.outputs.remove(index);
            }
        }
    }

    /// Puts what the process printed into the log and shows it.
    fn take(&mut self, stream: Stream, data: &[u8]) {
        if let Some(log) = &mut self.log
            && let Err(error) = log.write(stream, data)
        {
            let error = sandbox::failure::describe(&error);
            tell(format_args!(
                "runner: the container's log ends here: {error}"
            ));
            self.log = None;
        }
        self.show(stream, data);
    }

    /// Shows `data` and what still waits of the same stream. A reader that has gone away is gone
    /// for the program too, which learns of it as it would in any pipeline.
    fn show(&mut self, stream: Stream, data: &[u8]) {
        let Some(place) = self.sinks.iter().position(|sink| sink.stream() == stream) else {
            return;
        };
        let Err(error) = self.sinks[place].write(data) else {
            return;
        };
        if error.kind() != io::ErrorKind::BrokenPipe {
            let error = sandbox::failure::describe(&error);
            tell(format_args!("runner: the output ends here: {error}"));
        }
        self.sinks.remove(place);
        self.outputs.retain(|(_, other)| *other != stream);
        if self.terminal.take().is_some() {
            // The last of our ends of the terminal: the program's hangs up.
            self.input = None;
        }
    }

    /// Reads what is left in the pipes of a process that has ended. No more than can have been in
    /// them: a process that joined a container may have left children that go on printing.
    fn drain(&mut self) {
        let mut buffer = Vec::with_capacity(READ);
        for (from, stream) in std::mem::take(&mut self.outputs) {
            let mut read = 0;
            while read <= LARGEST_PIPE {
                buffer.clear();
                match rustix::io::read(&from, spare_capacity(&mut buffer)) {
                    Ok(count) if count > 0 => {
                        read += count;
                        self.take(stream, &buffer);
                    }
                    Err(Errno::INTR) => {}
                    Ok(_) | Err(_) => break,
                }
            }
        }
    }
}

/// Waits for the child and gives its exit code, or 128 and the signal that ended it.
fn exit_code(process: ProcessId) -> u8 {
    let pid = Pid::from_raw(process.pid);
    let status = rustix::io::retry_on_intr(|| waitpid(pid, WaitOptions::empty()));
    let code = match status {
        Ok(Some((_, status))) => status
            .exit_status()
            .or_else(|| status.terminating_signal().map(|signal| 128 + signal)),
        _ => None,
    };
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}
