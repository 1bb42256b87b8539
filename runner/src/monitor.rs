//! The process that watches a container: passes signals and streams on, keeps the log, restarts the
//! guard and writes down how it ended.
//!
//! For `runner run` in the foreground that is the command itself. A detached container has one of its
//! own ([`detached`]). Either way it is the parent of the container's first process, so the exit
//! code can not be lost, and when it dies the guard ends the container.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::process::{Pid, geteuid, getpid};

use crate::container::create::now;
use crate::container::isolation::Walls;
use crate::container::log::LogWriter;
use crate::container::record::Volume;
use crate::container::resources::Resources;
use crate::container::state::{Exit, Status};
use crate::container::{self, Container, ContainerId, Containers, State};
use crate::human::tell;
use crate::network::{Listener, PortMapping, listen, proxy};
use crate::sandbox::cgroup::{Cgroup, Owned};
use crate::sandbox::handle::{Handle, ProcessId};
use crate::sandbox::spec::{Driver, Isolation, Mount, Network, Spec};
use crate::sandbox::userns::UserNamespace;
use crate::sandbox::{self, Failure, Launch, Running, Stage};

mod background;
pub mod detached;
pub mod relay;
pub mod session;
pub mod terminal;

use relay::{Relay, Streams};

/// Continues as a process that stays behind if this one was started as such, and returns otherwise.
pub fn dispatch() {
    let mut arguments = std::env::args_os();
    let life = match arguments.next() {
        Some(name) if name == detached::NAME => detached::main,
        Some(name) if name == session::NAME => session::main,
        _ => return,
    };
    let words: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    std::process::exit(match words.try_into() {
        Ok(words) => i32::from(life(words)),
        Err(_) => 125,
    })
}

/// The container that such a process is for.
fn find(containers: &Containers, id: &Path) -> Result<Container, Failure> {
    let id = id.to_string_lossy();
    containers
        .find(&id)
        .map_err(|error| Failure::engine(error.to_string()))
}

/// Which of the caller's own streams the container is connected with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attach {
    /// Standard input.
    pub input: bool,
    /// Standard output.
    pub output: bool,
    /// Standard error.
    pub error: bool,
}

impl Attach {
    /// Connected with all that it prints, and with the standard input if `input`.
    #[must_use]
    pub fn fully(input: bool) -> Self {
        Self {
            input,
            output: true,
            error: true,
        }
    }
}

/// A container that was started by this process and is watched by it.
#[derive(Debug)]
pub struct Watched<'a> {
    container: &'a Container,
    containers: &'a Containers,
    state: State,
    running: Running,
    relay: Relay,
    listeners: Vec<Listener>,
    group: Option<Owned>,
    /// Kept while the container lives: nobody else starts or removes it, and the holder of the
    /// user namespace stays.
    lock: File,
    namespace: Option<UserNamespace>,
}

/// Opens the ports of a container on the host.
///
/// # Errors
/// A [`Failure`] that names the port, before anything else has happened.
pub fn open_ports(container: &Container) -> Result<Vec<Listener>, Failure> {
    let record = &container.record;
    let opened = if record.implied_ports.is_empty() {
        listen::open_all(&record.ports)
    } else {
        listen::open_implied(&record.implied_ports)
    };
    opened.map_err(|error| Failure::not_startable(error.to_string()))
}

/// What is begun before the container is known in full, because the kernel takes its time for it.
#[derive(Debug)]
pub struct Begun {
    /// `None` for a container that does without.
    namespace: Option<UserNamespace>,
    /// From the moment on at which they are caught, a signal waits until it can be passed on: none
    /// is lost during the start.
    signals: OwnedFd,
    streams: Streams,
    stage: Stage,
    group: Option<Owned>,
}

/// Begins to start a container of which this much is known: its id, what it may use, its network, and
/// whether it gets a terminal and the caller's standard input.
///
/// # Errors
/// A [`Failure`] when there can be no containers here, or none with these limits.
pub fn begin(
    runroot: &Path,
    id: &ContainerId,
    resources: &Resources,
    (isolation, network): (Isolation, Network),
    (terminal, interactive): (bool, bool),
) -> Result<Begun, Failure> {
    let namespace = match isolation {
        Isolation::Namespaces => Some(UserNamespace::acquire(runroot).map_err(with_hint)?),
        Isolation::Chroot => None,
    };
    let group = resources.group(id, runroot, namespace.as_ref())?;
    let signals = relay::catch_signals().map_err(|error| engine("signalfd", &error))?;
    let streams = Streams::new(terminal, interactive).map_err(|error| engine("pipe", &error))?;
    let cgroup = group.as_ref().and_then(Owned::group);
    let stage = sandbox::begin(namespace.as_ref(), network, cgroup, streams.inside())?;
    Ok(Begun {
        namespace,
        signals,
        streams,
        stage,
        group,
    })
}

/// Starts a container, watched by this process, with what was begun for it, if anything was.
///
/// # Errors
/// A [`Failure`] with podman's exit code; the container does not run then.
pub fn start<'a>(
    containers: &'a Containers,
    container: &'a Container,
    begun: Option<Begun>,
    runroot: &Path,
    listeners: Vec<Listener>,
    attach: Attach,
) -> Result<Watched<'a>, Failure> {
    let record = &container.record;
    let lock = container
        .lock(FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Failure::engine(format!("container {} is running", record.name)))?;
    // With the lock in hand no monitor is left; its container may be for a moment, if it was killed.
    if Status::of(container.state().as_ref()).is_running() {
        return Err(Failure::engine(format!(
            "container {} is running",
            record.name
        )));
    }
    Container::forget_end(&lock).map_err(|error| engine("the lock", &error))?;
    make_volumes(container)?;
    let Begun {
        namespace,
        signals,
        streams,
        stage,
        group,
    } = match begun {
        Some(begun) => begun,
        None => begin(
            runroot,
            &record.id,
            &record.resources,
            (record.isolation, record.network),
            (record.terminal, record.interactive && attach.input),
        )?,
    };
    let cgroup = group.as_ref().and_then(Owned::group);
    let surroundings = Surroundings {
        namespace: namespace.as_ref(),
        cgroup,
        listeners: &listeners,
    };
    let mut running = launch(container, &surroundings, stage, &streams).map_err(with_hint)?;
    if namespace.is_none() {
        tell(format_args!("runner: {}", Walls::find().warning()));
    }
    for note in &running.notes {
        tell(format_args!("runner: {note}"));
    }
    let ports: Vec<PortMapping> = listeners
        .iter()
        .map(|listener| listener.mapping.clone())
        .collect();
    let state = State {
        process: running.process,
        monitor: own_id().map_err(|error| engine("/proc", &error))?,
        started: now(),
        ports,
        cgroup: cgroup.cloned(),
        root: is_bare(container).then(|| container.folder().join("upper")),
        exit: None,
    };
    container
        .write_state(&state)
        .map_err(|error| Failure::engine(error.to_string()))?;
    let log = LogWriter::open(&container.log_path()).map_err(|error| engine("the log", &error))?;
    let mut relay = Relay::new(&mut running, signals, streams, Some(log), attach)
        .map_err(|error| engine("the container's streams", &error))?;
    if let Some(seconds) = record.time_limit {
        relay.kill_after(Duration::from_secs(seconds));
    }
    Ok(Watched {
        container,
        containers,
        state,
        running,
        relay,
        listeners,
        group,
        lock,
        namespace,
    })
}

/// Whether it has no namespace of its own.
fn is_bare(container: &Container) -> bool {
    container.record.isolation == Isolation::Chroot && !Walls::find().namespaces
}

/// Tells a root what there is besides, where namespaces can not be had.
fn with_hint(failure: Failure) -> Failure {
    if !failure.no_namespaces || !geteuid().is_root() {
        return failure;
    }
    Failure {
        message: format!(
            "{}; or give --isolation chroot, a weaker wall that root can have without",
            failure.message
        ),
        ..failure
    }
}

fn engine(what: &str, error: &io::Error) -> Failure {
    Failure::engine(format!("{what}: {}", sandbox::failure::describe(error)))
}

/// This process, as it is written down.
pub(crate) fn own_id() -> io::Result<ProcessId> {
    static OWN: OnceLock<ProcessId> = OnceLock::new();
    match OWN.get() {
        Some(own) if own.pid == getpid().as_raw_nonzero().get() => Ok(*own),
        _ => ProcessId::of(getpid()).map(|own| *OWN.get_or_init(|| own)),
    }
}

/// What a container is put into.
struct Surroundings<'a> {
    namespace: Option<&'a UserNamespace>,
    cgroup: Option<&'a Cgroup>,
    listeners: &'a [Listener],
}

/// Launches with the driver that this container has, and with a copy if overlay can not be had.
fn launch(
    container: &Container,
    around: &Surroundings<'_>,
    stage: Stage,
    streams: &Streams,
) -> Result<Running, Failure> {
    let driver = match container.record.memory_upper {
        Some(size) => Driver::Memory(size),
        None if container.is_copied() => Driver::Copy,
        None => Driver::Overlay,
    };
    let attempt = |stage, driver| {
        let size = container.record.terminal.then(terminal::own_size);
        let spec = container::spec::of(
            &container.record,
            container.folder(),
            around.namespace.map(UserNamespace::ids),
            driver,
            size,
        )?;
        launch_spec(spec, around, stage, container)
    };
    match attempt(stage, driver) {
        // A copy would be written to the disk, which somebody wanted to avoid.
        Err(failure) if failure.no_overlay && driver == Driver::Overlay => {
            tell(format_args!(
                "runner: {}; the image's files are copied for each container, which is slow",
                failure.message
            ));
            container
                .copy_image()
                .map_err(|error| Failure::engine(error.to_string()))?;
            let network = container.record.network;
            let (namespace, cgroup) = (around.namespace, around.cgroup);
            let stage = sandbox::begin(namespace, network, cgroup, streams.inside())?;
            attempt(stage, Driver::Copy)
        }
        result => result,
    }
}

fn launch_spec(
    mut spec: Spec,
    around: &Surroundings<'_>,
    stage: Stage,
    container: &Container,
) -> Result<Running, Failure> {
    let prepared = prepare_mounts(&mut spec, around.namespace)?;
    let with = Launch {
        mounts: prepared.iter().map(AsFd::as_fd).collect(),
        sockets: around
            .listeners
            .iter()
            .map(AsFd::as_fd)
            .collect::<Vec<BorrowedFd<'_>>>(),
        guard: proxy::describe(around.listeners),
        // Without a namespace to be entered first, it is born there.
        cgroup: around.cgroup.filter(|_| around.namespace.is_some()),
    };
    sandbox::launch(stage, &spec, &with, &mut container.moments(None))
}

/// As root, prepares the volumes so that a file of root outside is one of root inside and the other way
/// round, although root inside is another id. (Otherwise root inside is the user already.)
fn prepare_mounts(
    spec: &mut Spec,
    namespace: Option<&UserNamespace>,
) -> Result<Vec<OwnedFd>, Failure> {
    let mut prepared = Vec::new();
    let Some(namespace) = namespace.filter(|_| geteuid().is_root()) else {
        return Ok(prepared);
    };
    for mount in &mut spec.mounts {
        if let Mount::Bind {
            source,
            prepared: number,
            ..
        } = mount
            && let Some(mapped) = sandbox::mapped_mount(source, namespace)?
        {
            *number = Some(prepared.len());
            prepared.push(mapped);
        }
    }
    Ok(prepared)
}

/// Makes the folders of volumes that have a name and were never used.
fn make_volumes(container: &Container) -> Result<(), Failure> {
    for volume in &container.record.mounts {
        if let Volume::Named { source, .. } = volume {
            std::fs::create_dir_all(source)
                .map_err(|error| engine(&format!("cannot make {}", source.display()), &error))?;
        }
    }
    Ok(())
}

impl Watched<'_> {
    /// The ports that are open on the host.
    #[must_use]
    pub fn ports(&self) -> &[PortMapping] {
        &self.state.ports
    }

    /// Watches the container until it ends; its exit code.
    ///
    /// That is returned even if it can not be written down, for want of space on the disk.
    #[must_use]
    pub fn wait(mut self) -> u8 {
        let listeners = std::mem::take(&mut self.listeners);
        let process = self.running.process;
        let guard = &mut self.running.guard;
        let namespace = self.namespace.as_ref();
        let code = self.relay.run(process, || {
            let pid = guard.as_ref().and_then(sandbox::launch::Guard::pid);
            if pid.is_some_and(has_ended) {
                // Ports would be dead and the container unguarded: another one takes its place.
                let sockets: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
                let text = proxy::describe(&listeners);
                *guard = sandbox::launch::guard(process, namespace, &sockets, &text).ok();
            }
        });
        if let Some(guard) = &mut self.running.guard {
            guard.release();
        }
        // What it got while it ran: a group to be paused in, or one more controller.
        let later = self.container.state().and_then(|state| state.cgroup);
        let later = later.map(Owned::new);
        self.state.cgroup = None;
        self.state.exit = Some(Exit {
            code,
            finished: now(),
        });
        if let Err(error) = self.container.write_end(&self.lock, &self.state) {
            tell(format_args!("runner: {error}"));
        }
        let hidden = match self.container.record.remove {
            true => self
                .containers
                .hide(self.container)
                .unwrap_or_else(|error| {
                    tell(format_args!("runner: {error}"));
                    None
                }),
            false => None,
        };
        // Its ports are free when the guard has ended, which it had the time to by now.
        drop((self.running.guard.take(), listeners));
        // Removes the groups, of which nobody but us is in by now.
        drop((self.group.take(), later));
        match (self.running.mounts.take(), &hidden, &self.namespace) {
            (Some(mounts), Some(_), Some(namespace)) if !has_files_of_host(self.container) => {
                namespace.leave_mounts(&mounts);
            }
            // Its writable layer is mounted again when it starts again, and a disk of the host's may be taken
            // out now: neither may still be in use.
            (mounts, ..) => drop(mounts),
        }
        // Others may go on with this container now, however slow our own reader is.
        drop(self.lock);
        self.relay.close_log();
        if let Some(hidden) = hidden
            && let Err(error) = self.containers.forget(&hidden)
        {
            tell(format_args!("runner: {error}"));
        }
        drop(self.namespace);
        self.relay.finish();
        code
    }
}

/// Whether paths of the host are mounted in it.
fn has_files_of_host(container: &Container) -> bool {
    let mounts = &container.record.mounts;
    mounts
        .iter()
        .any(|mount| matches!(mount, Volume::Bind { .. }))
}

/// Whether the child `pid` has ended; it is not waited for here.
fn has_ended(pid: Pid) -> bool {
    !Handle::of_child(pid).is_ok_and(|child| child.is_alive())
}
