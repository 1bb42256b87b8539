//! The monitor of a detached container.

use std::path::{Path, PathBuf};

use super::background::{self, Report};
use super::{Attach, open_ports};
use crate::container::{Container, Containers};
use crate::network::PortMapping;
use crate::sandbox::Failure;

/// The name that a monitor is started under.
pub(super) const NAME: &str = "runner-monitor";

/// Starts `container` with a monitor of its own and waits until it runs; its open ports.
///
/// # Errors
/// What the monitor reports.
pub fn start(
    graphroot: &Path,
    runroot: &Path,
    container: &Container,
) -> Result<Vec<PortMapping>, Failure> {
    let id = Path::new(container.record.id.as_str());
    background::start(NAME, &[graphroot, runroot, id], &())
}

/// The monitor's own life: its exit code.
pub(super) fn main([graphroot, runroot, id]: [PathBuf; 3]) -> u8 {
    let containers = Containers::open(&graphroot, &runroot);
    let found = background::settle(c"runner-monitor").and_then(|()| super::find(&containers, &id));
    let started = found.as_ref().map_err(Clone::clone).and_then(|container| {
        let listeners = open_ports(container)?;
        let attach = Attach::default();
        super::start(&containers, container, None, &runroot, listeners, attach)
    });
    match started {
        Ok(watched) => {
            background::report(&Report::Done(watched.ports().to_vec()));
            watched.wait()
        }
        Err(failure) => {
            let code = failure.code;
            background::report(&Report::<()>::Failed(failure));
            code
        }
    }
}
