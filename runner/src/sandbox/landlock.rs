//! Landlock (landlock(7)): what a process takes from itself and from all that it starts, for good and
//! without any privilege.
//!
//! It is installed right before the filter of system calls. *Scopes* (Linux 6.12) stand where a namespace
//! is shared: with the network of the host a container sees every abstract unix socket of the host,
//! which neither its mounts nor its users keep it from (CVE-2020-15257), and without a pid namespace of
//! its own it sees every process of its user. Rules about files stand where there are no mounts.
//!
//! Landlock knows no way into the restrictions of a process that runs. One that joins a container gets
//! its own: the two can not reach each other's abstract sockets, and the one that joins can not look
//! into the others (ptrace(2), and with it `environ`, `fd` and the like below `/proc/PID`).

use std::io;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::syscalls::{self, LandlockHandled};

/// The version of Landlock that has scopes (Linux 6.12).
pub const WITH_SCOPES: u32 = 6;

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET` of linux/landlock.h.
const ABSTRACT_UNIX_SOCKET: u64 = 1;
/// `LANDLOCK_SCOPE_SIGNAL`.
const SIGNAL: u64 = 2;

/// What a process reaches only among those that it has started itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    /// Abstract unix sockets (unix(7)); those with a path are files.
    pub abstract_sockets: bool,
    /// Processes that it may send signals to.
    pub signals: bool,
}

impl Scopes {
    fn bits(self) -> u64 {
        let bit = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        bit(self.abstract_sockets, ABSTRACT_UNIX_SOCKET) | bit(self.signals, SIGNAL)
    }
}

/// The version of Landlock that this kernel has; 0 for none (Linux before 5.13, or switched off).
#[must_use]
pub fn version() -> u32 {
    syscalls::landlock_version().unwrap_or(0)
}

/// Whether this kernel has [`Scopes`].
#[must_use]
pub fn has_scopes() -> bool {
    version() >= WITH_SCOPES
}

/// Restricts this process and all that it starts. A kernel without scopes changes nothing.
///
/// The caller has set no-new-privileges, or still has `CAP_SYS_ADMIN` in its user namespace.
pub(super) fn restrict(scopes: Scopes) -> io::Result<()> {
    if scopes == Scopes::default() || !has_scopes() {
        return Ok(());
    }
    let ruleset = syscalls::landlock_ruleset(&LandlockHandled {
        scoped: scopes.bits(),
        ..LandlockHandled::default()
    })?;
    syscalls::landlock_restrict(&ruleset)
}

/// What the versions of Landlock know of access to files, a bit each (`LANDLOCK_ACCESS_FS_*`): every
/// version from 1 on, and with which version how many bits there are.
const FILE_BITS: [(u32, u32); 4] = [(1, 13), (2, 14), (3, 15), (5, 16)];

/// Restricts this process and all that it starts to the files below its root directory, and to its own
/// processes and abstract sockets: as much of that as this kernel knows.
///
/// The caller has set no-new-privileges.
pub(super) fn restrict_to_root() -> io::Result<()> {
    let version = version();
    let known = FILE_BITS.iter().rev().find(|(since, _)| *since <= version);
    let Some((_, bits)) = known else {
        return Ok(());
    };
    let files = (1 << bits) - 1;
    let everything = Scopes {
        abstract_sockets: true,
        signals: true,
    };
    let ruleset = syscalls::landlock_ruleset(&LandlockHandled {
        files,
        scoped: if has_scopes() { everything.bits() } else { 0 },
        ..LandlockHandled::default()
    })?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty())?;
    syscalls::landlock_allow_below(&ruleset, &root, files)?;
    syscalls::landlock_restrict(&ruleset)
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_restricted_thread_reaches_its_own_sockets_and_no_others() {
        if !has_scopes() {
            return;
        }
        let name = |what: &str| {
            let name = format!("landlock-{}-{what}", std::process::id());
            SocketAddr::from_abstract_name(name).unwrap()
        };
        let outside = UnixListener::bind_addr(&name("outside")).unwrap();
        // It holds for the thread that asks for it.
        let inside = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            restrict(Scopes::default()).unwrap();
            let before = UnixStream::connect_addr(&name("outside")).is_ok();
            restrict(Scopes {
                abstract_sockets: true,
                signals: true,
            })
            .unwrap();
            let _own = UnixListener::bind_addr(&name("inside")).unwrap();
            let own = UnixStream::connect_addr(&name("inside")).is_ok();
            let error = UnixStream::connect_addr(&name("outside")).unwrap_err();
            (before, own, error.raw_os_error())
        });
        assert_eq!(inside.join().unwrap(), (true, true, Some(libc::EPERM)));
        drop(outside);
    }
}
