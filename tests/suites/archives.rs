//! Archives in both directions: what we write is loaded and run by every client, and what every
//! client writes is loaded and run by us.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::binaries::server_archive;
use tests::client::{Containerd, Docker, Podman, find};
use tests::fixture::{Archive, busybox};
use tests::{Engine, Missing, Mode, World, browser, for_each_account, require, wait};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The name of the image that `packer build` packs in this workspace.
const SERVER: &str = "localhost/server:latest";

/// Waits for the server, and asserts that its page is right.
fn expect_page(port: u16) {
    browser::expect_hello(LOCALHOST, port);
}

fn of_busybox() -> Result<(World, Archive), Missing> {
    Ok((World::of_a_user()?, busybox::image()?))
}

/// Loads `archive` with the runner and runs a command in its image.
fn expect_runs(runner: &Engine, archive: &Path, name: &str) {
    let said = runner.to(&[OsStr::new("load"), OsStr::new("-i"), archive.as_os_str()]);
    assert_eq!(said, format!("Loaded image: {name}"));
    let output = runner.to(&["run", "--rm", name, "sh", "-c", "echo $((6 * 7)) in $PWD"]);
    assert_eq!(output, "42 in /");
}

#[test]
fn podman_runs_the_server() {
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::with_ports(&world));
    let said = podman.engine.to(&[
        OsStr::new("load"),
        OsStr::new("-i"),
        server_archive().as_os_str(),
    ]);
    assert_eq!(said, format!("Loaded image: {SERVER}"));
    let port = wait::free_port();
    podman
        .engine
        .to(&["run", "-d", "-p", &format!("{port}:8080"), SERVER]);
    expect_page(port);
}

#[test]
fn docker_runs_the_server() {
    let docker = require!(Docker::start());
    let said = docker.to(&[
        OsStr::new("load"),
        OsStr::new("-i"),
        server_archive().as_os_str(),
    ]);
    assert_eq!(said, format!("Loaded image: {SERVER}"));
    let port = wait::free_port();
    let listen = format!("PORT={port}");
    let id = docker.to(&["run", "-d", "--network", "host", "-e", &listen, SERVER]);
    expect_page(port);
    docker.to(&["rm", "-f", &id]);
}

#[test]
fn containerd_runs_the_server() {
    let containerd = require!(Containerd::start());
    let archive = server_archive().as_os_str();
    containerd.to(&[OsStr::new("images"), OsStr::new("import"), archive]);
    let port = wait::free_port();
    let listen = format!("PORT={port}");
    let words = ["-d", "--net-host", "--env", &listen, SERVER, "hello"];
    containerd.run(&words).succeed();
    expect_page(port);
    containerd.to(&["tasks", "rm", "--force", "hello"]);
    containerd.to(&["containers", "rm", "hello"]);
}

/// What skopeo says about the server's archive, read as one of its two formats.
fn read_by_skopeo(world: &World, transport: &str) -> Value {
    let source = format!("{transport}:{}", server_archive().display());
    let said = world.run("skopeo").args(["inspect", &source]).succeed();
    serde_json::from_str(said.text()).expect("JSON")
}

#[test]
fn skopeo_reads_the_same_image_in_both_formats_of_the_archive() {
    require!(find("skopeo"));
    let world = require!(World::of_a_user());
    let docker = read_by_skopeo(&world, "docker-archive");
    let oci = read_by_skopeo(&world, "oci-archive");
    for field in ["Architecture", "Os", "Env", "Labels"] {
        assert_eq!(docker[field], oci[field], "{field}");
    }
    for image in [docker, oci] {
        assert_eq!(image["Layers"].as_array().map(Vec::len), Some(1), "{image}");
    }
}

#[test]
fn umoci_unpacks_the_server() {
    require!(find("umoci"));
    let world = require!(World::of_a_user());
    let layout = world.make_dir("layout", 0o755);
    world
        .run("tar")
        .args(["-xf"])
        .args([server_archive(), Path::new("-C"), &layout])
        .succeed();
    let bundle = world.path("bundle");
    world
        .run("umoci")
        .args([
            "unpack",
            "--rootless",
            "--image",
            &format!("{}:latest", layout.display()),
        ])
        .args([&bundle])
        .succeed();
    let config = std::fs::read_to_string(bundle.join("config.json")).expect("umoci wrote it");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    let program = config["process"]["args"][0]
        .as_str()
        .expect("an entry point");
    let program = bundle.join("rootfs").join(program.trim_start_matches('/'));
    assert!(program.is_file(), "{}", program.display());
}

for_each_account! {
    /// As an engine of docker up to 24 and podman write it.
    fn the_runner_runs_a_docker_archive(world) {
        let image = require!(busybox::image());
        let archive = world.write("image.tar", image.docker());
        expect_runs(&world.runner(), &archive, busybox::NAME);
    }
}

for_each_account! {
    fn the_runner_runs_an_oci_archive(world) {
        let image = require!(busybox::image());
        let archive = world.write("image.tar", image.oci());
        expect_runs(&world.runner(), &archive, busybox::NAME);
    }
}

#[test]
fn the_runner_runs_an_archive_in_the_shape_of_guix() {
    let world = require!(World::of_a_user());
    let store = "gnu/store/0123456789abcdfghijklmnpqrsvwxyz-profile";
    let tree = require!(busybox::layer())
        .dir("gnu/", 0o755)
        .dir("gnu/store/", 0o755)
        .dir(&format!("{store}/"), 0o755)
        .symlink(&format!("{store}/bin"), "/bin")
        .symlink("profile", &format!("/{store}"));
    let name = "localhost/guix-hello:latest";
    let image = Archive::new(name, &[&tree], &[])
        .with("Entrypoint", vec!["/profile/bin/echo", "from", "guix"]);
    let archive = world.write("hash-guix-hello-docker-pack.tar.gz", image.guix());
    let runner = world.runner();
    let said = runner.to(&[OsStr::new("load"), OsStr::new("-i"), archive.as_os_str()]);
    assert_eq!(said, format!("Loaded image: {name}"));
    assert_eq!(runner.to(&["run", "--rm", name]), "from guix");
}

#[test]
fn the_runner_runs_an_archive_from_standard_input() {
    let (world, image) = require!(of_busybox());
    let runner = world.runner();
    let loaded = runner.command(&["load"]).input(image.docker()).succeed();
    assert_eq!(loaded.text(), "Loaded image: localhost/busybox:latest");
    assert_eq!(
        runner.to(&["run", "--rm", busybox::NAME, "echo", "hi"]),
        "hi"
    );
}

/// Has podman save an image in `format`, and gives the path of the archive.
fn saved_by_podman(podman: &Podman, image: &Archive, format: &str) -> PathBuf {
    podman.engine.load(&image.docker());
    let archive = podman.engine.world.path("saved.tar");
    let words = ["save", "--format", format, "-o"].map(OsStr::new);
    podman.engine.to(&[
        &words[..],
        &[archive.as_os_str(), OsStr::new(busybox::NAME)],
    ]
    .concat());
    archive
}

#[test]
fn the_runner_runs_what_podman_saves_as_docker_archive() {
    let world = require!(World::new(Mode::Mapped));
    let image = require!(busybox::image());
    let podman = require!(Podman::new(&world));
    let archive = saved_by_podman(&podman, &image, "docker-archive");
    expect_runs(&world.runner(), &archive, busybox::NAME);
}

#[test]
fn the_runner_runs_what_podman_saves_as_oci_archive() {
    let world = require!(World::new(Mode::Mapped));
    let image = require!(busybox::image());
    let podman = require!(Podman::new(&world));
    let archive = saved_by_podman(&podman, &image, "oci-archive");
    expect_runs(&world.runner(), &archive, busybox::NAME);
}

#[test]
fn the_runner_runs_what_docker_saves() {
    let (world, image) = require!(of_busybox());
    let docker = require!(Docker::start());
    docker.command(&["load"]).input(image.docker()).succeed();
    let archive = world.write("saved.tar", "");
    let words = ["save", "-o"].map(OsStr::new);
    docker.to(&[
        &words[..],
        &[archive.as_os_str(), OsStr::new(busybox::NAME)],
    ]
    .concat());
    world.own_all(&archive);
    expect_runs(&world.runner(), &archive, busybox::NAME);
}

/// Has skopeo copy an image into an archive of another transport.
fn copied_by_skopeo(world: &World, image: &Archive, transport: &str) -> PathBuf {
    let from = world.write("from.tar", image.oci());
    let to = world.path("to.tar");
    world
        .run("skopeo")
        .args([
            "copy",
            "--insecure-policy",
            &format!("oci-archive:{}", from.display()),
        ])
        .args([format!("{transport}:{}:{}", to.display(), busybox::NAME)])
        .succeed();
    to
}

#[test]
fn the_runner_runs_what_skopeo_copies_into_a_docker_archive() {
    require!(find("skopeo"));
    let (world, image) = require!(of_busybox());
    let archive = copied_by_skopeo(&world, &image, "docker-archive");
    expect_runs(&world.runner(), &archive, busybox::NAME);
}

#[test]
fn the_runner_runs_what_skopeo_copies_into_an_oci_archive() {
    require!(find("skopeo"));
    let (world, image) = require!(of_busybox());
    let archive = copied_by_skopeo(&world, &image, "oci-archive");
    expect_runs(&world.runner(), &archive, busybox::NAME);
}

#[test]
fn the_runner_gives_an_image_the_id_that_podman_gives_it() {
    let world = require!(World::new(Mode::Mapped));
    let archive = require!(busybox::image()).docker();
    let podman = require!(Podman::new(&world));
    let id = |engine: &Engine| {
        engine.load(&archive);
        engine.to(&[
            "inspect",
            "--format",
            "{{.Id}}",
            "--type",
            "image",
            busybox::NAME,
        ])
    };
    assert_eq!(id(&world.runner()), id(&podman.engine));
}
