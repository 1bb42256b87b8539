//! The process that decides about system calls of a container (seccomp_unotify(2)): how it gets the
//! descriptor for that, and what it is told (config-linux.md, "The Container Process State").

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::failure::{Failure, describe};
use super::super::{delivery, syscalls};

/// Where that process listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its socket, on the host.
    pub path: PathBuf,
    /// What it is told beside the state.
    pub metadata: String,
}

impl Listener {
    /// Sends it `descriptor`, the id of the process whose calls come through that, and the state of
    /// the container (runtime.md, "State").
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn hand_over(
        &self,
        descriptor: &OwnedFd,
        pid: i32,
        state: &Map<String, Value>,
    ) -> Result<(), Failure> {
        let message = json!({
            "ociVersion": state.get("ociVersion"),
            "fds": ["seccompFd"],
            "pid": pid,
            "metadata": self.metadata,
            "state": state,
        });
        let message = message.to_string();
        delivery::send(&self.path, message.as_bytes(), descriptor.as_fd()).map_err(|error| {
            Failure::engine(format!(
                "nobody takes the system calls at {}, the listenerPath of the seccomp profile: {} (start what \
                 listens there first)",
                self.path.display(),
                describe(&error)
            ))
        })
    }
}

/// How often the thread looks for the descriptor. It is there within microseconds.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// Installs a filter that hands system calls to whoever gets the descriptor that `send` takes.
///
/// Any call may be among those, also the ones that would send the descriptor; and until it is sent,
/// nobody answers. So a thread does that which is under no filter, and this one makes no system call
/// until `send` returns. From then on every call finds somebody who answers it, execve(2) too.
pub(super) fn install(
    program: &[libc::sock_filter],
    flags: u64,
    send: &(dyn Fn(BorrowedFd<'_>) + Sync),
) -> io::Result<()> {
    let installed: OnceLock<Mutex<Option<OwnedFd>>> = OnceLock::new();
    std::thread::scope(|scope| {
        let sender = std::thread::Builder::new().spawn_scoped(scope, || {
            let place = loop {
                match installed.get() {
                    Some(place) => break place,
                    None => std::thread::sleep(LOOK_EVERY),
                }
            };
            let descriptor = place.lock().unwrap_or_else(PoisonError::into_inner).take();
            // And closes it: as long as it is open here, nobody notices that the other one has died.
            if let Some(descriptor) = descriptor {
                send(descriptor.as_fd());
            }
        })?;
        let (descriptor, result) = match syscalls::install_filter_with_listener(program, flags) {
            Ok(descriptor) => (Some(descriptor), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let _ = installed.set(Mutex::new(descriptor));
        while !sender.is_finished() {
            std::hint::spin_loop();
        }
        result
    })
}
