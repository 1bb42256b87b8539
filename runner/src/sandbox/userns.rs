//! The user's own user namespace: in it we are root, over the ids that the user may use.
//!
//! `newuidmap` takes a millisecond, so it is asked once and a small process, the
//! [`holder`], keeps the namespace for later commands. Every container gets a user namespace of its
//! own nested in this one.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, getegid, geteuid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::failure::{Context, Failure};
use super::handle::ProcessId;
use super::own_program;
use super::spec::Extent;
use super::syscalls::{self, Fork};

mod folder;
pub mod holder;
mod mailbox;
mod map;
mod spare;
mod subordinate;

pub use folder::{forget_ahead, remove_tree, take_ahead};
pub(super) use holder::write_maps;
pub use mailbox::{TRASH, ask_to_remove};
pub use map::IdMap;
use spare::Front;
pub(super) use spare::{Ahead, Spare};

/// The user's own user namespace, kept from ending while this value lives.
#[derive(Debug)]
pub struct UserNamespace {
    descriptor: OwnedFd,
    ids: IdMap,
    holder: ProcessId,
    /// This program as the holder runs it; `None` for a holder of another version.
    program: Option<OwnedFd>,
    /// What the holder has ahead, and takes back.
    shelf: OnceCell<Option<Front>>,
    /// Shared lock that tells the holder that its namespace is in use.
    _lock: File,
}

impl UserNamespace {
    /// Finds the namespace of this user below `runroot`, or makes it.
    ///
    /// # Errors
    /// A [`Failure`] that says what to do when user namespaces are not to be had here.
    pub fn acquire(runroot: &Path) -> Result<Self, Failure> {
        // Taken first: while it is shared, a holder that is found does not end.
        let lock = open_lock(runroot, "holder.lock")?;
        lock_file(&lock, FlockOperation::LockShared)?;
        if let Some(holder) = find_holder(runroot) {
            return Self::of_holder(holder, lock);
        }
        let start = open_lock(runroot, "holder.start")?;
        lock_file(&start, FlockOperation::LockExclusive)?;
        let holder = match find_holder(runroot) {
            // Another command was faster.
            Some(holder) => holder,
            None => holder::start(runroot)?,
        };
        Self::of_holder(holder, lock)
    }

    fn of_holder(holder: ProcessId, lock: File) -> Result<Self, Failure> {
        let read = || -> io::Result<(OwnedFd, IdMap)> {
            Ok((
                File::open(format!("/proc/{}/ns/user", holder.pid))?.into(),
                IdMap::of_process(holder.pid)?,
            ))
        };
        let (descriptor, ids) = read().context(|| "the holder of the user namespace".to_owned())?;
        Ok(Self {
            descriptor,
            ids,
            holder,
            program: own_program::of_process(holder.pid),
            shelf: OnceCell::new(),
            _lock: lock,
        })
    }

    /// The way in for a process of ours.
    pub(super) fn entrance(&self) -> Entrance<'_> {
        Entrance {
            namespace: self.descriptor.as_fd(),
            program: self.program.as_ref().map(AsFd::as_fd),
        }
    }

    /// What the holder has made ahead for a container, if it has.
    pub(super) fn take_spare(&self) -> Option<Spare> {
        self.shelf()?.take()
    }

    /// Leaves the mounts of a container that has ended to the holder to be taken down, if it does that; it
    /// takes as long as a tenth of the shortest container.
    pub fn leave_mounts(&self, mounts: &OwnedFd) {
        if let Some(shelf) = self.shelf() {
            shelf.give_back(mounts);
        }
    }

    fn shelf(&self) -> Option<&Front> {
        let find = || {
            // A holder of another version may have it elsewhere.
            self.program.as_ref()?;
            Front::of(&self.holder.open()?)
        };
        self.shelf.get_or_init(find).as_ref()
    }

    /// The process that keeps it, and stays.
    #[must_use]
    pub fn holder(&self) -> ProcessId {
        self.holder
    }

    /// The ids that are mapped into it.
    #[must_use]
    pub fn ids(&self) -> &IdMap {
        &self.ids
    }

    /// Runs `work` in a child process that is root in this namespace, and returns what it returns.
    ///
    /// # Errors
    /// When there can be no such process, or when it dies.
    pub fn run_inside(
        &self,
        work: impl FnOnce() -> Result<(), String>,
    ) -> Result<Result<(), String>, Failure> {
        run_apart(|| {
            let entered = self.enter().map_err(|failure| failure.message);
            entered.and_then(|()| work())
        })
    }

    /// Moves this process into it, for good: it is then root over the mapped ids, and has no
    /// rights any more that it had outside beyond those of its user.
    ///
    /// # Errors
    /// When the kernel refuses, as it does for a process with threads.
    pub fn enter(&self) -> Result<(), Failure> {
        enter(self.descriptor.as_fd())
    }
}

/// Runs `work` in a child process, and returns what it returns.
pub(super) fn run_apart(
    work: impl FnOnce() -> Result<(), String>,
) -> Result<Result<(), String>, Failure> {
    let (mut read, mut write) = std::io::pipe().context(|| "pipe".to_owned())?;
    match syscalls::fork().context(|| "cannot fork".to_owned())? {
        Fork::Child => {
            drop(read);
            let answer = match work() {
                Ok(()) => "+".to_owned(),
                Err(error) => format!("-{error}"),
            };
            let sent = write.write_all(answer.as_bytes());
            std::process::exit(i32::from(sent.is_err()))
        }
        Fork::Parent(pid) => {
            drop(write);
            let mut answer = String::new();
            let _ = read.read_to_string(&mut answer);
            let _ = rustix::io::retry_on_intr(|| {
                rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
            });
            match answer.split_at_checked(1) {
                Some(("+", _)) => Ok(Ok(())),
                Some((_, error)) => Ok(Err(error.to_owned())),
                None => Err(Failure::engine("a process that changes files has died")),
            }
        }
    }
}

/// From where the files of images and containers are given to the ids that an image names.
#[derive(Debug)]
pub enum FileIds {
    /// From inside the user's own user namespace.
    Namespace(UserNamespace),
    /// From where this root stands, to whom the kernel gives no such namespace.
    Host,
}

impl FileIds {
    /// Finds out which of the two it is, and makes the namespace if there can be one.
    ///
    /// # Errors
    /// As [`UserNamespace::acquire`], for anybody but root.
    pub fn acquire(runroot: &Path) -> Result<Self, Failure> {
        match UserNamespace::acquire(runroot) {
            Ok(namespace) => Ok(Self::Namespace(namespace)),
            Err(failure) if failure.no_namespaces && geteuid().is_root() => Ok(Self::Host),
            Err(failure) => Err(failure),
        }
    }

    /// Runs `work` there in a child process, and returns what it returns.
    ///
    /// # Errors
    /// When there can be no such process, or when it dies.
    pub fn run_inside(
        &self,
        work: impl FnOnce() -> Result<(), String>,
    ) -> Result<Result<(), String>, Failure> {
        match self {
            Self::Namespace(namespace) => namespace.run_inside(work),
            Self::Host => run_apart(work),
        }
    }

    /// Moves this process there, for good.
    ///
    /// # Errors
    /// As [`UserNamespace::enter`].
    pub fn enter(&self) -> Result<(), Failure> {
        match self {
            Self::Namespace(namespace) => namespace.enter(),
            Self::Host => Ok(()),
        }
    }

    /// Whether just one id can be given away: nobody's but our own.
    #[must_use]
    pub fn is_single(&self) -> bool {
        match self {
            Self::Namespace(namespace) => namespace.ids().is_single(),
            Self::Host => IdMap::of_process(own_pid()).is_ok_and(|ids| ids.is_single()),
        }
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// What a process of ours needs to get into a user namespace and to run there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entrance<'a> {
    pub(super) namespace: BorrowedFd<'a>,
    /// This program from a file that nobody can write, if there is one already.
    pub(super) program: Option<BorrowedFd<'a>>,
}

/// The program of the holder that was written down below `runroot`, if it is this very one.
pub(super) fn program_of_holder(runroot: &Path) -> Option<OwnedFd> {
    own_program::of_process(written_down(runroot)?.pid)
}

/// Moves this process into the user namespace behind `descriptor`.
pub(super) fn enter(descriptor: BorrowedFd<'_>) -> Result<(), Failure> {
    move_into_link_name_space(descriptor, Some(LinkNameSpaceType::User))
        .context(|| "cannot enter the user namespace".to_owned())
}

/// The user namespace around the one that the process `pid` runs in: for a process of a container
/// this is the user's own, even if its holder is gone.
pub(super) fn around(pid: Pid) -> Result<OwnedFd, Failure> {
    File::open(format!("/proc/{}/ns/user", pid.as_raw_nonzero()))
        .and_then(|own| syscalls::namespace_parent(own.as_fd()))
        .context(|| "cannot find the user namespace of the container".to_owned())
}

/// Ends the holder, so that the next command maps the ids that there are then.
///
/// # Errors
/// When somebody uses the namespace at this moment.
pub fn dismiss(runroot: &Path) -> Result<(), Failure> {
    let start = open_lock(runroot, "holder.start")?;
    lock_file(&start, FlockOperation::LockExclusive)?;
    let lock = open_lock(runroot, "holder.lock")?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(Failure::engine(
            "other commands or containers of this user are at work: stop them, and try again",
        ));
    }
    if let Some(handle) = find_holder(runroot).and_then(ProcessId::open) {
        handle
            .signal(libc::SIGKILL)
            .context(|| "cannot end the holder of the user namespace".to_owned())?;
        handle.wait(None);
    }
    match fs::remove_file(runroot.join("holder")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(|| "cannot forget the holder of the user namespace".to_owned())
        }
        _ => Ok(()),
    }
}

fn open_lock(runroot: &Path, name: &str) -> Result<File, Failure> {
    let path = runroot.join(name);
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .context(|| format!("cannot open {}", path.display()))
}

fn lock_file(lock: &File, operation: FlockOperation) -> Result<(), Failure> {
    flock(lock, operation).context(|| "cannot lock the holder of the user namespace".to_owned())
}

/// The holder that was written down.
fn written_down(runroot: &Path) -> Option<ProcessId> {
    let text = fs::read_to_string(runroot.join("holder")).ok()?;
    let (pid, start_time) = text.trim().split_once(' ')?;
    Some(ProcessId {
        pid: pid.parse().ok()?,
        start_time: start_time.parse().ok()?,
    })
}

/// That holder, if it runs and if its namespace really is this user's own.
fn find_holder(runroot: &Path) -> Option<ProcessId> {
    let holder = written_down(runroot)?;
    let handle = holder.open()?;
    let namespace = File::open(format!("/proc/{}/ns/user", holder.pid)).ok()?;
    let owner = syscalls::namespace_owner(namespace.as_fd()).ok()?;
    let parent = File::from(syscalls::namespace_parent(namespace.as_fd()).ok()?);
    let ours = fs::metadata("/proc/self/ns/user").ok()?;
    (owner == geteuid().as_raw()
        && parent.metadata().ok()?.ino() == ours.ino()
        && handle.is_alive())
    .then_some(holder)
}

/// What the ids of files that were placed from inside root's own user namespace are in an image, by
/// user and by group.
pub(super) fn ids_of_roots_files() -> (Vec<Extent>, Vec<Extent>) {
    let ids = |path| map::without_real_root(map::of_root(&subordinate::ranges(path, 0)));
    (ids("/etc/subuid"), ids("/etc/subgid"))
}

/// The extents of a new namespace for this user: what it may map, and nothing of others.
fn wanted_ids() -> (Vec<Extent>, Vec<Extent>) {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let users = subordinate::ranges("/etc/subuid", uid);
    let groups = subordinate::ranges("/etc/subgid", uid);
    if uid == 0 {
        (map::of_root(&users), map::of_root(&groups))
    } else if users.is_empty() || groups.is_empty() {
        (map::of_one(uid), map::of_one(gid))
    } else {
        (map::of_user(uid, &users), map::of_user(gid, &groups))
    }
}
