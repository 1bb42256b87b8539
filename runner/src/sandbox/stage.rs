//! The stage: the process that makes a container from inside the user's own user namespace, and
//! then guards it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::SocketType;
use rustix::process::{DumpableBehavior, Pid, geteuid, set_dumpable_behavior, setsid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, ThreadNameSpaceType, UnshareFlags, clear_ambient_capability_set,
    move_into_thread_name_spaces, set_capabilities, set_name,
};

use super::failure::{Context, Failure};
use super::handle::{Handle, ProcessId};
use super::init::Coming;
use super::program::{self, Surroundings};
use super::spec::{Join, Network, Spec};
use super::syscalls::{self, ForkInto};
use super::userns::{self, Spare};
use super::wire::{self, Request, Status};
use super::{init, keeper, mounts, rootfs};

pub(super) mod namespaces;

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
    let Given { cgroup, spare } = Given::take()?;
    let result = (|| {
        // Nobody may look into this process or at its program while it stands near a container.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())?;
        clear_ambient_capability_set().context(|| "prctl".to_owned())?;
        // A signal from the terminal is for the caller, which passes it on.
        let _ = setsid();
        match std::env::args().nth(1).as_deref() {
            Some(task @ (wire::OWN_NETWORK | wire::HOST_NETWORK)) => {
                let order = || receive_order(task, &control);
                if let Some(spare) = spare {
                    return make_in_spare(spare, cgroup.as_ref(), (&control, &status), order);
                }
                let birth = Birth {
                    namespaces: NAMESPACES,
                    with_network: task == wire::OWN_NETWORK,
                    cgroup,
                };
                make(birth, (&control, &status), order)
            }
            _ => serve_running(&control, &status, cgroup),
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

/// What a stage has that not every one is given.
struct Given {
    cgroup: Option<OwnedFd>,
    spare: Option<Spare>,
}

impl Given {
    fn take() -> Result<Self, Failure> {
        let (mut cgroup, mut spare) = (None, None);
        let mut numbers = wire::FIRST_GIVEN..;
        for word in std::env::args().skip(2) {
            let count = match word.as_str() {
                wire::GIVEN_CGROUP => 1,
                wire::GIVEN_SPARE => Spare::COUNT,
                _ => return Err(Failure::engine(format!("a stage is not given {word}"))),
            };
            let given = numbers.by_ref().take(count).map(syscalls::inherited);
            let mut given = given.collect::<Result<Vec<_>, _>>().context(|| word)?;
            match count {
                1 => cgroup = given.pop(),
                _ => spare = Spare::new(given),
            }
        }
        Ok(Self { cgroup, spare })
    }
}

/// A container, and what its guard works with.
struct Guarded {
    container: Handle,
    sockets: Vec<OwnedFd>,
    text: String,
}

/// Does what is asked for in a container that runs, or makes one of which all is known.
fn serve_running(
    control: &OwnedFd,
    status: &OwnedFd,
    cgroup: Option<OwnedFd>,
) -> Result<Option<Guarded>, Failure> {
    match wire::receive(control)? {
        (Request::Join(request), carried) => {
            join(&request, carried, (control, status), cgroup.as_ref()).map(|()| None)
        }
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
            if !namespaces::is_shared(pid, "net") {
                move_into_thread_name_spaces(container.as_fd(), ThreadNameSpaceType::NETWORK)
                    .context(|| "cannot enter the container's network".to_owned())?;
            }
            Ok(Some(Guarded {
                container,
                sockets,
                text: guard,
            }))
        }
        (Request::Launch { mounts, guard }, descriptors) => {
            let order = Order::receive(control, mounts, guard, descriptors)?;
            let with_network = order.spec.network != Network::Host;
            let namespaces = namespaces::enter(&order.spec.namespaces)?;
            if !geteuid().is_root() {
                // Who has no privilege writes the id map of a process that is its own, which one
                // that can not be dumped is not (proc(5)). That process becomes so again when it
                // takes its id, and until then nothing of the container runs.
                set_dumpable_behavior(DumpableBehavior::Dumpable).context(|| "prctl".to_owned())?;
            }
            let birth = Birth {
                namespaces,
                with_network,
                cgroup,
            };
            make(birth, (control, status), || Ok(order))
        }
    }
}

/// A container that is to be made.
struct Order {
    spec: Box<Spec>,
    /// As it came.
    text: Vec<u8>,
    /// What travels with the specification.
    carried: Vec<OwnedFd>,
    /// The guard's part: its sockets and its text.
    sockets: Vec<OwnedFd>,
    guard: Option<String>,
}

impl Order {
    /// Receives the specification, after the request that announced it.
    fn receive(
        control: &OwnedFd,
        count: usize,
        guard: Option<String>,
        mut carried: Vec<OwnedFd>,
    ) -> Result<Self, Failure> {
        if carried.len() < count {
            return Err(Failure::engine("a descriptor is missing"));
        }
        let sockets = carried.split_off(count);
        let (text, _) = wire::receive_text(control)?;
        Ok(Self {
            spec: wire::parse(&text)?,
            text,
            carried,
            sockets,
            guard,
        })
    }
}

/// Receives the order of a container for which a stage of this `task` was begun.
fn receive_order(task: &str, control: &OwnedFd) -> Result<Order, Failure> {
    let other = || Failure::engine("this stage was begun for another container");
    let (Request::Launch { mounts, guard }, descriptors) = wire::receive(control)? else {
        return Err(other());
    };
    let order = Order::receive(control, mounts, guard, descriptors)?;
    match wire::task_of(order.spec.network) == task {
        true => Ok(order),
        false => Err(other()),
    }
}

/// How a container's first process is born.
struct Birth {
    /// Those that are made with it.
    namespaces: UnshareFlags,
    /// Whether its network is made beside it.
    with_network: bool,
    cgroup: Option<OwnedFd>,
}

/// Makes the container's first process, and gives it its ids and its specification as soon as they
/// are known.
fn make(
    birth: Birth,
    (control, status): (&OwnedFd, &OwnedFd),
    order: impl FnOnce() -> Result<Order, Failure>,
) -> Result<Option<Guarded>, Failure> {
    let (outbox, inbox) = wire::sockets(SocketType::STREAM)?;
    let Birth {
        namespaces,
        with_network,
        cgroup,
    } = birth;
    let (made, placed) = fork_in_cgroup(namespaces, cgroup.as_ref());
    match made.context(|| "cannot make the namespaces".to_owned())? {
        ForkInto::Child => {
            drop(outbox);
            let coming = Coming::Later {
                inbox,
                with_network,
            };
            init::main(coming, (control, status.as_fd()))
        }
        ForkInto::Parent(pid, pidfd) => {
            drop(inbox);
            tell_started(status, pid, placed);
            let container = Handle::new(pid, pidfd);
            let result = own_ids(namespaces, pid).and_then(|own_ids| {
                let order = order()?;
                specify(&order, pid, own_ids.is_some(), &outbox)?;
                if with_network {
                    make_network(own_ids.as_ref(), &outbox)?;
                }
                Ok(order)
            });
            if result.is_err() {
                let _ = container.signal(libc::SIGKILL);
            }
            let Order {
                spec,
                sockets,
                guard,
                ..
            } = result?;
            // A container without namespaces has its keepers.
            Ok(guard.filter(|_| !spec.is_bare()).map(|text| Guarded {
                container,
                sockets,
                text,
            }))
        }
    }
}

/// The same in namespaces that were made ahead. So little is left for the kernel that it is not begun
/// before the order is there, and then that process has it already.
fn make_in_spare(
    spare: Spare,
    cgroup: Option<&OwnedFd>,
    (control, status): (&OwnedFd, &OwnedFd),
    order: impl FnOnce() -> Result<Order, Failure>,
) -> Result<Option<Guarded>, Failure> {
    let ahead = spare.enter()?;
    let Order {
        spec,
        carried,
        sockets,
        guard,
        ..
    } = order()?;
    rootfs::prepare(&spec)?;
    let (made, placed) = fork_in_cgroup(NAMESPACES.difference(Spare::NAMESPACES), cgroup);
    match made.context(|| "cannot make the namespaces".to_owned())? {
        ForkInto::Child => {
            if cgroup.is_some() && !placed {
                // The caller moves it there.
                wire::wait_for_go(status.as_fd())?;
            }
            let known = Coming::Known {
                spec,
                carried,
                ahead,
            };
            init::main(known, (control, status.as_fd()))
        }
        ForkInto::Parent(pid, pidfd) => {
            tell_started(status, pid, placed);
            Ok(guard.map(|text| Guarded {
                container: Handle::new(pid, pidfd),
                sockets,
                text,
            }))
        }
    }
}

fn tell_started(status: &OwnedFd, pid: Pid, placed: bool) {
    let started = Status::Started {
        pid: pid.as_raw_nonzero().get(),
        placed,
    };
    wire::send_status(status.as_fd(), &started, None);
}

/// The user namespace of the process `pid` if it was made with it. Opened before that process can
/// not be looked into any more by who has no privilege.
fn own_ids(namespaces: UnshareFlags, pid: Pid) -> Result<Option<fs::File>, Failure> {
    if !namespaces.contains(UnshareFlags::NEWUSER) {
        return Ok(None);
    }
    let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
    let opened = fs::File::open(&path).map(Some);
    opened.context(|| format!("cannot open {path}"))
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

/// Passes the specification on to the container's first process; the guard's part stays here. The ids
/// are mapped before, if that process was made `with_ids` of its own.
fn specify(order: &Order, pid: Pid, with_ids: bool, outbox: &OwnedFd) -> Result<(), Failure> {
    let spec = &order.spec;
    rootfs::prepare(spec)?;
    if with_ids {
        userns::write_maps(pid, &spec.users, &spec.groups)?;
    }
    let carried: Vec<_> = order.carried.iter().map(AsFd::as_fd).collect();
    // An init that has died has said why by itself.
    let _ = wire::send_text(outbox, &order.text, &carried);
    Ok(())
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
/// container's own user namespace if there is one, or no sysfs could be mounted there
/// (user_namespaces(7)).
fn make_network(own_ids: Option<&fs::File>, outbox: &OwnedFd) -> Result<(), Failure> {
    let what = || "cannot make the container's network".to_owned();
    if let Some(own_ids) = own_ids {
        userns::enter(own_ids.as_fd())?;
    }
    // Other capabilities made the process readable again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(what)?;
    syscalls::unshare(UnshareFlags::NEWNET).context(what)?;
    let network = fs::File::open("/proc/self/ns/net").context(what)?;
    // An init that has died has said why by itself.
    let _ = wire::send(outbox, &(), &[network.as_fd()]);
    Ok(())
}

/// Makes a process that joins a container.
fn join(
    request: &Join,
    carried: Vec<OwnedFd>,
    (control, status): (&OwnedFd, &OwnedFd),
    cgroup: Option<&OwnedFd>,
) -> Result<(), Failure> {
    let id = ProcessId {
        pid: request.pid,
        start_time: request.start_time,
    };
    let container = id
        .open()
        .ok_or_else(|| Failure::engine("the container has ended"))?;
    let root = match &request.root {
        Some(root) => Some(mounts::open_host(root).context(|| "the container's files".to_owned())?),
        None => {
            namespaces::enter_all_of(&container)?;
            None
        }
    };
    let (made, placed) = fork_in_cgroup(UnshareFlags::empty(), cgroup);
    match made.context(|| "cannot fork".to_owned())? {
        ForkInto::Child => {
            let start = || -> Result<Failure, Failure> {
                if request.own_cgroups {
                    // Only from within the group: seen from this namespace there is nothing
                    // outside of it.
                    let kind = ThreadNameSpaceType::CONTROL_GROUP;
                    move_into_thread_name_spaces(container.as_fd(), kind)
                        .context(|| "cannot enter the container's cgroups".to_owned())?;
                }
                program::adjust_oom_score(&request.process)?;
                let around = Surroundings::of_joining(request, carried, status.as_fd())?;
                let Some(root) = root else {
                    program::start(&request.process, around)
                };
                let watched = [control.as_fd(), container.as_fd()];
                Ok(keeper::main(&watched, || {
                    program::start_below(root.as_fd(), &request.process, around)
                }))
            };
            let (Ok(failure) | Err(failure)) = start();
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
