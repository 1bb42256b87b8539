//! kill -9 at any moment of any command: the next one tells the truth, works, and nothing is left.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use tests::client::Registry;
use tests::fixture::busybox;
use tests::{Engine, Missing, Mode, World, for_each_account, leaks, require, wait};

/// How many moments of a command are tried.
const MOMENTS: u32 = 50;

/// The distance of two moments; all of them together are longer than any of the commands takes.
const STEP: Duration = Duration::from_micros(400);

/// Starts a command and kills it, with what it has started in its process group, at one of the moments.
fn kill_at(engine: &Engine, words: &[OsString], moment: u32) {
    let running = engine.command(words).spawn();
    std::thread::sleep(STEP * moment);
    running.signal_group(Signal::KILL);
    // What a killed command has started may hold the outputs for a moment longer.
    let _ = running.finish();
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Whatever is running does run, everything can be removed, and the name can be used at once.
fn expect_a_sound_engine(engine: &Engine, moment: u32) {
    engine.to(&["rm", "-f", "-a", "-t", "0"]);
    assert_eq!(engine.to(&["ps", "-a", "-q"]), "", "moment {moment}");
    let again = [
        "run",
        "--rm",
        "--name",
        "same",
        busybox::NAME,
        "echo",
        "well",
    ];
    assert_eq!(engine.to(&again), "well", "moment {moment}");
    wait::until("the end of every process", Duration::from_secs(5), || {
        let processes = leaks::of_world(engine.world);
        processes.iter().all(leaks::is_holder).then_some(())
    });
}

/// What is left in the store of containers, and of what is only meant to be there for a moment, a minute
/// later: a folder that is younger may be one that another command is making or removing just now.
fn left_over(engine: &Engine) -> BTreeSet<PathBuf> {
    let store = store_of(engine.world);
    let old = FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(120));
    for folder in entries(&store.join("container-trash")) {
        // The holder may be removing it at this moment.
        if let Ok(opened) = File::open(&folder) {
            opened.set_times(old).expect("our own file, or we are root");
        }
    }
    engine.to(&["ps"]);
    let left = || -> BTreeSet<PathBuf> {
        ["containers", "container-names", "container-trash", "tmp"]
            .iter()
            .flat_map(|name| entries(&store.join(name)))
            .collect()
    };
    // Both the command and the holder remove: what the one has found gone already, the other may
    // just be finishing.
    let _ = wait::poll(Duration::from_secs(5), || left().is_empty().then_some(()));
    left()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn store_of(world: &World) -> PathBuf {
    match world.account.mode {
        Mode::Root => world.path("store"),
        _ => world.path("home/.local/share/runner"),
    }
}

for_each_account! {
    fn of_run(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let started = words(&["run", "--rm", "--name", "same", busybox::NAME, "sleep", "1000"]);
        for moment in 0..MOMENTS {
            kill_at(&runner, &started, moment);
            expect_a_sound_engine(&runner, moment);
        }
        assert_eq!(left_over(&runner), BTreeSet::new());
    }
}

for_each_account! {
    fn of_a_detached_run(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let started = words(&["run", "-d", "--name", "same", busybox::NAME, "sleep", "1000"]);
        for moment in 0..MOMENTS {
            kill_at(&runner, &started, moment);
            expect_a_sound_engine(&runner, moment);
        }
        assert_eq!(left_over(&runner), BTreeSet::new());
    }
}

for_each_account! {
    fn of_rm(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for moment in (0..MOMENTS).step_by(2) {
            runner.to(&["run", "-d", "--name", "same", busybox::NAME, "sleep", "1000"]);
            kill_at(&runner, &words(&["rm", "-f", "-t", "0", "same"]), moment);
            expect_a_sound_engine(&runner, moment);
        }
        assert_eq!(left_over(&runner), BTreeSet::new());
    }
}

for_each_account! {
    fn of_load_and_rmi(world) {
        let runner = world.runner();
        let archive = world.write("image.tar", require!(busybox::image()).docker());
        let mut load = words(&["load", "-q", "-i"]);
        load.push(archive.into());
        for moment in 0..MOMENTS {
            // Loading takes longer than starting.
            kill_at(&runner, &load, moment * 3);
            runner.command(&load).succeed();
            assert_eq!(runner.to(&["run", "--rm", busybox::NAME, "echo", "well"]), "well");
            kill_at(&runner, &words(&["rmi", "-f", busybox::NAME]), moment);
            // The name may be gone already, and the image be there without it.
            let id = runner.to(&["images", "-q"]);
            if !id.is_empty() {
                assert_eq!(runner.to(&["run", "--rm", &id, "echo", "well"]), "well");
                runner.to(&["rmi", "-f", &id]);
            }
            assert_eq!(runner.to(&["images", "-q"]), "", "moment {moment}");
        }
        // Loading and removing once more sweeps what the last of them has left.
        runner.command(&load).succeed();
        runner.to(&["rmi", "-f", busybox::NAME]);
        assert_eq!(left_over(&runner), BTreeSet::new());
        let blobs = fs::read_dir(store_of(world).join("blobs/sha256")).expect("the store");
        assert_eq!(blobs.count(), 0);
    }
}

/// Kills `words` at every moment; `before` makes the state that it finds, `after` looks at what it
/// left. In the end the store is sound and nothing is left over.
fn kill_at_every_moment(
    world: &World,
    words: &[&str],
    before: impl Fn(&Engine),
    after: impl Fn(&Engine, u32),
) {
    let runner = world.runner();
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    for moment in 0..MOMENTS {
        before(&runner);
        kill_at(&runner, &words, moment);
        after(&runner, moment);
    }
    runner.to(&["system", "check", "--repair"]);
    assert_eq!(runner.to(&["system", "check"]), "");
    assert_eq!(left_over(&runner), BTreeSet::new());
}

/// Writes the archive `home/image.tar` into a world, and gives its path.
fn archive(world: &World) -> Result<String, Missing> {
    let archive = busybox::image()?.docker();
    let path = world.write("home/image.tar", archive);
    Ok(path.to_str().expect("a plain path").to_owned())
}

for_each_account! {
    fn of_pull(world) {
        let archive = require!(archive(world));
        let archive = archive.as_str();
        let there = require!(Registry::plain()).reference("kills/busybox:1");
        let runner = world.runner();
        runner.to(&["load", "-q", "-i", archive]);
        runner.to(&["push", "-q", "--tls-verify=false", busybox::NAME, &there]);
        runner.to(&["rmi", busybox::NAME]);
        let pull = ["pull", "-q", "--tls-verify=false", &there];
        kill_at_every_moment(
            world,
            &pull,
            |_| (),
            |runner, moment| {
                runner.to(&pull);
                let said = runner.to(&["run", "--rm", &there, "echo", "well"]);
                assert_eq!(said, "well", "moment {moment}");
                runner.to(&["rmi", "-f", &there]);
            },
        );
    }
}

for_each_account! {
    fn of_save(world) {
        let archive = require!(archive(world));
        let archive = archive.as_str();
        let saved = world.path("tmp/saved.tar");
        let save = [
            "save",
            "-q",
            "-o",
            saved.to_str().expect("a plain path"),
            busybox::NAME,
        ];
        world.runner().to(&["load", "-q", "-i", archive]);
        kill_at_every_moment(
            world,
            &save,
            |_| drop(fs::remove_file(&saved)),
            |runner, moment| {
                if saved.exists() {
                    runner.to(&["load", "-q", "-i", save[3]]);
                }
                drop(fs::remove_file(&saved));
                runner.to(&save);
                let left = entries(&world.path("tmp"));
                assert_eq!(left, [saved.as_path()], "moment {moment}");
            },
        );
        drop(fs::remove_file(&saved));
    }
}

for_each_account! {
    fn of_prune(world) {
        let archive = require!(archive(world));
        let archive = archive.as_str();
        kill_at_every_moment(
            world,
            &["image", "prune", "-a", "-f"],
            |runner| drop(runner.to(&["load", "-q", "-i", archive])),
            |runner, moment| {
                for id in runner.to(&["images", "-q"]).lines() {
                    let said = runner.to(&["run", "--rm", id, "echo", "well"]);
                    assert_eq!(said, "well", "moment {moment}");
                }
            },
        );
    }
}

for_each_account! {
    fn of_reset(world) {
        let archive = require!(archive(world));
        let archive = archive.as_str();
        kill_at_every_moment(
            world,
            &["system", "reset", "-f"],
            |runner| {
                runner.to(&["load", "-q", "-i", archive]);
                runner.to(&["create", busybox::NAME, "true"]);
            },
            |runner, moment| {
                let load = runner.to(&["load", "-q", "-i", archive]);
                assert_eq!(
                    load,
                    format!("Loaded image: {}", busybox::NAME),
                    "moment {moment}"
                );
                let said = runner.to(&["run", "--rm", busybox::NAME, "echo", "well"]);
                assert_eq!(said, "well", "moment {moment}");
                runner.to(&["system", "reset", "-f"]);
            },
        );
    }
}
