//! Programs that are run at points of the container's life (config.md, "POSIX-platform Hooks").

use super::super::failure::Failure;
use super::super::hook;
use super::super::spec::Begin;
use super::super::wire::{self, Status};
use super::Setup;

/// Lets the caller do what it has to while the namespaces are there and the host's files still are.
pub(super) fn pause(setup: &Setup<'_>) -> Result<(), Failure> {
    match &setup.spec.begin {
        Begin::WhenTold(told) if told.pause => {
            wire::send_status(setup.status, &Status::Paused, None);
            wire::wait_for_go(setup.status)
        }
        _ => Ok(()),
    }
}

/// Runs what is to be run inside, but by its path on the host.
pub(super) fn create(setup: &Setup<'_>) -> Result<(), Failure> {
    match &setup.spec.begin {
        Begin::WhenTold(told) => {
            hook::run_all("createContainer", &told.create_hooks, &told.state())
        }
        Begin::AtOnce => Ok(()),
    }
}
