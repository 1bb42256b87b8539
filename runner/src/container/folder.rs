//! Containers on disk: one folder each, and a link for each name.
//!
//! A name is claimed by making the link, under a lock on the folder of names. A container is
//! removed by first moving its folder out of sight, so that it is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::id::ContainerId;
use super::name::ContainerName;
use super::record::Record;
use super::state::{Exit, State, Status, UNSEEN};
use crate::sandbox::cgroup::Parent;
use crate::sandbox::userns::{self, UserNamespace};

/// How long a monitor may take to write down how its container ended.
const SETTLE: Duration = Duration::from_secs(1);

/// How often a lock that somebody has is tried again.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How many names are tried for a container that got none.
const NAME_ATTEMPTS: usize = 64;

/// All containers of a store.
#[derive(Debug, Clone)]
pub struct Containers {
    folder: PathBuf,
    names: PathBuf,
    trash: PathBuf,
    runroot: PathBuf,
}

/// One container.
#[derive(Debug, Clone)]
pub struct Container {
    /// What it is.
    pub record: Record,
    folder: PathBuf,
}

/// Something that went wrong with containers on disk.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Nothing has this name or id.
    #[error("no container with name or ID \"{}\" found: no such container", .0.escape_debug())]
    NotFound(String),
    /// More than one id begins so.
    #[error("more than one container has an id that begins with \"{0}\": give more of it")]
    Ambiguous(String),
    /// The name is taken.
    #[error(
        "the container name \"{name}\" is already in use by {id}: choose another one, or remove \
         that container with runner rm {name}"
    )]
    NameInUse {
        /// The name.
        name: ContainerName,
        /// Who has it.
        id: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {}", .path.display(), crate::sandbox::failure::describe(.cause))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The user namespace could not be entered.
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::Failure),
}

/// The file that says that a container has a copy of the image's files.
const COPIED: &str = "copied";

/// Deletes a folder in the trash, now or soon.
type Delete = fn(&Containers, &Path) -> Result<(), ContainerError>;

trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, ContainerError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, ContainerError> {
        self.map_err(|cause| ContainerError::Io {
            action,
            path: path.to_owned(),
            cause,
        })
    }
}

impl Containers {
    /// The containers below `graphroot`, whose folders are made with the first of them.
    #[must_use]
    pub fn open(graphroot: &Path, runroot: &Path) -> Self {
        Self {
            folder: graphroot.join("containers"),
            names: graphroot.join("container-names"),
            trash: graphroot.join(userns::TRASH),
            runroot: runroot.to_owned(),
        }
    }

    fn make_folders(&self) -> Result<(), ContainerError> {
        [&self.folder, &self.names, &self.trash]
            .into_iter()
            .try_for_each(|folder| make_folder(folder))
    }

    /// Writes a new container down and claims its name. A name that the user did not choose gives
    /// way to another one if it is taken.
    ///
    /// # Errors
    /// [`ContainerError::NameInUse`]; nothing is left then.
    pub fn add(&self, mut record: Record, chosen: bool) -> Result<Container, ContainerError> {
        self.make_folders()?;
        let folder = self.folder.join(record.id.as_str());
        let new = self.trash.join(format!("{}.new", record.id));
        // Root inside, which is another user than the real root, passes through it to what is its
        // own; the folder above is closed to everybody else.
        fs::DirBuilder::new()
            .mode(0o711)
            .create(&new)
            .at("make", &new)?;
        // Until it is written down, so that a claim without a container is always a dead one.
        let _lock = self.lock_names()?;
        let mut attempt = 0;
        let claimed = loop {
            match self.claim(&record.name, &record.id) {
                Err(ContainerError::NameInUse { .. }) if !chosen && attempt < NAME_ATTEMPTS => {
                    attempt += 1;
                    record.name = ContainerName::for_id(&record.id, attempt);
                }
                result => break result,
            }
        };
        let written = claimed.and_then(|()| {
            write_json(&new.join("config.json"), &record)?;
            fs::rename(&new, &folder).at("make", &folder)
        });
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&new);
            self.release(&record.name, &record.id);
            return Err(error);
        }
        Ok(Container { record, folder })
    }

    /// Takes a name that nobody has. The names are locked.
    fn claim(&self, name: &ContainerName, id: &ContainerId) -> Result<(), ContainerError> {
        let link = self.names.join(name.as_str());
        match fs::read_link(&link) {
            Ok(owner) if self.folder.join(&owner).is_dir() => {
                return Err(ContainerError::NameInUse {
                    name: name.clone(),
                    id: owner.display().to_string().chars().take(12).collect(),
                });
            }
            // Left by a command that was killed.
            Ok(_) => fs::remove_file(&link).at("remove", &link)?,
            Err(_) => {}
        }
        symlink(id.as_str(), &link).at("make", &link)
    }

    /// While the result lives nobody else claims or gives up a name.
    fn lock_names(&self) -> Result<File, ContainerError> {
        let names = File::open(&self.names).at("open", &self.names)?;
        rustix::io::retry_on_intr(|| flock(&names, FlockOperation::LockExclusive))
            .map_err(io::Error::from)
            .at("lock", &self.names)?;
        Ok(names)
    }

    /// Takes the name away if it is this container's. The names are locked.
    fn release(&self, name: &ContainerName, id: &ContainerId) {
        let link = self.names.join(name.as_str());
        if fs::read_link(&link).is_ok_and(|owner| owner == Path::new(id.as_str())) {
            let _ = fs::remove_file(link);
        }
    }

    /// Every container, the oldest first.
    ///
    /// # Errors
    /// When the folder can not be read. A container that is just being removed is left out.
    pub fn all(&self) -> Result<Vec<Container>, ContainerError> {
        let mut containers = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(containers),
            entries => entries.at("read", &self.folder)?,
        };
        for entry in entries {
            let entry = entry.at("read", &self.folder)?;
            if let Some(container) = Container::read(&entry.path()) {
                containers.push(container);
            }
        }
        containers.sort_by_key(|container| container.record.created);
        Ok(containers)
    }

    /// The container with this name, id or unique beginning of an id.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`] and [`ContainerError::Ambiguous`].
    pub fn find(&self, text: &str) -> Result<Container, ContainerError> {
        let not_found = || ContainerError::NotFound(text.to_owned());
        if let Ok(name) = text.parse::<ContainerName>()
            && let Ok(id) = fs::read_link(self.names.join(name.as_str()))
            && let Some(container) = Container::read(&self.folder.join(id))
        {
            return Ok(container);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(not_found());
        }
        let mut found = self
            .all()?
            .into_iter()
            .filter(|container| container.record.id.as_str().starts_with(text));
        match (found.next(), found.next()) {
            (Some(container), None) => Ok(container),
            (Some(_), Some(_)) => Err(ContainerError::Ambiguous(text.to_owned())),
            (None, _) => Err(not_found()),
        }
    }

    /// Removes a container that does not run, with everything that it wrote.
    ///
    /// # Errors
    /// When something of it can not be removed; the container is gone from every list then.
    pub fn remove(&self, container: &Container) -> Result<(), ContainerError> {
        self.remove_by(container, Self::delete)
    }

    /// As [`remove`](Self::remove), but what it wrote goes while the caller goes on, if there is
    /// somebody to see to that.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn discard(&self, container: &Container) -> Result<(), ContainerError> {
        self.remove_by(container, Self::delete_soon)
    }

    fn remove_by(&self, container: &Container, delete: Delete) -> Result<(), ContainerError> {
        if let Some(group) = container.state().and_then(|state| state.cgroup) {
            // Its monitor has removed it, unless that was killed.
            group.remove();
        }
        match self.hide(container)? {
            Some(trash) => delete(self, &trash),
            None => Ok(()),
        }
    }

    /// Takes a container out of every list; where its folder is now, unless somebody else removes
    /// it at this moment.
    fn hide(&self, container: &Container) -> Result<Option<PathBuf>, ContainerError> {
        let trash = self.trash.join(container.record.id.as_str());
        match fs::rename(&container.folder, &trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.at("remove", &container.folder)?,
        }
        let names = self.lock_names()?;
        self.release(&container.record.name, &container.record.id);
        drop(names);
        Ok(Some(trash))
    }

    /// Removes what killed commands left: containers that were to be removed at their end, also
    /// those that never began, and folders that were on their way out.
    pub fn sweep(&self) {
        self.sweep_by(Self::delete);
    }

    /// As [`sweep`](Self::sweep), but files go while the caller goes on, as with
    /// [`discard`](Self::discard).
    pub fn sweep_soon(&self) {
        self.sweep_by(Self::delete_soon);
    }

    fn sweep_by(&self, delete: Delete) {
        for container in self.all().unwrap_or_default() {
            if container.is_left_over()
                && container
                    .lock(FlockOperation::NonBlockingLockExclusive)
                    .is_ok()
            {
                let _ = self.remove_by(&container, delete);
            }
        }
        if let Some(parent) = Parent::known(&self.runroot) {
            parent.sweep(&|id| self.folder.join(id).exists());
        }
        for entry in fs::read_dir(&self.trash).into_iter().flatten().flatten() {
            let old = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() > 60));
            if old {
                let _ = delete(self, &entry.path());
            }
        }
    }

    fn delete_soon(&self, folder: &Path) -> Result<(), ContainerError> {
        if userns::ask_to_remove(&self.runroot, folder) {
            return Ok(());
        }
        self.delete(folder)
    }

    /// Deletes a folder in which files may belong to ids of the container.
    fn delete(&self, folder: &Path) -> Result<(), ContainerError> {
        // The overlay's own working folder has mode 0 and is empty.
        let _ = fs::remove_dir(folder.join("work/work"));
        match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => {}
        }
        let namespace = UserNamespace::acquire(&self.runroot)?;
        namespace
            .run_inside(|| remove_tree(folder))?
            .map_err(io::Error::other)
            .at("remove", folder)
    }
}

/// Removes a tree as its root: directories that are closed to their owner are opened first.
fn remove_tree(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
        _ => Ok(()),
    }
}

impl Container {
    fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join("config.json")).ok()?;
        Some(Self {
            record: serde_json::from_slice(&text).ok()?,
            folder: folder.to_owned(),
        })
    }

    /// The container's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether its files are a copy of the image's, and no overlay over them.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.folder.join(COPIED).exists()
    }

    /// Lets its files be a copy of the image's, from its next start on.
    ///
    /// # Errors
    /// When that can not be written down.
    pub fn copy_image(&self) -> Result<(), ContainerError> {
        let path = self.folder.join(COPIED);
        fs::File::create(&path).map(drop).at("write", &path)
    }

    /// The file with what the program printed.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("ctr.log")
    }

    /// Writes anew what it is.
    ///
    /// # Errors
    /// When the disk is full; the old record is still there then.
    pub(super) fn write_record(&self) -> Result<(), ContainerError> {
        write_json(&self.folder.join("config.json"), &self.record)
    }

    /// What became of it, as its monitor wrote it down; `None` before its first start.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        let text = fs::read(self.folder.join("state.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What can be said of it now.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state();
        let is_unseen = state
            .as_ref()
            .is_some_and(|state| state.exit.is_none() && state.process.open().is_none());
        if is_unseen && let Ok(watched) = self.watch() {
            // It has just ended and its monitor is writing down how, or the monitor was killed.
            return match Self::settle(&watched) {
                Ok(exit) => Status::Exited(exit.unwrap_or(UNSEEN)),
                Err(_) => Status::of(self.state().as_ref()),
            };
        }
        Status::of(state.as_ref())
    }

    /// Whether it was to be removed at its end and whoever was to do that may be dead. Nobody is waited
    /// for here: of many that look after each other at once, each would wait for all the others.
    fn is_left_over(&self) -> bool {
        let never_began = || {
            let creator = self.record.creator;
            creator.is_some_and(|creator| creator.open().is_none())
        };
        self.record.remove
            && match Status::of(self.state().as_ref()) {
                Status::Running(_) => false,
                // Who still has the lock will remove it.
                Status::Exited(_) => true,
                Status::Created => never_began(),
            }
    }

    /// Writes down what became of it.
    ///
    /// # Errors
    /// When the disk is full; the old state is still there then.
    pub fn write_state(&self, state: &State) -> Result<(), ContainerError> {
        write_json(&self.folder.join("state.json"), state)
    }

    /// Writes down how it ended: also into the file that the monitor keeps locked, where whoever
    /// waits finds it even if the container is removed at its end.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write_end(&self, lock: &File, state: &State) -> Result<(), ContainerError> {
        let path = self.folder.join("lock");
        serde_json::to_vec(&state.exit)
            .map_err(io::Error::other)
            .and_then(|text| {
                lock.set_len(0)?;
                lock.write_all_at(&text, 0)
            })
            .at("write", &path)?;
        if self.record.remove {
            // It is about to go, and until then the lock file says enough.
            return Ok(());
        }
        self.write_state(state)
    }

    /// Opens what [`settle`](Self::settle) needs; to be called while the container is still there.
    ///
    /// # Errors
    /// `NotFound` when it has been removed.
    pub fn watch(&self) -> io::Result<File> {
        File::open(self.folder.join("lock"))
    }

    /// Waits until the monitor of a container whose process has ended is done with it, and says
    /// how it ended; `None` if the monitor was killed before it could say so.
    ///
    /// # Errors
    /// `TimedOut` when the monitor does not go on, because it was stopped for instance.
    pub fn settle(watched: &File) -> io::Result<Option<Exit>> {
        lock_within(watched, FlockOperation::NonBlockingLockShared, SETTLE)?;
        let mut text = Vec::new();
        let mut reader = watched;
        reader.read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text).ok().flatten())
    }

    /// Locks it; the lock lasts until the file is closed. The monitor has the exclusive one.
    ///
    /// # Errors
    /// `WouldBlock` for an operation that does not wait.
    pub fn lock(&self, operation: FlockOperation) -> io::Result<File> {
        let lock = self.open_lock()?;
        rustix::io::retry_on_intr(|| flock(&lock, operation))?;
        Ok(lock)
    }

    /// Locks it for this process alone, and waits for that for a moment: its monitor may just be
    /// writing down how it ended.
    ///
    /// # Errors
    /// `TimedOut` when it runs, or when its monitor was stopped; `NotFound` when it was removed.
    pub fn lock_soon(&self) -> io::Result<File> {
        let lock = self.open_lock()?;
        lock_within(&lock, FlockOperation::NonBlockingLockExclusive, SETTLE)?;
        Ok(lock)
    }

    fn open_lock(&self) -> io::Result<File> {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join("lock"))
    }
}

/// Tries `operation`, which does not wait, until it succeeds.
fn lock_within(lock: &File, operation: FlockOperation, limit: Duration) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match rustix::io::retry_on_intr(|| flock(lock, operation)) {
            Err(Errno::WOULDBLOCK) if start.elapsed() < limit => std::thread::sleep(LOOK_EVERY),
            Err(Errno::WOULDBLOCK) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
            other => return Ok(other?),
        }
    }
}

fn make_folder(folder: &Path) -> Result<(), ContainerError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .at("make", folder)
}

/// Writes a file so that a reader sees the old content or the new one.
fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), ContainerError> {
    let new = path.with_extension("new");
    serde_json::to_vec(value)
        .map_err(io::Error::other)
        .and_then(|text| fs::write(&new, text))
        .and_then(|()| fs::rename(&new, path))
        .at("write", path)
}

#[cfg(test)]
mod tests;
