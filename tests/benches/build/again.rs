//! A package that was packed before and in which nothing has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;

use tests::figures::Figures;
use tests::figures::Goal::AtMost;
use tests::ratio::{Side, print_commands, take_turns};
use tests::{Missing, Mode, Run, World, binaries, client};

const PACKAGE: &str = "server";

pub(crate) fn measure(figures: &mut Figures) -> Result<(), Missing> {
    let cargo = client::find("cargo")?;
    let world = World::new(Mode::Mapped)?;
    let here = |program: Run| {
        binaries::with_our_environment(program)
            .env("CARGO_TARGET_DIR", binaries::target_folder())
            .env("XDG_CACHE_HOME", world.home())
            .current_dir(binaries::workspace())
    };
    let pack = || here(Run::new(binaries::path("packer"))).args(["build", PACKAGE]);
    let archive = pack()
        .limit(std::time::Duration::from_secs(900))
        .succeed()
        .text()
        .to_owned();
    let state = || fs::metadata(&archive).map(|file| (file.ino(), file.ctime_nsec()));
    let before = state().expect("what was packed");
    let ours = Side::new("packer build", pack);
    let compile = || {
        let words = ["build", "--release", "--package", PACKAGE, "--bin", PACKAGE];
        here(Run::new(&cargo))
            .args(words)
            .args(["--target", &target()])
    };
    let peer = Side::new("cargo build", compile);
    let found = take_turns(&ours, &peer);
    figures.row(
        "nothing changed since the last build, time to cargo build",
        AtMost(1.1),
        found.ratio,
        "",
    );
    eprintln!("  A: {:.1} ms, B: {:.1} ms", found.ours, found.peer);
    print_commands(&ours, &peer);
    let is_new = !state().is_ok_and(|now| now == before);
    figures.row(
        "the same, files that are written again",
        AtMost(0.0),
        f64::from(u8::from(is_new)),
        "",
    );
    Ok(())
}

/// What packer compiles for on this machine.
fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}
