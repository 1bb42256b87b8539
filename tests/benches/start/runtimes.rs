//! `run` of the very same bundle: ours against crun and runc, as a user with subordinate ids.

use std::path::Path;

use tests::binaries::runc;
use tests::client::find;
use tests::ratio::{Side, compare as compare_sides};
use tests::{Missing, Run, World};

use super::Specification;

/// Compares with each runtime that is there.
///
/// # Errors
/// When there is no bundle.
pub(super) fn compare(world: &World, told: Specification<'_>) -> Result<(), Missing> {
    let bundle = told.bundle(world, &["/bin/true"])?;
    let run = |runtime: &Path, flags: &[&str]| -> Run {
        let root = world.path("run/runtimes");
        let run = world.run(runtime).args(flags).args(["--root"]).args([root]);
        run.args(["run", "benchmark"]).current_dir(&bundle)
    };
    let ours = Side::new("runner oci run", || run(runc(), &[]));
    let peers = match told {
        Specification::Podman(_) => ["crun run, podman's bundle", "runc run, podman's bundle"],
        Specification::Example => ["crun run, example bundle", "runc run, example bundle"],
    };
    let programs = [("crun", &["--cgroup-manager=disabled"][..]), ("runc", &[])];
    for (name, (program, flags)) in peers.into_iter().zip(programs) {
        let Ok(program) = find(program) else {
            eprintln!("  did not run, because {program} is not installed");
            continue;
        };
        let ran = run(&program, flags).finish();
        if ran.code == 0 {
            compare_sides(&ours, &Side::new(name, || run(&program, flags)));
        } else {
            eprintln!("  did not run, because {name} says: {}", ran.stderr.trim());
        }
    }
    Ok(())
}
