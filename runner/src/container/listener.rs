//! What the process that decides about a container's system calls is told.

use std::os::fd::OwnedFd;

use serde_json::{Map, Value, json};

use super::Container;
use crate::oci;
use crate::sandbox::handle::ProcessId;
use crate::sandbox::{Failure, Moment};

impl Container {
    /// What has to be done at the moments of a process that starts in this container: whoever decides
    /// about its system calls gets them. `first` is the container's first process if it runs already.
    pub fn moments(
        &self,
        first: Option<ProcessId>,
    ) -> impl FnMut(Moment, ProcessId, Option<OwnedFd>) -> Result<(), Failure> {
        move |moment, process, descriptor| {
            let filter = &self.record.security.filter;
            match (moment, filter.listener(), descriptor) {
                (Moment::Listening, Some(listener), Some(descriptor)) => {
                    let status = if first.is_some() {
                        "running"
                    } else {
                        "creating"
                    };
                    let state = self.oci_state(status, first.unwrap_or(process).pid);
                    listener.hand_over(&descriptor, process.pid, &state)
                }
                _ => Ok(()),
            }
        }
    }

    /// Its state in the words of the runtime specification (runtime.md, "State").
    fn oci_state(&self, status: &str, pid: i32) -> Map<String, Value> {
        let state = json!({
            "ociVersion": oci::VERSION,
            "id": self.record.id.as_str(),
            "status": status,
            "pid": pid,
            "bundle": self.folder(),
            "annotations": {},
        });
        match state {
            Value::Object(state) => state,
            _ => Map::new(),
        }
    }
}
