//! Programs on base images: what the base is stays as it is, wherever it comes from, and the image is
//! what docker's `FROM` would have made of it.

use std::path::Path;

use serde_json::{Value, json};
use tests::client::{Podman, Registry, find};
use tests::fixture::{Archive, Layer};
use tests::{Missing, Mode, Outcome, World, require};

const BASE: &str = "example.com/team/base:1";

/// A world with a base in every kind of archive, in which `/bin` is a link as on most systems today,
/// and a static program.
fn world() -> Result<World, Missing> {
    let busybox = find("busybox")?;
    let world = World::new(Mode::Mapped)?;
    for (name, archive) in [
        ("oci.tar", base(&busybox).oci()),
        ("docker.tar", base(&busybox).docker()),
    ] {
        world.write(format!("home/{name}"), archive);
    }
    std::fs::copy(busybox, world.home().join("tool")).expect("a new home");
    world.own_all(&world.home());
    Ok(world)
}

fn base(busybox: &Path) -> Archive {
    let lower = Layer::new()
        .dir("usr/", 0o755)
        .dir("usr/bin/", 0o751)
        .owned_by(0, 7)
        .host_file("usr/bin/busybox", busybox)
        .symlink("bin", "usr/bin")
        .symlink("usr/bin/cat", "busybox")
        .dir("etc/", 0o755)
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0::/:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n",
        );
    let upper = Layer::new()
        .dir("srv/", 0o755)
        .file("srv/words", 0o644, "of the base\n");
    Archive::new(BASE, &[&lower, &upper], &["/bin/cat"])
        .with("Env", json!(["PATH=/usr/bin:/bin", "A=base", "B=base"]))
        .with("User", "web")
        .with("WorkingDir", "/srv")
        .with("Labels", json!({"team": "base", "kept": "yes"}))
        .with("Volumes", json!({"/data": {}}))
        .with("ExposedPorts", json!({"81/tcp": {}}))
        .with("StopSignal", "SIGQUIT")
        .with("Entrypoint", json!(["/bin/busybox"]))
}

fn build(world: &World, words: &[&str]) -> Outcome {
    let words = [&["build"], words].concat();
    world.packer().args(words).finish()
}

fn manifest(world: &World, source: &str) -> Value {
    let words = ["inspect", "--raw", "--tls-verify=false", source];
    serde_json::from_str(world.run("skopeo").args(words).succeed().text()).expect("JSON")
}

fn layers(manifest: &Value) -> Vec<String> {
    let layers = manifest["layers"].as_array().expect("a manifest").iter();
    layers
        .map(|layer| layer["digest"].as_str().expect("a digest").to_owned())
        .collect()
}

#[test]
fn a_base_from_anywhere_keeps_its_layers_and_the_program_runs_on_it() {
    require!(find("skopeo"));
    let world = require!(world());
    let podman = require!(Podman::new(&world));
    let registry = require!(Registry::plain());
    let reference = registry.reference("team/base:1");
    let copy = |from: &str, to: &str| {
        let _ = world.packer().args(["copy", "-q", from, to]).succeed();
    };
    let pushed = format!("docker://{reference}");
    copy("oci.tar", &pushed);
    copy("oci.tar", "oci:layout:1");
    copy("oci.tar", "dir:directory");
    let stored = layers(&manifest(&world, "oci-archive:oci.tar"));
    let plain = layers(&manifest(&world, "docker-archive:docker.tar"));
    assert_ne!(
        stored, plain,
        "the layers of the docker-archive are not compressed"
    );
    for (base, layers_of_base) in [
        (reference.as_str(), &stored),
        (&pushed, &stored),
        ("oci:layout:1", &stored),
        ("dir:directory", &stored),
        ("oci-archive:oci.tar", &stored),
        ("./docker.tar", &plain),
        ("docker-archive:docker.tar:example.com/team/base:1", &plain),
    ] {
        let words = [
            "--file",
            "tool",
            "--name",
            "busybox-tool",
            "--base",
            base,
            "-o",
            "a.tar",
        ];
        let built = build(&world, &words);
        assert_eq!(built.code, 0, "{built}");
        let made = manifest(&world, "oci-archive:a.tar");
        assert_eq!(layers(&made)[..2], layers_of_base[..], "{base}");
        assert_eq!(layers(&made).len(), 3, "{base}");
        let annotation =
            |key: &str| made["annotations"][format!("org.opencontainers.image.base.{key}")].clone();
        assert!(
            annotation("digest")
                .as_str()
                .is_some_and(|digest| digest.starts_with("sha256:"))
        );
        let named = match base {
            "dir:directory" => Value::Null,
            _ if base.contains("localhost") => json!(reference),
            _ => json!(BASE),
        };
        assert_eq!(annotation("name"), named, "{base}");
        // podman takes its time, and two kinds of layers are enough for it.
        let runner = world.runner();
        let is_enough = base == reference || base == "./docker.tar";
        let engines = [&runner]
            .into_iter()
            .chain(is_enough.then_some(&podman.engine));
        for engine in engines {
            engine.to(&["load", "-i", "a.tar"]);
            // The base's own program, its working directory and its user are still there.
            let said = engine.to(&[
                "run",
                "--rm",
                "--network",
                "none",
                "localhost/busybox-tool",
                "cat",
                "words",
            ]);
            assert_eq!(said, "of the base", "{base}");
            let said = engine.to(&[
                "run",
                "--rm",
                "--network",
                "none",
                "localhost/busybox-tool",
                "id",
                "-u",
            ]);
            assert_eq!(said, "33", "{base}");
            let words = [
                "run",
                "--rm",
                "--network",
                "none",
                "--entrypoint",
                "/bin/busybox",
                "localhost/busybox-tool",
            ];
            let said = engine.to(&[
                &words[..],
                &["stat", "-c", "%a %g", "/usr/bin", "/bin/busybox-tool"],
            ]
            .concat());
            assert_eq!(said, "751 7\n755 0", "{base}");
        }
    }
}

#[test]
fn the_config_is_what_podman_build_makes_of_the_same_base() {
    let world = require!(world());
    let podman = require!(Podman::new(&world));
    podman.engine.to(&["load", "-q", "-i", "oci.tar"]);
    world.write(
        "home/Containerfile",
        format!(
            "FROM {BASE}\nCOPY tool /bin/tool\nENTRYPOINT [\"/bin/tool\"]\nCMD [\"true\"]\nENV B=own C=own\n\
             LABEL team=own\nVOLUME /more\nEXPOSE 82\nSTOPSIGNAL SIGHUP\n"
        ),
    );
    world.write(
        "home/packer.toml",
        "name = \"tool\"\nprogram = \"tool\"\nbase = \"./oci.tar\"\nargs = [\"true\"]\nenv = { B = \"own\", C = \"own\" }\n\
         labels = { team = \"own\" }\nvolumes = [\"/more\"]\nports = [82]\nstop-signal = \"SIGHUP\"\n\
         time-zones = false\n",
    );
    podman
        .engine
        .to(&["build", "-q", "-t", "localhost/theirs", "."]);
    let built = build(&world, &["-o", "ours.tar"]);
    assert_eq!(built.code, 0, "{built}");
    podman.engine.to(&["load", "-q", "-i", "ours.tar"]);
    let config = |name: &str| -> Value {
        let said = podman
            .engine
            .to(&["image", "inspect", "--format", "{{json .Config}}", name]);
        let mut config: Value = serde_json::from_str(&said).expect("JSON");
        let labels = config["Labels"].as_object_mut().expect("labels");
        labels.retain(|key, _| {
            !key.starts_with("org.opencontainers.")
                && !key.starts_with("io.buildah")
                && key != "packer.publish"
        });
        config
    };
    assert_eq!(config("localhost/tool"), config("localhost/theirs"));
}

#[test]
fn a_platform_is_chosen_for_each_target_and_the_layers_of_the_same_registry_are_mounted() {
    require!(find("skopeo"));
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    world.write("home/words", "hello");
    let package = |base: &str| {
        format!(
            "name = \"words\"\nentrypoint = [\"/bin/words\"]\nsystems = [\"x86_64-linux\", \"aarch64-linux\"]\n{base}\
             files = [{{ source = \"words\", destination = \"/bin/words\", mode = \"0755\" }}]\n"
        )
    };
    world.write("home/packer.toml", package(""));
    let base = registry.reference("several/base:1");
    let _ = build(&world, &["--target", "all", "--push", &base]).success();
    world.write("home/words", "other");
    world.write("home/packer.toml", package(&format!("base = \"{base}\"\n")));
    let made = registry.reference("several/made:1");
    let pushed = build(&world, &["--target", "all", "--push", &made]).success();
    let there = pushed
        .stderr
        .lines()
        .filter(|line| line.ends_with("already exists"))
        .count();
    assert_eq!(there, 1, "one layer is that of both bases: {pushed}");
    for architecture in ["amd64", "arm64"] {
        let source = format!("docker://{made}");
        let words = [
            "inspect",
            "--tls-verify=false",
            "--override-arch",
            architecture,
            &source,
        ];
        let seen: Value =
            serde_json::from_str(world.run("skopeo").args(words).succeed().text()).expect("JSON");
        assert_eq!(seen["Architecture"], architecture);
        assert_eq!(seen["Layers"].as_array().map(Vec::len), Some(2));
    }
    // What was fetched once is not fetched again.
    let again = build(&world, &["--target", "all", "--push", &made]).success();
    assert!(!again.stderr.contains("fetching"), "{again}");
    let none = build(&world, &["--target", "riscv64", "--push", &made]).with_code(125);
    assert!(none.stderr.contains("linux/amd64, linux/arm64"), "{none}");
}

#[test]
fn the_same_base_gives_the_same_bytes() {
    let world = require!(world());
    let mut digests = Vec::new();
    for (number, home) in ["home", "other"].into_iter().enumerate() {
        let folder = match number {
            0 => world.home(),
            _ => world.make_dir(home, 0o700),
        };
        for name in ["oci.tar", "tool"] {
            if number == 1 {
                std::fs::copy(world.home().join(name), folder.join(name)).expect("a new folder");
            }
        }
        world.own_all(&folder);
        let words = [
            "build",
            "--file",
            "tool",
            "--base",
            "./oci.tar",
            "-o",
            "a.tar",
        ];
        let run = world
            .packer()
            .args(words)
            .current_dir(&folder)
            .env("HOME", &folder);
        run.succeed();
        let bytes = std::fs::read(folder.join("a.tar")).expect("it was written");
        digests.push(packer::Digest::of(&bytes));
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn what_cannot_stand_on_a_base_is_said_in_one_line() {
    let world = require!(world());
    let python = ["/usr/bin/python3", "/bin/ls", "/usr/bin/env"];
    let dynamic = python
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    let dynamic = dynamic.expect("every system has a dynamic program");
    world.write("home/script", "#!/usr/bin/nobody-has-this\n");
    let nobody = format!("localhost:{}/a:1", tests::wait::free_port());
    for (words, said) in [
        (
            &["--file", dynamic, "--base", "oci.tar"][..],
            "it needs /lib",
        ),
        (&["--file", "tool", "--base", "./absent.tar"], "absent.tar"),
        (
            &["--file", "tool", "--base", "ftp://x"],
            "the transports are",
        ),
        (
            &["--file", "tool", "--base", &nobody, "--retry", "0"],
            "cannot be reached",
        ),
        (
            &["--file", "tool", "--base", "oci.tar:2"],
            "names no registry",
        ),
        (
            &["--file", "tool", "--base", "oci-archive:oci.tar:2"],
            "choose one",
        ),
    ] {
        let outcome = build(&world, words).with_code(125);
        assert!(outcome.only_error().contains(said), "{said}: {outcome}");
    }
    world.write(
        "home/packer.toml",
        "name = \"x\"\nentrypoint = [\"/bin/absent\"]\nbase = \"oci.tar\"\n",
    );
    let absent = build(&world, &[]).with_code(125);
    assert!(
        absent
            .only_error()
            .contains("nothing in the image has this path"),
        "{absent}"
    );
    world.write(
        "home/packer.toml",
        "name = \"x\"\nentrypoint = [\"/bin/cat\"]\nbase = \"oci.tar\"\nsystems = [\"aarch64-linux\"]\n",
    );
    let other = build(&world, &["--target", "arm64"]).with_code(125);
    assert!(
        other
            .only_error()
            .contains("is for linux/amd64, and linux/arm64 is wanted"),
        "{other}"
    );
    let renamed = build(&world, &["-o", "a.tar"]);
    assert_eq!(
        renamed.code, 0,
        "a base's own program needs no layer: {renamed}"
    );
}
