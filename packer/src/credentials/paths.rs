//! Where the files with credentials are.

use std::path::{Path, PathBuf};

/// The file that login writes: in the runtime folder, so that it is gone after a reboot, as
/// podman has it; without such a folder, in `/run/containers/UID`.
#[must_use]
pub fn default_path() -> Option<PathBuf> {
    let runtime = match variable("XDG_RUNTIME_DIR") {
        Some(folder) => folder.join("containers"),
        None => Path::new("/run/containers").join(uid()),
    };
    Some(runtime.join("auth.json"))
}

/// Every file that is read, in this order.
pub(super) fn all() -> Vec<PathBuf> {
    let home = variable("HOME");
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let config = variable("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
    let docker = variable("DOCKER_CONFIG").or_else(|| below_home(".docker"));
    [
        default_path(),
        config.map(|folder| folder.join("containers/auth.json")),
        docker.map(|folder| folder.join("config.json")),
        below_home(".dockercfg"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

fn uid() -> String {
    rustix::process::geteuid().as_raw().to_string()
}
