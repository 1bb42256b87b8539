//! `--isolation chroot`: containers of a root to whom the kernel gives no user namespace, inside another
//! container for instance. It is an explicit choice, because it gives less.
//!
//! What else the kernel gives to this root is used: with `CAP_SYS_ADMIN` the container has the other
//! namespaces and mounts of its own, as those of other engines that run as root; without it, none.

use std::sync::OnceLock;

use rustix::process::geteuid;

use super::create::{CreateError, Options};
use super::record::Record;
use crate::sandbox::capability::CapabilitySet;
use crate::sandbox::spec::{Isolation, Namespaces, Network};
use crate::sandbox::{self, Failure, landlock};

/// The capabilities that lead out of no root directory and reach nothing but the container's own files
/// and processes, and the network that it shares. (`CAP_SYS_CHROOT`, `CAP_MKNOD`, `CAP_SYS_ADMIN`,
/// `CAP_SYS_PTRACE` and `CAP_DAC_READ_SEARCH` do lead out: chroot(2), mknod(2), open_by_handle_at(2);
/// `CAP_SETFCAP` would leave programs with real capabilities on the disk.)
const HARMLESS: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "IPC_LOCK",
    "AUDIT_WRITE",
];

/// What stands around a container of this kind on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walls {
    /// Whether it has the namespaces of mounts, process ids, exchange between processes and the host's
    /// name.
    pub namespaces: bool,
    /// The version of Landlock, which stands in for some of that; 0 for none.
    pub landlock: u32,
}

impl Walls {
    /// Tries what the kernel gives.
    #[must_use]
    pub fn find() -> Self {
        static FOUND: OnceLock<Walls> = OnceLock::new();
        *FOUND.get_or_init(|| Self {
            namespaces: sandbox::namespaces_work(),
            landlock: landlock::version(),
        })
    }

    /// Whether its processes can send no signals to those of the host.
    fn hold_signals(self) -> bool {
        self.namespaces || self.landlock >= landlock::WITH_SCOPES
    }

    /// The most capabilities that a process of this root may have within them.
    #[must_use]
    pub fn capabilities(self) -> CapabilitySet {
        self.most().intersection(CapabilitySet::own())
    }

    /// The same for a root that has them all.
    fn most(self) -> CapabilitySet {
        let named = |name: &&str| CapabilitySet::parse(name);
        let harmless = HARMLESS.iter().filter_map(named);
        let kill = CapabilitySet::parse("KILL").filter(|_| self.hold_signals());
        harmless
            .chain(kill)
            .fold(CapabilitySet::EMPTY, CapabilitySet::union)
    }

    /// What a container does not have within them, for its user to know.
    #[must_use]
    pub fn missing(self) -> Vec<&'static str> {
        let mut missing = vec![
            "a user namespace: its root is this root without most capabilities",
            "a network of its own: it has the host's, ports included",
        ];
        if !self.namespaces {
            missing.extend([
                "mounts of its own: no /proc, no /sys, no volumes",
                "process ids of its own",
            ]);
        }
        if !self.namespaces && self.landlock == 0 {
            missing.push("Landlock: its root directory is all that keeps it from the host's files");
        }
        if !self.hold_signals() {
            missing.push(
                "scopes of Landlock: it can send signals to the host's processes of the same user, and \
                 end them",
            );
        }
        missing
    }

    /// The same in one line.
    #[must_use]
    pub fn warning(self) -> String {
        format!(
            "--isolation chroot is a weaker wall; this container does not have {}",
            self.missing().join("; nor ")
        )
    }
}

/// Refuses what can not be had with `--isolation chroot` on any machine.
///
/// # Errors
/// [`CreateError::Isolation`].
pub fn check(options: &Options) -> Result<(), CreateError> {
    if options.isolation == Isolation::Namespaces {
        return Ok(());
    }
    let asked = |names: &[&str]| {
        let mut options = options.security.options.iter();
        options.any(|option| names.iter().any(|name| option.starts_with(name)))
    };
    let refusals = [
        (
            !geteuid().is_root(),
            "is for root, who can change the root directory: leave it out, and a user namespace is used",
        ),
        (
            options.network != Network::Host,
            "has the network of the host: leave --network out, or give --network host",
        ),
        (
            options.memory_upper.is_some(),
            "copies the image's files: leave --upper out",
        ),
        (
            asked(&["no-new-privileges=false", "no-new-privileges:false"]),
            "stands on no-new-privileges: leave --security-opt no-new-privileges=false out",
        ),
        (
            asked(&["unmask", "systempaths", "landlock"]),
            "has nothing behind its masks and Landlock: leave --security-opt unmask, systempaths and \
             landlock out",
        ),
    ];
    match refusals.into_iter().find(|(is_so, _)| *is_so) {
        Some((_, why)) => Err(CreateError::Isolation(why.to_owned())),
        None => check_capabilities(options),
    }
}

/// A capability that somebody named is given or refused, not left out silently.
fn check_capabilities(options: &Options) -> Result<(), CreateError> {
    let most = Walls::find().capabilities();
    for name in &options.cap_add {
        let set = CapabilitySet::parse(name).unwrap_or(CapabilitySet::EMPTY);
        let beyond = set.minus(most);
        if set != CapabilitySet::all() && beyond != CapabilitySet::EMPTY {
            return Err(CreateError::Isolation(format!(
                "can not give {beyond}, which leads out of it or which this root has not: leave \
                 --cap-add {} out",
                name.escape_debug()
            )));
        }
    }
    Ok(())
}

/// The most capabilities that a process of the container may have, on this machine.
#[must_use]
pub fn bounding(record: &Record) -> CapabilitySet {
    match record.isolation {
        Isolation::Namespaces => record.bounding,
        // It may have been made where more could be had.
        Isolation::Chroot => record.bounding.intersection(Walls::find().capabilities()),
    }
}

/// The namespaces of a container without a user namespace.
///
/// # Errors
/// A [`Failure`] that names what takes some, where there are none.
pub(super) fn namespaces(record: &Record) -> Result<Namespaces, Failure> {
    if !CapabilitySet::own().contains(CapabilitySet::parse("SYS_CHROOT").unwrap_or_default()) {
        return Err(Failure::engine(
            "--isolation chroot takes CAP_SYS_CHROOT, which this root has not",
        ));
    }
    if Walls::find().namespaces {
        return Ok(Namespaces::without_users());
    }
    check_mounts(record).map(|()| Namespaces::none())
}

/// Refuses what takes a namespace where there is none.
fn check_mounts(record: &Record) -> Result<(), Failure> {
    let masks = |option: &String| option.starts_with("mask");
    let needed = [
        (!record.mounts.is_empty(), "a volume (-v, --tmpfs)"),
        (record.read_only, "--read-only"),
        (
            record.security.asked.iter().any(masks),
            "--security-opt mask",
        ),
        (record.hostname.is_some(), "--hostname"),
        (
            record.security.apparmor.is_some(),
            "--security-opt apparmor",
        ),
    ];
    match needed.iter().find(|(is_so, _)| *is_so) {
        None => Ok(()),
        Some((_, what)) => Err(Failure::engine(format!(
            "{what} takes namespaces, of which this root gets none here (it has no CAP_SYS_ADMIN, or a \
             filter of system calls is in the way): leave it out"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wall_that_is_not_there_is_named() {
        let walls = |namespaces, landlock| Walls {
            namespaces,
            landlock,
        };
        assert_eq!(walls(true, 0).missing().len(), 2);
        assert!(
            walls(false, 0)
                .missing()
                .iter()
                .any(|one| one.starts_with("Landlock"))
        );
        assert!(
            walls(false, 1)
                .missing()
                .iter()
                .any(|one| one.starts_with("scopes"))
        );
        assert_eq!(walls(false, 6).missing().len(), 4);
        assert!(!walls(false, 6).warning().contains('\n'));
    }

    #[test]
    fn a_capability_to_end_processes_is_given_where_it_reaches_no_others() {
        let kill = CapabilitySet::parse("KILL").unwrap();
        let most = |namespaces, landlock| {
            Walls {
                namespaces,
                landlock,
            }
            .most()
        };
        assert!(most(true, 0).contains(kill) && most(false, 6).contains(kill));
        assert!(!most(false, 5).contains(kill));
        for name in [
            "SYS_CHROOT",
            "MKNOD",
            "SYS_ADMIN",
            "SYS_PTRACE",
            "DAC_READ_SEARCH",
            "SETFCAP",
        ] {
            assert!(
                !most(true, 6).contains(CapabilitySet::parse(name).unwrap()),
                "{name}"
            );
        }
    }
}
