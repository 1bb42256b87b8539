//! Images that come from registries and go there: `pull`, `run --pull`, `push`, `login`, `logout`.

use std::fs;

use tests::client::{Podman, Registry, find};
use tests::fixture::{Archive, Layer, busybox};
use tests::{Engine, Mode, Outcome, World, for_each_account, require};

#[path = "pull/login.rs"]
mod login;
#[path = "pull/names.rs"]
mod names;
#[path = "pull/said.rs"]
mod said;

fn id(engine: &Engine, name: &str) -> String {
    let words = [
        "inspect",
        "--type",
        "image",
        "--format",
        "{{.Id}} {{.Digest}}",
    ];
    engine.to(&[&words[..], &[name]].concat())
}

/// An image of several layers, the content of the last one as given.
fn image(name: &str, content: &str) -> Archive {
    let layers = ["one", "two", content].map(|text| {
        Layer::new()
            .dir("etc/", 0o755)
            .file(&format!("etc/{text}"), 0o644, text)
    });
    Archive::new(name, &layers.each_ref(), &["/bin/true"])
}

/// What was said by a command that had to fail.
fn refused(outcome: Outcome) -> String {
    outcome.with_code(125).stderr
}

for_each_account! {
    fn what_is_pushed_is_pulled_with_the_same_digest_and_runs(world) {
        let registry = require!(Registry::plain());
        let runner = world.runner();
        runner.load(&require!(busybox::image()).oci());
        let loaded = id(&runner, busybox::NAME);
        let place = registry.reference(&format!("busybox-{:?}:1", world.account.mode).to_lowercase());
        let pushed = runner.command(&["push", busybox::NAME, &place]).succeed();
        assert_eq!(pushed.stdout, "");
        assert!(pushed.stderr.contains("Copying blob sha256:"), "{}", pushed.stderr);
        runner.to(&["rmi", "--all"]);
        let pulled = runner.command(&["pull", &place]).succeed();
        assert_eq!(pulled.text(), loaded.split(' ').next().expect("two words").trim_start_matches("sha256:"));
        assert_eq!(id(&runner, &place), loaded);
        runner.to(&["rmi", &place]);
        assert_eq!(runner.to(&["run", "--rm", "--pull", "missing", &place, "echo", "hi"]), "hi");
        // It is there now, and the registry is not asked.
        let again = runner.command(&["run", "--rm", &place, "echo", "hi"]).succeed();
        assert_eq!(again.stderr, "");
        refused(runner.try_to(&["run", "--rm", "--pull", "never", &registry.reference("nothing")]));
    }
}

#[test]
fn a_policy_says_when_the_registry_is_asked() {
    let registry = require!(Registry::plain());
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let place = registry.reference("moving:1");
    let push = |content: &str| {
        let name = runner.load(&image("localhost/moving:1", content).docker());
        runner.to(&["push", "-q", &name, &place]);
        id(&runner, &name)
    };
    let pull = |policy: &str| {
        runner.to(&["pull", "-q", "--policy", policy, &place]);
        id(&runner, &place)
    };
    let old = push("old");
    assert_eq!(pull("missing"), old);
    let new = push("new");
    assert_eq!(pull("missing"), old);
    assert_eq!(pull("never"), old);
    assert_eq!(pull("newer"), new);
    let newest = push("newest");
    assert_eq!(pull("always"), newest);
    // Layers that are here are not fetched again.
    let again = runner.command(&["pull", &place]).succeed();
    assert_eq!(
        again.stderr.matches("already exists").count(),
        3,
        "{}",
        again.stderr
    );
    let gone = registry.reference("gone:1");
    runner.to(&["tag", &place, &gone]);
    refused(runner.try_to(&["pull", "-q", "--policy", "always", &gone]));
    runner.to(&["pull", "-q", "--policy", "newer", &gone]);
    refused(runner.try_to(&["pull", "--policy", "never", &registry.reference("absent")]));
}

#[test]
fn every_tag_of_a_repository_is_pulled() {
    let registry = require!(Registry::plain());
    let world = require!(World::of_a_user());
    let runner = world.runner();
    for tag in ["1", "2"] {
        let name = runner.load(&image(&format!("localhost/tags:{tag}"), tag).docker());
        runner.to(&[
            "push",
            "-q",
            &name,
            &registry.reference(&format!("tags:{tag}")),
        ]);
    }
    runner.to(&["rmi", "--all"]);
    let said = runner.to(&["pull", "-q", "--all-tags", &registry.reference("tags")]);
    assert_eq!(said.lines().count(), 2);
    let words = [
        "images",
        "--sort",
        "tag",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ];
    let names = ["1", "2"].map(|tag| registry.reference(&format!("tags:{tag}")));
    assert_eq!(runner.to(&words), names.join("\n"));
}

#[test]
fn podman_pulls_what_we_push_and_we_what_podman_pushes() {
    let registry = require!(Registry::plain());
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    let (ours, theirs) = (registry.reference("ours:1"), registry.reference("theirs:1"));
    runner.load(&image("localhost/both:1", "x").oci());
    runner.to(&["push", "localhost/both:1", &ours]);
    podman.engine.to(&["pull", "--tls-verify=false", &ours]);
    assert_eq!(id(&podman.engine, &ours), id(&runner, "localhost/both:1"));
    podman
        .engine
        .to(&["push", "--tls-verify=false", &ours, &theirs]);
    let pulled = runner.to(&["pull", "-q", &theirs]);
    assert_eq!(
        pulled,
        podman
            .engine
            .to(&["inspect", "--type", "image", "--format", "{{.Id}}", &ours])
    );
}

#[test]
fn a_manifest_is_pushed_in_the_words_that_were_asked_for() {
    let registry = require!(Registry::plain());
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    let name = runner.load(&image("localhost/words:1", "x").oci());
    let insecure = "--tls-verify=false";
    for (format, kind) in [
        (
            "v2s2",
            "application/vnd.docker.distribution.manifest.v2+json",
        ),
        ("oci", "application/vnd.oci.image.manifest.v1+json"),
    ] {
        let there = registry.reference(&format!("words:{format}"));
        runner.to(&["push", insecure, "--format", format, &name, &there]);
        podman.engine.to(&["pull", insecure, &there]);
        let ask = ["image", "inspect", "--format", "{{.Id}} {{.ManifestType}}"];
        let said = podman.engine.to(&[&ask[..], &[&there]].concat());
        let id = id(&runner, &name);
        let id = id.split(' ').next().expect("two words");
        assert_eq!(said, format!("{} {kind}", id.trim_start_matches("sha256:")));
        // To a folder too, and what it was before comes back.
        runner.to(&["push", "-f", format, &name, &format!("dir:{format}")]);
        let manifest = fs::read_to_string(world.path(format!("home/{format}/manifest.json")));
        // One of the OCI need not say what it is, but says it of its config.
        let config = match format {
            "oci" => "application/vnd.oci.image.config.v1+json",
            _ => "application/vnd.docker.container.image.v1+json",
        };
        assert!(manifest.expect("a folder").contains(config), "{format}");
    }
    let wrong = refused(runner.try_to(&["push", "-f", "v2s1", &name, "dir:x"]));
    assert!(wrong.contains("oci and v2s2"), "{wrong}");
}

#[test]
fn layers_are_compressed_on_their_way_as_asked() {
    let registry = require!(Registry::plain());
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    let name = runner.load(&image("localhost/layers:1", "x").docker());
    let insecure = "--tls-verify=false";
    for (flags, kind) in [
        (&["--compression-format", "zstd"][..], "tar+zstd"),
        (
            &["--compression-format=zstd", "--compression-level=19"],
            "tar+zstd",
        ),
        (&["--compression-format", "zstd:chunked"], "tar+zstd"),
        (&["--compression-format", "gzip", "-f", "v2s2"], "tar.gzip"),
        (&["--compress"], "tar+gzip"),
    ] {
        let there = registry.reference("layers:1");
        runner.to(&[&["push", insecure], flags, &[&name, &there]].concat());
        podman.engine.to(&["pull", insecure, &there]);
        let format = ["image", "inspect", "--format", "{{.Id}}", &there];
        let id = id(&runner, &name);
        let id = id.split(' ').next().expect("two words");
        assert_eq!(podman.engine.to(&format), id.trim_start_matches("sha256:"));
        podman.engine.to(&["rmi", "-f", &there]);
        runner.to(&[&["push"], flags, &[&name, "dir:pushed"]].concat());
        let folder = world.path("home/pushed");
        let manifest = fs::read_to_string(folder.join("manifest.json")).expect("a folder");
        assert!(manifest.contains(kind), "{flags:?}: {manifest}");
        fs::remove_dir_all(folder).expect("a folder");
    }
    let save = ["save", "-q", "--format", "docker-dir", "--compress"];
    runner.to(&[&save[..], &["-o", "saved", &name]].concat());
    let manifest = fs::read_to_string(world.path("home/saved/manifest.json"));
    assert!(manifest.expect("a folder").contains("tar+gzip"));
    for (words, said) in [
        (&["-f", "v2s2", "--compression-format", "zstd"][..], "zstd"),
        (
            &["--compression-format", "gzip", "--compression-level", "10"],
            "gzip:10",
        ),
    ] {
        let push = [&["push"], words, &[&name, "dir:wrong"]].concat();
        assert!(refused(runner.try_to(&push)).contains(said), "{words:?}");
    }
    let wrong = refused(runner.try_to(&["save", "--compress", "-o", "x.tar", &name]));
    assert!(wrong.contains("docker-dir"), "{wrong}");
}

for_each_account! {
    fn a_login_is_kept_where_podman_looks_for_it(world) {
        let registry = require!(Registry::secure());
        let runner = world.runner();
        let certificates = registry.certificates();
        let certificates = certificates.to_str().expect("a plain path");
        let with = |words: &[&str], input: &str| {
            let words = [words, &["--cert-dir", certificates]].concat();
            runner.command(&words).input(input).finish()
        };
        let name = runner.load(&image("localhost/secret:1", "x").docker());
        let place = registry.reference(&format!("secret-{:?}:1", world.account.mode).to_lowercase());
        let address = registry.address.as_str();
        refused(with(&["push", &name, &place], ""));
        let login = ["login", "-u", Registry::USER, "--password-stdin", address];
        let said = refused(with(&login, "letmein\n"));
        assert!(!said.contains("letmein"), "{said}");
        assert_eq!(with(&login, Registry::PASSWORD).success().text(), "Login Succeeded!");
        assert_eq!(with(&["login", "--get-login", address], "").success().text(), Registry::USER);
        let auth = world.path("run/containers/auth.json");
        if world.account.mode != Mode::Root {
            let verbose = with(&[&login[..], &["-v"]].concat(), Registry::PASSWORD).success();
            let used = format!("Used:  {}\nLogin Succeeded!", auth.display());
            assert_eq!(verbose.text(), used);
            assert!(fs::read_to_string(auth).expect("podman's file").contains(address));
        }
        drop(with(&["push", &name, &place], "").success());
        runner.to(&["rmi", "--all"]);
        drop(with(&["pull", &place], "").success());
        let logout = runner.to(&["logout", address]);
        assert_eq!(logout, format!("Removed login credentials for {address}"));
        refused(runner.try_to(&["logout", address]));
        refused(with(&["login", "--get-login", address], ""));
        drop(with(&["pull", "--creds", "user:secret", &place], "").success());
        // A certificate that nobody vouches for is refused.
        let untrusted = runner.try_to(&["pull", "--tls-verify", "--creds", "user:secret", &place]);
        assert!(refused(untrusted).contains("certificate"));
    }
}

#[test]
fn what_cannot_be_pulled_or_pushed_is_told_in_one_line() {
    let registry = require!(Registry::plain());
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let name = runner.load(&image("localhost/some:1", "x").docker());
    let absent = registry.reference("absent:1");
    // What happens to lie in the folder is never taken for the image that it is called as.
    world.write("home/nobodys", image("nobodys", "x").docker());
    for (words, said) in [
        (vec!["pull", "-q", &absent], "absent"),
        (vec!["pull", "-q", "UPPER/case"], "UPPER/case"),
        (vec!["pull", "-q", "localhost:1/nobody"], "localhost:1"),
        (vec!["pull", "-q", "oci-archive:/absent"], "/absent"),
        (
            vec!["pull", "-q", "--platform", "x", &absent],
            "OS/ARCHITECTURE",
        ),
        (vec!["push", "-q", &name], "REGISTRY/REPOSITORY:TAG"),
        (
            vec!["push", "-q", "nothing", &absent],
            "nothing: image not known",
        ),
        (
            vec!["push", "-q", &name, "localhost:1/nobody"],
            "localhost:1",
        ),
        (vec!["run", "--rm", "localhost/nothing"], "image not known"),
        (vec!["run", "--rm", "nobodys"], "names no registry"),
        (vec!["pull", "-q", "nobodys"], "names no registry"),
    ] {
        let outcome = runner.try_to(&words).with_code(125);
        assert!(
            outcome.stderr.contains(said),
            "{words:?}: {}",
            outcome.stderr
        );
    }
    assert_eq!(runner.to(&["images", "-q"]).lines().count(), 1);
}

/// The empty part of a bar, and what moves the cursor.
const SIGNS_OF_A_BAR: [char; 2] = ['░', '\u{1b}'];

#[test]
fn a_terminal_gets_a_bar_for_each_blob_and_everything_else_lines() {
    let world = require!(World::of_a_user());
    let script = require!(find("script"));
    let runner = world.runner();
    let there = require!(Registry::plain()).reference("test/bar:1");
    let layer = Layer::new().file("large", 0o644, "0123456789abcdef".repeat(2 << 20));
    let archive = Archive::new("localhost/bar:1", &[&layer], &["/x"]).docker();
    let archive = world.write("home/image.tar", archive);
    let archive = archive.to_str().expect("a plain path");
    // What would be there already would not be copied.
    let prepare = |verb: &str| match verb {
        "load" => drop(runner.try_to(&["rmi", "-f", "localhost/bar:1"])),
        "pull" => drop(runner.try_to(&["rmi", "-f", "-a"])),
        "save" => drop(fs::remove_file(world.path("home/saved.tar"))),
        _ => (),
    };
    let on_a_terminal = |words: &[&str]| {
        prepare(words[0]);
        let line = runner.command(words).line();
        let run = runner.beside(&script).args(["-qec", &line, "/dev/null"]);
        run.succeed().stdout
    };
    let elsewhere = |words: &[&str]| {
        prepare(words[0]);
        runner.command(words).succeed().stderr
    };
    let insecure = "--tls-verify=false";
    for words in [
        &["load", "-i", archive][..],
        &["push", insecure, "localhost/bar:1", &there],
        &["save", "-o", "saved.tar", "localhost/bar:1"],
        &["pull", insecure, &there],
    ] {
        let quiet = [&[words[0], "-q"], &words[1..]].concat();
        let seen = on_a_terminal(words);
        assert!(seen.contains("Copying blob sha256:"), "{words:?}: {seen}");
        assert!(seen.contains(SIGNS_OF_A_BAR), "{words:?}: {seen}");
        let plain = elsewhere(words);
        assert!(plain.contains("Copying blob sha256:"), "{words:?}: {plain}");
        assert!(!plain.contains(SIGNS_OF_A_BAR), "{words:?}: {plain}");
        let seen = on_a_terminal(&quiet);
        assert!(!seen.contains(SIGNS_OF_A_BAR), "{quiet:?}: {seen}");
        assert_eq!(elsewhere(&quiet), "", "{quiet:?}");
    }
}
