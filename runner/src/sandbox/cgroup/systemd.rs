//! systemd's part in cgroups: where it runs it owns the tree, and hands out a part of it when asked.
//!
//! It is asked once a boot for a scope around the holder of the user namespace, in which we make
//! groups as we like (systemd's CONTROL_GROUP_INTERFACE, "Delegation"). `busctl` is part of systemd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, geteuid};

use super::super::failure::{Context, Failure};
use super::super::handle::ProcessId;

/// How long systemd may take to make a scope: it answers before it has.
const PATIENCE: Duration = Duration::from_secs(3);

/// What every call begins with.
const MANAGER: [&str; 3] = [
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
];

/// Whether it is this machine's init (sd_booted(3)).
pub(super) fn runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The folder of a delegated scope with the process `keeper` in it.
pub(super) fn delegate(keeper: ProcessId) -> Result<PathBuf, Failure> {
    let pid = keeper.pid.to_string();
    let unit = format!("runner-{pid}-{}.scope", keeper.start_time);
    let description = "containers of runner";
    #[rustfmt::skip]
    let words = [
        "StartTransientUnit", "ssa(sv)a(sa(sv))", &unit, "fail",
        "4",
        "PIDs", "au", "1", &pid,
        "Delegate", "b", "true",
        "Description", "s", description,
        "CollectMode", "s", "inactive-or-failed",
        "0",
    ];
    wait_for(&unit, keeper.pid, call(&words))
}

/// Asks for the scope `unit` in `slice` around the process `pid`, and gives its folder.
pub(super) fn scope(unit: &str, slice: &str, pid: Pid) -> Result<PathBuf, Failure> {
    let pid = pid.as_raw_nonzero().get();
    let number = pid.to_string();
    #[rustfmt::skip]
    let words = [
        "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail",
        "4",
        "PIDs", "au", "1", &number,
        "Slice", "s", slice,
        "Delegate", "b", "true",
        "CollectMode", "s", "inactive-or-failed",
        "0",
    ];
    wait_for(unit, pid, call(&words))
}

/// Waits until the process `pid` is in the scope `unit`, as it soon is if systemd was not `refused`.
fn wait_for(unit: &str, pid: i32, refused: Result<(), Failure>) -> Result<PathBuf, Failure> {
    let start = Instant::now();
    loop {
        if let Some(folder) = group_of(pid)
            && folder.components().any(|part| part.as_os_str() == unit)
        {
            return Ok(folder);
        }
        // Another command may have asked for the same at the same time.
        if start.elapsed() > PATIENCE || (refused.is_err() && start.elapsed() > PATIENCE / 30) {
            let late = "systemd did not make a scope for containers";
            return Err(refused.err().unwrap_or_else(|| Failure::engine(late)));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Moves a process into the group `folder` of a scope of ours, from a part of the tree that only
/// systemd may take it from.
pub(super) fn attach(folder: &Path, pid: Pid) -> Result<(), Failure> {
    let unit = folder
        .components()
        .filter_map(|part| part.as_os_str().to_str())
        .rfind(|name| name.ends_with(".scope"))
        .filter(|_| runs())
        .ok_or_else(|| Failure::engine("it is in no scope of systemd's"))?;
    let below = folder.to_str().and_then(|text| text.split_once(unit));
    let below = below.map_or("", |(_, below)| below);
    let pid = pid.as_raw_nonzero().to_string();
    call(&["AttachProcessesToUnit", "ssau", unit, below, "1", &pid])
}

fn call(words: &[&str]) -> Result<(), Failure> {
    let bus = match geteuid().is_root() {
        true => "--system",
        false => "--user",
    };
    let output = Command::new("busctl")
        .args([bus, "--quiet", "--timeout=3", "call"])
        .args(MANAGER)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context(|| "cannot ask systemd for a cgroup (busctl)".to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next().unwrap_or("no reason given");
    Err(Failure::engine(format!(
        "systemd hands out no cgroup ({line})"
    )))
}

/// The folder of the group that a process is in, in the second version.
fn group_of(pid: i32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')))
}
