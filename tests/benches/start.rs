//! From the command line to the end of a container that does nothing: ours against the peers'.
//!
//! `unshare` only makes namespaces, and is the floor; bwrap mounts a little; crun is a runtime
//! without a store; podman does what we do. Then the first start after a boot, when nothing is kept
//! yet; one more program in a container that runs; and what a container costs while it runs.
//!
//! `cargo bench -p tests --bench start [-- --plot FILE]`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use serde_json::json;
use tests::account::we_are_root;
use tests::client::{Podman, find};
use tests::fixture::busybox;
use tests::ratio::{Side, compare, print_head};
use tests::{Missing, Mode, Run, World, leaks, wait};

#[path = "start/busy.rs"]
mod busy;

#[path = "start/plot.rs"]
mod plot;

#[path = "start/runtimes.rs"]
mod runtimes;

#[path = "start/running.rs"]
mod running;

/// crun refuses a machine whose cgroups are of both versions. Root can give the benchmark a view
/// of the newer ones alone: mounts of its own, which go with it.
const NEW_CGROUPS_ALONE: &str = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup \
    && mount --make-rshared / && exec \"$0\" \"$@\"";

/// Says to the benchmark that it has that view already.
const HAS_VIEW: &str = "BENCHMARK_HAS_NEW_CGROUPS_ALONE";

/// What both engines are told.
const RUN: [&str; 6] = [
    "run",
    "--rm",
    "--network",
    "none",
    busybox::NAME,
    "/bin/true",
];

fn main() {
    let both_versions = Path::new("/sys/fs/cgroup/unified").exists();
    if both_versions && we_are_root() && std::env::var_os(HAS_VIEW).is_none() {
        let itself = std::env::current_exe().expect("/proc");
        let error = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                NEW_CGROUPS_ALONE,
            ])
            .arg(itself)
            .args(std::env::args_os().skip(1))
            .env(HAS_VIEW, "yes")
            .exec();
        eprintln!("  crun will not run: unshare cannot be started: {error}");
    }
    if let Err(missing) = benchmark() {
        println!("did not run, because {missing}");
    }
}

fn benchmark() -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    let image = busybox::image()?;
    let runner = world.runner();
    runner.load(&image.docker());
    let ours = Side::new("runner run", || runner.command(&RUN));
    print_head();
    let peers = [
        against_unshare(&world, &ours),
        against_bwrap(&world, &ours),
        against_crun(&world, &ours),
        against_podman(&world, &ours, &image.docker()),
    ];
    let peers: Vec<_> = peers.into_iter().filter_map(unless_missing).collect();
    draw(&peers);
    runtimes::compare(&world);
    running::compare_exec(&world);
    running::show_memory(&world);
    let in_memory = || {
        let (run, rest) = RUN.split_at(2);
        runner.command(&[run, &["--upper", "tmpfs:size=64m"], rest].concat())
    };
    let in_memory = Side::new("runner run --upper tmpfs", in_memory);
    compare(&in_memory, &ours);
    busy::show(&world, &[ours, in_memory]);
    Ok(())
}

/// The peer's name, and how many times as long as ours it took.
type Found = Result<(&'static str, f64), Missing>;

fn against(ours: &Side, peer: &Side) -> (&'static str, f64) {
    (peer.name, 1.0 / compare(ours, peer).ratio)
}

/// Says why one comparison could not be made.
fn unless_missing<T>(found: Result<T, Missing>) -> Option<T> {
    if let Err(missing) = &found {
        eprintln!("  did not run, because {missing}");
    }
    found.ok()
}

/// Writes the plot where the command line says.
fn draw(peers: &[(&str, f64)]) {
    let mut words = std::env::args_os().skip_while(|word| word != "--plot");
    if let (Some(_), Some(path)) = (words.next(), words.next()) {
        std::fs::write(&path, plot::draw(peers)).expect("to write the plot");
        eprintln!("  plot: {}", path.display());
    }
}

fn against_unshare(world: &World, ours: &Side) -> Found {
    find("unshare")?;
    let floor = || world.run("unshare").args(["-Urmpinu", "--fork", "true"]);
    Ok(against(ours, &Side::new("unshare -Urmpinu --fork", floor)))
}

fn against_bwrap(world: &World, ours: &Side) -> Found {
    find("bwrap")?;
    let sandbox = || {
        let binds = [
            "--unshare-all",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ];
        world.run("bwrap").args(binds).args(["true"])
    };
    Ok(against(ours, &Side::new("bwrap --unshare-all", sandbox)))
}

/// crun on an unpacked copy of the image, as the user, with its own default specification.
fn against_crun(world: &World, ours: &Side) -> Found {
    let bundle = bundle(world, "start", &["/bin/true"])?;
    let run = || crun(world).args(["run", "benchmark"]).current_dir(&bundle);
    let ran = run().finish();
    if ran.code != 0 {
        let said = format!("crun says: {}", ran.stderr.trim());
        return Err(Missing::because(said));
    }
    Ok(against(ours, &Side::new("crun run", run)))
}

/// crun as the user; it can not make cgroups.
fn crun(world: &World) -> Run {
    world.run("crun").args(["--cgroup-manager=disabled"])
}

/// A bundle of this name whose container runs `program`.
fn bundle(world: &World, name: &str, program: &[&str]) -> Result<std::path::PathBuf, Missing> {
    find("crun")?;
    let bundle = world.make_dir(name, 0o755);
    let rootfs = world.make_dir(bundle.join("rootfs"), 0o755);
    let layer = world.write(bundle.join("layer.tar"), busybox::layer()?.tar());
    world
        .run("tar")
        .args(["-xf"])
        .args([&layer, Path::new("-C"), &rootfs])
        .succeed();
    world
        .run("crun")
        .args(["spec", "--rootless"])
        .current_dir(&bundle)
        .succeed();
    let path = bundle.join("config.json");
    let text = std::fs::read_to_string(&path).expect("crun wrote it");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(program);
    world.write(&path, config.to_string());
    Ok(bundle)
}

fn against_podman(world: &World, ours: &Side, archive: &[u8]) -> Found {
    let podman = Podman::new(world)?;
    podman.engine.load(archive);
    let run = || -> Run { podman.engine.command(&RUN) };
    let found = against(ours, &Side::new("podman run", run));
    let first = Side::new("runner run, the first", &*ours.command);
    compare(
        &first.undone_by(|| end(world, "runner-holder")),
        // podman's process that keeps the user namespace is called so.
        &Side::new("podman run, the first", run).undone_by(|| end(world, "podman pause")),
    );
    Ok(found)
}

/// Ends the process that keeps the user namespace between two commands.
fn end(world: &World, keeper: &str) {
    for process in leaks::of_world(world) {
        let is_keeper = process.name == keeper || process.arguments.contains(keeper);
        if let (true, Ok(pid)) = (is_keeper, i32::try_from(process.pid)) {
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            let gone = || {
                (!leaks::of_world(world)
                    .iter()
                    .any(|one| one.pid == process.pid))
                .then_some(())
            };
            let _ = wait::poll(Duration::from_secs(2), gone);
        }
    }
}
