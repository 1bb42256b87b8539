//! One more program in a running container, with the caller's streams or on its own.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::background::{self, Report};
use super::relay::{self, Relay, Streams};
use super::{Attach, engine};
use crate::container::{Container, Containers};
use crate::sandbox::cgroup::Cgroup;
use crate::sandbox::handle::ProcessId;
use crate::sandbox::spec::Join;
use crate::sandbox::{self, Failure};

/// The name of the process that watches a program without a caller.
pub(super) const NAME: &str = "runner-session";

/// What is run, and how it is connected.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    /// The program, and the container's first process.
    pub join: Join,
    /// The container's control group, if it has one.
    pub cgroup: Option<Cgroup>,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// Whether it gets the caller's standard input.
    pub interactive: bool,
}

impl Session {
    /// Runs the program with the caller's streams until it ends; its exit code.
    ///
    /// # Errors
    /// A [`Failure`] with podman's exit code.
    pub fn run(&self, container: &Container, runroot: &Path) -> Result<u8, Failure> {
        let attach = Attach::fully(self.interactive);
        self.run_with(container, runroot, attach, || ())
    }

    /// Runs the program in the background, and returns when it runs. Its output is lost.
    ///
    /// # Errors
    /// A [`Failure`] with podman's exit code.
    pub fn leave(
        &self,
        container: &Container,
        graphroot: &Path,
        runroot: &Path,
    ) -> Result<(), Failure> {
        let id = Path::new(container.record.id.as_str());
        background::start(NAME, &[graphroot, runroot, id], self)
    }

    fn run_with(
        &self,
        container: &Container,
        runroot: &Path,
        attach: Attach,
        on_start: impl FnOnce(),
    ) -> Result<u8, Failure> {
        let signals = relay::catch_signals().map_err(|error| engine("signalfd", &error))?;
        let streams = Streams::new(self.terminal, self.interactive)
            .map_err(|error| engine("pipe", &error))?;
        let first = ProcessId {
            pid: self.join.pid,
            start_time: self.join.start_time,
        };
        let mut running = sandbox::join(
            &self.join,
            runroot,
            self.cgroup.as_ref(),
            streams.inside(),
            &mut container.moments(Some(first)),
        )?;
        let process = running.process;
        let mut relay = Relay::new(&mut running, signals, streams, None, attach)
            .map_err(|error| engine("the program's streams", &error))?;
        on_start();
        let code = relay.run(process, || ());
        relay.finish();
        Ok(code)
    }
}

/// The life of the process that watches a program without a caller: its exit code.
pub(super) fn main([graphroot, runroot, id]: [PathBuf; 3]) -> u8 {
    let ended = background::settle::<Session>(c"runner-session").and_then(|session| {
        let container = super::find(&Containers::open(&graphroot, &runroot), &id)?;
        let started = || background::report(&Report::Done(()));
        session.run_with(&container, &runroot, Attach::default(), started)
    });
    ended.unwrap_or_else(|failure| {
        let code = failure.code;
        background::report(&Report::<()>::Failed(failure));
        code
    })
}
