//! The filter of system calls that every process in a container runs under (seccomp(2)).
//!
//! The profile ([`profile`]) says what happens to each system call; [`compile`] makes a program for the
//! kernel of it, at build time for the default set of capabilities. The program looks the number
//! up by binary search over runs of numbers with the same fate, which takes about a dozen
//! instructions where the usual list takes hundreds.

use std::io;

use super::capability::CapabilitySet;
use super::syscalls;

mod compile;
mod profile;

use compile::{Program, compile};

/// The filter of a container with podman's default capabilities, made by the compiler.
static DEFAULT: Program = compile(&profile::table(profile::Granted::DEFAULT));

/// Filters the system calls of this process and its children for good. What a capability of
/// `bounding` is for is let through.
pub(super) fn install(bounding: CapabilitySet) -> io::Result<()> {
    let granted = profile::Granted::of(bounding);
    if granted == profile::Granted::DEFAULT {
        return syscalls::install_filter(DEFAULT.instructions());
    }
    syscalls::install_filter(compile(&profile::table(granted)).instructions())
}
