//! Whatever ends a build before its end, nothing of it is left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tests::{Random, World, require};

use super::boxed;

/// The distance of two moments; a build takes longer than all of them.
const STEP: Duration = Duration::from_millis(40);

/// A package that takes a second to pack.
fn slow() -> Result<(World, PathBuf), tests::Missing> {
    let (world, folder) = boxed()?;
    let mut random = Random::new();
    let noise: Vec<u8> = (0..8 << 20).map(|_| random.byte()).collect();
    let definition = format!(
        "{}files = [{{ source = \"noise\", destination = \"/noise\" }}]\n",
        super::DEFINITION
    );
    world.write(folder.join("noise"), noise);
    world.write(folder.join("packer.toml"), definition);
    world.make_dir(folder.join("out"), 0o755);
    world.own_all(&folder);
    Ok((world, folder))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_build_that_is_killed_leaves_nothing() {
    let (world, folder) = require!(slow());
    let cache = world.path("home/.cache/packer");
    for words in [
        &["--format", "oci-layout", "-o", "out/image"][..],
        &["--format", "dir", "-o", "out/image"],
        &["--format", "docker-archive", "-o", "out/image"],
        &["-o", "out/image"],
        &[],
    ] {
        for (moment, signal) in [Signal::TERM, Signal::KILL, Signal::HUP, Signal::INT]
            .into_iter()
            .enumerate()
        {
            let run = world
                .packer()
                .args(["build", "--compress", "zstd:19"])
                .args(words);
            let running = run.current_dir(&folder).spawn();
            std::thread::sleep(STEP * u32::try_from(moment + 1).expect("a few"));
            running.signal_group(signal);
            let outcome = running.finish();
            assert_ne!(outcome.code, 0, "it was too quick: {outcome}");
            let mut left = [folder.join("out"), cache.clone(), cache.join("made-of")]
                .map(|place| names(&place))
                .concat();
            // The folder of notes, which stays; a note would be counted.
            left.retain(|name| name != "made-of");
            assert!(left.is_empty(), "{words:?}, {signal:?}: {left:?}");
        }
    }
}
