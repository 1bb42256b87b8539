//! A disk that is full: whatever the size at which it is, there is one line and nothing else.

use tests::{Missing, Outcome, Run, World, require};

use super::boxed;

/// Packs on a new small file system, in a namespace of the user's own. Behind what `packer` prints
/// comes its exit code and what lies there then.
const SCRIPT: &str = "mount -t tmpfs -o size=$1 tmpfs /mnt || exit 99\n\
    cd \"$2\"; shift 2\n\
    \"$@\"; echo \"code $?\"; ls -A /mnt | sed 's/^/left /'";

fn on_a_small_disk(world: &World, size: &str, words: &[&str]) -> Outcome {
    let packer = world.packer().args(["build"]).args(words).line();
    let mut line: Vec<&str> = packer.split_whitespace().collect();
    // The size of the disk, where to stand, and the command.
    let home = world.path("home/box");
    let home = home.to_str().expect("a plain path");
    line.insert(0, home);
    line.insert(0, size);
    world
        .run("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            SCRIPT,
            "sh",
        ])
        .args(line)
        .finish()
}

fn namespaces(world: &World) -> Result<(), Missing> {
    let run: Run = world
        .run("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"]);
    match run.finish().code {
        0 => Ok(()),
        _ => Err(Missing::because("a user cannot make namespaces here")),
    }
}

#[test]
fn a_full_disk_leaves_no_archive() {
    let (world, _) = require!(boxed());
    require!(namespaces(&world));
    let (mut failed, mut succeeded) = (0, 0);
    for words in [
        &["-o", "/mnt/a.tar"][..],
        &["-o", "/mnt/a.tar", "--compress", "none"],
        &["-o", "/mnt/layout", "--format", "oci-layout"],
        &["-o", "/mnt/a.tar", "--sbom", "spdx"],
    ] {
        for pages in [1, 2, 3, 10, 64, 100, 200, 400, 490, 1000] {
            let outcome = on_a_small_disk(&world, &format!("{}k", pages * 4), words);
            let left: Vec<&str> = outcome
                .stdout
                .lines()
                .filter(|line| line.starts_with("left "))
                .collect();
            if outcome.stdout.contains("code 0") {
                succeeded += 1;
                assert!(!left.is_empty(), "{outcome}");
                continue;
            }
            failed += 1;
            assert!(outcome.stdout.contains("code 125"), "{outcome}");
            assert!(left.is_empty(), "{outcome}");
            let error = outcome.stderr.lines().last().unwrap_or_default();
            assert!(error.contains("o space left"), "{outcome}");
        }
    }
    assert!(
        failed >= 20 && succeeded >= 4,
        "{failed} failed, {succeeded} succeeded"
    );
}
