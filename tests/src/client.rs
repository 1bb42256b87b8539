//! The real clients: found on this machine, or started with everything they need in a folder of
//! the suite's, never with the machine's own engine, store or configuration.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::Missing;

pub mod containerd;
pub mod docker;
pub mod gpg;
pub mod podman;
pub mod registry;

pub use containerd::Containerd;
pub use docker::Docker;
pub use gpg::Gpg;
pub use podman::Podman;
pub use registry::Registry;

/// Where administrators' programs lie; not on every user's `PATH`.
const MORE_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The path of a program that every user can start.
///
/// # Errors
/// When it is not installed.
pub fn find(program: &str) -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.map(PathBuf::from));
    let executable = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    folders
        .map(|folder| folder.join(program))
        .find(executable)
        .ok_or_else(|| Missing::because(format!("{program} is not installed")))
}
