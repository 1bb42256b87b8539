//! What is said while images are on their way, and images that come from web servers.

use tests::client::{Podman, Registry};
use tests::fixture::Layer;
use tests::scripted::{Scripted, reply};
use tests::{Engine, Mode, World, require};

use super::{image, refused};

/// What is said on standard error, without digests, of which those of podman's layers are others, and
/// without a word about what is there already, which podman says only with some drivers.
fn said(engine: &Engine, words: &[&str]) -> Vec<String> {
    let said = engine.command(words).succeed().stderr;
    let kind = |line: &str| line.split(" sha256:").next().unwrap_or(line).to_owned();
    // podman's own log tells of the machine.
    let lines = said.lines().filter(|line| !line.starts_with("time="));
    let mut lines: Vec<_> = lines.map(kind).collect();
    // Blobs are sent side by side.
    lines.sort();
    lines
}

#[test]
fn every_way_of_an_image_is_told_in_podman_s_lines() {
    let registry = require!(Registry::plain());
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    let tar = Layer::new().file("a", 0o644, "a").tar();
    let tar = world.write("root.tar", tar);
    let tar = tar.to_str().expect("a plain path");
    let place = registry.reference("said/one:1");
    for words in [
        &["import", tar, "localhost/said:1"][..],
        &["push", "--tls-verify=false", "localhost/said:1", &place],
        &["push", "--tls-verify=false", "localhost/said:1", &place],
        &["push", "localhost/said:1", "dir:said"],
        &["pull", "dir:said"],
        &[
            "save",
            "--format",
            "oci-archive",
            "-o",
            "said.tar",
            "localhost/said:1",
        ],
        &["load", "-i", "said.tar"],
        &["rmi", "--all", "--force"],
        &["pull", "--tls-verify=false", &place],
        &["pull", "--tls-verify=false", &place],
    ] {
        let theirs = said(&podman.engine, words);
        // Both write into the same home.
        let is_written = words[0] == "save" || words[0] == "push";
        for made in ["home/said.tar", "home/said"].map(|made| world.path(made)) {
            if is_written && made.is_dir() {
                std::fs::remove_dir_all(made).expect("podman's");
            } else if is_written && made.is_file() {
                std::fs::remove_file(made).expect("podman's");
            }
        }
        assert_eq!(said(&runner, words), theirs, "{words:?}");
    }
}

#[test]
fn what_a_web_server_has_is_imported_and_loaded() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let tar = Layer::new().file("a", 0o644, "a").tar();
    let archive = image("localhost/web:1", "x").docker();
    let server = Scripted::start(move |request, stream| match request.path.as_str() {
        "/moved.tar" => reply(stream, 302, &[("Location", "/root.tar")], b""),
        "/root.tar" => reply(stream, 200, &[], &tar),
        "/half.tar" => reply(stream, 200, &[("Content-Length", "9999")], &tar),
        "/image.tar" => reply(stream, 200, &[], &archive),
        _ => reply(stream, 404, &[], b"no"),
    });
    let url = |name: &str| format!("http://127.0.0.1:{}/{name}", server.port);
    for name in ["root.tar", "moved.tar"] {
        let said = runner
            .command(&["import", &url(name), "localhost/root:1"])
            .succeed();
        let first = format!("Downloading from \"{}\"\nGetting image", url(name));
        assert!(said.stderr.starts_with(&first), "{}", said.stderr);
        assert!(said.text().starts_with("sha256:"), "{}", said.stdout);
    }
    assert_eq!(
        runner.to(&["load", "-i", &url("image.tar")]),
        "Loaded image: localhost/web:1"
    );
    let images = runner.to(&["images", "-q"]);
    for (verb, name, word) in [
        (&["import", "-q"][..], "nothing.tar", "404"),
        (&["load", "-q", "-i"], "nothing.tar", "404"),
        (&["import", "-q"], "half.tar", "half.tar"),
    ] {
        let url = url(name);
        let words = [verb, &[url.as_str()]].concat();
        let error = refused(runner.try_to(&words));
        assert!(error.contains(word), "{words:?}: {error}");
    }
    refused(runner.try_to(&["import", "-q", "http://127.0.0.1:1/root.tar"]));
    assert_eq!(runner.to(&["images", "-q"]), images);
}
