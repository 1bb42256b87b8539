//! `run` of the very same bundle: ours against crun and runc, as a user with subordinate ids.

use tests::binaries::runc;
use tests::client::find;
use tests::ratio::{Side, compare as compare_sides};
use tests::{Missing, Run, World};

/// Compares with each runtime that is there.
pub(super) fn compare(world: &World) {
    if let Err(missing) = attempt(world) {
        eprintln!("  did not run, because {missing}");
    }
}

fn attempt(world: &World) -> Result<(), Missing> {
    let bundle = super::bundle(world, "runtimes", &["/bin/true"])?;
    let run = |runtime: &std::path::Path, flags: &[&str]| -> Run {
        let root = world.path("run/runtimes");
        let run = world.run(runtime).args(flags).args(["--root"]).args([root]);
        run.args(["run", "benchmark"]).current_dir(&bundle)
    };
    let ours = Side::new("runner oci run", || run(runc(), &[]));
    for (name, program, flags) in [
        (
            "crun run, same bundle",
            "crun",
            &["--cgroup-manager=disabled"][..],
        ),
        ("runc run, same bundle", "runc", &[]),
    ] {
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
