//! A Rust toolchain for a user who is not the one that installed it.
//!
//! A toolchain in root's home cannot be reached by another user. Its files are readable, only the
//! way to them is closed; so it gets a second set of hard links in a folder that everybody may enter, which
//! opens nothing else. The crates that were downloaded already are copied into the user's own `CARGO_HOME`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::command::Run;
use crate::{Missing, World, account, binaries, world};

/// The folders of a toolchain that compiling needs; the documentation is as large as these.
const PARTS: [&str; 3] = ["bin", "lib", "libexec"];

/// Makes cargo work for the user of `world`: `run` will find it on its `PATH`.
///
/// # Errors
/// When there is no toolchain.
///
/// # Panics
/// When the crates cannot be copied.
pub fn give(world: &World, run: Run) -> Result<Run, Missing> {
    give_with_home(world, run, &world.home().join(".cargo"))
}

/// The same with a `CARGO_HOME` at another place than in the home. What `cargo install` installs
/// there is found too.
///
/// # Errors
/// When there is no toolchain.
///
/// # Panics
/// When the crates cannot be copied.
pub fn give_with_home(world: &World, run: Run, cargo_home: &Path) -> Result<Run, Missing> {
    let toolchain = reachable()?;
    if !cargo_home.exists() {
        copy_registry(cargo_home);
        world.own_all(cargo_home);
    }
    let mut folders = vec![toolchain.join("bin"), cargo_home.join("bin")];
    folders.extend(std::env::split_paths(&binaries::path_for_everybody()));
    let path = std::env::join_paths(folders).expect("parts of a PATH make a PATH");
    let run = run.env("PATH", path).env("CARGO_HOME", cargo_home);
    // What is needed was fetched when the tests were compiled; without a network it must go too.
    let fetched = cargo_home.join("registry").exists();
    Ok(if fetched {
        run.env("CARGO_NET_OFFLINE", "true")
    } else {
        run
    })
}

fn reachable() -> Result<&'static Path, Missing> {
    static TOOLCHAIN: OnceLock<Result<PathBuf, Missing>> = OnceLock::new();
    let toolchain = TOOLCHAIN.get_or_init(|| {
        let sysroot = sysroot()?;
        if account::we_are_root() {
            Ok(link(&sysroot))
        } else {
            Ok(sysroot)
        }
    });
    toolchain.as_deref().map_err(Clone::clone)
}

/// The target for static programs on this machine, if its standard library is installed.
#[must_use]
pub fn musl_target() -> Option<String> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let library = sysroot()
        .ok()?
        .join("lib/rustlib")
        .join(&target)
        .join("lib");
    library.is_dir().then_some(target)
}

fn sysroot() -> Result<PathBuf, Missing> {
    let rustc = Run::new("rustc").args(["--print", "sysroot"]);
    crate::client::find("rustc")?;
    let outcome = binaries::with_our_environment(rustc)
        .current_dir(binaries::workspace())
        .finish();
    if outcome.code != 0 {
        return Err(Missing::because(format!(
            "rustc does not work: {}",
            outcome.stderr.trim()
        )));
    }
    Ok(PathBuf::from(outcome.text()))
}

/// A copy by hard links, or a real one where the file system is another.
fn link(sysroot: &Path) -> PathBuf {
    let copy = world::base().join("toolchain");
    fs::create_dir(&copy).unwrap_or_else(|error| panic!("{}: {error}", copy.display()));
    for part in PARTS
        .map(|part| sysroot.join(part))
        .iter()
        .filter(|part| part.exists())
    {
        let linked = Run::new("cp").args(["-al"]).args([part, &copy]).finish();
        if linked.code != 0 {
            Run::new("cp").args(["-a"]).args([part, &copy]).succeed();
        }
    }
    copy
}

fn copy_registry(cargo_home: &Path) {
    let ours = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let Some(registry) = ours.map(|home| home.join("registry")) else {
        return;
    };
    let copy = cargo_home.join("registry");
    fs::create_dir_all(cargo_home).expect("a new home");
    if registry.join("cache").exists() {
        fs::create_dir(&copy).expect("a new home");
        for part in ["cache", "index"].map(|part| registry.join(part)) {
            Run::new("cp").args(["-r"]).args([&part, &copy]).succeed();
        }
    }
}
