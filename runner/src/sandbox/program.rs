//! The last stretch of a process in a container: terminal, directory, user, capabilities, filter,
//! and then it becomes the program. The first process and every one that joins go the same way, so
//! `exec` has what `run` has.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    Gid, Mode, OFlags, RawMode, ResolveFlags, Uid, fchown, fstatfs, mkdirat, openat2,
};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Signal, fchdir, getrlimit, ioctl_tiocsctty, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, setsid, umask,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::thread::{CapabilitySets, set_capabilities};

use super::failure::{Context, Failure, describe};
use super::spec::Process;
use super::wire::{self, Status};
use super::{seccomp, syscalls};

/// The type of a terminal file system (`DEVPTS_SUPER_MAGIC`, linux/magic.h).
const DEVPTS: i64 = 0x1cd1;

/// The type of a proc file system (`PROC_SUPER_MAGIC`, linux/magic.h).
const PROC: i64 = 0x9fa0;

/// What a shell would look through if `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes the program. Returns only if that failed.
pub(super) fn start(process: &Process, status: BorrowedFd<'_>) -> Failure {
    match prepare(process, status) {
        Err(failure) => failure,
        Ok(()) => execute(process),
    }
}

fn prepare(process: &Process, status: BorrowedFd<'_>) -> Result<(), Failure> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())?;
    let _ = setsid();
    if let Some(size) = process.terminal {
        terminal(process, size, status)?;
    }
    umask(Mode::from_raw_mode(0o022));
    raise_descriptor_limit();
    enter_directory(process)?;
    confine(process)?;
    // Nothing but standard input, output and error reaches the program, whatever the caller was
    // started with.
    syscalls::close_on_exec_from(3).context(|| "close_range".to_owned())?;
    syscalls::reset_signals();
    // Should the caller and the guard both be killed, the kernel ends the container.
    set_parent_process_death_signal(Some(Signal::KILL)).context(|| "prctl".to_owned())?;
    rustix::thread::set_no_new_privs(true).context(|| "prctl".to_owned())?;
    seccomp::install(process.bounding).context(|| "cannot install the seccomp filter".to_owned())
}

/// Gives the process a terminal of the container's own devpts, and the caller its other end.
fn terminal(process: &Process, size: (u16, u16), status: BorrowedFd<'_>) -> Result<(), Failure> {
    let open = || -> io::Result<(OwnedFd, OwnedFd)> {
        let master = open_terminal()?;
        unlockpt(&master)?;
        let window = rustix::termios::Winsize {
            ws_row: size.0,
            ws_col: size.1,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&master, window)?;
        // By ioctl and not by path: what lies at /dev/pts/0 may be somebody else's by now
        // (CVE-2025-52565).
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let terminal = ioctl_tiocgptpeer(&master, flags)?;
        let _ = fchown(&terminal, Some(Uid::from_raw(process.uid)), None);
        ioctl_tiocsctty(&terminal)?;
        rustix::stdio::dup2_stdin(&terminal)?;
        rustix::stdio::dup2_stdout(&terminal)?;
        rustix::stdio::dup2_stderr(&terminal)?;
        Ok((master, terminal))
    };
    let (master, _) = open().context(|| "cannot open a terminal in the container".to_owned())?;
    wire::send_status(status, &Status::Terminal, Some(master.as_fd()));
    Ok(())
}

fn open_terminal() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS;
    let master = openat2(
        rustix::fs::CWD,
        "/dev/pts/ptmx",
        flags,
        Mode::empty(),
        resolve,
    )?;
    if fstatfs(&master)?.f_type != DEVPTS {
        return Err(io::Error::other("/dev/pts is no terminal file system"));
    }
    Ok(master)
}

/// As many open files as may be had without privilege, as podman sets it.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Takes the program's user, groups and capabilities, for good.
pub(super) fn confine(process: &Process) -> Result<(), Failure> {
    for one in rustix_all().filter(|one| !process.bounding.bits().contains(*one)) {
        // EINVAL: this kernel has fewer capabilities than we know.
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error).context(|| "cannot drop a capability".to_owned()),
        }
    }
    set_groups(&process.groups)?;
    // So that the ambient ones outlive the change of user.
    rustix::thread::set_keep_capabilities(true).context(|| "prctl".to_owned())?;
    set_user(process.uid, process.gid)?;
    let (kept, inherited) = if process.uid == 0 {
        (process.bounding, super::capability::CapabilitySet::EMPTY)
    } else {
        (process.ambient, process.ambient)
    };
    let sets = CapabilitySets {
        effective: kept.bits(),
        permitted: kept.bits(),
        inheritable: inherited.bits(),
    };
    set_capabilities(None, sets).context(|| "cannot set the capabilities".to_owned())?;
    for one in inherited.each() {
        rustix::thread::configure_capability_in_ambient_set(one, true)
            .context(|| "cannot set the ambient capabilities".to_owned())?;
    }
    // Changing the user made the process readable to others of that user again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())
}

fn rustix_all() -> impl Iterator<Item = rustix::thread::CapabilitySet> {
    super::capability::CapabilitySet::all().each()
}

fn set_groups(groups: &[u32]) -> Result<(), Failure> {
    let groups: Vec<_> = groups.iter().map(|&group| Gid::from_raw(group)).collect();
    match rustix::thread::set_thread_groups(&groups) {
        // A user without subordinate ids keeps its groups: the kernel wants it so
        // (user_namespaces(7), "setgroups").
        Err(Errno::PERM) if groups_are_fixed() => Ok(()),
        other => other.context(|| "cannot set the supplementary groups".to_owned()),
    }
}

fn groups_are_fixed() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// Takes a user and a group as real, effective and saved ids.
pub(super) fn set_user(uid: u32, gid: u32) -> Result<(), Failure> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(group, group, group)
        .and_then(|()| rustix::thread::set_thread_res_uid(user, user, user))
        .context(|| format!("cannot become user {uid}:{gid} (is it within the mapped ids?)"))
}

/// Goes to the working directory and makes it if it is missing, all inside the container's root.
fn enter_directory(process: &Process) -> Result<(), Failure> {
    let what = || format!("cannot enter the working directory {}", process.directory);
    let open = |path: &str| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // A magic link would lead out: /proc/self/fd/N (CVE-2024-21626).
        openat2(
            rustix::fs::CWD,
            path,
            flags,
            Mode::empty(),
            ResolveFlags::NO_MAGICLINKS,
        )
    };
    let mut directory = open("/").context(what)?;
    let mut walked = String::new();
    for name in process.directory.split('/').filter(|name| !name.is_empty()) {
        walked.push('/');
        walked.push_str(name);
        directory = match open(&walked) {
            Err(Errno::NOENT) => {
                let mode = Mode::from_raw_mode(0o755 as RawMode);
                mkdirat(&directory, name, mode).context(what)?;
                open(&walked).context(what)?
            }
            other => other.context(what)?,
        };
    }
    fchdir(&directory).context(what)
}

/// Finds the program and replaces this process by it.
fn execute(process: &Process) -> Failure {
    let Some(name) = process.arguments.first() else {
        return Failure::engine("no command: the image names none; give one after its name");
    };
    let strings = |list: &[String]| {
        list.iter()
            .map(|text| CString::new(text.as_str()))
            .collect()
    };
    let arguments: Result<Vec<_>, _> = strings(&process.arguments);
    let environment: Result<Vec<_>, _> = strings(&process.environment);
    let (Ok(arguments), Ok(environment)) = (arguments, environment) else {
        return Failure::engine("an argument or a variable has a NUL byte in it");
    };
    let mut refused = None;
    for path in candidates(name, &process.environment) {
        if is_not_of_the_image(&path) {
            return Failure::not_executable(format!("{name} is no program of the image"));
        }
        let Ok(file) = CString::new(path.as_str()) else {
            continue;
        };
        let error = syscalls::execute(&file, &arguments, &environment);
        match error.kind() {
            io::ErrorKind::NotFound if std::fs::symlink_metadata(&path).is_ok() => {
                return Failure::not_found(format!(
                    "{path} can not be started: its interpreter or its loader is not in the image"
                ));
            }
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
            io::ErrorKind::PermissionDenied => refused = Some((path, error)),
            _ => return cannot_execute(&path, &error),
        }
    }
    match refused {
        Some((path, error)) => cannot_execute(&path, &error),
        None => Failure::not_found(format!(
            "{name}: no such command in the image (executable file not found{})",
            if name.contains('/') { "" } else { " in $PATH" }
        )),
    }
}

fn cannot_execute(path: &str, error: &io::Error) -> Failure {
    Failure::not_executable(format!("{path} can not be executed: {}", describe(error)))
}

/// Where the program may be: at its path, or by its name in the directories of `PATH`.
fn candidates(name: &str, environment: &[String]) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let path = environment
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    path.split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| format!("{directory}/{name}"))
        .collect()
}

/// Whether `path` is a magic link of /proc, such as `/proc/self/exe`, which is this program and not
/// one of the image (CVE-2019-5736).
fn is_not_of_the_image(path: &str) -> bool {
    let of = |path: &str| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    let on_proc = rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == PROC);
    on_proc || of(path).is_ok_and(|found| of("/proc/self/exe") == Ok(found))
}
