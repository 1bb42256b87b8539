//! Processes beside the first: `exec`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, bail};

use super::config::{self, Config};
use super::state::{self, Container, Status};
use super::{console, listener, translate};
use crate::sandbox::handle::ProcessId;
use crate::sandbox::spec::{Carried, Join, Namespace};
use crate::sandbox::{self, Moment, Running};

/// Descriptors that the caller hands to the program.
#[derive(Debug, Default)]
pub struct Passed(Vec<OwnedFd>);

impl Passed {
    /// The descriptors 3 to `count` + 2, and those that systemd hands over by `LISTEN_FDS`
    /// (sd_listen_fds(3)), which come first.
    ///
    /// # Errors
    /// When one of them is not open.
    pub fn of_caller(count: u32) -> anyhow::Result<Self> {
        let listening = std::env::var("LISTEN_FDS").ok();
        let listening = listening
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or(0);
        let mut found = Vec::new();
        for number in 3..3 + listening.saturating_add(count).min(1 << 16) {
            let number = i32::try_from(number)?;
            let copy = sandbox::duplicate(number)
                .with_context(|| format!("--preserve-fds: descriptor {number} is not open"))?;
            found.push(copy);
        }
        Ok(Self(found))
    }

    /// Adds them to `carried`, and gives their positions.
    pub fn carry<'a>(&'a self, carried: &mut Vec<BorrowedFd<'a>>) -> Vec<usize> {
        let first = carried.len();
        carried.extend(self.0.iter().map(AsFd::as_fd));
        (first..carried.len()).collect()
    }
}

/// Where in a container a process goes.
#[derive(Debug, Default)]
pub struct Place {
    /// Groups below the container's, by path.
    pub cgroups: Vec<String>,
    /// Also into a container that is paused.
    pub ignore_paused: bool,
}

/// Runs one more process in a container.
///
/// # Errors
/// When the container does not run, or the program can not be executed.
pub fn exec(
    container: &Container,
    config: &Config,
    process: &config::Process,
    stdio: [BorrowedFd<'_>; 3],
    passed: &Passed,
    place: &Place,
) -> anyhow::Result<Running> {
    match container.status() {
        Status::Running | Status::Created => {}
        Status::Paused if place.ignore_paused => {}
        Status::Paused => bail!("cannot exec in a paused container (use --ignore-paused)"),
        Status::Stopped => bail!("cannot exec a container that has stopped"),
    }
    let linux = config.linux.clone().unwrap_or_default();
    let mut carried = Vec::new();
    // As it sees it by now.
    let root = format!("/proc/{}/root", container.saved.process.pid);
    let profiles = state::profiles_beside(&container.folder);
    let join = Join {
        root: None,
        pid: container.saved.process.pid,
        start_time: container.saved.process.start_time,
        process: translate::process(process, &linux, Path::new(&root), &profiles)?,
        bound: false,
        own_cgroups: has_own_cgroups(&linux),
        carried: Carried {
            passed: passed.carry(&mut carried),
        },
    };
    let group = match (&container.saved.cgroup, place.cgroups.as_slice()) {
        (group, []) => group.clone(),
        (Some(group), words) => Some(group.below(words)?),
        (None, _) => bail!("--cgroup: the container has no cgroup"),
    };
    let mut at = |moment, process: ProcessId, descriptor: Option<OwnedFd>| match descriptor {
        Some(descriptor) if moment == Moment::Listening => {
            let state = container.state(container.status());
            listener::hand_over(&linux, &descriptor, process.pid, &state)
        }
        _ => Ok(()),
    };
    Ok(sandbox::join_directly(
        &join,
        group.as_ref(),
        &carried,
        stdio,
        &mut at,
    )?)
}

fn has_own_cgroups(linux: &config::Linux) -> bool {
    let mut namespaces = linux.namespaces.iter().flatten();
    namespaces.any(|entry| entry.kind == Namespace::Cgroup)
}

/// Sends the terminal of a process to a console socket.
///
/// # Errors
/// When nobody listens there.
pub fn send_terminal(running: &mut Running, path: &Path) -> anyhow::Result<()> {
    match running.terminal.take() {
        Some(master) => console::send(path, master.as_fd()).with_context(|| {
            format!(
                "cannot send the terminal to the console socket {}",
                path.display()
            )
        }),
        None => Ok(()),
    }
}
