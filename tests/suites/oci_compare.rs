//! The same configurations under crun and under us: what the process sees, and how it ends.
//!
//! Each variant is the usual configuration with one change, and a script that prints what the change
//! is about. Where the two differ on purpose, the table says why.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::account::we_are_root;
use tests::binaries::runc;
use tests::client::find;
use tests::fixture::bundle::Bundle;
use tests::{Missing, Mode, Run, World, binaries, require};

#[path = "oci_compare/variants.rs"]
mod variants;

use variants::{Variant, all};

/// crun refuses a machine whose cgroups are of both versions. Root can give a test a view of the newer
/// ones alone: mounts of its own, which go with it.
const NEW_CGROUPS_ALONE: &str = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup \
    && mount --make-rshared / && exec \"$0\" \"$@\"";

/// Says to a test that it has that view already.
const HAS_VIEW: &str = "TESTS_HAVE_NEW_CGROUPS_ALONE";

/// Runs the test of this name again where crun works, if it does not here. Whether that was done.
fn ran_where_crun_works(test: &str) -> bool {
    let both_versions = Path::new("/sys/fs/cgroup/unified").exists();
    if !both_versions || !we_are_root() || std::env::var_os(HAS_VIEW).is_some() {
        return false;
    }
    let itself = std::env::current_exe().expect("/proc");
    let again = binaries::with_our_environment(Run::new("unshare"))
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .args([NEW_CGROUPS_ALONE])
        .args([itself])
        .args(["--exact", test])
        .env(HAS_VIEW, "yes")
        .limit(std::time::Duration::from_secs(120))
        .succeed();
    assert!(again.stdout.contains("1 passed"), "{again}");
    true
}

/// What a container printed and how it ended; of a refusal only that it was one.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Ended(i32, String),
    Refused,
}

/// A bundle whose user namespace has all ids that the user may map.
fn bundle(world: &World) -> Result<Bundle<'_>, Missing> {
    let mut bundle = Bundle::new(world, "bundle")?;
    let subordinate = &world.account.subordinate;
    let map = |own: u32| {
        json!([
            {"containerID": 0, "hostID": own, "size": 1},
            {"containerID": 1, "hostID": subordinate.start, "size": subordinate.len()},
        ])
    };
    bundle.config["linux"]["uidMappings"] = map(world.account.uid);
    bundle.config["linux"]["gidMappings"] = map(world.account.gid);
    // crun 1.8 knows no later version, and has no cgroups to show to a user here.
    bundle.config["ociVersion"] = "1.0.2".into();
    let mounts = bundle.config["mounts"].as_array_mut().expect("a list");
    mounts.retain(|mount| mount["type"] != "cgroup");
    for folder in ["data", "data/below"] {
        world.make_dir(bundle.folder.join(folder), 0o755);
    }
    for folder in ["mnt", "proc", "dev", "sys"] {
        world.make_dir(bundle.folder.join("rootfs").join(folder), 0o755);
    }
    world.write(bundle.folder.join("rootfs/etc/plain"), "no program\n");
    Ok(bundle)
}

fn ask(bundle: &Bundle, runtime: &Path, words: &[&str]) -> Answer {
    let outcome = bundle.of(runtime, words).finish();
    let said_nothing = outcome.stdout.is_empty() && !outcome.stderr.is_empty();
    if outcome.code != 0 && said_nothing {
        return Answer::Refused;
    }
    Answer::Ended(outcome.code, normal(&outcome.stdout))
}

/// Without what differs from run to run: the numbers of peer groups, of namespaces and of processes.
fn normal(text: &str) -> String {
    let word = |word: &str| match word.split_once(':') {
        Some((name @ ("shared" | "master" | "propagate_from"), _)) => name.to_owned(),
        _ => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_process_sees_and_ends_with_what_crun_gives_it() {
    let crun = require!(find("crun"));
    if ran_where_crun_works("a_process_sees_and_ends_with_what_crun_gives_it") {
        return;
    }
    let world = require!(World::new(Mode::Mapped));
    let mut bundle = require!(bundle(&world));
    let usual = bundle.config.clone();
    let variants = all(&world, &bundle.folder);
    assert!(variants.len() >= 225, "{} variants", variants.len());
    let mut different = Vec::new();
    for Variant {
        name,
        change,
        script,
        differs,
    } in variants
    {
        bundle.config = usual.clone();
        if let Some(script) = script {
            bundle.script(script);
        }
        change(&mut bundle.config);
        let theirs = ask(
            &bundle,
            &crun,
            &["--cgroup-manager=disabled", "run", "compared"],
        );
        let ours = ask(&bundle, runc(), &["run", "compared"]);
        match differs {
            None if theirs != ours => {
                different.push(format!("{name}\n   crun {theirs:?}\n   ours {ours:?}"));
            }
            // A difference that is gone is no reason to excuse the next one.
            Some(reason) if theirs == ours => {
                different.push(format!("{name}: no difference any more ({reason})"));
            }
            _ => {}
        }
        let leftover: Vec<Value> =
            serde_json::from_str(bundle.runtime(&["list", "-f", "json"]).succeed().text())
                .expect("JSON");
        assert!(leftover.is_empty(), "{name}: {leftover:?}");
        // What a creation wrote into the root file system is there for the other runtime too.
        let _ = fs::remove_file(bundle.folder.join("rootfs/tmp/made"));
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn states_are_told_as_crun_tells_them() {
    let crun = require!(find("crun"));
    if ran_where_crun_works("states_are_told_as_crun_tells_them") {
        return;
    }
    let world = require!(World::new(Mode::Mapped));
    let mut bundle = require!(bundle(&world));
    bundle.config["process"]["args"] = json!(["sleep", "100"]);
    let life = |runtime: &Path| {
        let flag: &[&str] = if runtime == crun {
            &["--cgroup-manager=disabled"]
        } else {
            &[]
        };
        let run = |words: &[&str]| bundle.of(runtime, &[flag, words].concat()).finish().code;
        let status = || {
            let said = bundle.of(runtime, &["state", "life"]).finish();
            let state: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
            let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
            (said.code, text("status"), text("id"), text("bundle"))
        };
        let mut told = vec![status()];
        bundle.leave(runtime, &[flag, &["create", "life"]].concat());
        told.push(status());
        let codes = [run(&["create", "life"]), run(&["start", "life"])];
        told.push(status());
        let more = [
            run(&["start", "life"]),
            run(&["delete", "life"]),
            run(&["kill", "life", "KILL"]),
        ];
        std::thread::sleep(std::time::Duration::from_millis(300));
        told.push(status());
        let last = [
            run(&["kill", "life", "KILL"]),
            run(&["delete", "life"]),
            run(&["delete", "life"]),
        ];
        told.push(status());
        (told, codes, more, last)
    };
    assert_eq!(life(&crun), life(runc()));
}
