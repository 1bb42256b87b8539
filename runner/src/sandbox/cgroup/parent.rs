//! Where groups for containers may be made.
//!
//! - As root: in a group `runner`, or in a scope that systemd was asked for, where it runs.
//! - As a user, in the second version: in a scope of the user's own systemd, which is asked once a
//!   boot, or in the nearest group around this process that was handed to the user.
//! - As a user, in the first version: nowhere. Its groups are root's.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use rustix::process::geteuid;

use super::super::failure::{Failure, describe};
use super::super::handle::ProcessId;
use super::controller::{Controller, Version};
use super::limits::Limits;
use super::systemd;

/// Where the kernel's groups are found.
const ROOT: &str = "/sys/fs/cgroup";

/// The type of a file system of the second version (`CGROUP2_SUPER_MAGIC`, linux/magic.h).
const CGROUP2: i64 = 0x6367_7270;

/// The name of our group.
const OWN: &str = "runner";

/// The file below the run root that says where groups are made, until the next boot: a folder, or that
/// it is the first version.
const FOUND: &str = "cgroup";
const LEGACY: &str = "v1";

/// A group in which groups for containers can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// The second version.
    Unified {
        /// Its folder.
        folder: PathBuf,
        /// What it can limit.
        controllers: Vec<Controller>,
    },
    /// The first version: a folder for each controller.
    Legacy(BTreeMap<Controller, PathBuf>),
}

impl Parent {
    /// The one that an earlier command found, or one that is there without asking anybody for it.
    #[must_use]
    pub fn known(runroot: &Path) -> Option<Self> {
        match fs::read_to_string(runroot.join(FOUND)).ok()?.as_str() {
            LEGACY => Self::legacy().ok(),
            folder => Self::at(Path::new(folder)).ok(),
        }
    }

    /// Finds one, and makes or asks for it if there is none yet; `keeper` is a process that stays,
    /// so that the group that systemd hands out does.
    ///
    /// # Errors
    /// A [`Failure`] that says why there is none on this machine.
    pub fn find(runroot: &Path, keeper: Option<ProcessId>) -> Result<Self, Failure> {
        if let Some(known) = Self::known(runroot) {
            return Ok(known);
        }
        if !is_unified(Path::new(ROOT)) {
            let legacy = Self::legacy()?;
            let _ = fs::write(runroot.join(FOUND), LEGACY);
            return Ok(legacy);
        }
        let folder = match keeper.filter(|_| systemd::runs()) {
            Some(keeper) => {
                systemd::delegate(keeper).and_then(|scope| prepare_scope(&scope, keeper))
            }
            None => Err(Failure::engine(
                "no systemd runs here that could delegate one",
            )),
        };
        let folder = folder.or_else(|failure| nearest().ok_or(failure))?;
        // The next command finds it there; without the file it looks again.
        let _ = fs::write(runroot.join(FOUND), folder.as_os_str().as_encoded_bytes());
        Self::at(&folder)
    }

    /// The group at `folder`, which is there.
    ///
    /// # Errors
    /// A [`Failure`] when no groups can be made in it.
    pub fn at(folder: &Path) -> Result<Self, Failure> {
        let enabled = fs::read_to_string(folder.join("cgroup.subtree_control"));
        let writable = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK);
        match (enabled, writable) {
            (Ok(enabled), Ok(())) => Ok(Self::Unified {
                folder: folder.to_owned(),
                controllers: enabled
                    .split_whitespace()
                    .filter_map(Controller::parse)
                    .collect(),
            }),
            (Err(error), _) => Err(no_group(folder, &error)),
            (_, Err(error)) => Err(no_group(folder, &error.into())),
        }
    }

    /// The group that a user named: from the root of the tree, or a slice of systemd's. It is made
    /// if it is not there.
    ///
    /// # Errors
    /// A [`Failure`] when it cannot be.
    pub fn named(path: &str) -> Result<Self, Failure> {
        let relative = Path::new(path.trim_start_matches('/'));
        if !is_plain(relative) || relative.as_os_str().is_empty() {
            return Err(Failure::engine(format!(
                "\"{}\" is no cgroup: a path such as /my/group is expected",
                path.escape_debug()
            )));
        }
        if !is_unified(Path::new(ROOT)) {
            let Self::Legacy(folders) = Self::legacy_of(relative)? else {
                return Err(Failure::engine("there are no cgroups here"));
            };
            return Ok(Self::Legacy(folders));
        }
        let mut folder = PathBuf::from(ROOT);
        for part in relative {
            // Its parent has to hand the controllers on.
            enable(&folder);
            folder.push(part);
            make_folder(&folder).map_err(|error| no_group(&folder, &error))?;
        }
        enable(&folder);
        Self::at(&folder)
    }

    /// The first version, as root: our own folder in each controller's tree.
    fn legacy() -> Result<Self, Failure> {
        if !geteuid().is_root() {
            return Err(Failure::engine(
                "this machine has the first version of cgroups, which only root can use (the kernel \
                 option systemd.unified_cgroup_hierarchy=1 gives the second)",
            ));
        }
        Self::legacy_of(Path::new(OWN))
    }

    fn legacy_of(path: &Path) -> Result<Self, Failure> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut folders = BTreeMap::new();
        for (controller, mount) in legacy_mounts(&table) {
            let mut folder = mount;
            for part in path {
                folder.push(part);
                make_folder(&folder).map_err(|error| no_group(&folder, &error))?;
                if controller == Controller::Cpuset {
                    let _ = super::controller::inherit_cpus(&folder);
                }
            }
            folders.insert(controller, folder);
        }
        if folders.is_empty() {
            return Err(Failure::engine(
                "no cgroups are mounted below /sys/fs/cgroup",
            ));
        }
        Ok(Self::Legacy(folders))
    }

    /// Whether each of `limits` can be enforced here.
    ///
    /// # Errors
    /// A [`Failure`] that names the first controller that is missing.
    pub fn check(&self, limits: &Limits) -> Result<(), Failure> {
        let offered = self.controllers();
        let missing = |controller: &Controller| {
            *controller != Controller::Freezer && !offered.contains(controller)
        };
        match limits.controllers().into_iter().find(missing) {
            None => Ok(()),
            Some(controller) => Err(Failure::engine(format!(
                "the {controller} controller is not to be had in {}",
                match self {
                    Self::Unified { folder, .. } => format!(
                        "{}: the administrator can delegate it (with systemd: Delegate=yes in \
                         user@.service)",
                        folder.display()
                    ),
                    Self::Legacy(_) => ROOT.to_owned(),
                }
            ))),
        }
    }

    /// Whether a process of ours can go into a group here by itself: nobody crosses a part of the
    /// tree that is somebody else's (cgroups(7), "Delegation containment").
    #[must_use]
    pub fn is_around_us(&self) -> bool {
        let Self::Unified { folder, .. } = self else {
            return true;
        };
        own_group().is_some_and(|own| {
            let common = own.ancestors().find(|path| folder.starts_with(path));
            let procs = common.map(|path| path.join("cgroup.procs"));
            procs.is_some_and(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok())
        })
    }

    /// What can be limited here.
    #[must_use]
    pub fn controllers(&self) -> Vec<Controller> {
        match self {
            Self::Unified { controllers, .. } => controllers.clone(),
            Self::Legacy(folders) => folders.keys().copied().collect(),
        }
    }

    /// The version of the hierarchy.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Self::Unified { .. } => Version::Two,
            Self::Legacy(_) => Version::One,
        }
    }

    /// Removes groups in it that nobody has: those whose name `is_needed` denies.
    pub fn sweep(&self, is_needed: &dyn Fn(&str) -> bool) {
        let folders: Vec<&Path> = match self {
            Self::Unified { folder, .. } => vec![folder],
            Self::Legacy(folders) => folders.values().map(PathBuf::as_path).collect(),
        };
        for entry in folders
            .into_iter()
            .flat_map(fs::read_dir)
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let is_id = |name: &&str| name.len() == 64;
            if let Some(name) = name.to_str().filter(is_id)
                && !is_needed(name)
            {
                // Refused by the kernel while a process is in it.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

fn no_group(folder: &Path, error: &io::Error) -> Failure {
    Failure::engine(format!(
        "no cgroups can be made in {}: {}",
        folder.display(),
        describe(error)
    ))
}

/// Whether `path` leads down, whatever it is joined to.
pub(super) fn is_plain(path: &Path) -> bool {
    let mut parts = path.components();
    parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// Whether `folder` belongs to the second version.
pub(in crate::sandbox) fn is_unified(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|found| found.f_type == CGROUP2)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Hands on to the groups below `folder` all that it has itself; `false` if nothing of it can be.
fn enable(folder: &Path) -> bool {
    let read = |file| fs::read_to_string(folder.join(file)).unwrap_or_default();
    let (offered, before) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    let ours = |name: &&str| Controller::parse(name).is_some();
    let mut enabled = false;
    // One by one: the kernel takes all of a line or nothing.
    for name in offered.split_whitespace().filter(ours) {
        let is_on = before.split_whitespace().any(|one| one == name);
        let path = folder.join("cgroup.subtree_control");
        enabled |= is_on || fs::write(path, format!("+{name}")).is_ok();
    }
    enabled
}

/// A scope has a process in it, and a group with processes hands nothing on: the process goes into
/// a group of its own first.
fn prepare_scope(scope: &Path, keeper: ProcessId) -> Result<PathBuf, Failure> {
    let leaf = scope.join("holder");
    make_folder(&leaf)
        .and_then(|()| fs::write(leaf.join("cgroup.procs"), keeper.pid.to_string()))
        .map_err(|error| no_group(scope, &error))?;
    enable(scope);
    Ok(scope.to_owned())
}

/// The group that this process is in, in the second version.
fn own_group() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(ROOT).join(own.trim_start_matches('/')))
}

/// Our group in the nearest one around this process in which one can be made that limits something.
fn nearest() -> Option<PathBuf> {
    let own = own_group()?;
    let inside = own.ancestors().take_while(|path| path.starts_with(ROOT));
    inside.into_iter().find_map(|around| {
        let folder = around.join(OWN);
        let existed = folder.exists();
        make_folder(&folder).ok()?;
        if enable(around) && enable(&folder) {
            return Some(folder);
        }
        if !existed {
            let _ = fs::remove_dir(&folder);
        }
        None
    })
}

/// The controllers of the first version and where each is mounted (proc(5), mountinfo).
fn legacy_mounts(table: &str) -> Vec<(Controller, PathBuf)> {
    let mut found = Vec::new();
    for line in table.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(point), Some(("cgroup", rest))) = (mount.split(' ').nth(4), kind.split_once(' '))
        else {
            continue;
        };
        let options = rest.rsplit(' ').next().unwrap_or_default();
        for controller in Controller::ALL {
            let name = controller.name(Version::One);
            if options.split(',').any(|option| option == name) {
                found.push((controller, PathBuf::from(point)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_of_the_first_version_are_found_where_they_are_mounted() {
        let table = "\
            25 24 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
            26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n\
            27 25 0:24 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n\
            28 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
            29 25 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        assert_eq!(
            legacy_mounts(table),
            [
                (Controller::Cpu, "/sys/fs/cgroup/cpu,cpuacct".into()),
                (Controller::Cpuacct, "/sys/fs/cgroup/cpu,cpuacct".into()),
                (Controller::Io, "/sys/fs/cgroup/blkio".into()),
            ]
        );
    }

    #[test]
    fn a_limit_without_its_controller_is_refused_by_name() {
        let parent = Parent::Unified {
            folder: "/sys/fs/cgroup/x".into(),
            controllers: vec![Controller::Memory],
        };
        let mut limits = Limits {
            memory: Some(super::super::Ceiling::At(1)),
            ..Limits::default()
        };
        assert!(parent.check(&limits).is_ok());
        limits.cpus = Some("0".to_owned());
        let failure = parent.check(&limits).unwrap_err();
        assert!(failure.message.starts_with("the cpuset controller"));
        assert_eq!(failure.code, 125);
        for path in ["", "/", "../x", "a/../../b"] {
            assert!(Parent::named(path).is_err(), "{path}");
        }
    }
}
