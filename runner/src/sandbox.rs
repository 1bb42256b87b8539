//! The kernel part: namespaces, id maps, mounts, capabilities, seccomp, control groups.
//!
//! It takes one plain value, a [`spec::Spec`], and applies it as a list of steps in order; it knows
//! nothing of images, names or the command line. Three processes share the work:
//!
//! - the **caller** (`runner run`, or the monitor of a detached container) stays outside. It is
//!   the parent of the container's first process, so the exit code can not be lost;
//! - the **stage** ([`stage`]) enters the user's own user namespace, creates the container's
//!   first process and stays behind as its guard: it carries the published ports, and kills the
//!   container if the caller dies;
//! - the **init** ([`init`]) is the container's first process. It sets everything up around itself
//!   and becomes the program.
//!
//! A fourth one, the holder ([`userns`]), keeps the user namespace between two commands.
//!
//! This is the only room with `unsafe` code, and [`syscalls`] is the only corner of it that has any.

pub mod address;
pub mod capability;
pub mod cgroup;
pub mod delivery;
pub mod failure;
pub mod gate;
pub mod handle;
pub mod hook;
pub mod landlock;
pub mod launch;
pub mod parameters;
pub mod seccomp;
pub mod spec;
pub mod stage;
pub mod system_paths;
pub mod userns;

mod copy;
mod init;
mod keeper;
mod mounts;
mod own_program;
mod probe;
mod program;
pub(crate) mod rest;
mod rootfs;
#[allow(
    unsafe_code,
    reason = "where the kernel is called for which rustix has no safe call"
)]
mod syscalls;
mod volume;
mod wire;

pub use failure::Failure;
pub use launch::{Launch, Moment, Running, Stage, begin, join, join_directly, launch, set_up};
pub use probe::{namespaces_work, overlay_works};
pub(crate) use syscalls::{
    choose_port_at_connect, close_from, duplicate, next_signal, set_non_blocking,
    signal_descriptor, start_writing, unblock_signals,
};
pub use volume::{mapped_mount, mount_with_ids};

/// Names that this program is started under when it starts itself; see [`dispatch`].
const STAGE: &str = "runner-stage";
const HOLDER: &str = "runner-holder";

/// Continues as the stage or as the holder if this process was started as one of them, and
/// returns otherwise. Has to be the first thing that `main` does.
///
/// `guard` is what a stage does while its container runs.
pub fn dispatch(guard: stage::GuardMain) {
    #[cfg(all(target_env = "musl", target_pointer_width = "64"))]
    syscalls::protect_constants();
    match std::env::args_os().next() {
        Some(name) if name == STAGE => stage::main(guard),
        Some(name) if name == HOLDER => userns::holder::main(),
        _ => {}
    }
}
