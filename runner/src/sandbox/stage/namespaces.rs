//! Entering namespaces that are there already (setns(2)).

use std::fs::{self, File};
use std::os::fd::AsFd;

use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space,
    move_into_thread_name_spaces,
};

use super::super::failure::{Context, Failure};
use super::super::handle::Handle;
use super::super::spec::{Namespace, Namespaces};

/// Every kind but the control groups', by its name below `/proc/PID/ns`.
const KINDS: [(&str, ThreadNameSpaceType); 7] = [
    ("user", ThreadNameSpaceType::USER),
    ("mnt", ThreadNameSpaceType::MOUNT),
    ("pid", ThreadNameSpaceType::PROCESS_ID),
    ("net", ThreadNameSpaceType::NETWORK),
    ("ipc", ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
    ("uts", ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME),
    ("time", ThreadNameSpaceType::TIME),
];

/// Enters every namespace of a container but its control groups' that is not this process's own. (To enter one's own takes
/// rights over it that we may not have, and for a user namespace it is refused.)
pub(super) fn enter_all_of(container: &Handle) -> Result<(), Failure> {
    let pid = container.pid().as_raw_nonzero().get();
    let mut namespaces = ThreadNameSpaceType::empty();
    for (name, kind) in KINDS {
        if !is_shared(pid, name) {
            namespaces |= kind;
        }
    }
    if namespaces.is_empty() {
        return Ok(());
    }
    move_into_thread_name_spaces(container.as_fd(), namespaces)
        .context(|| "cannot enter the container".to_owned())
}

/// Whether the process `pid` has the same namespace of this kind as this process.
pub(in crate::sandbox) fn is_shared(pid: i32, kind: &str) -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}")).ok();
    of("self") == of(&pid.to_string())
}

/// Enters the namespaces that a container shares with others, and gives those that are to be made
/// with its first process. (That process makes the two that need preparation, and the network
/// is made beside it.)
pub(super) fn enter(wanted: &Namespaces) -> Result<UnshareFlags, Failure> {
    let what = |path: &std::path::Path| format!("cannot enter the namespace {}", path.display());
    let mut joined = Vec::new();
    for (kind, path) in &wanted.joined {
        joined.push((*kind, path, File::open(path).context(|| what(path))?));
    }
    // What belongs to this user namespace is entered before another one is, and the rest then.
    joined.sort_by_key(|(kind, ..)| *kind == Namespace::User);
    let mut later = Vec::new();
    for (kind, path, file) in joined {
        let entered = move_into_link_name_space(file.as_fd(), Some(link_type(kind)));
        match (kind, entered) {
            (_, Ok(())) => {}
            (Namespace::User, Err(error)) => return Err(error).context(|| what(path)),
            (_, Err(_)) => later.push((kind, path, file)),
        }
    }
    for (kind, path, file) in later {
        move_into_link_name_space(file.as_fd(), Some(link_type(kind))).context(|| what(path))?;
    }
    Ok(wanted
        .new
        .iter()
        .map(|kind| match kind {
            Namespace::Mount => UnshareFlags::NEWNS,
            Namespace::Pid => UnshareFlags::NEWPID,
            Namespace::Ipc => UnshareFlags::NEWIPC,
            Namespace::Uts => UnshareFlags::NEWUTS,
            Namespace::User => UnshareFlags::NEWUSER,
            Namespace::Network | Namespace::Cgroup | Namespace::Time => UnshareFlags::empty(),
        })
        .collect())
}

fn link_type(kind: Namespace) -> LinkNameSpaceType {
    match kind {
        Namespace::Mount => LinkNameSpaceType::Mount,
        Namespace::Pid => LinkNameSpaceType::ProcessID,
        Namespace::Network => LinkNameSpaceType::Network,
        Namespace::Ipc => LinkNameSpaceType::InterProcessCommunication,
        Namespace::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        Namespace::User => LinkNameSpaceType::User,
        Namespace::Cgroup => LinkNameSpaceType::ControlGroup,
        Namespace::Time => LinkNameSpaceType::Time,
    }
}
