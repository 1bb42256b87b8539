//! Starts a program, feeds it, watches it with a time limit, and keeps what it said.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::{janitor, wait};

/// How the lines begin with which podman tells of the progress of a `load`.
const PROGRESS: [&str; 4] = [
    "Getting image",
    "Copying ",
    "Writing manifest",
    "Storing signatures",
];

/// A hang is a failure, and nothing here takes this long but compiling.
const LIMIT: Duration = Duration::from_secs(60);

/// A program that is to be started, in a process group of its own and with a clean environment.
#[derive(Debug)]
pub struct Run {
    command: Command,
    input: Option<Vec<u8>>,
    limit: Duration,
}

impl Run {
    /// `program` with nothing in its environment but `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env(crate::leaks::MARK, "support")
            .process_group(0);
        Self {
            command,
            input: None,
            limit: LIMIT,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable out of the environment.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Starts in `folder`.
    #[must_use]
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs as another user, without supplementary groups. Only root can.
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.command.uid(uid).gid(gid);
        self
    }

    /// Gives `input` on standard input, which is empty otherwise.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Ends, as a failure, after `limit` instead of a minute.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The command line as one would type it.
    #[must_use]
    pub fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// The bare command, for a measurement that needs nothing of what this type adds.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it and returns at once.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(mut self) -> Running {
        let line = self.line();
        let stdin = self
            .input
            .as_ref()
            .map_or_else(Stdio::null, |_| Stdio::piped());
        self.command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = janitor::spawn(&mut self.command)
            .unwrap_or_else(|error| panic!("{line}: cannot be started: {error}"));
        if let (Some(input), Some(mut stdin)) = (self.input, child.stdin.take()) {
            // In a thread of its own: the program may write before it has read everything.
            std::thread::spawn(move || stdin.write_all(&input));
        }
        let stdout = Listener::new(child.stdout.take().expect("stdout is a pipe"));
        let stderr = Listener::new(child.stderr.take().expect("stderr is a pipe"));
        Running {
            line,
            limit: self.limit,
            child,
            stdout,
            stderr,
            status: None,
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started, or does not end within the limit.
    #[must_use]
    pub fn finish(self) -> Outcome {
        self.spawn().finish()
    }

    /// Runs it to its end, which has to be a success, and returns what it printed.
    ///
    /// # Panics
    /// When it fails, with all that it said.
    pub fn succeed(self) -> Outcome {
        self.finish().success()
    }
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A program that was started. It is killed, with its process group, when this is dropped.
#[derive(Debug)]
pub struct Running {
    line: String,
    limit: Duration,
    child: Child,
    stdout: Listener,
    stderr: Listener,
    status: Option<ExitStatus>,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until it has said a whole line with `text` in it, on either output.
    ///
    /// # Panics
    /// When it ends before or takes longer than its limit, with all that it said.
    pub fn wait_for(&mut self, text: &str) {
        let said =
            |running: &Self| has_line(&running.stdout(), text) || has_line(&running.stderr(), text);
        let limit = self.limit;
        let found = wait::poll(limit, || {
            let ended = self.has_ended();
            (said(self) || ended).then(|| said(self))
        });
        let what = match found {
            Some(true) => return,
            Some(false) => "ended without".to_owned(),
            None => format!("was running for {limit:?} without"),
        };
        let (stdout, stderr) = (self.stdout(), self.stderr());
        panic!(
            "{}: {what} saying {text:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
            self.line
        );
    }

    /// Whether it has ended, and its outputs were closed by all that hold them.
    fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("our own child");
        }
        self.status.is_some() && self.stdout.is_finished() && self.stderr.is_finished()
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process(self.process(), signal);
    }

    /// Sends a signal to its whole process group, as a terminal does on Ctrl-C.
    pub fn signal_group(&self, signal: Signal) {
        let _ = rustix::process::kill_process_group(self.process(), signal);
    }

    fn process(&self) -> Pid {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        Pid::from_raw(pid).expect("a process id is not 0")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within its limit, or has left a process that holds its outputs open.
    #[must_use]
    pub fn finish(self) -> Outcome {
        self.end().unwrap_or_else(|hang| panic!("{hang}"))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within its limit, or has left a process that holds its outputs open: all
    /// that it said. It is killed then.
    ///
    /// # Panics
    /// When the system does not tell how it ended.
    pub fn end(mut self) -> Result<Outcome, String> {
        let limit = self.limit;
        let ended = wait::poll(limit, || self.has_ended().then_some(()));
        let (stdout, stderr) = (self.stdout(), self.stderr());
        let line = &self.line;
        let what = match self.status {
            None => "did not end",
            Some(_) => "ended, but a process that it left holds its output open",
        };
        if ended.is_none() {
            return Err(format!(
                "{line}: {what} in {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
            ));
        }
        let status = self.status.expect("it has ended");
        Ok(Outcome {
            line: self.line.clone(),
            code: code(status),
            stdout,
            stderr,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.signal_group(Signal::KILL);
            let _ = self.child.wait();
        }
        janitor::collected(self.child.id());
    }
}

/// Whether a line of `heard` that has come to its end contains `text`.
fn has_line(heard: &str, text: &str) -> bool {
    heard
        .split_inclusive('\n')
        .any(|line| line.ends_with('\n') && line.contains(text))
}

/// The exit code as a shell reports it: 128 and the signal's number for one that was killed.
fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| Some(128 + status.signal()?))
        .expect("it has ended")
}

/// Collects one output of a program.
#[derive(Debug)]
struct Listener {
    heard: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Listener {
    fn new(mut output: impl Read + Send + 'static) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&heard);
        let thread = std::thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                let mut heard = collected.lock().unwrap_or_else(PoisonError::into_inner);
                heard.extend_from_slice(&piece[..length]);
            }
        });
        Self { heard, thread }
    }

    fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    fn text(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// How a program ended, and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line.
    pub line: String,
    /// The exit code; 128 and the signal's number for one that was killed.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Itself, if it was a success.
    ///
    /// # Panics
    /// When the code is not 0.
    #[must_use]
    pub fn success(self) -> Self {
        self.with_code(0)
    }

    /// Itself, if it ended with `code`.
    ///
    /// # Panics
    /// When it ended with another.
    #[must_use]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Standard output without the line feed at its end.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stdout.trim_end()
    }

    /// The one line on standard error of a failure that printed nothing else, but for the progress
    /// of a `load`, which podman prints there too.
    ///
    /// # Panics
    /// When there is more or less than one line, or something on standard output.
    #[must_use]
    pub fn only_error(&self) -> &str {
        let progress = |line: &&str| PROGRESS.iter().any(|start| line.starts_with(start));
        let lines: Vec<&str> = self.stderr.lines().filter(|line| !progress(line)).collect();
        assert!(
            self.stdout.is_empty() && lines.len() == 1,
            "expected one line of error\n{self}"
        );
        lines[0]
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            formatter,
            "{line}\nended with {code}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// Words as owned arguments, for lists that mix texts and paths.
#[must_use]
pub fn words<A: AsRef<OsStr>>(words: &[A]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::has_line;

    #[test]
    fn a_line_counts_when_it_has_come_to_its_end() {
        assert!(!has_line("http://localhost:", "http://localhost:"));
        assert!(!has_line("http://localhost:80", "http://localhost:"));
        assert!(has_line(
            "compiled\nhttp://localhost:8080\n",
            "http://localhost:"
        ));
    }
}
