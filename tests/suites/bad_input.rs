//! Bad input: one line on standard error that says what, where and what to do, podman's exit code,
//! and nothing changed.

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tests::fixture::{Archive, archive::gzip, busybox};
use tests::{Engine, Mode, Outcome, Run, World, binaries, for_each_account, require, toolchain};

/// What a store has in it, as its owner sees it.
fn store(engine: &Engine) -> (String, String) {
    (
        engine.to(&["images", "-a", "--no-trunc"]),
        engine.to(&["ps", "-a", "--no-trunc"]),
    )
}

/// Asserts that a command fails with one line in which each of `said` stands, and changes nothing.
fn expect_refused<A: AsRef<OsStr>>(engine: &Engine, words: &[A], code: i32, said: &[&str]) {
    let before = store(engine);
    let outcome = engine.try_to(words);
    expect_error(&outcome, code, said);
    assert_eq!(store(engine), before, "{outcome}");
}

fn expect_error(outcome: &Outcome, code: i32, said: &[&str]) {
    assert_eq!(outcome.code, code, "{outcome}");
    let error = outcome.only_error();
    let parts: Vec<&str> = error.split(": ").filter(|part| part.len() > 12).collect();
    let twice = parts.iter().find(|part| error.matches(**part).count() > 1);
    assert_eq!(twice, None, "said twice\n{outcome}");
    for word in said {
        assert!(
            error.contains(word),
            "{word:?} is not in the error\n{outcome}"
        );
    }
}

/// Asserts that loading these bytes is refused.
fn expect_load_refused(engine: &Engine, content: &[u8], said: &[&str]) {
    let path = engine.world.write("bad.tar", content);
    let words: [OsString; 3] = ["load".into(), "-i".into(), path.into()];
    expect_refused(engine, &words, 125, said);
    assert_eq!(
        engine.to(&["images", "-q"]),
        "",
        "something of the archive was kept"
    );
}

#[test]
fn a_name_that_is_no_image() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    expect_refused(
        &runner,
        &["run", "--rm", "localhost/nothing"],
        125,
        &["localhost/nothing"],
    );
    expect_refused(
        &runner,
        &["run", "--rm", "UPPER CASE"],
        125,
        &["UPPER CASE"],
    );
}

#[test]
fn an_upper_layer_without_a_size_or_without_an_overlay() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let with = |upper| ["run", "--rm", "--upper", upper, busybox::NAME, "true"];
    for upper in ["tmpfs", "tmpfs:size=1k", "tmpfs:size=many", "disk", ""] {
        let said = ["--upper", "tmpfs:size=64m"];
        expect_refused(&runner, &with(upper), 125, &said);
    }
    let copying = runner.command(&with("tmpfs:size=1m"));
    let outcome = copying.env("STORAGE_DRIVER", "vfs").finish();
    expect_error(&outcome, 125, &["--upper", "vfs"]);
}

#[test]
fn a_command_that_is_not_in_the_image() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let run = |command| ["run", "--rm", busybox::NAME, command];
    expect_refused(&runner, &run("absent"), 127, &["absent"]);
    expect_refused(&runner, &run("/bin/absent"), 127, &["/bin/absent"]);
    expect_refused(
        &runner,
        &run("/bin/not-executable"),
        126,
        &["/bin/not-executable"],
    );
    expect_refused(&runner, &run("/tmp"), 126, &["/tmp"]);
}

#[test]
fn a_busy_port_is_refused_before_anything_starts() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let taken = TcpListener::bind(("0.0.0.0", 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let witness = world.make_dir("witness", 0o777);
    let volume = format!("{}:/witness", witness.display());
    let publish = format!("{port}:80");
    let words = [
        "run",
        "--rm",
        "-p",
        &publish,
        "-v",
        &volume,
        busybox::NAME,
        "touch",
        "/witness/ran",
    ];
    expect_refused(&runner, &words, 126, &[&port]);
    assert!(!witness.join("ran").exists());
}

#[test]
fn a_port_below_1024() {
    let world = require!(World::of_a_user());
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim() != "1024") {
        let why = tests::Missing::because("this machine lets users have ports below 1024");
        return tests::missing::did_not_run("bad_input::a_port_below_1024", &why);
    }
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let words = ["run", "--rm", "-p", "81:80", busybox::NAME, "true"];
    expect_refused(&runner, &words, 126, &["81"]);
}

#[test]
fn an_archive_that_is_none() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let bad = ["bad.tar"];
    expect_load_refused(&runner, b"", &bad);
    expect_load_refused(&runner, b"this is no archive at all", &bad);
    expect_load_refused(&runner, &[0; 1024], &bad);
    expect_load_refused(&runner, &gzip(b"neither is this"), &bad);
    expect_load_refused(
        &runner,
        &tests::fixture::Layer::new()
            .file("hello", 0o644, "hi")
            .tar(),
        &bad,
    );
    expect_refused(
        &runner,
        &["load", "-i", "/no/such/file"],
        125,
        &["/no/such/file"],
    );
    expect_refused(&runner, &["load", "-i", "/"], 125, &["/"]);
}

#[test]
fn an_archive_that_may_not_be_read() {
    let world = require!(World::of_a_user());
    let path = world.write("secret.tar", require!(busybox::image()).docker());
    world.run("chmod").args(["000"]).args([&path]).succeed();
    let words: [OsString; 3] = ["load".into(), "-i".into(), path.into()];
    expect_refused(&world.runner(), &words, 125, &["secret.tar"]);
}

#[test]
fn a_truncated_archive() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let image = require!(busybox::image());
    for whole in [image.docker(), image.oci(), image.guix()] {
        for part in [600, whole.len() / 2, whole.len() - 2000] {
            expect_load_refused(&runner, &whole[..part], &["bad.tar"]);
        }
    }
}

#[test]
fn a_wrong_digest() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let image = require!(busybox::image());
    let wrong = format!("sha256:{}", "0".repeat(64));
    for part in ["layers", "config"] {
        let archive = image.oci_with(|manifest| {
            let descriptor = match part {
                "layers" => &mut manifest["layers"][0],
                _ => &mut manifest["config"],
            };
            descriptor["digest"] = json!(wrong);
        });
        expect_load_refused(&runner, &archive, &[&wrong]);
    }
    // A layer of the same length with other bytes under the right name.
    let mut archive = image.docker();
    let at = archive
        .windows(7)
        .position(|window| window == b"alice:x")
        .expect("/etc/passwd");
    archive[at] = b'm';
    expect_load_refused(&runner, &archive, &["sha256:"]);
}

#[test]
fn an_image_for_another_architecture() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let mut image = require!(busybox::image());
    image.architecture = "s390x".to_owned();
    let layer =
        tests::fixture::Layer::new()
            .dir("bin/", 0o755)
            .file("bin/sh", 0o755, other_machine());
    image.layers = vec![layer.tar()];
    runner.load(&image.docker());
    expect_refused(
        &runner,
        &["run", "--rm", busybox::NAME, "/bin/sh"],
        125,
        &["s390x"],
    );
}

/// The head of an executable for a big-endian machine.
fn other_machine() -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x02\x01\x00".to_vec();
    elf.extend([0; 8]);
    elf.extend([0, 2, 0, 22]);
    elf.resize(4096, 0);
    elf
}

#[test]
fn no_space_for_an_image() {
    let world = require!(World::of_a_user());
    if !tests::account::we_are_root() {
        let why = tests::Missing::because("only root can mount a small file system");
        return tests::missing::did_not_run("bad_input::no_space_for_an_image", &why);
    }
    let image = require!(busybox::image());
    let small = world.make_dir("small", 0o700);
    let owner = format!(
        "size=700k,mode=700,uid={},gid={}",
        world.account.uid, world.account.gid
    );
    Run::new("mount")
        .args(["-t", "tmpfs", "-o", &owner, "none"])
        .args([&small])
        .succeed();
    let flags: [OsString; 2] = ["--root".into(), small.join("store").into()];
    let runner = world.runner().with_global(&flags);
    let path = world.write("image.tar", image.docker());
    let outcome = runner.try_to(&[OsStr::new("load"), OsStr::new("-i"), path.as_os_str()]);
    let after = runner.try_to(&["images", "-q"]);
    Run::new("umount").args(["-l"]).args([&small]).succeed();
    expect_error(&outcome, 125, &["space"]);
    assert_eq!(after.text(), "", "{after}");
}

for_each_account! {
    /// The limit of a namespace stands for the machine's own settings, which a test must not change.
    fn user_namespaces_that_are_switched_off(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let run = runner.command(&["run", "--rm", busybox::NAME, "true"]).line();
        let drop_all = "setpriv --ambient-caps=-all --inh-caps=-all";
        let script = format!("echo 0 > /proc/sys/user/max_user_namespaces && exec {drop_all} {run}");
        let namespace = ["--user", "--map-current-user", "--keep-caps"];
        let outcome = world.run("unshare").args(namespace).args(["sh", "-c", &script]).finish();
        expect_error(&outcome, 125, &["user namespace"]);
    }
}

/// A package in a new folder of the world, from the text of its parts.
fn package(world: &World, name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let folder = world.make_dir(name, 0o755);
    world.make_dir(folder.join("src"), 0o755);
    for (path, content) in files {
        world.write(folder.join(path), content);
    }
    folder
}

const MANIFEST: &str = "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";

/// `packer build` and `runner run` in a folder; both have to refuse it.
fn expect_package_refused(world: &World, folder: &Path, said: &[&str], lines_before: bool) {
    let packer = world.packer().args(["build"]);
    let runner = world.runner().command(&["run"]);
    for run in [packer, runner] {
        let run = run.current_dir(folder).limit(Duration::from_secs(120));
        let outcome = match toolchain::give(world, run) {
            Ok(run) => run.finish(),
            Err(why) => panic!("asked for before: {why}"),
        };
        assert_eq!(outcome.code, 125, "{outcome}");
        assert_eq!(outcome.stdout, "", "{outcome}");
        let last = outcome.stderr.lines().last().unwrap_or_default();
        assert!(
            said.iter().all(|word| last.contains(word)),
            "{said:?}\n{outcome}"
        );
        assert!(
            lines_before || outcome.stderr.lines().count() == 1,
            "{outcome}"
        );
    }
}

#[test]
fn a_folder_that_is_no_package() {
    require!(tests::client::find("cargo"));
    let world = require!(World::of_a_user());
    let folder = world.make_dir("empty", 0o755);
    expect_package_refused(&world, &folder, &["empty", "Cargo.toml"], false);
}

#[test]
fn a_package_without_a_binary() {
    require!(tests::client::find("cargo"));
    let world = require!(World::of_a_user());
    let folder = package(
        &world,
        "library",
        &[("Cargo.toml", MANIFEST), ("src/lib.rs", "")],
    );
    expect_package_refused(&world, &folder, &["sample", "binary"], false);
}

#[test]
fn a_package_with_several_binaries() {
    require!(tests::client::find("cargo"));
    let world = require!(World::of_a_user());
    let folder = package(
        &world,
        "several",
        &[("Cargo.toml", MANIFEST), ("src/main.rs", "fn main() {}")],
    );
    world.make_dir(folder.join("src/bin"), 0o755);
    world.write(folder.join("src/bin/second.rs"), "fn main() {}");
    expect_package_refused(&world, &folder, &["sample", "second"], false);
}

#[test]
fn a_binary_that_has_come_since_cargo_was_asked() {
    require!(tests::client::find("cargo"));
    let world = require!(World::of_a_user());
    let files = [("Cargo.toml", MANIFEST), ("src/main.rs", "fn main() {}")];
    let folder = package(&world, "grown", &files);
    // What was changed a moment ago is not trusted to stay as it is.
    std::thread::sleep(Duration::from_millis(2100));
    let build = toolchain::give(&world, world.packer().args(["build"]).current_dir(&folder));
    require!(build).succeed();
    let kept = world.home().join(".cache/packer/answers");
    // The compiler's may be left out: its files are linked into a place of the tests' own.
    assert_ne!(kept.read_dir().expect("answers").count(), 0);
    world.make_dir(folder.join("src/bin"), 0o755);
    world.write(folder.join("src/bin/second.rs"), "fn main() {}");
    expect_package_refused(&world, &folder, &["sample", "second"], false);
}

#[test]
fn a_compile_error_is_cargos_text_and_then_one_line() {
    require!(tests::client::find("cargo"));
    let world = require!(World::of_a_user());
    let source = "fn main() { this does not compile }";
    let folder = package(
        &world,
        "broken",
        &[("Cargo.toml", MANIFEST), ("src/main.rs", source)],
    );
    expect_package_refused(&world, &folder, &["sample"], true);
    let run = toolchain::give(&world, world.packer().args(["build"]).current_dir(&folder));
    let outcome = require!(run).finish();
    assert!(outcome.stderr.contains("src/main.rs:1"), "{outcome}");
}

#[test]
fn a_program_that_is_none() {
    let world = require!(World::of_a_user());
    let outcome = world
        .packer()
        .args(["build", "--file", "/no/such/program"])
        .finish();
    expect_error(&outcome, 125, &["/no/such/program"]);
    let text = world.write("text", "no program");
    let outcome = world
        .packer()
        .args(["build", "--file"])
        .args([&text])
        .finish();
    expect_error(&outcome, 125, &["text"]);
}

#[test]
fn a_server_whose_port_is_taken() {
    let world = require!(World::of_a_user());
    let taken = TcpListener::bind(("::", 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let outcome = world
        .run(binaries::path("server"))
        .env("PORT", &port)
        .finish();
    expect_error(&outcome, 1, &[&port]);
}

#[test]
fn an_archive_that_names_the_path_of_another_file_as_its_layer() {
    let world = require!(World::new(Mode::Mapped));
    let image = require!(busybox::image());
    let manifest = json!([{
        "Config": "../../etc/passwd",
        "RepoTags": [busybox::NAME],
        "Layers": ["/etc/passwd"],
    }]);
    let archive = tests::fixture::Layer::new()
        .file("manifest.json", 0o644, manifest.to_string())
        .file("layer.tar", 0o644, &image.layers[0])
        .tar();
    expect_load_refused(&world.runner(), &archive, &["bad.tar"]);
}

#[test]
fn an_unwritable_store() {
    let world = require!(World::of_a_user());
    let closed = world.make_dir("closed", 0o500);
    let flags: [OsString; 2] = ["--root".into(), closed.join("store").into()];
    let runner = world.runner().with_global(&flags);
    let path = world.write("image.tar", Archive::docker(&require!(busybox::image())));
    let outcome = runner.try_to(&[OsStr::new("load"), OsStr::new("-i"), path.as_os_str()]);
    expect_error(&outcome, 125, &["closed"]);
    assert!(!closed.join("store").exists());
}
