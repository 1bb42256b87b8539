//! Kernel parameters: only those that each container has for itself. Every other one is the host's, and
//! root would change it for all (config-linux.md, "Sysctl": "namespaced").

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::spec::{Namespace, Namespaces};

/// What message queues and shared memory have of their own below `kernel`.
const OF_IPC: [&str; 8] = [
    "msgmax",
    "msgmnb",
    "msgmni",
    "sem",
    "shm_rmid_forced",
    "shmall",
    "shmmax",
    "shmmni",
];

/// Why a parameter can not be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOwn {
    /// It is no name of one.
    #[error("\"{}\" is no kernel parameter", .0.escape_debug())]
    None(String),
    /// No namespace has one of its own, or another setting is for that.
    #[error("{} is the host's, or the host name: no container sets it", .0.escape_debug())]
    Everybodys(String),
    /// This container has no such namespace.
    #[error(
        "{} would be the host's: the container needs a {} namespace of its own",
        .0.escape_debug(),
        .1
    )]
    Namespace(String, &'static str),
}

/// The path below `/proc/sys` of the parameter `name`, if it belongs to one of these namespaces.
///
/// # Errors
/// [`NotOwn`].
pub fn path(name: &str, namespaces: &Namespaces) -> Result<String, NotOwn> {
    let path = with_slashes(name);
    let parts: Vec<_> = path.split('/').collect();
    if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err(NotOwn::None(name.to_owned()));
    }
    let (kind, what) = match parts[..] {
        ["kernel", name] if OF_IPC.contains(&name) => (Namespace::Ipc, "ipc"),
        ["fs", "mqueue", _] => (Namespace::Ipc, "ipc"),
        ["net", _, ..] => (Namespace::Network, "network"),
        ["kernel", "domainname"] => (Namespace::Uts, "uts"),
        _ => return Err(NotOwn::Everybodys(name.to_owned())),
    };
    if !has_own(namespaces, kind, what) {
        return Err(NotOwn::Namespace(name.to_owned(), what));
    }
    Ok(path)
}

/// In the usual form dots and slashes have each other's places (sysctl(8)), unless a slash comes first.
fn with_slashes(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('.') => name
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// Whether the container has a namespace of this kind that is not this process's own.
fn has_own(namespaces: &Namespaces, kind: Namespace, name: &str) -> bool {
    let file = if kind == Namespace::Network {
        "net"
    } else {
        name
    };
    let is_ours = |path: &Path| {
        let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
        let ours = id(&Path::new("/proc/self/ns").join(file));
        // One that can not be looked at is not trusted to be another.
        !matches!((id(path), ours), (Ok(theirs), Ok(ours)) if theirs != ours)
    };
    let mut joined = namespaces.joined.iter();
    namespaces.has_new(kind) || joined.any(|(found, path)| *found == kind && !is_ours(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private() -> Namespaces {
        let mut namespaces = Namespaces::private();
        namespaces.new.push(Namespace::Network);
        namespaces
    }

    #[test]
    fn what_a_namespace_has_for_itself_is_set() {
        for (name, expected) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            (
                "net/ipv4/conf/eth0.7/forwarding",
                "net/ipv4/conf/eth0.7/forwarding",
            ),
            (
                "net.ipv4.conf.eth0/7.forwarding",
                "net/ipv4/conf/eth0.7/forwarding",
            ),
            ("kernel.shmmax", "kernel/shmmax"),
            ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
            ("kernel.domainname", "kernel/domainname"),
        ] {
            assert_eq!(path(name, &private()).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_the_hosts_is_refused_however_it_is_written() {
        for name in [
            "kernel.core_pattern",
            "kernel/core_pattern",
            "vm.overcommit_memory",
            "fs.file-max",
            "fs.mqueue",
            "kernel.hostname",
            "net/../kernel/core_pattern",
            "net.//.kernel.core_pattern",
            "net/./../vm/swappiness",
            "/kernel/shmmax",
            "net",
            "user.max_user_namespaces",
            "",
        ] {
            assert!(path(name, &private()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_namespace_of_the_hosts_own_makes_it_the_hosts() {
        let mut namespaces = Namespaces::none();
        namespaces.joined = vec![
            (Namespace::Network, "/proc/self/ns/net".into()),
            (Namespace::Ipc, "/no/such/file".into()),
        ];
        for name in ["net.ipv4.ip_forward", "kernel.sem", "kernel.domainname"] {
            let error = path(name, &namespaces).unwrap_err().to_string();
            assert!(error.contains("would be the host's"), "{error}");
        }
    }
}
