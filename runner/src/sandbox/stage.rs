//! The stage: the process that makes a container from inside the user's own user namespace, and
//! then guards it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::SocketType;
use rustix::process::{DumpableBehavior, Pid, set_dumpable_behavior, setsid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, ThreadNameSpaceType, UnshareFlags, clear_ambient_capability_set,
    move_into_thread_name_spaces, set_capabilities, set_name,
};

use super::failure::{Context, Failure};
use super::handle::{Handle, ProcessId};
use super::spec::{Extent, Join};
use super::syscalls::{self, ForkInto};
use super::wire::{self, Request, Status};
use super::{init, program, rootfs};

/// What a guard works with.
#[derive(Debug)]
pub struct GuardContext {
    /// Closes when the caller has died.
    pub caller: OwnedFd,
    /// The container's first process.
    pub container: Handle,
    /// The sockets that the caller sent.
    pub sockets: Vec<OwnedFd>,
    /// The text that the caller sent.
    pub text: String,
}

/// What a stage does while its container runs. When it returns, the container is killed.
pub type GuardMain = fn(&mut GuardContext);

/// The stage's own life.
pub fn main(guard: GuardMain) -> ! {
    let _ = set_name(c"runner-stage");
    let code = match serve(guard) {
        Ok(()) => 0,
        Err(failure) => i32::from(failure.code),
    };
    std::process::exit(code)
}

fn serve(guard: GuardMain) -> Result<(), Failure> {
    let (control, status) = syscalls::inherited(wire::CONTROL)
        .and_then(|control| Ok((control, syscalls::inherited(wire::STATUS)?)))
        .context(|| "this program was started as a stage without sockets".to_owned())?;
    let cgroup = (std::env::args().nth(2).as_deref() == Some(wire::BORN_IN_CGROUP))
        .then(|| syscalls::inherited(wire::CGROUP))
        .transpose()
        .context(|| "the cgroup".to_owned())?;
    let result = (|| {
        // Nobody may look into this process or at its program while it stands near a container.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())?;
        clear_ambient_capability_set().context(|| "prctl".to_owned())?;
        // A signal from the terminal is for the caller, which passes it on.
        let _ = setsid();
        match std::env::args().nth(1).as_deref() {
            Some(task @ (wire::OWN_NETWORK | wire::HOST_NETWORK)) => {
                make(task, &control, &status, cgroup.as_ref()).map(Some)
            }
            _ => serve_running(&control, &status, cgroup.as_ref()),
        }
    })();
    let guarded = match result {
        Ok(Some(guarded)) => guarded,
        Ok(None) => return Ok(()),
        Err(failure) => {
            wire::send_status(status.as_fd(), &Status::failed(failure.clone()), None);
            return Err(failure);
        }
    };
    drop(status);
    let mut context = GuardContext {
        caller: control,
        container: guarded.container,
        sockets: guarded.sockets,
        text: guarded.text,
    };
    if stand_beside().is_ok() {
        guard(&mut context);
    }
    let _ = context.container.signal(libc::SIGKILL);
    context.container.wait(None);
    Ok(())
}

/// A container, and what its guard works with.
struct Guarded {
    container: Handle,
    sockets: Vec<OwnedFd>,
    text: String,
}

/// Does what is asked for in a container that runs.
fn serve_running(
    control: &OwnedFd,
    status: &OwnedFd,
    cgroup: Option<&OwnedFd>,
) -> Result<Option<Guarded>, Failure> {
    match wire::receive(control)? {
        (Request::Join(request), _) => join(&request, status, cgroup).map(|()| None),
        (
            Request::Guard {
                pid,
                start_time,
                guard,
            },
            sockets,
        ) => {
            let container = ProcessId { pid, start_time }
                .open()
                .ok_or_else(|| Failure::engine("the container has ended"))?;
            if !shares_network(pid) {
                move_into_thread_name_spaces(container.as_fd(), ThreadNameSpaceType::NETWORK)
                    .context(|| "cannot enter the container's network".to_owned())?;
            }
            Ok(Some(Guarded {
                container,
                sockets,
                text: guard,
            }))
        }
        (Request::Launch { .. }, _) => Err(Failure::engine("this stage was not begun")),
    }
}

/// Makes the container's first process, and gives it its ids and its specification as soon as they
/// are known.
fn make(
    task: &str,
    control: &OwnedFd,
    status: &OwnedFd,
    cgroup: Option<&OwnedFd>,
) -> Result<Guarded, Failure> {
    let (outbox, inbox) = wire::sockets(SocketType::STREAM)?;
    let (made, placed) = fork_in_cgroup(NAMESPACES, cgroup);
    match made.context(|| "cannot make the namespaces".to_owned())? {
        ForkInto::Child => {
            drop(outbox);
            init::main(inbox, status.as_fd())
        }
        ForkInto::Parent(pid, pidfd) => {
            drop(inbox);
            let started = Status::Started {
                pid: pid.as_raw_nonzero().get(),
                placed,
            };
            wire::send_status(status.as_fd(), &started, None);
            let container = Handle::new(pid, pidfd);
            let result = specify(task, pid, control, &outbox).and_then(|guarded| {
                if task == wire::OWN_NETWORK {
                    make_network(&container, &outbox)?;
                }
                Ok(guarded)
            });
            if result.is_err() {
                let _ = container.signal(libc::SIGKILL);
            }
            result.map(|(sockets, text)| Guarded {
                container,
                sockets,
                text,
            })
        }
    }
}

/// Forks into the group, or where this process is if the kernel does not let us: that is so for root,
/// who is somebody else by now. Whether it is in the group.
fn fork_in_cgroup(
    namespaces: UnshareFlags,
    cgroup: Option<&OwnedFd>,
) -> (std::io::Result<ForkInto>, bool) {
    match cgroup.map(|group| syscalls::fork_into(namespaces, Some(group.as_fd()))) {
        Some(Ok(made)) => (Ok(made), true),
        _ => (syscalls::fork_into(namespaces, None), false),
    }
}

/// Passes the specification on to the container's first process; the guard's part stays here.
fn specify(
    task: &str,
    pid: Pid,
    control: &OwnedFd,
    outbox: &OwnedFd,
) -> Result<(Vec<OwnedFd>, String), Failure> {
    let (request, mut mounts) = wire::receive(control)?;
    let Request::Launch {
        spec,
        mounts: count,
        guard,
    } = request
    else {
        return Err(Failure::engine("this stage was begun for a container"));
    };
    if wire::task_of(spec.network) != task || mounts.len() < count {
        return Err(Failure::engine(
            "this stage was begun for another container",
        ));
    }
    let sockets = mounts.split_off(count);
    rootfs::prepare(&spec)?;
    write_map(pid, "uid_map", &spec.users)?;
    write_map(pid, "gid_map", &spec.groups)?;
    let mounts: Vec<_> = mounts.iter().map(AsFd::as_fd).collect();
    // An init that has died has said why by itself.
    let _ = wire::send(outbox, &spec, &mounts);
    Ok((sockets, guard))
}

/// The namespaces that the first process is made in. The network comes later, and so do control
/// groups: the one that the process is in then becomes their root.
const NAMESPACES: UnshareFlags = UnshareFlags::NEWUSER
    .union(UnshareFlags::NEWNS)
    .union(UnshareFlags::NEWPID)
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWUTS);

/// Makes the container's network, which takes as long as all the other namespaces together, while
/// the first process mounts its file systems; and stays in it as the guard. It belongs to the
/// container's own user namespace, or no sysfs could be mounted there (user_namespaces(7)).
fn make_network(container: &Handle, outbox: &OwnedFd) -> Result<(), Failure> {
    let what = || "cannot make the container's network".to_owned();
    move_into_thread_name_spaces(container.as_fd(), ThreadNameSpaceType::USER).context(what)?;
    // Other capabilities made the process readable again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(what)?;
    syscalls::unshare(UnshareFlags::NEWNET).context(what)?;
    let network = fs::File::open("/proc/self/ns/net").context(what)?;
    // An init that has died has said why by itself.
    let _ = wire::send(outbox, &(), &[network.as_fd()]);
    Ok(())
}

fn write_map(pid: Pid, file: &str, extents: &[Extent]) -> Result<(), Failure> {
    let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
    fs::write(&path, super::userns::to_text(extents)).context(|| format!("cannot write {path}"))
}

/// Makes a process that joins a container.
fn join(request: &Join, status: &OwnedFd, cgroup: Option<&OwnedFd>) -> Result<(), Failure> {
    let id = ProcessId {
        pid: request.pid,
        start_time: request.start_time,
    };
    let container = id
        .open()
        .ok_or_else(|| Failure::engine("the container has ended"))?;
    let mut namespaces = ThreadNameSpaceType::USER
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME;
    if !shares_network(request.pid) {
        namespaces |= ThreadNameSpaceType::NETWORK;
    }
    move_into_thread_name_spaces(container.as_fd(), namespaces)
        .context(|| "cannot enter the container".to_owned())?;
    let (made, placed) = fork_in_cgroup(UnshareFlags::empty(), cgroup);
    match made.context(|| "cannot fork".to_owned())? {
        ForkInto::Child => {
            // Only from within the group: seen from this namespace there is nothing outside of it.
            let entered = match request.own_cgroups {
                true => move_into_thread_name_spaces(
                    container.as_fd(),
                    ThreadNameSpaceType::CONTROL_GROUP,
                )
                .context(|| "cannot enter the container's cgroups".to_owned()),
                false => Ok(()),
            };
            let failure = match entered {
                Ok(()) => program::start(&request.process, status.as_fd()),
                Err(failure) => failure,
            };
            wire::send_status(status.as_fd(), &Status::failed(failure), None);
            std::process::exit(125)
        }
        ForkInto::Parent(pid, _) => {
            let pid = pid.as_raw_nonzero().get();
            wire::send_status(status.as_fd(), &Status::Started { pid, placed }, None);
            Ok(())
        }
    }
}

/// Whether the container has the network that this process has, so that there is none to enter:
/// entering the host's own takes rights over it that we do not have.
fn shares_network(pid: i32) -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    of("self").is_some() && of("self") == of(&pid.to_string())
}

/// Gives up everything that a guard, which is in the container's network by now, does not need.
/// What it keeps is `CAP_KILL`: the container's processes may have another user.
fn stand_beside() -> Result<(), Failure> {
    let _ = std::env::set_current_dir("/");
    // The program's streams end when the program ends them.
    let null = fs::File::open("/dev/null").context(|| "cannot open /dev/null".to_owned())?;
    rustix::stdio::dup2_stdin(&null)
        .and_then(|()| rustix::stdio::dup2_stdout(&null))
        .and_then(|()| rustix::stdio::dup2_stderr(&null))
        .context(|| "cannot let go of the container's streams".to_owned())?;
    let sets = CapabilitySets {
        effective: CapabilitySet::KILL,
        permitted: CapabilitySet::KILL,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).context(|| "cannot give up capabilities".to_owned())?;
    rustix::thread::set_no_new_privs(true).context(|| "prctl".to_owned())
}
