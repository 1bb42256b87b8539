//! Where images are kept and how containers get their files; `info`, `system` and `unshare`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tests::client::Podman;
use tests::fixture::busybox;
use tests::{Engine, Mode, Outcome, World, binaries, require};

/// The engine as a user calls it who says nothing about places.
fn plain(world: &World, words: &[&str]) -> Outcome {
    world.run(binaries::path("runner")).args(words).finish()
}

fn succeed(world: &World, words: &[&str]) -> String {
    plain(world, words).with_code(0).text().to_owned()
}

/// A line of a shell, in which `runner` is the engine.
fn shell(world: &World, line: &str) -> Outcome {
    let folder = binaries::path("runner")
        .parent()
        .expect("a folder")
        .to_owned();
    let path = format!(
        "{}:{}",
        folder.display(),
        binaries::path_for_everybody().to_string_lossy()
    );
    world
        .run("sh")
        .env("PATH", path)
        .args(["-c", line])
        .finish()
}

fn configure(world: &World, name: &str, content: &str) -> PathBuf {
    let folder = world.home().join(".config/containers");
    fs::create_dir_all(&folder).expect("a new home");
    fs::write(folder.join(name), content).expect("a new home");
    world.own_all(&world.home().join(".config"));
    folder.join(name)
}

fn graph_root(world: &World) -> String {
    succeed(world, &["info", "--format", "{{.Store.GraphRoot}}"])
}

#[test]
fn the_tutorials_configuration_chapter_can_be_followed() {
    let world = require!(World::new(Mode::Mapped));
    let driver = || {
        shell(&world, "runner info | grep graphDriverName")
            .with_code(0)
            .text()
            .trim()
            .to_owned()
    };
    // As the tutorial's reader finds it, with the driver that it warns of.
    configure(&world, "storage.conf", "[storage]\ndriver = \"vfs\"\n");
    assert_eq!(driver(), "graphDriverName: vfs");
    let archive = world.write("image.tar", require!(busybox::image()).docker());
    configure(
        &world,
        "policy.json",
        "{\"default\": [{\"type\": \"reject\"}]}",
    );
    let load = format!("runner load < {}", archive.display());
    assert_eq!(shell(&world, &load).code, 125);
    configure(
        &world,
        "policy.json",
        "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}",
    );
    assert_eq!(shell(&world, &load).code, 0);
    succeed(
        &world,
        &["run", "--name", "old", "localhost/busybox", "echo", "hi"],
    );
    configure(&world, "storage.conf", "[storage]\ndriver = \"overlay\"\n");
    assert_eq!(shell(&world, "runner system reset --force").code, 0);
    assert_eq!(driver(), "graphDriverName: overlay");
    assert_eq!(succeed(&world, &["ps", "-aq"]), "");
    assert_eq!(succeed(&world, &["images", "-q"]), "");
    let loaded = shell(&world, &load).with_code(0);
    assert_eq!(loaded.text(), "Loaded image: localhost/busybox:latest");
    assert_eq!(
        succeed(&world, &["run", "--rm", "localhost/busybox", "echo", "hi"]),
        "hi"
    );
    succeed(&world, &["system", "reset", "-f"]);
    let left = fs::read_dir(graph_root(&world))
        .expect("info makes it")
        .count();
    assert!(left > 0);
}

#[test]
fn storage_conf_names_the_places() {
    let world = require!(World::of_a_user());
    let home = world.home().canonicalize().expect("our own folder");
    let usual = graph_root(&world);
    assert_eq!(
        usual,
        format!("{}/.local/share/runner", world.home().display())
    );
    let text = "[storage]\ndriver = \"overlay\"\ngraphroot = \"$HOME/graph\"\nrunroot = \"${XDG_RUNTIME_DIR}/other\"\n\
                [storage.options]\nadditionalimagestores = [\"/x\"]\n[storage.options.overlay]\nmountopt = \"nodev\"\n";
    let path = configure(&world, "storage.conf", text);
    // What podman has there is not ours to touch.
    let foreign = world.make_dir("home/graph", 0o700).join("overlay-images");
    fs::write(&foreign, "podman's").expect("our own folder");
    assert_eq!(
        graph_root(&world),
        format!("{}/graph/runner", world.home().display())
    );
    let notes = succeed(
        &world,
        &["info", "--format", "{{range .Host.Notes}}{{.}};{{end}}"],
    );
    let ignored = "options.additionalimagestores, options.overlay.mountopt";
    assert!(
        notes.contains(ignored) && notes.contains("storage.conf"),
        "{notes}"
    );
    assert_eq!(
        succeed(&world, &["info", "--format", "{{.Store.ConfigFile}}"]),
        path.display().to_string()
    );
    assert_eq!(
        succeed(&world, &["info", "--format", "{{.Store.RunRoot}}"]),
        format!("{}/other/runner", world.path("run").display())
    );
    succeed(&world, &["system", "reset", "-f"]);
    assert_eq!(
        fs::read_to_string(&foreign).expect("it is there"),
        "podman's"
    );
    // A variable goes before the file, and a flag before both.
    let other = world.write(
        "other.conf",
        "[storage]\nrootless_storage_path = \"/$UID\"\ndriver = \"vfs\"\n",
    );
    let info = |words: &[&str]| {
        let run = world
            .run(binaries::path("runner"))
            .env("CONTAINERS_STORAGE_CONF", &other);
        let run = run
            .env("STORAGE_DRIVER", "overlay")
            .args(["--root", &home.join("flag").display().to_string()]);
        run.args(words).finish()
    };
    let format = "{{.Store.GraphRoot}} {{.Store.GraphDriverName}}";
    let found = info(&["info", "--format", format]).with_code(0);
    assert_eq!(found.text(), format!("{}/flag overlay", home.display()));
}

#[test]
fn a_storage_conf_that_is_not_understood_is_one_line() {
    let world = require!(World::of_a_user());
    for (text, words) in [
        ("[storage\n", ["storage.conf", "line 1"]),
        (
            "[storage]\n\ndriver = 7\n",
            ["storage.conf", "driver is no text"],
        ),
        (
            "[storage]\ndriver = \"fast\"\n",
            ["storage.conf", "there is no driver \"fast\""],
        ),
        (
            "[storage]\ngraphroot = \"here\"\n",
            ["storage.conf", "\"here\" is no absolute path"],
        ),
    ] {
        configure(&world, "storage.conf", text);
        let outcome = plain(&world, &["images"]).with_code(125);
        let line = outcome.only_error();
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
}

#[test]
fn with_vfs_a_container_has_a_copy() {
    let world = require!(World::new(Mode::Mapped));
    let archive = world.write("image.tar", require!(busybox::image()).docker());
    configure(&world, "storage.conf", "[storage]\ndriver = \"vfs\"\n");
    succeed(
        &world,
        &["load", "-q", "-i", &archive.display().to_string()],
    );
    let mounts = "busybox grep ' / / ' /proc/self/mountinfo || grep overlay /proc/self/mountinfo || echo none";
    let words = ["run", "--name", "copy", busybox::NAME, "sh", "-c", mounts];
    assert!(!succeed(&world, &words).contains("overlay"));
    assert_eq!(
        succeed(&world, &["inspect", "--format", "{{.Driver}}", "copy"]),
        "vfs"
    );
    // A start that was killed while it copied has left half a copy.
    let list = ["ls", "/", "/bin"];
    let words = [&["create", "--name", "half", busybox::NAME], &list[..]].concat();
    let id = succeed(&world, &words);
    let folder = world.home().join(".local/share/runner/containers").join(id);
    let left = folder.join("copying");
    std::fs::create_dir(&left).expect("a folder");
    std::fs::write(left.join("half"), "").expect("a file");
    world.own_all(&left);
    let whole = succeed(
        &world,
        &[&["run", "--rm", busybox::NAME], &list[..]].concat(),
    );
    assert_eq!(succeed(&world, &["start", "-a", "half"]), whole);
    assert!(!left.exists() && !whole.contains("half"));
    succeed(&world, &["system", "reset", "-f"]);
}

/// The values of `info` that both engines must find alike.
const SAME: [&str; 14] = [
    "{{.Host.Arch}}",
    "{{.Host.OS}}",
    "{{.Host.Kernel}}",
    "{{.Host.Hostname}}",
    "{{.Host.CPUs}}",
    "{{.Host.MemTotal}}",
    "{{.Host.SwapTotal}}",
    "{{.Host.Security.Rootless}}",
    "{{.Host.Distribution.Distribution}} {{.Host.Distribution.Version}}",
    "{{range .Host.IDMappings.UIDMap}}{{.ContainerID}} {{.HostID}} {{.Size}};{{end}}",
    "{{.Store.GraphDriverName}} {{.Store.ContainerStore.Running}} {{.Store.ImageStore.Number}}",
    "{{.Version.OsArch}}",
    "{{.Host.CgroupsVersion}} {{.Version.GitCommit}}",
    "{{.Host.Security.SELinuxEnabled}} {{.Host.Security.AppArmorEnabled}}",
];

#[test]
fn info_says_what_podmans_says() {
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    for format in SAME {
        let words = ["info", "--format", format];
        assert_eq!(runner.to(&words), podman.engine.to(&words), "{format}");
    }
    let json = |engine: &Engine<'_>| -> Value {
        serde_json::from_str(&engine.to(&["info", "--format", "json"])).expect("JSON")
    };
    let (ours, theirs) = (json(&runner), json(&podman.engine));
    for part in ["host", "store", "version"] {
        for key in theirs[part].as_object().expect("an object").keys() {
            // A program that later podmans use.
            let is_there = ours[part].get(key).is_some() || key == "pasta";
            assert!(is_there, "{part}.{key} is missing");
        }
    }
    for format in [
        "{{.Host.Security.DefaultCapabilities}} {{.Host.Security.SECCOMPProfilePath}}",
        "{{.Host.BuildahVersion}} {{.Host.Conmon.Version}} {{.Version.GoVersion}}",
        "{{.Host.CPUUtilization.IdlePercent}} {{.Host.Slirp4NetNS.Executable}}",
        "{{.Store.GraphOptions.nothing}}",
    ] {
        for engine in [&runner, &podman.engine] {
            engine.to(&["info", "--format", format]);
        }
    }
    for format in [
        "{{.Host.Nothing}}",
        "{{.Host.Security.Nothing}}",
        "{{.Nothing}}",
    ] {
        for engine in [&runner, &podman.engine] {
            let refused = engine.try_to(&["info", "--format", format]);
            drop(refused.with_code(125));
        }
    }
    for words in [
        ["unshare", "cat", "/proc/self/uid_map"],
        ["unshare", "id", "-u"],
    ] {
        let fields = |text: String| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (ours, theirs) = (fields(runner.to(&words)), fields(podman.engine.to(&words)));
        // One more of our extents stands behind podman's.
        assert_eq!(ours[..theirs.len()], theirs[..]);
    }
    assert_eq!(runner.try_to(&["unshare", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(runner.try_to(&["unshare", "no-such-program"]).code, 127);
}

#[test]
fn what_nobody_needs_is_counted_and_removed() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    runner.to(&[
        "run",
        "--name",
        "done",
        "-v",
        "data:/data",
        busybox::NAME,
        "sh",
        "-c",
        "head -c 5000 /dev/zero > /x",
    ]);
    runner.to(&[
        "run",
        "-d",
        "--name",
        "busy",
        "--stop-timeout",
        "0",
        busybox::NAME,
        "sleep",
        "1000",
    ]);
    let format = "{{.Type}}:{{.Total}}:{{.Active}}";
    assert_eq!(
        runner.to(&["system", "df", "--format", format]),
        "Images:1:1\nContainers:2:1\nLocal Volumes:1:1"
    );
    let lines = runner.to(&["system", "df"]);
    let header: Vec<&str> = lines
        .lines()
        .next()
        .expect("a header")
        .split_whitespace()
        .collect();
    assert_eq!(header, ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    let json: Value =
        serde_json::from_str(&runner.to(&["system", "df", "--format", "json"])).expect("JSON");
    assert_eq!(json[1]["RawReclaimable"], 5000);
    // A format counts for nothing beside it, as with podman.
    let verbose = runner.to(&["system", "df", "-v", "--format", "{{.Type}}"]);
    for word in [
        "localhost/busybox",
        "done",
        "busy",
        "data",
        "VOLUME NAME",
        "UNIQUE SIZE",
        "LOCAL VOLUMES",
        "sleep 1000",
        "exited",
    ] {
        assert!(verbose.contains(word), "{word}: {verbose}");
    }
    let unanswered = runner.command(&["system", "prune"]).input("").finish();
    assert_eq!(unanswered.code, 125, "{unanswered}");
    runner
        .command(&["system", "prune", "--all"])
        .input("n\n")
        .succeed();
    assert_eq!(runner.to(&["ps", "-aq"]).lines().count(), 2);
    runner.to(&["system", "prune", "-f", "--filter", "label=none"]);
    assert_eq!(runner.to(&["ps", "-aq"]).lines().count(), 2);
    let pruned = runner.to(&["system", "prune", "--all", "--force", "--volumes"]);
    assert!(pruned.starts_with("Deleted Containers\n"), "{pruned}");
    assert!(pruned.contains("Deleted Volumes\ndata\n"), "{pruned}");
    assert!(pruned.contains("Total reclaimed space: "), "{pruned}");
    assert_eq!(runner.to(&["ps", "--format", "{{.Names}}"]), "busy");
    assert_eq!(runner.to(&["images", "-q"]).lines().count(), 1);
    let refused = runner.try_to(&["rmi", busybox::NAME]);
    assert_ne!(refused.code, 0);
    runner.to(&["system", "migrate"]);
    assert_eq!(runner.to(&["ps", "-q"]), "");
    runner.to(&["system", "reset", "--force"]);
    assert_eq!(runner.to(&["images", "-q"]), "");
}

#[test]
fn check_finds_what_was_damaged_and_mends_it() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let root = runner.to(&["info", "--format", "{{.Store.GraphRoot}}"]);
    let root = PathBuf::from(root);
    assert_eq!(runner.to(&["system", "check"]), "");
    let change = |line: &str| {
        let line = format!("cd '{}' && {line}", root.display());
        runner.to(&["unshare", "sh", "-c", &line]);
    };
    let found = |words: &[&str], code: i32| {
        let outcome = runner.try_to(&[&["system", "check"], words].concat());
        outcome.with_code(code).stdout
    };
    for (damage, word) in [
        (
            "for file in trees/*/root/etc/passwd; do echo x >> $file; done",
            "etc/passwd differs from the layers of its image",
        ),
        ("chmod 777 trees/*/root/etc/group", "etc/group differs"),
        ("rm trees/*/root/bin/sh", "bin/sh differs"),
        (
            "ln -s ../images/0000000000000000000000000000000000000000000000000000000000000000 names/localhost+gone:1",
            "points at no image",
        ),
        (
            "echo x > blobs/sha256/1111111111111111111111111111111111111111111111111111111111111111",
            "needed by no image",
        ),
        (
            "cp -a trees/* trees/2222",
            "trees/2222 is needed by no image",
        ),
        ("mkdir -p tmp/1-0/deep", "left by a command that was killed"),
    ] {
        change(damage);
        let said = found(&["--repair"], 0);
        assert!(
            said.contains(word) && said.contains("(mended)"),
            "{damage}: {said}"
        );
        assert_eq!(found(&[], 0), "", "{damage}");
        assert_eq!(
            runner.to(&["run", "--rm", busybox::NAME, "echo", "hi"]),
            "hi"
        );
    }
    change("for blob in blobs/sha256/*; do echo x >> $blob; done");
    assert!(found(&[], 1).contains("is damaged: it has another digest"));
    found(&["--repair"], 0);
    assert_eq!(runner.to(&["images", "-q"]), "");
    assert_eq!(found(&[], 0), "");
}
