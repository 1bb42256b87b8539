//! Control groups: what a container may use, and what it does use (cgroups(7)).
//!
//! A container has a group of its own when limits were asked for, or when making one costs nothing but
//! a `mkdir`; it gets one later if it is to be paused or limited while it runs. In the second version
//! of cgroups one folder is the group, in the first each controller has a folder of its own.
//!
//! Where groups may be made is found by [`Parent`].

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::failure::{Context, Failure, describe};
use super::handle::ProcessId;

mod controller;
mod devices;
mod limits;
mod parent;
mod special;
mod systemd;
mod usage;

pub use controller::{Controller, Version};
pub use devices::{DeviceKind, DeviceRule};
pub use limits::{Ceiling, Limits, Missing};
pub use parent::Parent;
pub(in crate::sandbox) use parent::is_unified;
pub use special::{Device, Rate, Special};
pub use usage::{Usage, processes_of};

/// How long processes may take to stand still, or a group to become empty.
const PATIENCE: Duration = Duration::from_secs(2);

/// The group of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cgroup {
    /// The second version: one folder.
    Unified(PathBuf),
    /// The first version: a folder for each controller that is needed.
    Legacy(Vec<(Controller, PathBuf)>),
}

impl Cgroup {
    /// Makes the group `name` with `limits`.
    ///
    /// # Errors
    /// A [`Failure`] that names the limit that can not be enforced; nothing is left then.
    pub fn make(parent: &Parent, name: &str, limits: &Limits) -> Result<Self, Failure> {
        parent.check(limits)?;
        let group = match parent {
            Parent::Unified { folder, .. } => Self::Unified(folder.join(name)),
            Parent::Legacy(folders) => {
                let needed = |controller: &Controller| {
                    *controller == Controller::Freezer
                        || limits.controllers().contains(controller)
                        // Who closes devices may ask for the usual ones later.
                        || limits.devices.is_some() && controller.is_usual()
                };
                let folders = folders.iter().filter(|(controller, _)| needed(controller));
                Self::Legacy(
                    folders
                        .map(|(controller, folder)| (*controller, folder.join(name)))
                        .collect(),
                )
            }
        };
        let made = group
            .make_folders()
            .context(|| format!("cannot make the cgroup {}", group.main().display()))
            .and_then(|()| group.set(limits));
        if made.is_err() {
            group.remove();
        }
        made.map(|()| group)
    }

    /// Has systemd make the scope `unit` in `slice` with this process in it, for a container that is
    /// born here; and sets `limits` there.
    ///
    /// # Errors
    /// A [`Failure`] when no systemd runs, or that names the limit that can not be enforced.
    pub fn in_scope(unit: &str, slice: &str, limits: &Limits) -> Result<Self, Failure> {
        if !systemd::runs() {
            return Err(Failure::engine(
                "--systemd-cgroup: no systemd runs here; without the flag control groups are made \
                 directly",
            ));
        }
        let folder = systemd::scope(unit, slice, rustix::process::getpid())?;
        let group = Self::Unified(folder);
        group.set(limits).map(|()| group)
    }

    fn make_folders(&self) -> io::Result<()> {
        for folder in self.folders() {
            match fs::create_dir(folder) {
                // Left by a start that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        if let Some(folder) = self.folder_of(Controller::Cpuset)
            && matches!(self, Self::Legacy(_))
        {
            controller::inherit_cpus(folder)?;
        }
        Ok(())
    }

    /// Sets limits; those that are not named stay as they are.
    ///
    /// # Errors
    /// A [`Failure`] that names the file, or the controller that is missing.
    pub fn set(&self, limits: &Limits) -> Result<(), Failure> {
        if let (Self::Unified(folder), Some(rules)) = (self, &limits.devices) {
            devices::attach(folder, rules)?;
        }
        let mut late = Vec::new();
        for setting in limits.settings(self.version()) {
            let Some(folder) = self.folder_of(setting.controller) else {
                return Err(Failure::engine(format!(
                    "{} can not be limited: this container has no {} cgroup",
                    setting.what, setting.controller
                )));
            };
            if let Err(error) = setting.write(folder) {
                // Memory may have to grow before or shrink after memory with swap.
                late.push((setting, folder, error));
            }
        }
        for (setting, folder, _) in late {
            setting.write(folder).map_err(|error| {
                Failure::engine(format!(
                    "cannot limit {} to {} ({}): {}",
                    setting.what,
                    setting.value,
                    folder.join(setting.file).display(),
                    describe(&error)
                ))
            })?;
        }
        Ok(())
    }

    /// The version of its hierarchy.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Self::Unified(_) => Version::Two,
            Self::Legacy(_) => Version::One,
        }
    }

    /// A descriptor for `CLONE_INTO_CGROUP` (clone(2), kernel 5.7): a process is born in the group,
    /// which is cheaper by far than moving it there. Only the second version has that.
    #[must_use]
    pub fn descriptor(&self) -> Option<OwnedFd> {
        match self {
            Self::Unified(folder) => File::open(folder).ok().map(OwnedFd::from),
            Self::Legacy(_) => None,
        }
    }

    /// Moves a process into the group.
    ///
    /// # Errors
    /// A [`Failure`] when the process has to stay where it is.
    pub fn add(&self, pid: Pid) -> Result<(), Failure> {
        let number = pid.as_raw_nonzero().to_string();
        for folder in self.folders() {
            let path = folder.join("cgroup.procs");
            match fs::write(&path, &number) {
                // The process belongs to a part of the tree that is not ours, as after a login over
                // ssh: systemd can move it.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    systemd::attach(folder, pid)
                        .map_err(|_| error)
                        .context(|| format!("cannot move a process into {}", folder.display()))?;
                }
                moved => moved.context(|| {
                    format!("cannot move a process into the cgroup {}", folder.display())
                })?,
            }
        }
        Ok(())
    }

    /// Moves every process of a running container into the group, also those that are made
    /// meanwhile.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn adopt(&self, first: ProcessId) -> Result<(), Failure> {
        let mut known = Vec::new();
        loop {
            let all = processes_of(first);
            let new: Vec<_> = all.into_iter().filter(|pid| !known.contains(pid)).collect();
            if new.is_empty() {
                return Ok(());
            }
            for pid in new {
                match self.add(pid) {
                    Err(failure) if rustix::process::test_kill_process(pid).is_ok() => {
                        return Err(failure);
                    }
                    _ => known.push(pid),
                }
            }
        }
    }

    /// The groups below this one that runc's `exec --cgroup` names: a path, or in the first version a path
    /// for some controllers, `cpu,memory:path`.
    ///
    /// # Errors
    /// A [`Failure`] when one of them is not there.
    pub fn below(&self, words: &[String]) -> Result<Self, Failure> {
        let mut found = self.clone();
        for word in words {
            let (controllers, path) = match word.split_once(':') {
                Some((controllers, path)) => (Some(controllers), path),
                None => (None, word.as_str()),
            };
            let path = Path::new(path.trim_start_matches('/'));
            let folders = found.folders_of(controllers);
            let is_there = |folder: &&mut PathBuf| folder.join(path).is_dir();
            if folders.is_empty() || !parent::is_plain(path) || !folders.iter().all(is_there) {
                let shown = word.escape_debug();
                let message = format!("--cgroup {shown}: the container has no such cgroup");
                return Err(Failure::engine(message));
            }
            folders.into_iter().for_each(|folder| folder.push(path));
        }
        Ok(found)
    }

    /// The folders of some controllers, by their names in the first version, or all.
    fn folders_of(&mut self, controllers: Option<&str>) -> Vec<&mut PathBuf> {
        let is_meant = |controller: &Controller| {
            let name = controller.name(Version::One);
            controllers.is_none_or(|list| list.split(',').any(|one| one == name))
        };
        match self {
            Self::Unified(folder) if controllers.is_none() => vec![folder],
            // One folder can not be left to some of them.
            Self::Unified(_) => Vec::new(),
            Self::Legacy(folders) => folders
                .iter_mut()
                .filter(|(controller, _)| is_meant(controller))
                .map(|(_, folder)| folder)
                .collect(),
        }
    }

    /// Stops every process of the group where it stands, or lets them go on. Returns when all of
    /// them do.
    ///
    /// # Errors
    /// A [`Failure`] when there is no freezer here.
    pub fn freeze(&self, frozen: bool) -> Result<(), Failure> {
        let (folder, file, value) = match (self, frozen) {
            (Self::Unified(folder), true) => (Some(folder.as_path()), "cgroup.freeze", "1"),
            (Self::Unified(folder), false) => (Some(folder.as_path()), "cgroup.freeze", "0"),
            (Self::Legacy(_), true) => (
                self.folder_of(Controller::Freezer),
                "freezer.state",
                "FROZEN",
            ),
            (Self::Legacy(_), false) => (
                self.folder_of(Controller::Freezer),
                "freezer.state",
                "THAWED",
            ),
        };
        let folder = folder.ok_or_else(|| Failure::engine("there is no freezer cgroup here"))?;
        let path = folder.join(file);
        fs::write(&path, value).context(|| format!("cannot write {}", path.display()))?;
        let start = Instant::now();
        while self.is_frozen() != frozen {
            if start.elapsed() > PATIENCE {
                return Err(Failure::engine(
                    "the container's processes do not stand still: one waits for a device",
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Whether its processes stand still.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let read = |folder: &Path, file| fs::read_to_string(folder.join(file)).unwrap_or_default();
        match self {
            Self::Unified(folder) => read(folder, "cgroup.events")
                .lines()
                .any(|line| line == "frozen 1"),
            Self::Legacy(_) => self
                .folder_of(Controller::Freezer)
                .is_some_and(|folder| read(folder, "freezer.state").trim() == "FROZEN"),
        }
    }

    /// Its processes, also those of groups below it.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        let mut found = Vec::new();
        let mut folders = vec![self.main().to_owned()];
        while let Some(folder) = folders.pop() {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(
                text.lines()
                    .filter_map(|line| Pid::from_raw(line.parse().ok()?)),
            );
            let below = fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
        }
        found.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        found
    }

    /// Kills every process of the group at once (`cgroup.kill`, kernel 5.14). Without that file
    /// nothing happens: the end of a container's first process ends the others too.
    pub fn kill(&self) {
        if let Self::Unified(folder) = self {
            let _ = fs::write(folder.join("cgroup.kill"), "1");
        }
        // A process that stands still dies when it goes on.
        let _ = fs::write(self.main().join("freezer.state"), "THAWED");
    }

    /// Removes the group, whose processes have ended. The kernel may take a moment to see that.
    pub fn remove(&self) {
        let start = Instant::now();
        for folder in self.folders() {
            while matches!(fs::remove_dir(folder), Err(error) if error.kind() == io::ErrorKind::ResourceBusy)
                && start.elapsed() < PATIENCE
            {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// The folder that has the files of `controller`.
    #[must_use]
    pub fn folder_of(&self, controller: Controller) -> Option<&Path> {
        match self {
            Self::Unified(folder) => Some(folder),
            Self::Legacy(folders) => folders
                .iter()
                .find(|(one, _)| *one == controller)
                .map(|(_, folder)| folder.as_path()),
        }
    }

    /// The folder to name to a user.
    #[must_use]
    pub fn main(&self) -> &Path {
        self.folders().next().unwrap_or(Path::new("/"))
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        let (one, many) = match self {
            Self::Unified(folder) => (Some(folder.as_path()), [].as_slice()),
            Self::Legacy(folders) => (None, folders.as_slice()),
        };
        one.into_iter()
            .chain(many.iter().map(|(_, folder)| folder.as_path()))
    }
}

/// A group that goes with this value: its processes are ended, and it is removed.
#[derive(Debug)]
pub struct Owned(Option<Cgroup>);

impl Owned {
    /// Takes charge of `group`.
    #[must_use]
    pub fn new(group: Cgroup) -> Self {
        Self(Some(group))
    }

    /// The group, unless it was let go.
    #[must_use]
    pub fn group(&self) -> Option<&Cgroup> {
        self.0.as_ref()
    }

    /// Lets it stay.
    #[must_use]
    pub fn keep(mut self) -> Option<Cgroup> {
        self.0.take()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(group) = &self.0 {
            group.kill();
            group.remove();
        }
    }
}
