//! The life of a container: create, start, kill, delete (runtime.md, "Operations").

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, geteuid};
use serde_json::Value;

use super::config::{Config, Hooks, Linux};
use super::process::Passed;
use super::state::{self, Container, Root, Saved, Status};
use super::{console, listener, mount_options, resources, translate};
use crate::sandbox::cgroup::processes_of;
use crate::sandbox::handle::{Handle, ProcessId};
use crate::sandbox::hook;
use crate::sandbox::spec::{Hook, Mount, Mounted, Spec, Told};
use crate::sandbox::{self, Failure, Moment, gate};

/// How long a killed container may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a container is created with beside its configuration.
#[derive(Debug, Default)]
pub struct Options {
    /// The folder of `config.json`.
    pub bundle: PathBuf,
    /// Where the terminal is sent.
    pub console_socket: Option<PathBuf>,
    /// Where the id of the first process is written.
    pub pid_file: Option<PathBuf>,
    /// Whether the root is not entered by pivot_root(2).
    pub no_pivot: bool,
    /// Whether systemd makes the control group.
    pub systemd: bool,
    /// Whether the program gets a session keyring of its own.
    pub new_keyring: bool,
    /// What the program finds open beside its streams.
    pub passed: Passed,
}

/// Creates the container `id`. Its program waits for [`start`].
///
/// `terminal` takes the terminal of one that has no console socket.
///
/// # Errors
/// One line; nothing of the container is left then.
pub fn create(
    root: &Root,
    id: &str,
    options: &Options,
    terminal: &mut dyn FnMut(OwnedFd),
) -> anyhow::Result<Container> {
    let bundle = fs::canonicalize(&options.bundle)
        .with_context(|| format!("cannot find the bundle {}", options.bundle.display()))?;
    let (config, text) = Config::read(&bundle)?;
    let folder = root.take(id)?;
    let created = Creation {
        id,
        bundle,
        config: &config,
        folder: &folder,
        options,
    }
    .run(&text, terminal);
    match created {
        Ok(saved) => Ok(Container::new(folder, saved, config)),
        Err(error) => {
            let _ = fs::remove_dir_all(&folder);
            Err(error)
        }
    }
}

struct Creation<'a> {
    id: &'a str,
    bundle: PathBuf,
    config: &'a Config,
    folder: &'a Path,
    options: &'a Options,
}

impl Creation<'_> {
    fn run(&self, text: &[u8], terminal: &mut dyn FnMut(OwnedFd)) -> anyhow::Result<Saved> {
        state::write_whole(&self.folder.join("config.json"), text)?;
        let gate = gate::make(self.folder)?;
        let hooks = self.config.hooks.clone().unwrap_or_default();
        let early: Vec<Hook> = [&hooks.prestart, &hooks.create_runtime]
            .into_iter()
            .flat_map(|list| list.clone().unwrap_or_default())
            .collect();
        let mut saved = self.saved();
        let told = Told {
            gate: 0,
            new_keyring: self.options.new_keyring,
            pause: !early.is_empty(),
            create_hooks: hooks.create_container.clone().unwrap_or_default(),
            start_hooks: hooks.start_container.clone().unwrap_or_default(),
            state: saved.state("creating"),
        };
        let linux = self.config.linux.clone().unwrap_or_default();
        let group = resources::make(&linux, self.id, self.options.systemd)?;
        saved.cgroup = group.cgroup().cloned();
        let (no_pivot, profiles) = (self.options.no_pivot, state::profiles_beside(self.folder));
        let mut spec = translate::spec(self.config, &self.bundle, no_pivot, &profiles, told)?;
        let mut carried: Vec<BorrowedFd<'_>> = vec![gate.as_fd()];
        let prepared = self.prepare_mounts(&mut spec, &linux, carried.len())?;
        carried.extend(prepared.iter().map(AsFd::as_fd));
        spec.carried.passed = self.options.passed.carry(&mut carried);
        let stdio = [
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
        ];
        let cgroup = saved.cgroup.clone();
        let mut at = |moment, process: ProcessId, master: Option<OwnedFd>| {
            saved.process = process;
            match moment {
                Moment::Paused => {
                    let mut state = saved.state("creating");
                    state.insert("pid".to_owned(), process.pid.into());
                    hook::run_all("createRuntime", &early, &Value::Object(state).to_string())
                }
                Moment::Ready => {
                    if let Some(master) = master {
                        self.hand_over(master, terminal)?;
                    }
                    self.write_down(&saved)
                        .map_err(|error| Failure::engine(format!("{error:#}")))
                }
                // Without no-new-privileges its filter comes this early.
                Moment::Listening => match master {
                    Some(descriptor) => {
                        let state = saved.state("creating");
                        listener::hand_over(&linux, &descriptor, process.pid, &state)
                    }
                    None => Ok(()),
                },
            }
        };
        sandbox::set_up(&spec, cgroup.as_ref(), &carried, stdio, &mut at)?;
        group.keep();
        Ok(saved)
    }

    /// Makes the mounts whose files have other ids, which only the caller has the right for.
    fn prepare_mounts(
        &self,
        spec: &mut Spec,
        linux: &Linux,
        first: usize,
    ) -> anyhow::Result<Vec<OwnedFd>> {
        let mut prepared = Vec::new();
        let wanted = self.config.mounts.iter().flatten();
        for (wanted, made) in wanted.zip(&mut spec.mounts) {
            let Some(map) = mount_options::id_map(wanted, linux)? else {
                continue;
            };
            let Mount::Listed(made) = made else { continue };
            let Mounted::Path { source, recursive } = &made.what else {
                anyhow::bail!(
                    "mounts: {}: only a bind mount can have other ids",
                    made.target
                );
            };
            let ids = (map.users.as_slice(), map.groups.as_slice());
            let mount = sandbox::mount_with_ids(source, *recursive, ids, map.recursive)?;
            made.prepared = Some(first + prepared.len());
            prepared.push(mount);
        }
        Ok(prepared)
    }

    fn saved(&self) -> Saved {
        let path = self.config.root.as_ref().map(|root| root.path.clone());
        Saved {
            id: self.id.to_owned(),
            rootfs: self.bundle.join(path.unwrap_or_default()),
            bundle: self.bundle.clone(),
            process: ProcessId {
                pid: 0,
                start_time: 0,
            },
            created: state::now(),
            annotations: self.config.annotations.clone().unwrap_or_default(),
            owner: geteuid().as_raw(),
            cgroup: None,
        }
    }

    fn hand_over(&self, master: OwnedFd, terminal: &mut dyn FnMut(OwnedFd)) -> Result<(), Failure> {
        let Some(path) = &self.options.console_socket else {
            terminal(master);
            return Ok(());
        };
        console::send(path, master.as_fd()).map_err(|error| {
            let error = sandbox::failure::describe(&error);
            Failure::engine(format!(
                "cannot send the terminal to the console socket {}: {error}",
                path.display()
            ))
        })
    }

    fn write_down(&self, saved: &Saved) -> anyhow::Result<()> {
        Container::save(self.folder, saved)?;
        match &self.options.pid_file {
            Some(path) => state::write_whole(path, saved.process.pid.to_string().as_bytes()),
            None => Ok(()),
        }
    }
}

/// Starts the program of a container that was created.
///
/// # Errors
/// When it waits for no start, or its program can not be executed.
pub fn start(container: &Container) -> anyhow::Result<()> {
    match container.status() {
        Status::Created => {}
        Status::Stopped => anyhow::bail!("cannot start a container that has stopped"),
        Status::Running | Status::Paused => {
            anyhow::bail!("cannot start an already running container")
        }
    }
    let config = container.config()?;
    gate::open(&container.folder, &mut |descriptor| {
        let state = container.state(Status::Created);
        let linux = config.linux.clone().unwrap_or_default();
        listener::hand_over(&linux, &descriptor, container.saved.process.pid, &state)
    })?;
    let hooks = hooks(container).poststart.unwrap_or_default();
    let state = Value::Object(container.state(Status::Running)).to_string();
    // The container runs already: one hook that fails changes nothing about that.
    if let Err(failure) = hook::run_all("poststart", &hooks, &state) {
        crate::human::tell(format_args!("runner: {failure}"));
    }
    Ok(())
}

/// Sends a signal to the first process of a container, or to all of them.
///
/// # Errors
/// When it does not run.
pub fn kill(container: &Container, signal: i32, all: bool) -> anyhow::Result<()> {
    let first = container.process();
    if all {
        let others = processes(container);
        ensure!(
            first.is_some() || !others.is_empty(),
            "container not running"
        );
        for pid in others {
            if let Ok(process) = Handle::of_pid(pid) {
                let _ = process.signal(signal);
            }
        }
        return Ok(());
    }
    let first = first.ok_or_else(|| anyhow::anyhow!("container not running"))?;
    first.signal(signal).context("cannot send the signal")?;
    if signal == libc::SIGKILL
        && let Some(group) = container
            .saved
            .cgroup
            .as_ref()
            .filter(|group| group.is_frozen())
    {
        // What stands still dies when it goes on.
        let _ = group.freeze(false);
    }
    Ok(())
}

/// The processes of a container: those in its control group, or in its pid namespace.
#[must_use]
pub fn processes(container: &Container) -> Vec<Pid> {
    match &container.saved.cgroup {
        Some(group) => group.processes(),
        None => processes_of(container.saved.process),
    }
}

/// Stops every process of a container where it stands, or lets them go on.
///
/// # Errors
/// When it does not run, or has no control group.
pub fn freeze(container: &Container, frozen: bool) -> anyhow::Result<()> {
    match (container.status(), frozen) {
        (Status::Created | Status::Running, true) | (Status::Paused, false) => {}
        (status, true) => anyhow::bail!("cannot pause a container that is {}", status.word()),
        (status, false) => anyhow::bail!("cannot resume a container that is {}", status.word()),
    }
    let group = container.saved.cgroup.as_ref();
    let group = group.ok_or_else(|| anyhow::anyhow!("the container has no cgroup"))?;
    Ok(group.freeze(frozen)?)
}

/// Removes what is left of the container `id`. With `force` a running one is killed, and one that
/// does not exist is no error.
///
/// # Errors
/// When it still runs.
pub fn delete(root: &Root, id: &str, force: bool) -> anyhow::Result<()> {
    let container = match root.find(id) {
        Ok(container) => container,
        Err(_) if force => {
            // What a creation that was killed has left.
            let _ = fs::remove_dir_all(root.folder(id)?);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    delete_found(&container, force)
}

/// The same for one that this process has created and seen end, unless somebody else has deleted it
/// since and perhaps given its name to another one.
///
/// # Errors
/// When its files can not be removed.
pub fn delete_own(root: &Root, container: &Container) -> anyhow::Result<()> {
    match root.find(&container.saved.id) {
        Ok(found) if found.saved.process == container.saved.process => {
            delete_found(container, true)
        }
        _ => Ok(()),
    }
}

fn delete_found(container: &Container, force: bool) -> anyhow::Result<()> {
    let status = container.status();
    let id = &container.saved.id;
    ensure!(
        force || matches!(status, Status::Created | Status::Stopped),
        "cannot delete container {id} that is not stopped: {}",
        status.word()
    );
    if let Some(process) = container.process() {
        kill(container, libc::SIGKILL, false)?;
        ensure!(
            process.wait(Some(PATIENCE)),
            "container {id} was killed and does not end"
        );
    }
    remove(container)
}

fn remove(container: &Container) -> anyhow::Result<()> {
    let hooks = hooks(container).poststop.unwrap_or_default();
    let folder = &container.folder;
    if let Some(group) = &container.saved.cgroup {
        // Processes that outlived the first one, which shared a pid namespace with others.
        group.kill();
        group.remove();
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    let state = Value::Object(container.state(Status::Stopped)).to_string();
    if let Err(failure) = hook::run_all("poststop", &hooks, &state) {
        crate::human::tell(format_args!("runner: {failure}"));
    }
    Ok(())
}

/// The hooks of a container; none if its configuration is lost.
fn hooks(container: &Container) -> Hooks {
    let config = container.config().ok();
    config
        .and_then(|config| config.hooks.clone())
        .unwrap_or_default()
}
