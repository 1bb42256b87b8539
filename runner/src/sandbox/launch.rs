//! The caller's side: starting a stage, and what it brings back.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;

use super::cgroup::Cgroup;
use super::failure::{Context, Failure};
use super::handle::ProcessId;
use super::spec::{Join, Network, Spec};
use super::stage::namespaces;
use super::userns::{self, Entrance, UserNamespace};
use super::wire::{self, Request};

mod birth;
mod guard;
mod stage;

use birth::{AtMoment, Born};
use stage::Given;

pub use birth::Moment;
pub use guard::Guard;
pub use stage::Stage;
pub(super) use stage::keep_capabilities;

/// How long a program may take to start about whose system calls another process decides.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a container is started with beside its specification.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Mounts that the caller prepared, in the order that the specification numbers them.
    pub mounts: Vec<BorrowedFd<'a>>,
    /// Sockets for the guard.
    pub sockets: Vec<BorrowedFd<'a>>,
    /// Text for the guard.
    pub guard: String,
    /// The container's control group, into which its first process is moved if it was not born there.
    pub cgroup: Option<&'a Cgroup>,
}

/// A process in a container, a child of this process.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub process: ProcessId,
    /// Our end of its terminal.
    pub terminal: Option<OwnedFd>,
    /// The mount namespace of the container, if it was made with it. For whoever has it the container's
    /// mounts are there, also when it has ended.
    pub mounts: Option<OwnedFd>,
    /// The stage, which guards the container while it runs; `None` for a process that joined
    /// namespaces.
    pub guard: Option<Guard>,
    /// What it has to go without, one line each.
    pub notes: Vec<String>,
}

/// Begins to start a container of which nothing is known yet but its network, its control group and
/// its streams: the kernel takes its time for the namespaces while the caller finds out the rest. Without a
/// namespace of the user's own to make it in, it begins where the caller stands.
///
/// # Errors
/// When there can be no such process.
pub fn begin(
    namespace: Option<&UserNamespace>,
    network: Network,
    cgroup: Option<&Cgroup>,
    stdio: [BorrowedFd<'_>; 3],
) -> Result<Stage, Failure> {
    let Some(namespace) = namespace else {
        return Stage::start_in(None, stdio, cgroup);
    };
    let descriptor = cgroup.and_then(Cgroup::descriptor);
    let given = Given {
        // One without a network would be half used; and where it is born it has to be told before.
        spare: match network {
            Network::Host => None,
            _ if cgroup.is_some() && descriptor.is_none() => None,
            Network::Private | Network::None => namespace.take_spare(),
        },
        cgroup: descriptor,
    };
    let entrance = Some(namespace.entrance());
    Stage::start(entrance, stdio, &given, wire::task_of(network))
}

/// Starts a container. `at` is called at each [`Moment`] that there is; when it fails, the container is
/// ended.
///
/// # Errors
/// A [`Failure`] with podman's exit code; nothing of the container is left running then.
pub fn launch(
    stage: Stage,
    spec: &Spec,
    with: &Launch<'_>,
    at: AtMoment<'_>,
) -> Result<Running, Failure> {
    let request = Request::Launch {
        mounts: with.mounts.len(),
        guard: Some(with.guard.clone()),
    };
    let extra: Vec<_> = with.mounts.iter().chain(&with.sockets).copied().collect();
    let mut stage = stage;
    let waits_for_order = stage.waits_for_order;
    if let Some(group) = with.cgroup.filter(|_| !waits_for_order) {
        stage.birth.place(group)?;
    }
    let Stage {
        mut guard,
        mut birth,
        ..
    } = stage.told(&request, Some(spec), &extra)?;
    if let Some(group) = with.cgroup.filter(|_| waits_for_order)
        && birth.place(group)?
    {
        wire::send_go(birth.status.as_fd());
    }
    guard.has_keepers = spec.is_bare();
    match birth.wait_with(Some(PATIENCE), at) {
        Ok(born) => {
            guard.leave_it_to_keepers();
            Ok(Running::of(born, Some(guard)))
        }
        Err(failure) => {
            guard.release();
            Err(failure)
        }
    }
}

/// Runs one more process in a running container; `at` is called as by [`launch`].
///
/// # Errors
/// A [`Failure`] with podman's exit code.
pub fn join(
    join: &Join,
    runroot: &Path,
    cgroup: Option<&Cgroup>,
    stdio: [BorrowedFd<'_>; 3],
    at: AtMoment<'_>,
) -> Result<Running, Failure> {
    if join.root.is_some() || namespaces::is_shared(join.pid, "user") {
        return join_from(None, join, cgroup, &[], stdio, at);
    }
    let pid =
        Pid::from_raw(join.pid).ok_or_else(|| Failure::engine("the container has no process"))?;
    let namespace = userns::around(pid)?;
    let program = userns::program_of_holder(runroot);
    let entrance = Entrance {
        namespace: namespace.as_fd(),
        program: program.as_ref().map(AsFd::as_fd),
    };
    join_from(Some(entrance), join, cgroup, &[], stdio, at)
}

/// Runs one more process in a container, from where the caller stands.
///
/// # Errors
/// A [`Failure`] with podman's exit code.
pub fn join_directly(
    join: &Join,
    cgroup: Option<&Cgroup>,
    carried: &[BorrowedFd<'_>],
    stdio: [BorrowedFd<'_>; 3],
    at: AtMoment<'_>,
) -> Result<Running, Failure> {
    join_from(None, join, cgroup, carried, stdio, at)
}

fn join_from(
    entrance: Option<Entrance<'_>>,
    join: &Join,
    cgroup: Option<&Cgroup>,
    carried: &[BorrowedFd<'_>],
    stdio: [BorrowedFd<'_>; 3],
    at: AtMoment<'_>,
) -> Result<Running, Failure> {
    let stage = Stage::start_in(entrance, stdio, cgroup)?;
    let request = Request::Join(Box::new(join.clone()));
    let Stage {
        mut guard, birth, ..
    } = stage.told(&request, None, carried)?;
    guard.has_keepers = join.root.is_some();
    let result = birth.wait_with(Some(PATIENCE), at);
    // Keepers would take it for the end of the caller.
    guard.leave_it_to_keepers();
    let guard = guard.has_keepers.then_some(guard);
    result.map(|born| Running::of(born, guard))
}

impl Running {
    fn of(born: Born, guard: Option<Guard>) -> Self {
        let Born {
            process,
            terminal,
            mounts,
            notes,
        } = born;
        Self {
            process,
            terminal,
            mounts,
            guard,
            notes,
        }
    }
}

/// Makes a container from where the caller stands, without a namespace of the user's own around it,
/// up to the word that starts its program. `carried` travels with the specification.
///
/// `at` is called at each [`Moment`]; when it fails, the container is ended.
///
/// # Errors
/// A [`Failure`] with podman's exit code; nothing of the container is left running then.
pub fn set_up(
    spec: &Spec,
    cgroup: Option<&Cgroup>,
    carried: &[BorrowedFd<'_>],
    stdio: [BorrowedFd<'_>; 3],
    at: AtMoment<'_>,
) -> Result<(), Failure> {
    let request = Request::Launch {
        mounts: carried.len(),
        guard: None,
    };
    let stage = Stage::start_in(None, stdio, cgroup)?;
    // The stage ends by itself.
    let Stage { guard, birth, .. } = stage.told(&request, Some(spec), carried)?;
    // Before the word to start nothing of the program is done.
    let result = birth.wait_with(None, at);
    drop(guard);
    result.map(drop)
}

/// Starts another guard for a running container whose own has died.
///
/// # Errors
/// A [`Failure`] when the container has ended meanwhile.
pub fn guard(
    process: ProcessId,
    namespace: Option<&UserNamespace>,
    sockets: &[BorrowedFd<'_>],
    guard: &str,
) -> Result<Guard, Failure> {
    let null = File::open("/dev/null").context(|| "/dev/null".to_owned())?;
    let request = Request::Guard {
        pid: process.pid,
        start_time: process.start_time,
        guard: guard.to_owned(),
    };
    let stdio = [null.as_fd(); 3];
    let entrance = namespace.map(UserNamespace::entrance);
    let stage = Stage::start(entrance, stdio, &Given::default(), wire::OTHER_TASK)?;
    Ok(stage.told(&request, None, sockets)?.guard)
}
