//! Containers on disk: one folder each, and a link for each name.
//!
//! A name is claimed by making the link, under a lock on the folder of names. A container is
//! removed by first moving its folder out of sight, so that it is there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

mod one;

pub use one::Container;

use one::write_unseen;

use super::id::ContainerId;
use super::name::ContainerName;
use super::record::Record;
use crate::sandbox::cgroup::Parent;
use crate::sandbox::userns::{self, FileIds};

/// How many names are tried for a container that got none.
const NAME_ATTEMPTS: usize = 64;

/// All containers of a store.
#[derive(Debug, Clone)]
pub struct Containers {
    graphroot: PathBuf,
    folder: PathBuf,
    names: PathBuf,
    trash: PathBuf,
    runroot: PathBuf,
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

/// A container that was taken out of every list, with all of its files still there.
#[derive(Debug)]
#[must_use]
pub struct Hidden(PathBuf);

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
            graphroot: graphroot.to_owned(),
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
        if !userns::take_ahead(&self.graphroot, &new) {
            // Root inside, which is another user than the real root, passes through it to what is its
            // own; the folder above is closed to everybody else.
            fs::DirBuilder::new()
                .mode(0o711)
                .create(&new)
                .at("make", &new)?;
        }
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
            write_unseen(&new.join("config.json"), &record)?;
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
        if is_claimed_by(&link, id) {
            let _ = fs::remove_file(link);
        }
    }

    /// Takes the names away whose container is gone: whoever removed it, or was about to write it
    /// down, was killed.
    fn release_dead(&self) {
        let dead =
            |link: &Path| fs::read_link(link).is_ok_and(|owner| !self.folder.join(owner).is_dir());
        let links = fs::read_dir(&self.names).into_iter().flatten().flatten();
        let suspects: Vec<PathBuf> = links
            .map(|link| link.path())
            .filter(|link| dead(link))
            .collect();
        if suspects.is_empty() {
            return;
        }
        // Under the lock a claim without a container is dead, and not just younger than it.
        let Ok(_lock) = self.lock_names() else { return };
        for link in suspects.iter().filter(|link| dead(link)) {
            let _ = fs::remove_file(link);
        }
    }

    /// Every container, the oldest first.
    ///
    /// # Errors
    /// When the folder can not be read. A container that is just being removed is left out.
    pub fn all(&self) -> Result<Vec<Container>, ContainerError> {
        self.all_but(None)
    }

    fn all_but(&self, own: Option<&ContainerId>) -> Result<Vec<Container>, ContainerError> {
        let mut containers = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(containers),
            entries => entries.at("read", &self.folder)?,
        };
        for entry in entries {
            let entry = entry.at("read", &self.folder)?;
            if own.is_some_and(|own| entry.file_name() == *own.as_str()) {
                continue;
            }
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

    /// Deletes a container that was hidden, while the caller goes on if there is somebody to see to
    /// that. A file of it that is still open then makes its last owner wait for the disk.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn forget(&self, hidden: &Hidden) -> Result<(), ContainerError> {
        self.delete_soon(&hidden.0)
    }

    fn remove_by(&self, container: &Container, delete: Delete) -> Result<(), ContainerError> {
        if let Some(group) = container.state().and_then(|state| state.cgroup) {
            // Its monitor has removed it, unless that was killed.
            group.remove();
        }
        match self.hide(container)? {
            Some(hidden) => delete(self, &hidden.0),
            None => Ok(()),
        }
    }

    /// Takes a container that does not run out of every list, unless somebody else does so at this
    /// moment.
    ///
    /// # Errors
    /// When its folder can not be moved or the names can not be locked.
    pub fn hide(&self, container: &Container) -> Result<Option<Hidden>, ContainerError> {
        let trash = self.trash.join(container.record.id.as_str());
        match fs::rename(&container.folder, &trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.at("remove", &container.folder)?,
        }
        let _names = self.lock_names()?;
        let Record { name, id, .. } = &container.record;
        let link = self.names.join(name.as_str());
        // ext4 writes down every file that it is about to delete, and while it brings its journal to
        // disk it waits with that. So the link goes with the other files.
        if is_claimed_by(&link, id) && fs::rename(&link, trash.join("name")).is_err() {
            let _ = fs::remove_file(&link);
        }
        Ok(Some(Hidden(trash)))
    }

    /// Removes what killed commands left: containers that were to be removed at their end, also
    /// those that never began, folders that were on their way out, and names of neither.
    pub fn sweep(&self) {
        self.sweep_by(None, Self::delete);
    }

    /// As [`sweep`](Self::sweep), but files go while the caller goes on, as with
    /// [`forget`](Self::forget). The container `own` is the caller's and not looked at.
    pub fn sweep_soon(&self, own: Option<&ContainerId>) {
        self.sweep_by(own, Self::delete_soon);
    }

    fn sweep_by(&self, own: Option<&ContainerId>, delete: Delete) {
        let others = self.all_but(own).unwrap_or_default();
        for container in others {
            if container.is_left_over()
                && container
                    .lock(FlockOperation::NonBlockingLockExclusive)
                    .is_ok()
            {
                let _ = self.remove_by(&container, delete);
            }
        }
        self.release_dead();
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
        if userns::remove_tree(folder).is_ok() {
            return Ok(());
        }
        FileIds::acquire(&self.runroot)?
            .run_inside(|| userns::remove_tree(folder).map_err(|error| error.to_string()))?
            .map_err(io::Error::other)
            .at("remove", folder)
    }
}

/// Whether the link of a name says that it is this container's.
fn is_claimed_by(link: &Path, id: &ContainerId) -> bool {
    fs::read_link(link).is_ok_and(|owner| owner == Path::new(id.as_str()))
}

fn make_folder(folder: &Path) -> Result<(), ContainerError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .at("make", folder)
}

#[cfg(test)]
mod tests;
