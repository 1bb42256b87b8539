//! The system calls that have no safe wrapper in `rustix`, each with the reason why it is safe as
//! it is called here. Nothing else in this crate is `unsafe`.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// What a fork returns: in the child nothing, in the parent the child.
#[derive(Debug)]
pub(super) enum Fork {
    Child,
    Parent(Pid),
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn as_pid(raw: libc::c_long) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

/// Copies this process, whose only thread is the calling one.
///
/// # Panics
/// When another thread exists: the child would inherit its locks and hang on them.
pub(super) fn fork() -> io::Result<Fork> {
    assert_single_threaded();
    // SAFETY: no other thread exists, so the child may do whatever this process may.
    let pid = check(libc::c_long::from(unsafe { libc::fork() }))?;
    Ok(as_pid(pid).map_or(Fork::Child, Fork::Parent))
}

/// The stack of a process that [`spawn`] makes, in bytes: as much as a thread of Rust's gets.
const SPAWN_STACK: usize = 2 << 20;

/// Runs `work` in a new process that uses this one's memory, and lets this one go on when the new
/// one has become another program or has ended (clone(2), `CLONE_VM` and `CLONE_VFORK`). No memory
/// has to be copied for that. It has descriptors, credentials and namespaces of its own.
///
/// `work` returns the exit code of a process that could not become another program.
///
/// # Panics
/// When another thread exists: it would go on using the memory.
pub(super) fn spawn(mut work: &mut dyn FnMut() -> i32) -> io::Result<Pid> {
    extern "C" fn run(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is the pointer that is passed below, and nobody else uses what it points to:
        // the other process waits.
        let work = unsafe { &mut *argument.cast::<&mut dyn FnMut() -> i32>() };
        work()
    }
    assert_single_threaded();
    // Pages that are never touched take no memory.
    let mut stack = vec![0_u8; SPAWN_STACK];
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the stack lives until the new process uses it no more, because this one waits for
    // that; it is aligned to 16 bytes, as the processors ask for. `run` returns to the C library,
    // which ends the new process without running what this one has registered for its own end.
    let pid = check(libc::c_long::from(unsafe {
        libc::clone(
            run,
            top.map_addr(|address| address & !15).cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut work).cast(),
        )
    }))?;
    // SAFETY: this thread's own flag. What the new process did to its credentials made the memory
    // that both had unreadable for others; it is this process's alone again.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
    as_pid(pid).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What [`fork_into`] returns: in the child nothing, in the parent the child and a pidfd of it.
#[derive(Debug)]
pub(super) enum ForkInto {
    Child,
    Parent(Pid, OwnedFd),
}

/// Copies this process into new namespaces, as a child of this process's parent
/// (`CLONE_PARENT`), so that the grandparent can wait for it (clone3(2), kernel 5.3); and into the
/// control group behind `cgroup`, if there is one (`CLONE_INTO_CGROUP`, kernel 5.7).
pub(super) fn fork_into(
    namespaces: UnshareFlags,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<ForkInto> {
    assert_single_threaded();
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero `clone_args` is valid: no stack, no descriptor, no thread-local storage.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags =
        u64::from(namespaces.bits()) | (libc::CLONE_PARENT | libc::CLONE_PIDFD) as u64;
    arguments.pidfd = (&raw mut pidfd).addr() as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
    }
    // SAFETY: no memory is shared (no CLONE_VM) and no other thread exists, so this is a fork. The
    // kernel reads the structure and writes the descriptor during the call only.
    let made = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    });
    let pid = match made {
        // Inside another container: a filter can not look into the structure.
        Err(_) if cgroup.is_none() => fork_the_old_way(namespaces, &mut pidfd)?,
        made => made?,
    };
    Ok(match as_pid(pid) {
        None => ForkInto::Child,
        // SAFETY: the kernel just opened it for us.
        Some(pid) => ForkInto::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }),
    })
}

/// The same with clone(2), whose flags are an argument of the call.
fn fork_the_old_way(namespaces: UnshareFlags, pidfd: &mut RawFd) -> io::Result<libc::c_long> {
    let flags = libc::CLONE_PARENT | libc::CLONE_PIDFD | libc::SIGCHLD;
    let flags = libc::c_ulong::from(namespaces.bits() | flags.cast_unsigned());
    let same_stack: libc::c_ulong = 0;
    // SAFETY: as above; without CLONE_VM the child goes on with a copy of this stack. Of the other
    // arguments only the third is looked at, where the descriptor is written.
    check(unsafe { libc::syscall(libc::SYS_clone, flags, same_stack, &raw mut *pidfd, 0, 0) })
}

/// `CLONE_INTO_CGROUP` of `linux/sched.h`; the C library's constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn assert_single_threaded() {
    // A directory has a link from itself, one from its parent and one from each of its own.
    let threads = rustix::fs::stat("/proc/self/task").map_or(1, |task| task.st_nlink - 2);
    assert_eq!(threads, 1, "a process with threads must not fork");
}

/// Leaves namespaces of this process for new ones (unshare(2)).
pub(super) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: the flags that make this call unsafe are those that stop sharing descriptors or the
    // current directory with other threads, and no caller in this room passes them.
    Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
}

/// Replaces this process by the program behind `program` (execveat(2), `AT_EMPTY_PATH`).
/// Returns only if that fails.
pub(super) fn execute_descriptor(
    program: BorrowedFd<'_>,
    arguments: &[CString],
    environment: &[CString],
) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: both lists end with a null pointer and point to strings that live during the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Replaces this process by the program at `path` (execve(2)). Returns only if that fails.
pub(super) fn execute(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: both lists end with a null pointer and point to strings that live during the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    let end = std::iter::once(std::ptr::null());
    strings
        .iter()
        .map(|text| text.as_ptr())
        .chain(end)
        .collect()
}

/// Puts `descriptors` at the numbers 0, 1, 2, … and marks every other one close-on-exec, so that
/// the next program gets these and nothing else (close_range(2), kernel 5.11 for the flag).
pub(super) fn place_descriptors(descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = RawFd::try_from(descriptors.len()).map_err(io::Error::other)?;
    // First out of the way, because a target number may be the source of a later one.
    let sources = descriptors
        .iter()
        .map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, count.max(64)))
        .collect::<Result<Vec<_>, _>>()?;
    for (target, source) in (0..count).zip(&sources) {
        // SAFETY: `source` is open. The program is about to be replaced and whoever owned the
        // target number before uses it no more.
        check(libc::c_long::from(unsafe {
            libc::dup2(source.as_raw_fd(), target)
        }))?;
    }
    close_on_exec_from(count)
}

/// Puts `stdio` at 0, 1 and 2 and closes every other descriptor but `kept`, for a process that goes
/// on without its past. Whoever owned them must not use or drop them any more: it ends by `exit`.
pub(super) fn keep_only(stdio: [BorrowedFd<'_>; 3], kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    for (target, source) in (0..).zip(stdio) {
        // SAFETY: `source` is open; standard input, output and error have no owner.
        check(libc::c_long::from(unsafe {
            libc::dup2(source.as_raw_fd(), target)
        }))?;
    }
    let close = |first: RawFd, last: libc::c_uint| {
        // SAFETY: by contract nobody uses what is closed here.
        check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
    };
    let mut kept: Vec<_> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    let mut first = 3;
    for number in kept {
        if number > first {
            close(first, number.cast_unsigned() - 1)?;
        }
        first = first.max(number + 1);
    }
    close(first, libc::c_uint::MAX)?;
    Ok(())
}

/// Marks every descriptor from `first` on close-on-exec.
pub(super) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: marking closes nothing in this process; only a later execve does.
    check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })?;
    Ok(())
}

/// Takes ownership of a descriptor that this program was started with.
///
/// Must be called at most once for each number, before anything else could have opened one.
pub(super) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number is checked to be open by the flag call below, and by contract it is one
    // that the starting process placed for us and that nothing else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    if let Err(error) = rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC) {
        std::mem::forget(fd);
        return Err(error.into());
    }
    Ok(fd)
}

/// A copy of a descriptor that this program was started with and that nobody owns (fcntl(2)).
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the kernel only looks the number up; what it returns is new and ours.
    let copy = check(libc::c_long::from(unsafe {
        libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3)
    }))?;
    let copy = RawFd::try_from(copy).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// What changes about a mount (mount_setattr(2)).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MountChange<'a> {
    pub(super) set: u64,
    pub(super) clear: u64,
    /// One of `MS_PRIVATE` and the like; 0 leaves it as it is.
    pub(super) propagation: u64,
    /// The user namespace whose ids the files have.
    pub(super) id_map: Option<BorrowedFd<'a>>,
}

/// Changes the attributes of the mount behind `mount` (mount_setattr(2), kernel 5.12), and of the
/// mounts below it if `recursive`.
pub(super) fn mount_set_attributes(
    mount: BorrowedFd<'_>,
    change: &MountChange<'_>,
    recursive: bool,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: change.set | change.id_map.map_or(0, |_| libc::MOUNT_ATTR_IDMAP),
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: change
            .id_map
            .map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(0)),
    };
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the kernel reads the structure during the call only.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// Sends a signal to every process that this one may send one to, but for itself (kill(2), -1).
pub(super) fn signal_everything(signal: i32) -> io::Result<()> {
    // SAFETY: the call touches no memory.
    check(libc::c_long::from(unsafe { libc::kill(-1, signal) })).map(drop)
}

/// The user namespace that the namespace behind `fd` belongs to, or for a user namespace its
/// parent (ioctl_ns(2)).
pub(super) fn namespace_parent(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: this ioctl takes no argument and returns a new descriptor.
    let parent = check(libc::c_long::from(unsafe {
        libc::ioctl(fd.as_raw_fd(), libc::NS_GET_PARENT)
    }))?;
    let parent = RawFd::try_from(parent).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(parent) })
}

/// The user outside who made the user namespace behind `fd` (ioctl_ns(2)).
pub(super) fn namespace_owner(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t behind the pointer.
    check(libc::c_long::from(unsafe {
        libc::ioctl(fd.as_raw_fd(), libc::NS_GET_OWNER_UID, &raw mut uid)
    }))?;
    Ok(uid)
}

/// Sends a signal, also one of the real-time signals, for which rustix has no safe type
/// (pidfd_send_signal(2)).
pub(super) fn send_signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let information: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: no information is passed; the kernel checks the number.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            information,
            0,
        )
    })?;
    Ok(())
}

/// Puts a program that decides about devices at the control group behind `group` (bpf(2)).
pub(super) fn attach_device_filter(group: BorrowedFd<'_>, program: &[u64]) -> io::Result<()> {
    /// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`; the rest is 0.
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        code: u64,
        license: u64,
    }
    /// The same for `BPF_PROG_ATTACH`.
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        point: u32,
        flags: u32,
    }
    const LOAD: libc::c_int = 5;
    const ATTACH: libc::c_int = 8;
    const CGROUP_DEVICE_PROGRAM: u32 = 15;
    const CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    let load = Load {
        kind: CGROUP_DEVICE_PROGRAM,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        code: program.as_ptr().addr() as u64,
        license: c"Apache-2.0".as_ptr().addr() as u64,
    };
    // SAFETY: the kernel reads the structure, `count` instructions and a string that ends, all of
    // which live during the call; it returns a new descriptor.
    let loaded =
        check(unsafe { libc::syscall(libc::SYS_bpf, LOAD, &raw const load, size_of::<Load>()) })?;
    let loaded = RawFd::try_from(loaded).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
    let number = |fd: BorrowedFd<'_>| fd.as_raw_fd().cast_unsigned();
    let attach = Attach {
        target: number(group),
        program: number(loaded.as_fd()),
        point: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the kernel reads the structure during the call only.
    check(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            ATTACH,
            &raw const attach,
            size_of::<Attach>(),
        )
    })?;
    Ok(())
}

/// The class and priority of this process for input and output (ioprio_set(2)).
pub(super) fn set_io_priority(priority: i32) -> io::Result<()> {
    const PROCESS: libc::c_int = 1;
    // SAFETY: three numbers, which the kernel checks.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, priority) })?;
    Ok(())
}

/// How this process is scheduled (sched_setattr(2)).
pub(super) fn set_scheduler(scheduler: &super::spec::Scheduler) -> io::Result<()> {
    /// `struct sched_attr` of linux/sched/types.h, in its first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let attributes = Attributes {
        size: u32::try_from(size_of::<Attributes>()).map_err(io::Error::other)?,
        policy: scheduler.policy,
        flags: scheduler.flags,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    // SAFETY: the kernel reads `size` bytes of the structure during the call only.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })?;
    Ok(())
}

/// The execution domain of this process (personality(2)).
pub(super) fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: one number, which the kernel checks.
    check(libc::c_long::from(unsafe {
        libc::personality(libc::c_ulong::from(domain))
    }))?;
    Ok(())
}

/// Takes a session keyring that is nobody else's (keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`).
pub(super) fn leave_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let anonymous: *const libc::c_char = std::ptr::null();
    // SAFETY: without a name the kernel makes a new keyring and reads nothing.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) })?;
    Ok(())
}

/// Installs a seccomp filter that hands system calls to whoever has the descriptor that is returned
/// (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
pub(super) fn install_filter_with_listener(
    program: &[libc::sock_filter],
    flags: u64,
) -> io::Result<OwnedFd> {
    let listener = install_filter(program, flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    let listener = RawFd::try_from(listener).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// Installs a seccomp filter for this thread (seccomp(2)). The caller has set no-new-privileges, or
/// still has the capability that does without.
pub(super) fn install_filter(
    program: &[libc::sock_filter],
    flags: u64,
) -> io::Result<libc::c_long> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies `len` instructions from `filter` during the call, and both come
    // from one slice.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    })
}

/// What a Landlock ruleset decides about (`struct landlock_ruleset_attr` of linux/landlock.h). A kernel
/// that is older than a field takes a zero in it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LandlockHandled {
    /// Access to files: what no rule allows is forbidden.
    pub(super) files: u64,
    /// The same for the ports of TCP (Linux 6.7).
    pub(super) ports: u64,
    /// What is confined to the processes that are restricted (Linux 6.12).
    pub(super) scoped: u64,
}

/// The version of Landlock that this kernel has (landlock_create_ruleset(2),
/// `LANDLOCK_CREATE_RULESET_VERSION`).
pub(super) fn landlock_version() -> io::Result<u32> {
    const VERSION: u32 = 1;
    let nothing: *const LandlockHandled = std::ptr::null();
    // SAFETY: with this flag the kernel reads no memory.
    let version = check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION)
    })?;
    u32::try_from(version).map_err(io::Error::other)
}

/// Allows this access to all files below `directory` (landlock_add_rule(2)).
pub(super) fn landlock_allow_below(
    ruleset: &OwnedFd,
    directory: &OwnedFd,
    access: u64,
) -> io::Result<()> {
    /// `struct landlock_path_beneath_attr` of linux/landlock.h.
    #[repr(C, packed)]
    struct Beneath {
        access: u64,
        directory: libc::c_int,
    }
    const PATH_BENEATH: libc::c_int = 1;
    let rule = Beneath {
        access,
        directory: directory.as_raw_fd(),
    };
    // SAFETY: the kernel reads one such structure, during the call only.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            PATH_BENEATH,
            &raw const rule,
            0,
        )
    })
    .map(drop)
}

/// A ruleset without a rule (landlock_create_ruleset(2)).
pub(super) fn landlock_ruleset(handled: &LandlockHandled) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as the structure has, during the call only.
    let ruleset = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(handled),
            size_of::<LandlockHandled>(),
            0,
        )
    })?;
    let ruleset = RawFd::try_from(ruleset).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(ruleset) })
}

/// Puts this thread under a ruleset (landlock_restrict_self(2)). The caller has set no-new-privileges,
/// or still has the capability that does without.
pub(super) fn landlock_restrict(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: a descriptor and no flags.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })?;
    Ok(())
}

/// Blocks `signals` for this process and returns a descriptor that delivers them instead
/// (signalfd(2)), non-blocking.
pub(crate) fn signal_descriptor(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: `set` is initialized; the kernel copies it.
    let fd = unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    check(libc::c_long::from(fd))?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: an all-zero set is valid storage, which sigemptyset then initializes; sigaddset
    // only writes into it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// The next signal that a [`signal_descriptor`] holds, `None` when there is none.
pub(crate) fn next_signal(fd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(fd, &mut buffer) {
        // `ssi_signo` is the first field of signalfd_siginfo.
        Ok(read) if read == buffer.len() => {
            let number = [buffer[0], buffer[1], buffer[2], buffer[3]];
            Ok(Some(i32::from_ne_bytes(number)))
        }
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Unblocks every signal and gives each its default action, as a program expects to start.
///
/// The Rust runtime ignores SIGPIPE, and a shell's background jobs ignore INT and QUIT; none of
/// that is the container's business.
pub(super) fn reset_signals() {
    let empty = signal_set(&[]);
    // SAFETY: SIG_DFL runs no code of ours; numbers that may not be changed are refused by the
    // kernel without effect.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}

/// Lets every signal through again.
pub(crate) fn unblock_signals() {
    let empty = signal_set(&[]);
    // SAFETY: `empty` is initialized; the kernel copies it.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut()) };
}

/// Lets the kernel choose the port of a socket that is bound to an address only when it connects,
/// so that many connections may have the same one (ip(7), `IP_BIND_ADDRESS_NO_PORT`).
pub(crate) fn choose_port_at_connect(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one int behind the pointer.
    check(libc::c_long::from(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            4,
        )
    }))?;
    Ok(())
}

/// Makes `fd` non-blocking.
pub(crate) fn set_non_blocking(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}

/// Closes every descriptor from `first` on. For the beginning of a process only: nothing of it may
/// have an owner yet.
pub(crate) fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: by contract no value owns any of these descriptors.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) })?;
    Ok(())
}

/// Lets go of a part of this program's own memory (madvise(2), `MADV_DONTNEED`). By contract it is a
/// private mapping of a file, and was never written to.
#[inline]
pub(super) fn let_go(range: &std::ops::Range<usize>) {
    let (start, length) = (range.start, range.end - range.start);
    let start = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the kernel reads the very same content from the file again.
    let _ = unsafe { rustix::mm::madvise(start, length, rustix::mm::Advice::LinuxDontNeed) };
}

/// For a test of the above: pages of a file as a program has them.
#[cfg(test)]
pub(super) fn map_privately(file: &std::fs::File, length: usize) -> io::Result<usize> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses a place where nothing else is.
    let start = unsafe {
        mmap(
            std::ptr::null_mut(),
            length,
            access,
            MapFlags::PRIVATE,
            file,
            0,
        )
    }?;
    Ok(start.expose_provenance())
}

/// Writes into such a page.
#[cfg(test)]
pub(super) fn write_byte(address: usize, byte: u8) {
    // SAFETY: by contract it is mapped, and nobody has a reference to it.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(byte) };
}

/// Reads from such a page.
#[cfg(test)]
pub(super) fn read_byte(address: usize) -> u8 {
    // SAFETY: by contract it is mapped.
    unsafe { std::ptr::with_exposed_provenance::<u8>(address).read_volatile() }
}
