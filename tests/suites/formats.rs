//! Everything that `packer build` can write: each format, compression, number of names and target,
//! read by those who have to read it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tests::client::{Containerd, Docker, Podman, find};
use tests::{Engine, Missing, Mode, Outcome, World, require, toolchain};

#[path = "formats/containerd.rs"]
mod containerd;
#[path = "formats/interrupted.rs"]
mod interrupted;
#[path = "formats/matrix.rs"]
mod matrix;

/// The program looks for time zones, which have no part in these tests.
const DEFINITION: &str = "name = \"busybox-box\"\nprogram = \"prog\"\nargs = [\"echo\", \"hello\"]\n\
                          time-zones = false\n";
const NAME: &str = "localhost/busybox-box:latest";

/// A world with a static program in `home/box`, and its definition.
fn boxed() -> Result<(World, PathBuf), Missing> {
    let busybox = find("busybox")?;
    let world = World::new(Mode::Mapped)?;
    let folder = world.make_dir("home/box", 0o755);
    std::fs::copy(busybox, folder.join("prog")).expect("a new folder");
    world.write("home/box/packer.toml", DEFINITION);
    world.own_all(&folder);
    Ok((world, folder))
}

fn build(world: &World, words: &[&str]) -> Outcome {
    let run = world.packer().args(["build"]).args(words);
    run.current_dir(world.path("home/box")).finish()
}

fn pack(world: &World, words: &[&str]) {
    let packed = build(world, words);
    assert_eq!(packed.code, 0, "{packed}");
}

/// Loads an archive and runs its image.
fn expect_runs(engine: &Engine, archive: &Path) {
    let said = engine.to(&[OsStr::new("load"), OsStr::new("-i"), archive.as_os_str()]);
    assert!(said.contains(NAME), "{said}");
    let said = engine.to(&["run", "--rm", "--network", "none", NAME]);
    assert_eq!(said, "hello");
}

fn inspected(world: &World, source: &str, words: &[&str]) -> Value {
    let run = world
        .run("skopeo")
        .args(["inspect"])
        .args(words)
        .args([source]);
    serde_json::from_str(run.succeed().text()).expect("JSON")
}

#[test]
fn podman_and_the_runner_run_both_archives_in_every_compression() {
    let (world, _) = require!(boxed());
    let podman = require!(Podman::new(&world));
    for format in ["docker-archive", "oci-archive"] {
        for compression in ["gzip:1", "zstd", "none"] {
            let words = ["--format", format, "--compress", compression, "-o", "a.tar"];
            pack(&world, &words);
            let archive = world.path("home/box/a.tar");
            expect_runs(&podman.engine, &archive);
            expect_runs(&world.runner(), &archive);
        }
    }
}

#[test]
fn docker_runs_the_docker_archive() {
    let (world, _) = require!(boxed());
    let docker = require!(Docker::start());
    for format in [&["--format", "docker-archive"][..], &[]] {
        let archive = world.path("home/box/a.tar");
        pack(&world, &[format, &["-o", "a.tar"]].concat());
        docker.to(&[OsStr::new("load"), OsStr::new("-i"), archive.as_os_str()]);
        let said = docker.to(&["run", "--rm", "--network", "none", NAME]);
        assert_eq!(said, "hello");
        docker.to(&["rmi", NAME]);
    }
}

#[test]
fn each_archive_is_only_what_it_is_called() {
    let (world, _) = require!(boxed());
    let list = |format: &[&str]| {
        pack(&world, &[format, &["-o", "a.tar"]].concat());
        let run = world
            .run("tar")
            .args(["-tf"])
            .args([world.path("home/box/a.tar")]);
        let names = run.succeed().text().to_owned();
        ["manifest.json", "index.json"].map(|name| names.lines().any(|line| line == name))
    };
    assert_eq!(list(&["--format", "docker-archive"]), [true, false]);
    assert_eq!(list(&["--format", "oci-archive"]), [false, true]);
    assert_eq!(list(&[]), [true, true]);
}

#[test]
fn skopeo_and_umoci_read_the_folders() {
    require!(find("skopeo"));
    require!(find("umoci"));
    let (world, folder) = require!(boxed());
    pack(&world, &["--format", "oci-layout", "-o", "layout"]);
    pack(&world, &["--format", "dir", "-o", "dir"]);
    let layout = folder.join("layout");
    let oci = inspected(&world, &format!("oci:{}:latest", layout.display()), &[]);
    let dir = inspected(
        &world,
        &format!("dir:{}", folder.join("dir").display()),
        &[],
    );
    assert_eq!(oci["Digest"], dir["Digest"], "{oci}");
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
    assert!(bundle.join("rootfs/bin/busybox-box").is_file());
    let again = build(&world, &["--format", "dir", "-o", "dir"]);
    assert!(
        again
            .with_code(125)
            .only_error()
            .contains("dir cannot be written")
    );
    let nowhere = build(&world, &["--format", "oci-layout"]);
    assert!(nowhere.with_code(125).only_error().contains("-o"));
}

#[test]
fn zstd_layers_are_read_and_warned_about() {
    require!(find("skopeo"));
    let (world, folder) = require!(boxed());
    let packed = build(&world, &["--compress", "zstd:19", "-o", "a.tar"]).success();
    assert!(
        packed.stderr.contains("zstd") && packed.stderr.contains("docker"),
        "{packed}"
    );
    let source = format!("oci-archive:{}", folder.join("a.tar").display());
    let manifest = inspected(&world, &source, &["--raw"]);
    let layer = &manifest["layers"][0]["mediaType"];
    assert_eq!(layer, "application/vnd.oci.image.layer.v1.tar+zstd");
    let gzip = build(&world, &["-o", "b.tar"]).success();
    assert_eq!(gzip.stderr, "");
    let size = |name| std::fs::metadata(folder.join(name)).expect("written").len();
    assert!(size("a.tar") < size("b.tar"));
}

#[test]
fn an_image_has_as_many_names_as_were_asked_for() {
    let (world, _) = require!(boxed());
    let podman = require!(Podman::new(&world));
    let tags = [
        "-t",
        "localhost/one:1",
        "-t",
        "example.org/two:2",
        "-t",
        "localhost/one:3",
    ];
    pack(&world, &[&tags[..], &["-o", "a.tar"]].concat());
    let archive = world.path("home/box/a.tar");
    for engine in [&podman.engine, &world.runner()] {
        engine.to(&[OsStr::new("load"), OsStr::new("-i"), archive.as_os_str()]);
        for name in ["localhost/one:1", "example.org/two:2", "localhost/one:3"] {
            engine.to(&["inspect", "--type", "image", name]);
        }
    }
}

#[test]
fn what_was_packed_is_said_in_files_and_as_json() {
    require!(find("skopeo"));
    let (world, folder) = require!(boxed());
    let files = ["--digest-file", "digest", "--image-refs", "refs", "--json"];
    for _ in ["new", "found in the cache"] {
        let packed = build(&world, &files).success();
        let result: Value = serde_json::from_str(packed.text()).expect("JSON");
        let path = result["path"].as_str().expect("a path");
        let image = inspected(&world, &format!("oci-archive:{path}"), &[]);
        let digest = image["Digest"].as_str().expect("a digest");
        assert_eq!(result["images"][0]["digest"], digest);
        assert_eq!(result["images"][0]["names"][0], NAME);
        assert_eq!(result["images"][0]["platforms"][0]["digest"], digest);
        let read = |name| std::fs::read_to_string(folder.join(name)).expect("it was asked for");
        assert_eq!(read("digest"), digest);
        assert_eq!(read("refs"), format!("{NAME}@{digest}\n"));
    }
}

#[test]
fn an_archive_goes_through_a_pipe_and_not_to_a_terminal() {
    let (world, folder) = require!(boxed());
    let whole = build(&world, &["-o", "a.tar"]).success();
    assert_eq!(whole.text(), "a.tar");
    let packer = tests::binaries::path("packer");
    let script = format!("'{}' build -o - | cmp - a.tar", packer.display());
    let piped = world.run("sh").args(["-c", &script]).current_dir(&folder);
    piped.succeed();
    require!(find("script"));
    let line = format!("'{}' build -o -", packer.display());
    let shown = world
        .run("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(&folder)
        .finish();
    assert_eq!(shown.code, 125, "{shown}");
    assert!(shown.stdout.contains("terminal"), "{shown}");
}

#[test]
fn a_list_makes_one_image_of_several_programs_or_several_images() {
    let (world, folder) = require!(boxed());
    let podman = require!(Podman::new(&world));
    let other = DEFINITION.replace("busybox-box", "busybox-other");
    world.write(folder.join("other.toml"), other);
    world.write(
        folder.join("one.list.toml"),
        "name = \"both\"\npackages = [\"./packer.toml\", \"./other.toml\"]\n",
    );
    world.write(
        folder.join("two.list.toml"),
        "[[image]]\npackages = [\"./packer.toml\"]\n[[image]]\npackages = [\"./other.toml\"]\n\
         tags = [\"localhost/second:1\"]\n",
    );
    let load = |list: &str| {
        let packed = build(&world, &["-m", list]).success();
        podman.engine.to(&["load", "-i", packed.text()])
    };
    assert!(load("one.list.toml").contains("localhost/both:latest"));
    for program in ["busybox-box", "busybox-other"] {
        let path = format!("/bin/{program}");
        let words = ["run", "--rm", "--network", "none", "--entrypoint", &path];
        let said = podman
            .engine
            .to(&[&words[..], &["localhost/both", "echo", "hi"]].concat());
        assert_eq!(said, "hi");
    }
    load("two.list.toml");
    for name in [NAME, "localhost/second:1"] {
        assert_eq!(
            podman
                .engine
                .to(&["run", "--rm", "--network", "none", name]),
            "hello"
        );
    }
    world.write(
        folder.join("bad.toml"),
        "packages = [\"./packer.toml\", \"./packer.toml\"]\n[x]\n",
    );
    let refused = build(&world, &["-m", "bad.toml"]);
    assert!(refused.with_code(125).only_error().contains("bad.toml:2:2"));
}

/// A package of cargo that says which processor it was compiled for.
fn for_several() -> Result<World, Missing> {
    find("cargo")?;
    let world = World::new(Mode::Mapped)?;
    let folder = world.make_dir("home/box", 0o755);
    world.make_dir(folder.join("src"), 0o755);
    world.write(
        folder.join("Cargo.toml"),
        "[package]\nname = \"several\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    let source = "fn main() { println!(\"hello from {}\", std::env::consts::ARCH); }\n";
    world.write(folder.join("src/main.rs"), source);
    world.own_all(&folder);
    Ok(world)
}

fn has_target(world: &World, triple: &str) -> Result<(), Missing> {
    let run = toolchain::give(world, world.run("rustc").args(["--print", "sysroot"]))?;
    let sysroot = run.succeed();
    let folder = Path::new(sysroot.text()).join("lib/rustlib").join(triple);
    match folder.is_dir() {
        true => Ok(()),
        false => Err(Missing::because(format!(
            "the target {triple} is not installed"
        ))),
    }
}

#[test]
fn one_index_holds_the_image_for_each_target() {
    let world = require!(for_several());
    for triple in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"] {
        require!(has_target(&world, triple));
    }
    require!(find("qemu-aarch64-static"));
    require!(find("skopeo"));
    let words = ["build", "--target", "amd64,arm64", "-o", "a.tar", "--json"];
    let run = world
        .packer()
        .args(words)
        .current_dir(world.path("home/box"));
    let packed = require!(toolchain::give(&world, run))
        // A C compiler for another processor has no part in it.
        .env("CC", "false")
        .limit(Duration::from_secs(300))
        .succeed();
    let result: Value = serde_json::from_str(packed.text()).expect("JSON");
    let image = &result["images"][0];
    assert_eq!(image["platforms"][0]["platform"], "linux/amd64", "{image}");
    assert_eq!(image["platforms"][1]["platform"], "linux/arm64", "{image}");
    let archive = world.path("home/box/a.tar");
    let source = format!("oci-archive:{}", archive.display());
    for (architecture, machine) in [("amd64", "x86_64"), ("arm64", "aarch64")] {
        let layout = world.path(architecture);
        world
            .run("skopeo")
            .args([
                "copy",
                "-q",
                "--insecure-policy",
                "--override-arch",
                architecture,
                &source,
            ])
            .args([format!("oci:{}:x", layout.display())])
            .succeed();
        let bundle = world.path(format!("bundle-{architecture}"));
        world
            .run("umoci")
            .args([
                "unpack",
                "--rootless",
                "--image",
                &format!("{}:x", layout.display()),
            ])
            .args([&bundle])
            .succeed();
        let program = bundle.join("rootfs/bin/several");
        let run = match architecture {
            "arm64" => world.run("qemu-aarch64-static").args([&program]),
            _ => world.run(&program),
        };
        assert_eq!(run.succeed().text(), format!("hello from {machine}"));
    }
    let podman = require!(Podman::new(&world));
    for engine in [&podman.engine, &world.runner()] {
        engine.to(&[OsStr::new("load"), OsStr::new("-i"), archive.as_os_str()]);
        let said = engine.to(&["run", "--rm", "--network", "none", "localhost/several"]);
        assert_eq!(said, "hello from x86_64");
    }
    if let Ok(containerd) = Containerd::start() {
        containerd.to(&[
            OsStr::new("images"),
            OsStr::new("import"),
            archive.as_os_str(),
        ]);
    }
}

#[test]
fn a_target_that_cannot_be_made_says_what_to_do() {
    let world = require!(for_several());
    let run = |words: &[&str]| {
        let run = world.packer().args(["build"]).args(words);
        let run = toolchain::give(&world, run.current_dir(world.path("home/box")));
        run.map(|run| run.limit(Duration::from_secs(120)).finish())
    };
    let unknown = require!(run(&["--target", "amd46"]));
    assert!(unknown.stderr.contains("amd64"), "{unknown}");
    let left_out = require!(run(&["--target", "riscv64"]));
    let error = left_out.with_code(125).only_error().to_owned();
    assert!(
        error.contains("riscv64-linux") && error.contains("x86_64-linux"),
        "{error}"
    );
    require!(find("busybox"));
    let busybox = find("busybox").expect("asked for before");
    let other = require!(run(&[
        "--target",
        "arm64",
        "--file",
        busybox.to_str().expect("a plain path")
    ]));
    assert!(other.with_code(125).only_error().contains("not for arm64"));
}
