//! `run` of the very same bundle: ours against crun and runc, as a user with subordinate ids.

use std::path::Path;

use serde_json::{Value, json};
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

/// The map that all of them understand: crun alone finds one by itself.
fn map_own_id(world: &World, path: &Path) {
    let text = std::fs::read(path).expect("a bundle");
    let mut config: Value = serde_json::from_slice(&text).expect("JSON");
    let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    config["linux"]["uidMappings"] = map(world.account.uid);
    config["linux"]["gidMappings"] = map(world.account.gid);
    world.write(path, config.to_string());
}

fn attempt(world: &World) -> Result<(), Missing> {
    let bundle = super::bundle(world, "runtimes", &["/bin/true"])?;
    map_own_id(world, &bundle.join("config.json"));
    let run = |runtime: &Path, flags: &[&str]| -> Run {
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
