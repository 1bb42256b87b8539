//! `packer build --push`, and indexes on their way between registries, archives and folders.

use serde_json::Value;
use tests::client::{Podman, Registry, find};
use tests::scripted::{Scripted, reply};
use tests::{Mode, Outcome, World, require};

use super::{archive, digest_of, packer, skopeo, to};

/// A package without a program, so that every machine packs it for every other one.
fn package(world: &World) {
    world.write("home/hello.txt", "hello");
    world.write(
        "home/packer.toml",
        "name = \"words\"\nentrypoint = [\"/bin/words\"]\nsystems = [\"x86_64-linux\", \"aarch64-linux\"]\n\
         files = [{ source = \"hello.txt\", destination = \"/bin/words\", mode = \"0755\" }]\n",
    );
}

fn build(world: &World, words: &[&str]) -> Outcome {
    let words = [&["build"], words].concat();
    packer(world, &words)
}

fn inspect(world: &World, reference: &str, words: &[&str]) -> Value {
    let source = format!("docker://{reference}");
    let words = [&["inspect", "--tls-verify=false"], words, &[&source]].concat();
    serde_json::from_str(&skopeo(world, &words)).expect("JSON")
}

fn names(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.home()).expect("a home").flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_build_pushes_an_index_to_every_reference_and_says_what_can_be_pulled() {
    require!(find("skopeo"));
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    package(&world);
    let [one, two, other] =
        ["built/a:1", "built/a:2", "built/b:1"].map(|name| registry.reference(name));
    let words = [
        "--target",
        "all",
        "--push",
        &one,
        "--push",
        &two,
        "--push",
        &other,
        "--digest-file",
        "digest",
        "--image-refs",
        "refs",
    ];
    let done = build(&world, &words).success();
    let digest = std::fs::read_to_string(world.home().join("digest")).expect("it was asked for");
    let repository = |name: &str| format!("{}@{digest}", registry.reference(name));
    assert_eq!(
        done.text(),
        format!("{}\n{}", repository("built/a"), repository("built/b"))
    );
    let refs = std::fs::read_to_string(world.home().join("refs")).expect("it was asked for");
    assert_eq!(
        refs,
        format!("{one}@{digest}\n{two}@{digest}\n{other}@{digest}\n")
    );
    for reference in [&one, &two, &other] {
        let index = inspect(&world, reference, &["--raw"]);
        assert_eq!(
            index["mediaType"],
            "application/vnd.oci.image.index.v1+json"
        );
        for (number, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
            assert_eq!(
                index["manifests"][number]["platform"]["architecture"],
                architecture
            );
            let seen = inspect(&world, reference, &["--override-arch", architecture]);
            assert_eq!(seen["Architecture"], architecture);
        }
    }
    // Nothing was written here but what was asked for.
    assert_eq!(
        names(&world),
        [".cache", "digest", "hello.txt", "packer.toml", "refs"]
    );
}

#[test]
fn an_archive_is_written_beside_a_push_when_it_is_asked_for() {
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let registry = require!(Registry::plain());
    package(&world);
    let reference = registry.reference("built/both:1");
    for (format, output) in [("docker-archive", "a.tar"), ("oci-layout", "layout")] {
        let words = [
            "--push", &reference, "--format", format, "-o", output, "--json",
        ];
        let said = build(&world, &words).success();
        let said: Value = serde_json::from_str(said.text()).expect("JSON");
        let digest = said["images"][0]["digest"].as_str().expect("a digest");
        assert_eq!(said["path"], output);
        assert_eq!(
            said["pushed"][0],
            registry.reference(&format!("built/both@{digest}"))
        );
        let id = said["images"][0]["platforms"][0]["id"]
            .as_str()
            .expect("an id");
        if format == "docker-archive" {
            podman.engine.to(&["load", "-q", "-i", "a.tar"]);
            let seen = ["image", "inspect", "--format", "sha256:{{.Id}}", "words"];
            assert_eq!(podman.engine.to(&seen), id);
        }
    }
    let piped = build(&world, &["--push", &reference, "-o", "-"]).success();
    assert!(
        !piped.stdout.contains(&registry.address),
        "it is the archive"
    );
}

#[test]
fn a_push_that_cannot_be_is_one_line_before_anything_is_packed() {
    let world = require!(World::of_a_user());
    package(&world);
    let nobody = format!("localhost:{}/a:1", tests::wait::free_port());
    for (reference, said) in [
        ("words", "does not begin with a registry"),
        (
            "localhost:1/a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "to a tag",
        ),
        (nobody.as_str(), "cannot be reached"),
    ] {
        let outcome = build(&world, &["--push", reference, "--retry", "0"]).with_code(125);
        assert!(outcome.stderr.contains(said), "{said}: {outcome}");
        assert_eq!(outcome.stdout, "");
    }
    world.write("home/list.toml", "[[image]]\nname = \"a\"\npackages = [\"./packer.toml\"]\n[[image]]\nname = \"b\"\npackages = [\"./packer.toml\"]\n");
    let two = build(&world, &["-m", "list.toml", "--push", &nobody]).with_code(125);
    assert!(two.only_error().contains("has 2 images"), "{two}");
}

#[test]
fn credentials_and_certificates_are_those_of_a_push() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::secure());
    package(&world);
    let certificates = registry.certificates();
    let certificates = certificates.to_str().expect("a plain path");
    let reference = registry.reference("built/private:1");
    let words = ["--push", &reference, "--cert-dir", certificates];
    let unknown = build(&world, &words).with_code(125);
    assert!(unknown.stderr.contains("log in first"), "{unknown}");
    let known = [&words[..], &["--creds", "user:secret"]].concat();
    let _ = build(&world, &known).success();
}

#[test]
fn what_is_in_another_repository_of_the_registry_is_mounted_and_not_sent() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    archive(&world);
    let [first, second] = ["mount/one:1", "mount/two:1"].map(|name| registry.reference(name));
    to(&world, &["push", "-q", "image.tar", &first]);
    let (from, into) = (format!("docker://{first}"), format!("docker://{second}"));
    let copied = packer(&world, &["copy", &from, &into]).success();
    let skipped = copied
        .stderr
        .lines()
        .filter(|line| line.ends_with("already exists"));
    assert_eq!(skipped.count(), 3, "{copied}");

    // The same, as a registry sees it: no byte of a blob comes.
    let address = registry.address.clone();
    let server = Scripted::start(move |request, stream| match request.method.as_str() {
        "GET" => {
            let (head, body) = fetch(&address, &request.path);
            let kind = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Type: "));
            reply(
                stream,
                200,
                &[("Content-Type", kind.unwrap_or_default())],
                &body,
            );
        }
        "POST"
            if request.path.contains("?mount=sha256:")
                && request.path.ends_with("&from=mount/one") =>
        {
            reply(stream, 201, &[], b"");
        }
        "HEAD" => reply(stream, 404, &[], b""),
        "PUT" => reply(stream, 201, &[], b""),
        _ => reply(stream, 500, &[], b""),
    });
    let [from, into] =
        ["mount/one:1", "mount/three:1"].map(|name| format!("docker://{}", server.reference(name)));
    to(&world, &["copy", "-q", &from, &into]);
    let lines: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.line())
        .collect();
    let sent = lines.iter().filter(|line| line.contains("/blobs/uploads/"));
    assert_eq!(sent.count(), 3, "{lines:?}");
    assert_eq!(
        lines.last().map(String::as_str),
        Some("PUT /v2/mount/three/manifests/1")
    );
}

/// Asks the registry with a request of its own, for a server that stands in front of it.
fn fetch(address: &str, path: &str) -> (String, Vec<u8>) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("the registry");
    let accept = "application/vnd.oci.image.manifest.v1+json";
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: x\r\nAccept: {accept}\r\n\r\n"
    )
    .expect("the registry");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).replace('\r', "");
    (head, answer[end + 4..].to_vec())
}

#[test]
fn an_index_keeps_its_digest_from_place_to_place() {
    require!(find("skopeo"));
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    package(&world);
    let _ = build(&world, &["--target", "all", "-o", "built.tar"]).success();
    let [first, second] =
        ["whole/one:1", "whole/two:1"].map(|name| format!("docker://{}", registry.reference(name)));
    let places = [
        "oci-archive:built.tar",
        &first,
        "oci:layout:2",
        "dir:directory",
        &second,
        "./again.tar",
        "oci:last:1",
    ];
    let digests: Vec<_> = places
        .windows(2)
        .map(|pair| digest_of(&to(&world, &["copy", "-q", "--all", pair[0], pair[1]])))
        .collect();
    assert!(
        digests.iter().all(|digest| *digest == digests[0]),
        "{digests:?}"
    );
    // Strangers find both images in what we wrote.
    for source in ["dir:directory", "oci:layout:2", &second] {
        let target = format!("dir:copied-{}", source.len());
        let words = [
            "copy",
            "-q",
            "--all",
            "--insecure-policy",
            "--src-tls-verify=false",
            source,
            &target,
        ];
        skopeo(&world, &words);
        let folder = world.home().join(target.trim_start_matches("dir:"));
        let manifests = std::fs::read_dir(&folder)
            .expect("it was written")
            .flatten();
        let manifests = manifests.filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .ends_with(".manifest.json")
        });
        assert_eq!(manifests.count(), 2, "{source}");
        // And we in what they wrote.
        let back = format!("oci:back-{}:1", source.len());
        let digest = digest_of(&to(&world, &["copy", "-q", "--all", &target, &back]));
        assert_eq!(digest, digests[0], "{source}");
    }
}
