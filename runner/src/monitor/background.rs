//! A process of ours that stays when its command has ended: this program, started once more under another
//! name and in a session of its own. It gets an order on its standard input, and reports on its output
//! when what it was started for is done or could not be; then it has neither any more.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::setsid;
use rustix::thread::set_name;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sandbox::{self, Failure};

/// What it reports.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report<T> {
    /// It is done.
    Done(T),
    /// It could not be, and the process has ended.
    Failed(Failure),
}

/// Starts one under `name` with these words, gives it `order` and waits for its report.
///
/// # Errors
/// What it reports.
pub(super) fn start<T: DeserializeOwned>(
    name: &str,
    words: &[&Path],
    order: &impl Serialize,
) -> Result<T, Failure> {
    let failed = |error: io::Error| Failure::engine(format!("cannot start a {name}: {error}"));
    let order = serde_json::to_vec(order).map_err(|error| failed(error.into()))?;
    let mut child = Command::new("/proc/self/exe")
        .arg0(name)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // One that has died says nothing either.
        let _ = input.write_all(&order);
    }
    let mut text = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        let _ = output.read_to_end(&mut text);
    }
    match serde_json::from_slice(&text) {
        Ok(Report::Done(value)) => Ok(value),
        Ok(Report::Failed(failure)) => {
            let _ = child.wait();
            Err(failure)
        }
        Err(_) => Err(Failure::engine(format!("the {name} has died"))),
    }
}

/// The first thing that such a process does: it lets go of everything that is the command's, which would be
/// kept as long as it lives, and reads its order.
///
/// # Errors
/// When there is none.
pub(super) fn settle<T: DeserializeOwned>(name: &CStr) -> Result<T, Failure> {
    let _ = set_name(name);
    let _ = sandbox::close_from(3);
    let _ = setsid();
    let _ = std::env::set_current_dir("/");
    let order = serde_json::from_reader(io::stdin().lock())
        .map_err(|error| Failure::engine(format!("there is no order: {error}")))?;
    if let Ok(null) = null() {
        let _ = rustix::stdio::dup2_stdin(null.as_fd());
    }
    Ok(order)
}

/// Reports, and is heard of no more.
pub(super) fn report<T: Serialize>(report: &Report<T>) {
    let text = serde_json::to_vec(report).unwrap_or_default();
    let _ = io::stdout()
        .write_all(&text)
        .and_then(|()| io::stdout().flush());
    if let Ok(null) = null() {
        let _ = rustix::stdio::dup2_stdout(null.as_fd());
        let _ = rustix::stdio::dup2_stderr(null.as_fd());
    }
}

fn null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}
