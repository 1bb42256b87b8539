//! Making processes, and turning them into programs.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

use super::check;

/// What a fork returns: in the child nothing, in the parent the child.
#[derive(Debug)]
pub(in crate::sandbox) enum Fork {
    Child,
    Parent(Pid),
}

fn as_pid(raw: libc::c_long) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

/// Copies this process, whose only thread is the calling one.
///
/// # Panics
/// When another thread exists: the child would inherit its locks and hang on them.
pub(in crate::sandbox) fn fork() -> io::Result<Fork> {
    assert_single_threaded();
    // SAFETY: no other thread exists, so the child may do whatever this process may.
    let pid = check(libc::c_long::from(unsafe { libc::fork() }))?;
    Ok(as_pid(pid).map_or(Fork::Child, Fork::Parent))
}

/// The stack of a process that [`spawn`] makes, in bytes. It only changes a few descriptors and
/// namespaces. More than this the allocator would map by itself, and to unmap what two processors have
/// seen takes both.
const SPAWN_STACK: usize = 96 << 10;

/// Runs `work` in a new process that uses this one's memory, and lets this one go on when the new
/// one has become another program or has ended (clone(2), `CLONE_VM` and `CLONE_VFORK`). No memory
/// has to be copied for that. It has descriptors, credentials and namespaces of its own.
///
/// `work` returns the exit code of a process that could not become another program.
///
/// # Panics
/// When another thread exists: it would go on using the memory.
pub(in crate::sandbox) fn spawn(mut work: &mut dyn FnMut() -> i32) -> io::Result<Pid> {
    extern "C" fn run(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is the pointer that is passed below, and nobody else uses what it points to:
        // the other process waits.
        let work = unsafe { &mut *argument.cast::<&mut dyn FnMut() -> i32>() };
        work()
    }
    assert_single_threaded();
    let mut stack = Vec::<u8>::with_capacity(SPAWN_STACK);
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
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
pub(in crate::sandbox) enum ForkInto {
    Child,
    Parent(Pid, OwnedFd),
}

/// Copies this process into new namespaces, as a child of this process's parent
/// (`CLONE_PARENT`), so that the grandparent can wait for it (clone3(2), kernel 5.3); and into the
/// control group behind `cgroup`, if there is one (`CLONE_INTO_CGROUP`, kernel 5.7).
pub(in crate::sandbox) fn fork_into(
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
pub(in crate::sandbox) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: the flags that make this call unsafe are those that stop sharing descriptors or the
    // current directory with other threads, and no caller in this room passes them.
    Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
}

/// Replaces this process by the program behind `program` (execveat(2), `AT_EMPTY_PATH`).
/// Returns only if that fails.
pub(in crate::sandbox) fn execute_descriptor(
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
pub(in crate::sandbox) fn execute(
    path: &CStr,
    arguments: &[CString],
    environment: &[CString],
) -> io::Error {
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

/// Ends this process, whatever its filter says: where even to end is refused, and musl would ask for ever,
/// it dies of an instruction that no program may execute.
pub(in crate::sandbox) fn end(code: i32) -> ! {
    // SAFETY: it takes a number and does not return, or does nothing.
    unsafe { libc::syscall(libc::SYS_exit_group, libc::c_long::from(code)) };
    std::process::abort()
}
