//! The caller's side: starting a stage, and what it brings back.

use std::ffi::CString;
use std::fs::File;
use std::io::Seek;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::{fs, io};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mount::{MountPropagationFlags, OpenTreeFlags, mount_change, open_tree};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use super::failure::{Context, Failure};
use super::handle::ProcessId;
use super::spec::{Join, Spec};
use super::syscalls::{self, Fork};
use super::userns::{self, UserNamespace};
use super::wire::{self, Request, Status};

/// What a container is started with beside its specification.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Standard input, output and error of the program, unless it gets a terminal.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Mounts that the caller prepared, in the order that the specification numbers them.
    pub mounts: Vec<BorrowedFd<'a>>,
    /// Sockets for the guard.
    pub sockets: Vec<BorrowedFd<'a>>,
    /// Text for the guard.
    pub guard: String,
}

/// A process in a container, a child of this process.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub process: ProcessId,
    /// Our end of its terminal.
    pub terminal: Option<OwnedFd>,
    /// The stage, which guards the container while it runs; `None` for a process that joined.
    pub guard: Option<Guard>,
}

/// The process that guards a container. When this value is dropped, the guard kills the
/// container and ends.
#[derive(Debug)]
pub struct Guard {
    pid: Pid,
    control: Option<OwnedFd>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.control.take());
        reap(self.pid);
    }
}

impl Guard {
    /// The guard's process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }
}

/// Starts a container.
///
/// # Errors
/// A [`Failure`] with podman's exit code; nothing of the container is left running then.
pub fn launch(
    namespace: &UserNamespace,
    spec: &Spec,
    with: &Launch<'_>,
) -> Result<Running, Failure> {
    let request = Request::Launch {
        spec: Box::new(spec.clone()),
        mounts: with.mounts.len(),
        sockets: with.sockets.len(),
        guard: with.guard.clone(),
    };
    let extra: Vec<_> = with.mounts.iter().chain(&with.sockets).copied().collect();
    let stage = Stage::start(namespace.as_fd(), with.stdio, &extra, &request)?;
    let (process, terminal) = stage.wait()?;
    Ok(Running {
        process,
        terminal,
        guard: Some(Guard {
            pid: stage.pid,
            control: Some(stage.control),
        }),
    })
}

/// Runs one more process in a running container.
///
/// # Errors
/// A [`Failure`] with podman's exit code.
pub fn join(join: &Join, stdio: [BorrowedFd<'_>; 3]) -> Result<Running, Failure> {
    let pid =
        Pid::from_raw(join.pid).ok_or_else(|| Failure::engine("the container has no process"))?;
    let namespace = userns::around(pid)?;
    let request = Request::Join(Box::new(join.clone()));
    let stage = Stage::start(namespace.as_fd(), stdio, &[], &request)?;
    let result = stage.wait();
    reap(stage.pid);
    let (process, terminal) = result?;
    Ok(Running {
        process,
        terminal,
        guard: None,
    })
}

/// Starts another guard for a running container whose own has died.
///
/// # Errors
/// A [`Failure`] when the container has ended meanwhile.
pub fn guard(
    process: ProcessId,
    sockets: &[BorrowedFd<'_>],
    guard: &str,
) -> Result<Guard, Failure> {
    let pid =
        Pid::from_raw(process.pid).ok_or_else(|| Failure::engine("the container has ended"))?;
    let namespace = userns::around(pid)?;
    let null = File::open("/dev/null").context(|| "/dev/null".to_owned())?;
    let request = Request::Guard {
        pid: process.pid,
        start_time: process.start_time,
        sockets: sockets.len(),
        guard: guard.to_owned(),
    };
    let stdio = [null.as_fd(); 3];
    let stage = Stage::start(namespace.as_fd(), stdio, sockets, &request)?;
    Ok(Guard {
        pid: stage.pid,
        control: Some(stage.control),
    })
}

struct Stage {
    pid: Pid,
    control: OwnedFd,
    status: OwnedFd,
}

impl Stage {
    fn start(
        namespace: BorrowedFd<'_>,
        stdio: [BorrowedFd<'_>; 3],
        extra: &[BorrowedFd<'_>],
        request: &Request,
    ) -> Result<Self, Failure> {
        let (control, control_inside) = sockets(SocketType::STREAM)?;
        let (status, status_inside) = sockets(SocketType::SEQPACKET)?;
        match syscalls::fork().context(|| "cannot fork".to_owned())? {
            Fork::Child => {
                let mut descriptors = stdio.to_vec();
                descriptors.extend([control_inside.as_fd(), status_inside.as_fd()]);
                descriptors.extend(extra);
                let failure = become_stage(namespace, &descriptors);
                wire::send_status(status_inside.as_fd(), &Status::failed(failure), None);
                std::process::exit(125);
            }
            Fork::Parent(pid) => {
                drop((control_inside, status_inside));
                let stage = Self {
                    pid,
                    control,
                    status,
                };
                if let Err(failure) = wire::send_request(&stage.control, request) {
                    // If it could not start at all, its own words say more than a broken pipe.
                    return Err(stage.wait().err().unwrap_or(failure));
                }
                Ok(stage)
            }
        }
    }

    /// Waits until the program runs or could not be started.
    fn wait(&self) -> Result<(ProcessId, Option<OwnedFd>), Failure> {
        let (mut child, mut terminal) = (None, None);
        let failure = loop {
            match wire::receive_status(&self.status) {
                Ok(Some((Status::Started(pid), _))) => child = Pid::from_raw(pid),
                Ok(Some((Status::Terminal, descriptor))) => terminal = descriptor,
                Ok(Some((Status::Failed(failure), _))) | Err(failure) => break failure,
                Ok(None) => match child.map(ProcessId::of) {
                    Some(Ok(process)) => return Ok((process, terminal)),
                    _ => break Failure::engine("the process that sets up the container has died"),
                },
            }
        };
        if let Some(child) = child {
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
            reap(child);
        }
        let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
        reap(self.pid);
        Err(failure)
    }
}

fn reap(pid: Pid) {
    let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
}

fn sockets(kind: SocketType) -> Result<(OwnedFd, OwnedFd), Failure> {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .context(|| "cannot make a pair of sockets".to_owned())
}

/// In the child: enters the user namespace and starts this program anew as the stage, from a file
/// that nobody inside can write. Returns only if something failed.
fn become_stage(namespace: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>]) -> Failure {
    let prepare = || -> Result<OwnedFd, Failure> {
        userns::enter(namespace)?;
        // A mount namespace of our own, so that what we mount is never seen outside, and what is
        // mounted outside later does not turn up inside.
        syscalls::unshare(UnshareFlags::NEWNS)
            .context(|| "cannot make a mount namespace".to_owned())?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).context(|| "cannot make the mounts private".to_owned())?;
        let program = own_program().context(|| "cannot open this program".to_owned())?;
        keep_capabilities().context(|| "cannot keep capabilities".to_owned())?;
        // Out of the way of the numbers that the descriptors are about to get.
        let above = i32::try_from(descriptors.len()).unwrap_or(i32::MAX) + 64;
        let program = rustix::io::fcntl_dupfd_cloexec(&program, above)
            .context(|| "too many descriptors".to_owned())?;
        Ok(program)
    };
    let program = match prepare() {
        Ok(program) => program,
        Err(failure) => return failure,
    };
    let name = CString::new(super::STAGE).unwrap_or_default();
    let error = match syscalls::place_descriptors(descriptors) {
        Ok(()) => syscalls::execute_descriptor(program.as_fd(), &[name], &[]),
        Err(error) => error,
    };
    let failure = Err::<(), _>(error).context(|| "cannot start the stage".to_owned());
    let failure = failure.expect_err("it was an error");
    if let Ok(status) = syscalls::inherited(wire::STATUS) {
        wire::send_status(status.as_fd(), &Status::failed(failure.clone()), None);
    }
    std::process::exit(125)
}

/// This program as a file that can not be written through `/proc/PID/exe`, whoever opens that
/// (CVE-2019-5736): a read-only mount of it that exists nowhere in the file tree, or a sealed copy.
fn own_program() -> io::Result<OwnedFd> {
    match read_only_mount() {
        Ok(Some(program)) => Ok(program),
        // Not found at its path any more (it was replaced), or a kernel before 5.12.
        Ok(None) | Err(_) => sealed_copy(),
    }
}

fn read_only_mount() -> io::Result<Option<OwnedFd>> {
    let path: PathBuf = fs::read_link("/proc/self/exe")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(rustix::fs::CWD, &path, flags)?;
    let (found, ours) = (
        rustix::fs::fstat(&mount)?,
        rustix::fs::stat("/proc/self/exe")?,
    );
    if (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino) {
        return Ok(None);
    }
    syscalls::mount_set_attributes(mount.as_fd(), libc::MOUNT_ATTR_RDONLY, None, false)?;
    Ok(Some(mount))
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create("runner", flags)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    copy.rewind()?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&copy, seals)?;
    // Executed through a read-only descriptor: a file that is open for writing is busy.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
    Ok(File::open(path)?.into())
}

/// Lets the capabilities in the user namespace survive the start of the stage, which is not root
/// there when the caller is the real root.
fn keep_capabilities() -> io::Result<()> {
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
