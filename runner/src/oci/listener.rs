//! Handing a container's seccomp listener to the process that decides about its system calls
//! (config-linux.md, "The Container Process State").

use std::os::fd::{AsFd, OwnedFd};

use serde_json::{Map, Value, json};

use super::config::Linux;
use super::{VERSION, console};
use crate::sandbox::{Failure, failure};

/// Sends `descriptor` with the state of the process and of its container to the socket that the
/// configuration names.
///
/// # Errors
/// When nobody listens there.
pub(super) fn hand_over(
    linux: &Linux,
    descriptor: &OwnedFd,
    pid: i32,
    state: Map<String, Value>,
) -> Result<(), Failure> {
    let seccomp = linux.seccomp.clone().unwrap_or_default();
    let path = seccomp["listenerPath"].as_str().unwrap_or_default();
    let message = json!({
        "ociVersion": VERSION,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": seccomp["listenerMetadata"].as_str().unwrap_or_default(),
        "state": state,
    });
    let message = message.to_string();
    console::send(path.as_ref(), message.as_bytes(), descriptor.as_fd()).map_err(|error| {
        let error = failure::describe(&error);
        Failure::engine(format!("linux.seccomp.listenerPath {path}: {error}"))
    })
}
