//! Kernel parameters (`linux.sysctl`): only those that each container has for itself. Every other one
//! is the host's, and root would change it for all (config-linux.md, "Sysctl": "namespaced").

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{bail, ensure};

use crate::sandbox::spec::{Namespace, Namespaces};

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

/// The path below `/proc/sys` of the parameter `name`, if it belongs to one of these namespaces.
///
/// # Errors
/// One line that names the parameter.
pub(super) fn path(name: &str, namespaces: &Namespaces) -> anyhow::Result<String> {
    let path = with_slashes(name);
    let shown = name.escape_debug();
    let parts: Vec<_> = path.split('/').collect();
    ensure!(
        !parts.iter().any(|part| matches!(*part, "" | "." | "..")),
        "linux.sysctl: \"{shown}\" is no kernel parameter"
    );
    let (kind, what) = match parts[..] {
        ["kernel", name] if OF_IPC.contains(&name) => (Namespace::Ipc, "ipc"),
        ["fs", "mqueue", _] => (Namespace::Ipc, "ipc"),
        ["net", _, ..] => (Namespace::Network, "network"),
        ["kernel", "domainname"] => (Namespace::Uts, "uts"),
        ["kernel", "hostname"] => {
            bail!("linux.sysctl: kernel.hostname is what the field hostname is for")
        }
        _ => bail!("linux.sysctl: {shown} is the host's: no namespace has one of its own"),
    };
    ensure!(
        has_own(namespaces, kind, what),
        "linux.sysctl: {shown} would be the host's: it needs a {what} namespace of its own in \
         linux.namespaces"
    );
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
