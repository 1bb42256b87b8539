//! The monitor of a detached container: this program, started once more in a session of its own.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::setsid;
use rustix::thread::set_name;
use serde::{Deserialize, Serialize};

use super::Attach;
use crate::container::{Container, Containers};
use crate::network::PortMapping;
use crate::sandbox::{self, Failure};

/// The name that a monitor is started under.
const MONITOR: &str = "runner-monitor";

/// What a monitor reports about the start.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Started(Vec<PortMapping>),
    Failed(Failure),
}

/// Continues as a monitor if this process was started as one, and returns otherwise.
pub fn dispatch() {
    let mut arguments = std::env::args_os();
    if arguments.next().is_none_or(|name| name != MONITOR) {
        return;
    }
    let mut next = || arguments.next().map(PathBuf::from);
    let code = match (next(), next(), next()) {
        (Some(graphroot), Some(runroot), Some(id)) => main(&graphroot, &runroot, &id),
        _ => 125,
    };
    std::process::exit(code)
}

/// Starts `container` with a monitor of its own and waits until it runs; its open ports.
///
/// # Errors
/// What the monitor reports.
pub fn start(
    graphroot: &Path,
    runroot: &Path,
    container: &Container,
) -> Result<Vec<PortMapping>, Failure> {
    let mut child = Command::new("/proc/self/exe")
        .arg0(MONITOR)
        .args([graphroot, runroot])
        .arg(container.record.id.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::engine(format!("cannot start a monitor: {error}")))?;
    let mut text = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        let _ = output.read_to_end(&mut text);
    }
    match serde_json::from_slice(&text) {
        Ok(Report::Started(ports)) => Ok(ports),
        Ok(Report::Failed(failure)) => {
            let _ = child.wait();
            Err(failure)
        }
        Err(_) => Err(Failure::engine(
            "the container's monitor has died during the start",
        )),
    }
}

fn main(graphroot: &Path, runroot: &Path, id: &Path) -> i32 {
    let _ = set_name(c"runner-monitor");
    // Whatever the command was started with is not the container's business, and would be kept
    // open as long as it runs.
    let _ = sandbox::close_from(3);
    let _ = setsid();
    let _ = std::env::set_current_dir("/");
    let report = |report: &Report| {
        let text = serde_json::to_vec(report).unwrap_or_default();
        let _ = io::stdout()
            .write_all(&text)
            .and_then(|()| io::stdout().flush());
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(null.as_fd());
            let _ = rustix::stdio::dup2_stderr(null.as_fd());
        }
    };
    let id = OsString::from(id).into_string().unwrap_or_default();
    let containers = Containers::open(graphroot, runroot);
    let container = match containers.find(&id) {
        Ok(found) => found,
        Err(error) => {
            report(&Report::Failed(Failure::engine(error.to_string())));
            return 125;
        }
    };
    let started = super::open_ports(&container).and_then(|listeners| {
        super::start(
            &containers,
            &container,
            None,
            runroot,
            listeners,
            Attach::default(),
        )
    });
    match started {
        Ok(watched) => {
            report(&Report::Started(watched.ports().to_vec()));
            i32::from(watched.wait())
        }
        Err(failure) => {
            let code = i32::from(failure.code);
            report(&Report::Failed(failure));
            code
        }
    }
}
