//! The time namespace, whose clocks have to be set before a process is in it.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::super::failure::{Context, Failure};
use super::super::spec::Namespace;
use super::super::syscalls;
use super::Setup;

/// While this process still is the caller's user, and sees the host's `/proc`.
pub(super) fn adjust_oom_score(setup: &Setup<'_>) -> Result<(), Failure> {
    super::super::program::adjust_oom_score(&setup.spec.process)
}

/// Makes a namespace with other clocks, if there is to be one.
pub(super) fn set_clocks(setup: &Setup<'_>) -> Result<(), Failure> {
    if !setup.spec.namespaces.has_new(Namespace::Time) {
        return Ok(());
    }
    make(setup).context(|| "cannot set the clocks of a time namespace".to_owned())
}

/// time_namespaces(7): the clocks can be set until the first process is in, so they are set in a
/// namespace that is for children, which is then entered.
fn make(setup: &Setup<'_>) -> std::io::Result<()> {
    syscalls::unshare(UnshareFlags::NEWTIME)?;
    for (clock, seconds, nanoseconds) in &setup.spec.namespaces.clocks {
        let line = format!("{clock} {seconds} {nanoseconds}\n");
        let mut offsets = File::options()
            .write(true)
            .open("/proc/self/timens_offsets")?;
        offsets.write_all(line.as_bytes())?;
    }
    let own = File::open("/proc/self/ns/time_for_children")?;
    Ok(move_into_link_name_space(
        own.as_fd(),
        Some(LinkNameSpaceType::Time),
    )?)
}
