//! What a test has left behind: processes, mounts, files.
//!
//! One process may stay, without complaint: the holder of the user namespace, which the next container
//! of the same user would use again. It is ended here, since its user is about to be removed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::account::{Account, we_are_root};
use crate::processes::{self, Process};
use crate::world::base;
use crate::{Mode, World, janitor, wait};

/// The variable that tells in the environment of a process which world it belongs to.
pub(crate) const MARK: &str = "TESTS_WORLD";

/// What the holder of the user namespace has in its name or its arguments.
const HOLDER: &str = "runner-holder";

/// Where everybody may leave a file.
const SHARED_FOLDERS: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run/user"];

/// How long something may take to go away by itself after the command that used it has ended.
const GRACE: Duration = Duration::from_secs(2);

/// Everything that `world` has left, one line each; it is ended and unmounted as far as possible.
#[must_use]
pub fn left_by(world: &World) -> Vec<String> {
    let mut left = Vec::new();
    // A process that is just ending is no leak, one that stays is. Once nothing was left, that holds:
    // the holder may have a child a moment later.
    let _ = wait::poll(GRACE, || {
        left = strays(world).iter().map(describe).collect();
        left.extend(holders_that_hold_too_much(world));
        left.is_empty().then_some(())
    });
    end(&of_world(world));
    left.extend(mounts(world));
    left.extend(files(world));
    left
}

/// The processes of `world` that are still alive, in the order of their ids.
#[must_use]
pub fn of_world(world: &World) -> Vec<Process> {
    // Before the lock: the first to ask for an account makes it, with commands.
    let others = [Mode::Mapped, Mode::Single].map(Account::of);
    let others: Vec<&Account> = others.into_iter().flatten().collect();
    let mut found = janitor::while_nothing_starts(|waited_for| {
        let all = processes::descendants(std::process::id());
        let by_id: HashMap<u32, &Process> =
            all.iter().map(|process| (process.pid, process)).collect();
        let ours = |process: &&Process| {
            !process.has_ended()
                && uid_belongs(world, &others, process.uid)
                && !is_starting(process, waited_for)
                && !belongs_elsewhere(process, &by_id, &world.mark)
        };
        all.iter().filter(ours).cloned().collect::<Vec<_>>()
    });
    found.sort_by_key(|process| process.pid);
    found
}

/// Whether the kernel has not put the environment of a child in place yet: all that the support
/// starts carry the mark, so one without it is about to become a program.
fn is_starting(process: &Process, waited_for: &HashSet<u32>) -> bool {
    waited_for.contains(&process.pid) && process.variable(MARK).is_none()
}

/// Whether this process keeps a user namespace for the next container, and is meant to stay.
#[must_use]
pub fn is_holder(process: &Process) -> bool {
    process.name.contains(HOLDER) || process.arguments.contains(HOLDER)
}

fn strays(world: &World) -> Vec<Process> {
    let mut strays = of_world(world);
    strays.retain(|process| !is_holder(process));
    strays
}

fn uid_belongs(world: &World, others: &[&Account], uid: u32) -> bool {
    if world.account.mode != Mode::Root {
        return world.account.has(uid);
    }
    // Root's containers may have any ids but those of the other accounts of this suite.
    !others.iter().any(|other| other.has(uid))
}

/// Whether the process, or one that it descends from, was started for something else.
fn belongs_elsewhere(process: &Process, by_id: &HashMap<u32, &Process>, mark: &str) -> bool {
    let mut next = Some(process);
    while let Some(process) = next {
        if process.variable(MARK).is_some_and(|other| other != mark) {
            return true;
        }
        next = by_id.get(&process.parent).copied();
    }
    false
}

/// A holder may hold a user namespace; a second one, or a network that it is in, is a leak. (For a moment
/// it has a child that makes these for the next container.)
fn holders_that_hold_too_much(world: &World) -> Vec<String> {
    let holders: Vec<Process> = of_world(world).into_iter().filter(is_holder).collect();
    let ours = Process::read(std::process::id()).and_then(|process| process.namespace("net"));
    let mut left: Vec<String> = holders
        .iter()
        .filter(|holder| holder.namespace("net").is_some_and(|net| Some(net) != ours))
        .map(|holder| format!("a network namespace in {}", describe(holder)))
        .collect();
    if holders.len() > 1 {
        left.push(format!("{} holders of a user namespace", holders.len()));
    }
    left
}

fn describe(process: &Process) -> String {
    let Process {
        pid,
        parent,
        uid,
        state,
        name,
        arguments,
    } = process;
    format!("process {pid} ({name}, state {state}, parent {parent}, user {uid}): {arguments}")
}

fn end(processes: &[Process]) {
    for process in processes {
        if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let alive =
        |process: &Process| Process::read(process.pid).is_some_and(|process| !process.has_ended());
    let _ = wait::poll(GRACE, || (!processes.iter().any(alive)).then_some(()));
}

/// The mounts in the world's folder that the host sees.
fn mounts(world: &World) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let mut left = Vec::new();
    for point in points.filter(|point| Path::new(point).starts_with(world.folder())) {
        left.push(format!("mount {point}"));
        let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
    }
    left
}

/// Temporary files: all in the world's own folder for them, and its user's in the machine's.
fn files(world: &World) -> Vec<String> {
    let mut files = entries(&world.path("tmp"));
    if we_are_root() && world.account.mode != Mode::Root {
        let shared = SHARED_FOLDERS
            .iter()
            .flat_map(|folder| entries(Path::new(folder)));
        files.extend(shared.filter(|path| path != base() && is_owned_by(world, path)));
    }
    for file in &files {
        // So that the next test is not blamed for it.
        let _ = fs::remove_dir_all(file).or_else(|_| fs::remove_file(file));
    }
    files
        .iter()
        .map(|path| format!("file {}", path.display()))
        .collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn is_owned_by(world: &World, path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|file| world.account.has(file.uid()))
}
