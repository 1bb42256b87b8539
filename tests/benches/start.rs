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

use tests::account::we_are_root;
use tests::client::{Podman, find};
use tests::fixture::busybox;
use tests::ratio::{Side, compare, print_head};
use tests::{Missing, Mode, Run, World, binaries, leaks, wait};

#[path = "start/bundle.rs"]
mod bundle;

#[path = "start/busy.rs"]
mod busy;

#[path = "start/plot.rs"]
mod plot;

#[path = "start/runtimes.rs"]
mod runtimes;

#[path = "start/running.rs"]
mod running;

use bundle::Specification;

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
    binaries::as_installed();
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
    let podman = unless_missing(podman(&world, &image.docker()));
    let specifications = specifications(podman.as_ref());
    print_head();
    let mut peers = vec![against_unshare(&world, &ours), against_bwrap(&world, &ours)];
    peers.extend(
        specifications
            .iter()
            .map(|&told| against_crun(&world, told, &ours)),
    );
    peers.extend(
        podman
            .iter()
            .map(|podman| Ok(against_podman(&world, &ours, podman))),
    );
    let peers: Vec<_> = peers.into_iter().filter_map(unless_missing).collect();
    draw(&peers);
    for &told in &specifications {
        unless_missing(runtimes::compare(&world, told));
    }
    running::compare_exec(&world, &specifications);
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

/// What bundles ask for: an equal specification only where podman is there to write it.
fn specifications<'a>(podman: Option<&'a Podman<'a>>) -> Vec<Specification<'a>> {
    let equal = podman.map(Specification::Podman);
    equal.into_iter().chain([Specification::Example]).collect()
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

/// crun without a store, on a copy of the image: with what podman would tell it, and with its own example.
fn against_crun(world: &World, specification: Specification<'_>, ours: &Side) -> Found {
    let name = match specification {
        Specification::Example => "crun run, its example",
        Specification::Podman(_) => "crun run, equal specification",
    };
    let bundle = specification.bundle(world, &["/bin/true"])?;
    let run = || crun(world).args(["run", "benchmark"]).current_dir(&bundle);
    let ran = run().finish();
    if ran.code != 0 {
        let said = format!("crun says: {}", ran.stderr.trim());
        return Err(Missing::because(said));
    }
    Ok(against(ours, &Side::new(name, run)))
}

/// crun as the user; it can not make cgroups.
fn crun(world: &World) -> Run {
    world.run("crun").args(["--cgroup-manager=disabled"])
}

fn podman<'w>(world: &'w World, archive: &[u8]) -> Result<Podman<'w>, Missing> {
    let podman = Podman::new(world)?;
    podman.engine.load(archive);
    Ok(podman)
}

fn against_podman(world: &World, ours: &Side, podman: &Podman) -> (&'static str, f64) {
    let run = || -> Run { podman.engine.command(&RUN) };
    let found = against(ours, &Side::new("podman run", run));
    let first = Side::new("runner run, the first", &*ours.command);
    compare(
        &first.undone_by(|| end(world, "runner-holder")),
        // podman's process that keeps the user namespace is called so.
        &Side::new("podman run, the first", run).undone_by(|| end(world, "podman pause")),
    );
    found
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
