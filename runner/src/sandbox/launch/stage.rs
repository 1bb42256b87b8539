//! Starting the process that makes a container, and telling it what to do.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::SocketType;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::super::cgroup::Cgroup;
use super::super::failure::{Context, Failure};
use super::super::spec::Spec;
use super::super::userns::{self, Entrance, Spare};
use super::super::wire::{self, Request, Status};
use super::super::{failure, own_program, syscalls};
use super::birth::Birth;
use super::guard::Guard;

/// A container that is about to be: its first process is being made, in namespaces of its own, and
/// waits for its specification. Dropped, it is ended.
#[derive(Debug)]
pub struct Stage {
    // Dropped first: when the stage has ended, so has what it made.
    pub(super) guard: Guard,
    pub(super) birth: Birth,
    /// Whether it makes the process only when it has the specification.
    pub(super) waits_for_order: bool,
}

/// What a stage is given that not every one has.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Where the process that it makes is born.
    pub(super) cgroup: Option<OwnedFd>,
    /// What is made of the container already.
    pub(super) spare: Option<Spare>,
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
    pub(super) fn start_in(
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

    pub(super) fn start(
        entrance: Option<Entrance<'_>>,
        stdio: [BorrowedFd<'_>; 3],
        given: &Given,
        task: &str,
    ) -> Result<Self, Failure> {
        let (control, control_inside) = wire::sockets(SocketType::STREAM)?;
        let (status, status_inside) = wire::sockets(SocketType::SEQPACKET)?;
        let mut descriptors = stdio.to_vec();
        descriptors.extend([control_inside.as_fd(), status_inside.as_fd()]);
        let mut words = vec![super::super::STAGE, task];
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
            birth: Birth::heard_through(status),
            waits_for_order: given.spare.is_some(),
        })
    }

    /// Tells it what to do.
    pub(super) fn told(
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
        let Self { guard, birth, .. } = self;
        drop(guard);
        // If it could not start at all, its own words say more than a broken pipe.
        Err(birth.wait().err().unwrap_or(failure))
    }
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
    let error = failure::describe(&error);
    let failure = Failure::engine(format!("cannot start the stage: {error}"));
    // Its number may be that of something else by now.
    if let Ok(status) = syscalls::inherited(wire::STATUS) {
        wire::send_status(status.as_fd(), &Status::failed(failure), None);
    }
}

/// Lets the capabilities in the user namespace survive the start of the next program, which is not
/// root there when the caller is the real root.
pub(in crate::sandbox) fn keep_capabilities() -> io::Result<()> {
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
