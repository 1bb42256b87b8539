//! The configuration that `spec` writes: a shell with a root file system that can only be read.

use rustix::process::{getegid, geteuid};
use serde_json::{Value, json};

use super::VERSION;
use crate::sandbox::system_paths::READ_ONLY;

/// The configuration for root, or for a user without any privilege.
#[must_use]
pub fn config(rootless: bool) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mut config = json!({
        "ociVersion": VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm"
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "runner",
        "mounts": mounts(rootless),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"},
                {"type": "network"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "mount"},
                {"type": "cgroup"}
            ],
            "maskedPaths": [
                "/proc/acpi",
                "/proc/asound",
                "/proc/interrupts",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/sys/devices/virtual/powercap",
                "/sys/firmware"
            ],
            "readonlyPaths": READ_ONLY
        }
    });
    if rootless {
        let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
        let linux = &mut config["linux"];
        linux["uidMappings"] = map(geteuid().as_raw());
        linux["gidMappings"] = map(getegid().as_raw());
        if let Some(linux) = linux.as_object_mut() {
            linux.remove("resources");
        }
        if let Some(namespaces) = linux["namespaces"].as_array_mut() {
            namespaces.push(json!({"type": "user"}));
        }
    }
    config
}

fn mounts(rootless: bool) -> Value {
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| {
        let mut mount = json!({"destination": target, "type": kind, "source": source});
        if !options.is_empty() {
            mount["options"] = json!(options);
        }
        mount
    };
    let mut terminals = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    // With a single id there is no such group.
    if !rootless {
        terminals.push("gid=5");
    }
    let plain = ["nosuid", "noexec", "nodev"];
    let shared = [&plain[..], &["mode=1777", "size=65536k"]].concat();
    let read_only = [&plain[..], &["ro"]].concat();
    json!([
        mount("/proc", "proc", "proc", &[]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"]
        ),
        mount("/dev/pts", "devpts", "devpts", &terminals),
        mount("/dev/shm", "tmpfs", "shm", &shared),
        mount("/dev/mqueue", "mqueue", "mqueue", &plain),
        mount("/sys", "sysfs", "sysfs", &read_only),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &[&plain[..], &["relatime", "ro"]].concat()
        ),
    ])
}
