//! The OCI runtime under those who call one: podman, dockerd, containerd.

use std::ffi::OsStr;

use tests::client::{Containerd, Docker, Podman};
use tests::fixture::busybox;
use tests::{Missing, Mode, Outcome, World, binaries, require};

fn world_with_image(mode: Mode) -> Result<World, Missing> {
    let world = World::new(mode)?;
    world.write("home/busybox.tar", busybox::image()?.docker());
    Ok(world)
}

/// What a container of busybox prints on standard output, and its code.
fn expect(outcome: &Outcome, code: i32, text: &str) {
    assert_eq!((outcome.code, outcome.text()), (code, text), "{outcome}");
}

/// A container's life as every one of them has it.
fn live(command: impl Fn(&[&str]) -> Outcome) {
    let image = busybox::NAME;
    let run = |words: &[&str]| {
        let fixed = ["run", "--rm", "--network", "none", image];
        command(&[&fixed[..], words].concat())
    };
    expect(&run(&["echo", "hi"]), 0, "hi");
    expect(&run(&["sh", "-c", "exit 7"]), 7, "");
    expect(&run(&["no-such-program"]), 127, "");
    expect(&run(&["/bin/not-executable"]), 126, "");
    let detached = ["run", "-d", "--name", "sleeper", "--network", "none", image];
    let started = command(&[&detached[..], &["sleep", "100"]].concat());
    assert_eq!(started.code, 0, "{started}");
    expect(
        &command(&[
            "exec",
            "sleeper",
            "sh",
            "-c",
            "echo $$ >/dev/null; echo in; exit 3",
        ]),
        3,
        "in",
    );
    expect(&command(&["exec", "-t", "sleeper", "tty"]), 0, "/dev/pts/0");
    expect(
        &command(&["exec", "-u", "1000", "sleeper", "id", "-u"]),
        0,
        "1000",
    );
    let unknown = command(&["exec", "sleeper", "no-such-program"]);
    // docker 20.10 says 126 here, whatever the runtime.
    assert!([126, 127].contains(&unknown.code), "{unknown}");
    let removed = command(&["rm", "-f", "sleeper"]);
    assert_eq!(removed.code, 0, "{removed}");
}

#[test]
fn podman_without_root_runs_containers() {
    let world = require!(world_with_image(Mode::Mapped));
    let podman = require!(Podman::with_runtime(&world, binaries::runc()));
    podman.engine.to(&["load", "-i", "busybox.tar"]);
    live(|words| podman.engine.try_to(words));
    let map = podman.engine.to(&[
        "run",
        "--rm",
        "--userns=keep-id",
        "--network",
        "none",
        busybox::NAME,
        "id",
        "-u",
    ]);
    assert_eq!(map, world.account.uid.to_string());
}

#[test]
fn docker_runs_containers() {
    let world = require!(world_with_image(Mode::Root));
    let docker = require!(Docker::start());
    docker.to(&[
        "load",
        "-i",
        world.path("home/busybox.tar").to_str().unwrap(),
    ]);
    live(|words| {
        // The runtime is chosen when a container is made.
        match words.split_first() {
            Some((&"run", rest)) => docker
                .command(&[&["run", "--runtime", "runner"], rest].concat())
                .finish(),
            _ => docker.command(words).finish(),
        }
    });
    docker.to(&["rmi", busybox::NAME]);
}

#[test]
fn containerd_runs_containers() {
    let world = require!(world_with_image(Mode::Root));
    let containerd = require!(Containerd::start());
    let archive = world.path("home/busybox.tar");
    let import = ["images", "import", "--snapshotter", "native"].map(OsStr::new);
    containerd.to(&[&import[..], &[archive.as_os_str()]].concat());
    let run = |name: &str, words: &[&str]| {
        let binary = binaries::runc().to_str().expect("UTF-8");
        let fixed = [
            "--rm",
            "--runc-binary",
            binary,
            "--snapshotter",
            "native",
            busybox::NAME,
            name,
        ];
        containerd.run(&[&fixed[..], words].concat()).finish()
    };
    expect(&run("one", &["echo", "hi"]), 0, "hi");
    expect(&run("two", &["sh", "-c", "exit 7"]), 7, "");
    let missing = run("three", &["no-such-program"]);
    assert!(
        missing.code != 0 && missing.stderr.contains("no-such-program"),
        "{missing}"
    );
    containerd.to(&["images", "rm", "--sync", busybox::NAME]);
}
