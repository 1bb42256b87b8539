//! The caller's side: starting a stage, and what it brings back.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{Shutdown, SocketType, shutdown};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::cgroup::Cgroup;
use super::failure::{Context, Failure};
use super::handle::ProcessId;
use super::own_program;
use super::spec::{Join, Network, Spec};
use super::stage::namespaces;
use super::syscalls;
use super::userns::{self, Entrance, Spare, UserNamespace};
use super::wire::{self, Request, Status};

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
    /// The stage, which guards the container while it runs; `None` for a process that joined
    /// namespaces.
    pub guard: Option<Guard>,
    /// What it has to go without, one line each.
    pub notes: Vec<String>,
}

/// The process that guards a container, or its keepers. When this value is dropped, they have killed
/// the container and have ended.
#[derive(Debug)]
pub struct Guard {
    /// `None` when that process has made keepers and has ended.
    pid: Option<Pid>,
    control: OwnedFd,
    /// Whether there are processes that have the other end of `control` for as long as the container
    /// has any.
    has_keepers: bool,
}

/// How long keepers may take for that. One that waits for a disk is not waited for.
const KEEPERS_PATIENCE: Duration = Duration::from_secs(5);

impl Drop for Guard {
    fn drop(&mut self) {
        self.release();
        self.reap();
        if !self.has_keepers {
            return;
        }
        // The other end is closed when the last of those that have it has ended.
        let _ = set_socket_timeout(&self.control, Timeout::Recv, Some(KEEPERS_PATIENCE));
        let _ = rustix::io::retry_on_intr(|| rustix::io::read(&self.control, &mut [0; 1]));
    }
}

impl Guard {
    /// Lets keepers be the guards of a container that has them.
    fn leave_it_to_keepers(&mut self) {
        if self.has_keepers {
            self.reap();
        }
    }

    fn reap(&mut self) {
        if let Some(pid) = self.pid.take() {
            reap(pid);
        }
    }

    /// The guard's process id; keepers need no help from outside.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Tells the guard to end, and does not wait for it.
    pub fn release(&mut self) {
        let _ = shutdown(&self.control, Shutdown::Write);
    }
}

/// A container that is about to be: its first process is being made, in namespaces of its own, and
/// waits for its specification. Dropped, it is ended.
#[derive(Debug)]
pub struct Stage {
    // Dropped first: when the stage has ended, so has what it made.
    guard: Guard,
    birth: Birth,
}

/// Hears from a process in the container until it has become the program.
#[derive(Debug)]
struct Birth {
    status: OwnedFd,
    child: Option<Pid>,
    /// What it said that it has to go without.
    notes: Vec<String>,
}

impl Drop for Birth {
    fn drop(&mut self) {
        let kill = |child| rustix::process::kill_process(child, rustix::process::Signal::KILL);
        let _ = self.child.map(kill);
        while let Ok(Some((status, _))) = wire::receive_status(&self.status) {
            if let Status::Started { pid, .. } = status {
                self.child = Pid::from_raw(pid);
                let _ = self.child.map(kill);
            }
        }
        if let Some(child) = self.child {
            reap(child);
        }
    }
}

/// A process that has become its program.
struct Born {
    process: ProcessId,
    terminal: Option<OwnedFd>,
    notes: Vec<String>,
}

/// A moment at which the caller may do something while the container waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Namespaces and mounts are there, and the host's files still are.
    Paused,
    /// All is set up but for the word to start.
    Ready,
    /// Some of its system calls are decided by another process.
    Listening,
}

/// What a caller does at such a moment, with the process and its terminal or what listens.
type AtMoment<'a> = &'a mut dyn FnMut(Moment, ProcessId, Option<OwnedFd>) -> Result<(), Failure>;

impl Birth {
    /// Waits until the process is there, and sees to it that it is in its control group.
    fn place(&mut self, group: &Cgroup) -> Result<(), Failure> {
        match wire::receive_status(&self.status)? {
            Some((Status::Started { pid, placed }, _)) => {
                self.child = Pid::from_raw(pid);
                match self.child.filter(|_| !placed) {
                    Some(child) => group.add(child),
                    None => Ok(()),
                }
            }
            Some((Status::Failed(failure), _)) => Err(failure),
            _ => Err(Failure::engine(
                "the process that makes the container has died",
            )),
        }
    }

    /// Waits until the program runs or could not be started.
    fn wait(self) -> Result<Born, Failure> {
        self.wait_with(None, &mut |_, _, _| Ok(()))
    }

    /// The same, or until it is ready to be started by the word of somebody else; `at` is called on the way.
    ///
    /// The start of the program itself may be what another process decides about, and it may think for
    /// long. Who has `patience` takes the program for one that runs after that time, so that it can be
    /// stopped like one; what fails later is told by its exit code.
    fn wait_with(mut self, patience: Option<Duration>, at: AtMoment<'_>) -> Result<Born, Failure> {
        let mut terminal = None;
        let mut limit = None;
        loop {
            if limit.is_some_and(|limit| !wire::is_heard_within(self.status.as_fd(), limit)) {
                // Whatever it says later is heard by nobody.
                let _ = shutdown(&self.status, Shutdown::Read);
                break;
            }
            match wire::receive_status(&self.status)? {
                Some((Status::Started { pid, .. }, _)) => self.child = Pid::from_raw(pid),
                Some((Status::Terminal, descriptor)) => terminal = descriptor,
                Some((Status::Note(note), _)) => self.notes.push(note),
                Some((Status::Listener, descriptor)) => {
                    at(Moment::Listening, self.process()?, descriptor)?;
                    wire::send_go(self.status.as_fd());
                    limit = patience;
                }
                Some((Status::Paused, _)) => {
                    at(Moment::Paused, self.process()?, None)?;
                    wire::send_go(self.status.as_fd());
                }
                Some((Status::Ready, _)) => {
                    at(Moment::Ready, self.process()?, terminal.take())?;
                    wire::send_go(self.status.as_fd());
                }
                Some((Status::Free, _)) => {
                    // From now on it speaks to whoever opens its gate.
                    let _ = shutdown(&self.status, Shutdown::Read);
                    break;
                }
                Some((Status::Failed(failure), _)) => return Err(failure),
                None => break,
            }
        }
        let process = self.process()?;
        self.child = None;
        let notes = std::mem::take(&mut self.notes);
        Ok(Born {
            process,
            terminal,
            notes,
        })
    }

    fn process(&self) -> Result<ProcessId, Failure> {
        match self.child.map(ProcessId::of) {
            Some(Ok(process)) => Ok(process),
            _ => Err(Failure::engine(
                "the process that sets up the container has died",
            )),
        }
    }
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
    let given = Given {
        cgroup: cgroup.and_then(Cgroup::descriptor),
        // One without a network would be half used.
        spare: match network {
            Network::Host => None,
            Network::Private | Network::None => namespace.take_spare(),
        },
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
    if let Some(group) = with.cgroup {
        stage.birth.place(group)?;
    }
    let Stage { mut guard, birth } = stage.told(&request, Some(spec), &extra)?;
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
    let Stage { mut guard, birth } = stage.told(&request, None, carried)?;
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
            notes,
        } = born;
        Self {
            process,
            terminal,
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
    let Stage { guard, birth } = stage.told(&request, Some(spec), carried)?;
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

/// What a stage is given that not every one has.
#[derive(Debug, Default)]
struct Given {
    /// Where the process that it makes is born.
    cgroup: Option<OwnedFd>,
    /// What is made of the container already.
    spare: Option<Spare>,
}

impl Given {
    /// Each with the word for it.
    fn named(&self) -> Vec<(&'static str, Vec<BorrowedFd<'_>>)> {
        let cgroup = self.cgroup.iter();
        let cgroup = cgroup.map(|cgroup| (wire::GIVEN_CGROUP, vec![cgroup.as_fd()]));
        let spare = self.spare.iter();
        let spare = spare.map(|spare| (wire::GIVEN_SPARE, spare.descriptors().to_vec()));
        cgroup.chain(spare).collect()
    }
}

impl Stage {
    /// Starts one whose children are in `cgroup`.
    fn start_in(
        entrance: Option<Entrance<'_>>,
        stdio: [BorrowedFd<'_>; 3],
        cgroup: Option<&Cgroup>,
    ) -> Result<Self, Failure> {
        let given = Given {
            cgroup: cgroup.and_then(Cgroup::descriptor),
            spare: None,
        };
        let stage = Self::start(entrance, stdio, &given, wire::OTHER_TASK)?;
        if let (Some(group), None) = (cgroup, &given.cgroup) {
            // The process is a child of the stage, and so in its group.
            stage.guard.pid.map_or(Ok(()), |pid| group.add(pid))?;
        }
        Ok(stage)
    }

    fn start(
        entrance: Option<Entrance<'_>>,
        stdio: [BorrowedFd<'_>; 3],
        given: &Given,
        task: &str,
    ) -> Result<Self, Failure> {
        let (control, control_inside) = wire::sockets(SocketType::STREAM)?;
        let (status, status_inside) = wire::sockets(SocketType::SEQPACKET)?;
        let mut descriptors = stdio.to_vec();
        descriptors.extend([control_inside.as_fd(), status_inside.as_fd()]);
        let mut words = vec![super::STAGE, task];
        for (word, given) in given.named() {
            words.push(word);
            descriptors.extend(given);
        }
        let pid = syscalls::spawn(&mut || {
            become_stage(entrance, &descriptors, status_inside.as_fd(), &words);
            125
        })
        .context(|| "cannot start another process".to_owned())?;
        Ok(Self {
            guard: Guard {
                pid: Some(pid),
                control,
                has_keepers: false,
            },
            birth: Birth {
                status,
                child: None,
                notes: Vec::new(),
            },
        })
    }

    /// Tells it what to do.
    fn told(
        self,
        request: &Request,
        spec: Option<&Spec>,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Self, Failure> {
        let control = &self.guard.control;
        let sent = wire::send(control, request, descriptors)
            .and_then(|()| spec.map_or(Ok(()), |spec| wire::send(control, spec, &[])));
        let Err(failure) = sent else {
            return Ok(self);
        };
        let Self { guard, birth } = self;
        drop(guard);
        // If it could not start at all, its own words say more than a broken pipe.
        Err(birth.wait().err().unwrap_or(failure))
    }
}

fn reap(pid: Pid) {
    let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
}

/// In the new process, whose memory is still the caller's: enters the user namespace and starts this
/// program anew as the stage, from a file that nobody inside can write. Returns only if something
/// failed, which it has reported to `status` then.
fn become_stage(
    entrance: Option<Entrance<'_>>,
    descriptors: &[BorrowedFd<'_>],
    status: BorrowedFd<'_>,
    words: &[&str],
) {
    let prepare = || -> Result<OwnedFd, Failure> {
        if let Some(entrance) = &entrance {
            userns::enter(entrance.namespace)?;
        }
        keep_capabilities().context(|| "cannot keep capabilities".to_owned())?;
        // Out of the way of the numbers that the descriptors are about to get.
        let above = i32::try_from(descriptors.len()).unwrap_or(i32::MAX) + 64;
        let made;
        let program = if let Some(program) = entrance.as_ref().and_then(|entrance| entrance.program)
        {
            program
        } else {
            made = own_program::make().context(|| "cannot open this program".to_owned())?;
            made.as_fd()
        };
        rustix::io::fcntl_dupfd_cloexec(program, above)
            .context(|| "too many descriptors".to_owned())
    };
    let program = match prepare() {
        Ok(program) => program,
        Err(failure) => return wire::send_status(status, &Status::failed(failure), None),
    };
    let argument = |word: &&str| CString::new(*word).unwrap_or_default();
    let arguments: Vec<_> = words.iter().map(argument).collect();
    let error = match syscalls::place_descriptors(descriptors) {
        Ok(()) => syscalls::execute_descriptor(program.as_fd(), &arguments, &[]),
        Err(error) => error,
    };
    let error = super::failure::describe(&error);
    let failure = Failure::engine(format!("cannot start the stage: {error}"));
    // Its number may be that of something else by now.
    if let Ok(status) = syscalls::inherited(wire::STATUS) {
        wire::send_status(status.as_fd(), &Status::failed(failure), None);
    }
}

/// Lets the capabilities in the user namespace survive the start of the next program, which is not
/// root there when the caller is the real root.
pub(super) fn keep_capabilities() -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let all = rustix::thread::capabilities(None)?.permitted;
    let sets = CapabilitySets {
        effective: all,
        permitted: all,
        inheritable: all,
    };
    rustix::thread::set_capabilities(None, sets)?;
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if all.contains(one) {
            rustix::thread::configure_capability_in_ambient_set(one, true)?;
        }
    }
    Ok(())
}
