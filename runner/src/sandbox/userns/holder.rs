//! The holder: a small process that keeps the user's own user namespace between two commands.
//!
//! It is the one thing that may stay behind. It has a session of its own and no open descriptor but
//! null, its mailbox and its shelf, and ends when nobody has used the namespace for a while: every user of it
//! keeps a shared lock on `holder.lock`, and the holder tries for the exclusive one.
//!
//! It makes namespaces and a folder for the next container ahead, when a command has ended that used the
//! last ones ([`Shelf`], [`folder`]).
//!
//! The mailbox is a FIFO that only the user can write to. Commands that have reported how their
//! container ended leave its files to the holder, which removes them while nobody waits for that.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, geteuid, setsid};
use rustix::thread::{UnshareFlags, set_name};

use super::super::failure::{Context, Failure, describe};
use super::super::handle::ProcessId;
use super::super::spec::Extent;
use super::super::syscalls::{self, Fork};
use super::super::{launch, own_program};
use super::folder;
use super::mailbox::Mailbox;
use super::map::{self, IdMap};
use super::spare::Shelf;

/// How often the holder looks whether it is needed.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// After how many looks without a user it ends: ten minutes.
const IDLE_LOOKS: u32 = 30;

/// Starts the holder and writes it down below `runroot`. The caller has locked `holder.start`.
pub(super) fn start(runroot: &Path) -> Result<ProcessId, Failure> {
    let (users, groups) = super::wanted_ids();
    let holder = match spawn(runroot, &users, &groups) {
        Err(reason) if users.len() > 1 && geteuid().as_raw() != 0 => {
            // Without newuidmap, or where it has no rights, one id can still be mapped.
            let ids = (geteuid().as_raw(), rustix::process::getegid().as_raw());
            spawn(runroot, &map::of_one(ids.0), &map::of_one(ids.1)).map_err(|_| reason)?
        }
        result => result?,
    };
    let path = runroot.join("holder");
    let text = format!("{} {}\n", holder.pid, holder.start_time);
    let new = runroot.join("holder.new");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, &path))
        .context(|| format!("cannot write {}", path.display()))?;
    Ok(holder)
}

fn spawn(runroot: &Path, users: &[Extent], groups: &[Extent]) -> Result<ProcessId, Failure> {
    let pid = fork_with_ids(users, groups, || become_holder(runroot))?;
    ProcessId::of(pid).context(|| "the holder of the user namespace".to_owned())
}

/// Forks a process into a new user namespace; as soon as its ids are mapped it does `work`, and
/// ends with the code that this returns.
pub(super) fn fork_with_ids(
    users: &[Extent],
    groups: &[Extent],
    work: impl FnOnce() -> i32,
) -> Result<Pid, Failure> {
    let pipe = || std::io::pipe().context(|| "cannot make a pipe".to_owned());
    let ((mut unshared, unshared_write), (go, mut go_write)) = (pipe()?, pipe()?);
    match syscalls::fork().context(|| "cannot fork".to_owned())? {
        Fork::Child => {
            drop((unshared, go_write));
            std::process::exit(match enter_new(unshared_write, go) {
                true => work(),
                false => 1,
            })
        }
        Fork::Parent(pid) => {
            drop((unshared_write, go));
            let started = wait_for_namespace(&mut unshared)
                .and_then(|()| write_maps(pid, users, groups))
                .and_then(|()| {
                    let told = go_write.write_all(b"x");
                    told.context(|| "a process in a new user namespace".to_owned())
                });
            if started.is_err() {
                drop(go_write);
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            }
            started.map(|()| pid)
        }
    }
}

/// The child: makes the namespace and waits until its ids are mapped. Whether that went well.
fn enter_new(mut unshared: impl Write, mut go: impl Read) -> bool {
    let answer = match syscalls::unshare(UnshareFlags::NEWUSER) {
        Ok(()) => String::new(),
        Err(error) => describe(&error),
    };
    let sent = unshared.write_all(answer.as_bytes()).is_ok();
    drop(unshared);
    sent && answer.is_empty() && go.read_exact(&mut [0]).is_ok()
}

/// Starts the program anew, so that its arguments and memory tell nothing of the command that needed
/// the holder first. Returns only if that fails.
fn become_holder(runroot: &Path) -> i32 {
    let _ = setsid();
    let _ = std::env::set_current_dir("/");
    let arguments = [
        CString::new(super::super::HOLDER),
        CString::new(runroot.as_os_str().as_bytes()),
    ]
    .map(Result::unwrap_or_default);
    let start = || -> Result<std::convert::Infallible, Failure> {
        let null = || File::options().read(true).write(true).open("/dev/null");
        let null = OwnedFd::from(null().context(|| "/dev/null".to_owned())?);
        let program = own_program::make().context(|| "cannot open this program".to_owned())?;
        // Above the numbers that are about to be taken.
        let program = rustix::io::fcntl_dupfd_cloexec(program, 128)
            .context(|| "cannot open this program".to_owned())?;
        launch::keep_capabilities().context(|| "capabilities".to_owned())?;
        syscalls::place_descriptors(&[null.as_fd(), null.as_fd(), null.as_fd()])
            .context(|| "descriptors".to_owned())?;
        let error = syscalls::execute_descriptor(program.as_fd(), &arguments, &[]);
        Err(error).context(|| "cannot execute this program".to_owned())
    };
    let _ = start();
    1
}

/// Waits until the child has made its namespace, or reports why it could not.
fn wait_for_namespace(unshared: &mut impl Read) -> Result<(), Failure> {
    let mut answer = String::new();
    unshared
        .read_to_string(&mut answer)
        .context(|| "the holder of the user namespace".to_owned())?;
    if answer.is_empty() {
        return Ok(());
    }
    Err(Failure::without_namespaces(format!(
        "user namespaces are switched off here ({answer}): ask the administrator to allow them \
         ({})",
        what_forbids()
    )))
}

/// The switch that forbids user namespaces, as far as it can be told.
fn what_forbids() -> &'static str {
    let reads =
        |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "sysctl kernel.unprivileged_userns_clone=1"
    } else if reads(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
    ) {
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for runner"
    } else if reads("/proc/sys/user/max_user_namespaces", "0") {
        "sysctl user.max_user_namespaces=65536"
    } else {
        "inside another container: run that one with a seccomp profile that allows unshare"
    }
}

/// Maps the ids of a process that is in a new user namespace, by `newuidmap` where it takes that.
pub(in crate::sandbox) fn write_maps(
    pid: Pid,
    users: &[Extent],
    groups: &[Extent],
) -> Result<(), Failure> {
    if geteuid().as_raw() != 0 && users.len() > 1 {
        // Beside each other: to start a program takes as long as what these do.
        let users = Helper::start("newuidmap", pid, users)?;
        let groups = Helper::start("newgidmap", pid, groups);
        let (users, groups) = (users.finish(), groups.and_then(Helper::finish));
        return users.and(groups);
    }
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
        fs::write(&path, text).map_err(|error| {
            let (what, error) = (what_forbids(), describe(&error));
            Failure::without_namespaces(format!("cannot map ids ({path}; {what}): {error}"))
        })
    };
    if geteuid().as_raw() != 0 {
        // The kernel's condition for a group map without privilege (user_namespaces(7)).
        write("setgroups", "deny")?;
    }
    write("uid_map", &map::to_text(users))?;
    write("gid_map", &map::to_text(groups))
}

/// A program that maps ids which others than their user's own cannot (newuidmap(1)).
struct Helper {
    name: &'static str,
    process: Child,
}

impl Helper {
    fn start(name: &'static str, pid: Pid, extents: &[Extent]) -> Result<Self, Failure> {
        let numbers = extents
            .iter()
            .flat_map(|extent| [extent.inside, extent.outside, extent.count])
            .map(|number| number.to_string());
        let process = Command::new(name)
            .arg(pid.as_raw_nonzero().to_string())
            .args(numbers)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context(|| format!("cannot run {name}"))?;
        Ok(Self { name, process })
    }

    /// Waits until it has done so.
    fn finish(self) -> Result<(), Failure> {
        let Self { name, process } = self;
        let output = process
            .wait_with_output()
            .context(|| format!("cannot run {name}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().next().unwrap_or("no reason given");
        Err(Failure::engine(format!("{name} failed: {line}")))
    }
}

/// The holder's own life.
pub fn main() -> ! {
    let _ = set_name(c"runner-holder");
    let _ = rustix::thread::clear_ambient_capability_set();
    let runroot = std::env::args_os().nth(1).map(OsStringExt::into_vec);
    let Some(runroot) = runroot else {
        std::process::exit(1);
    };
    let runroot = PathBuf::from(std::ffi::OsString::from_vec(runroot));
    // Before anything else is opened: it has its place.
    let shelf = IdMap::of_process(super::own_pid())
        .ok()
        .and_then(Shelf::new);
    let fill = || shelf.iter().for_each(Shelf::fill);
    let prepare = |trash: &Path| {
        if shelf.is_some() {
            let _ = folder::make_ahead(trash);
        }
        fill();
    };
    let mut mailbox = Mailbox::open(&runroot).ok();
    let mut idle = 0;
    while idle < IDLE_LOOKS {
        match &mut mailbox {
            Some(mailbox) => mailbox.serve(LOOK_EVERY, shelf.as_ref(), prepare),
            None => std::thread::sleep(LOOK_EVERY),
        }
        fill();
        // The command that started it was killed before it wrote it down, or another one is.
        if super::written_down(&runroot).map(|holder| holder.pid) != Some(super::own_pid()) {
            break;
        }
        let Ok(lock) = File::open(runroot.join("holder.lock")) else {
            break;
        };
        let unused = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        idle = if unused { idle + 1 } else { 0 };
        if idle == IDLE_LOOKS {
            // Still locked: nobody can find this holder any more while it ends.
            let _ = fs::remove_file(runroot.join("holder"));
            std::process::exit(0);
        }
    }
    std::process::exit(0);
}
