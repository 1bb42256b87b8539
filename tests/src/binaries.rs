//! The programs under test: built once a suite, and put where every user can run them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::command::Run;
use crate::{account, toolchain, world};

/// A variable that says that the engine is compiled [as for who keeps it](as_installed).
const INSTALLED: &str = "TESTS_INSTALLED";

/// Longer than the longest build from nothing takes on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_secs(1500);

static AS_INSTALLED: AtomicBool = AtomicBool::new(false);

/// Has the engine compiled as README says to install it: for minutes, and for musl where the toolchain has
/// that target. Without this it is compiled as by `cargo run --release`.
pub fn as_installed() {
    AS_INSTALLED.store(true, Ordering::Relaxed);
}

/// The top of the workspace.
///
/// # Panics
/// Never: this crate lies in the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace is above us")
}

/// The folder that cargo builds in.
///
/// # Panics
/// When the suite does not lie where cargo puts it.
#[must_use]
pub fn target_folder() -> PathBuf {
    let suite = std::env::current_exe().expect("/proc");
    // target/debug/deps/suite-0123456789abcdef
    suite
        .ancestors()
        .nth(3)
        .expect("cargo's target folder")
        .to_owned()
}

/// The path of one of our programs, which everybody may run.
///
/// # Panics
/// When cargo cannot build them.
#[must_use]
pub fn path(program: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(program)
}

/// Our engine by the name under which it is an OCI runtime.
///
/// # Panics
/// When cargo cannot build it.
#[must_use]
pub fn runc() -> &'static Path {
    static LINK: OnceLock<PathBuf> = OnceLock::new();
    LINK.get_or_init(|| {
        let link = world::base().join("runc");
        std::os::unix::fs::symlink(path("runner"), &link)
            .unwrap_or_else(|error| panic!("{}: {error}", link.display()));
        link
    })
}

fn build() -> PathBuf {
    let folder = world::base().join("bin");
    fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let install = |program: &str, built: &Path| {
        fs::copy(built.join(program), folder.join(program))
            .unwrap_or_else(|error| panic!("{program} in {}: {error}", built.display()));
    };
    let is_installed =
        AS_INSTALLED.load(Ordering::Relaxed) || std::env::var_os(INSTALLED).is_some();
    let mut programs = vec!["packer", "server"];
    if is_installed {
        install("runner", &compile_engine());
    } else {
        programs.push("runner");
    }
    let packages: Vec<_> = programs.iter().flat_map(|name| ["-p", name]).collect();
    let release = compile(&[&["--release"], &packages[..]].concat()).join("release");
    programs.iter().for_each(|name| install(name, &release));
    folder
}

/// Has cargo build the engine as it is installed; the folder in which it lies.
fn compile_engine() -> PathBuf {
    let words = ["-p", "runner", "--profile", "engine"];
    match toolchain::musl_target() {
        Some(target) => compile(&[&words[..], &["--target", &target]].concat())
            .join(target)
            .join("engine"),
        None => compile(&words).join("engine"),
    }
}

/// Has cargo build what `words` say; the folder that it builds in.
fn compile(words: &[&str]) -> PathBuf {
    let target = target_folder();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    with_our_environment(Run::new(cargo))
        .args(["build", "--quiet"])
        .args(words)
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(workspace())
        .limit(BUILD_LIMIT)
        .succeed();
    target
}

/// The archive of the hello server, as `packer build` writes it in this workspace.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn server_archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let archive = world::base().join("server.tar");
        with_our_environment(Run::new(path("packer")))
            .args(["build", "-o"])
            .args([&archive])
            .env("CARGO_TARGET_DIR", target_folder())
            .current_dir(workspace())
            .limit(BUILD_LIMIT)
            .succeed();
        archive
    })
}

/// Gives `run` the environment of the suite, for tools that are to work as they do for whoever
/// started it: without what cargo tells a test about its package, for which build scripts look, and
/// which would make cargo build everything behind them anew.
#[must_use]
pub fn with_our_environment(run: Run) -> Run {
    let of_the_test = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| !of_the_test(name))
        .fold(run, |run, (name, value)| run.env(&name, value))
}

/// `PATH`, without the folders in root's home, which no other user can enter.
#[must_use]
pub fn path_for_everybody() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let private = |folder: &PathBuf| {
        account::we_are_root() && home.as_ref().is_some_and(|home| folder.starts_with(home))
    };
    let open = std::env::split_paths(&path).filter(|folder| !private(folder));
    std::env::join_paths(open).expect("parts of a PATH make a PATH")
}
