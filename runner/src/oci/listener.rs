//! Who decides about the system calls of a container, as a configuration names it.

use std::os::fd::OwnedFd;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::config::Linux;
use crate::sandbox::Failure;
use crate::sandbox::seccomp::listener::Listener;

/// Sends `descriptor` with the state of the process and of its container to the socket that the
/// configuration names.
///
/// # Errors
/// When nobody listens there.
pub(super) fn hand_over(
    linux: &Linux,
    descriptor: &OwnedFd,
    pid: i32,
    state: &Map<String, Value>,
) -> Result<(), Failure> {
    let seccomp = linux.seccomp.as_deref().map_or("null", RawValue::get);
    let seccomp: Value = serde_json::from_str(seccomp).unwrap_or_default();
    let text = |key: &str| seccomp[key].as_str().unwrap_or_default().to_owned();
    let listener = Listener {
        path: text("listenerPath").into(),
        metadata: text("listenerMetadata"),
    };
    listener.hand_over(descriptor, pid, state)
}
