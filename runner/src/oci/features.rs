//! What this runtime can do, as its callers ask for it (features.md).

use serde_json::{Value, json};

use super::VERSION;
use super::mount_options;
use crate::sandbox::capability::CapabilitySet;

/// The document of the `features` command.
#[must_use]
pub fn document() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": [
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"
        ],
        "mountOptions": mount_options::known(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": CapabilitySet::all().names(),
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": false}
        },
        "annotations": {}
    })
}
