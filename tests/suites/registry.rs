//! Registries: what we push is read by everybody, what everybody pushes is read by us, with the same
//! digests; and a registry that does what it must not do.

use std::path::PathBuf;

use packer::Digest;
use tests::client::{Podman, Registry, find};
use tests::fixture::{Archive, Layer};
use tests::scripted::{Scripted, reply};
use tests::{Mode, Outcome, World, require};

#[path = "registry/faults.rs"]
mod faults;
#[path = "registry/publish.rs"]
mod publish;
#[path = "registry/verbs.rs"]
mod verbs;

/// An image with two small layers, and its archive in the world's home.
fn archive(world: &World) -> PathBuf {
    let lower = Layer::new()
        .dir("etc/", 0o755)
        .file("etc/a", 0o644, "lower");
    let upper = Layer::new().file("etc/b", 0o644, vec![b'x'; 100_000]);
    let image = Archive::new(
        "example.com/team/image:1",
        &[&lower, &upper],
        &["/bin/true"],
    );
    world.write("home/image.tar", image.oci())
}

/// Runs `packer` with these words, in the home.
fn packer(world: &World, words: &[&str]) -> Outcome {
    world.packer().args(words).finish()
}

fn to(world: &World, words: &[&str]) -> String {
    packer(world, words).success().text().to_owned()
}

/// The digest at the end of what `push` and `copy` print.
fn digest_of(line: &str) -> Digest {
    let (_, digest) = line.rsplit_once('@').expect("REFERENCE@DIGEST");
    digest.parse().expect("a digest")
}

fn skopeo(world: &World, words: &[&str]) -> String {
    world.run("skopeo").args(words).succeed().text().to_owned()
}

#[test]
fn what_we_push_is_read_by_skopeo_and_podman() {
    require!(find("skopeo"));
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let registry = require!(Registry::plain());
    archive(&world);
    let reference = registry.reference("pushed/image:1");
    let pushed = digest_of(&to(&world, &["push", "image.tar", &reference]));

    let source = format!("docker://{reference}");
    let inspect = [
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &source,
    ];
    assert_eq!(skopeo(&world, &inspect), pushed.to_string());
    podman
        .engine
        .to(&["pull", "-q", "--tls-verify=false", &reference]);
    let seen = podman
        .engine
        .to(&["image", "inspect", "--format", "{{.Digest}}", &reference]);
    assert_eq!(seen, pushed.to_string());
}

#[test]
fn what_skopeo_and_podman_push_is_read_by_us() {
    require!(find("skopeo"));
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let registry = require!(Registry::plain());
    archive(&world);
    let theirs = registry.reference("theirs/skopeo:1");
    let target = format!("docker://{theirs}");
    skopeo(
        &world,
        &[
            "copy",
            "-q",
            "--dest-tls-verify=false",
            "oci-archive:image.tar",
            &target,
        ],
    );
    let again = registry.reference("theirs/podman:1");
    podman.engine.to(&["load", "-q", "-i", "image.tar"]);
    podman.engine.to(&[
        "push",
        "-q",
        "--tls-verify=false",
        "example.com/team/image:1",
        &again,
    ]);

    for reference in [theirs, again] {
        let source = format!("docker://{reference}");
        let inspect = [
            "inspect",
            "--tls-verify=false",
            "--format",
            "{{.Digest}}",
            &source,
        ];
        let digest = skopeo(&world, &inspect);
        for (format, transport) in [
            ("archive", "oci-archive"),
            ("oci-layout", "oci"),
            ("dir", "dir"),
        ] {
            let path = format!("{transport}-{}", digest.len());
            let written = to(
                &world,
                &["pull", "-q", "--format", format, "-o", &path, &reference],
            );
            assert_eq!(written, path);
            let local = format!("{transport}:{path}");
            let inspect = ["inspect", "--format", "{{.Digest}}", &local];
            assert_eq!(skopeo(&world, &inspect), digest, "{format} of {reference}");
            world.run("rm").args(["-rf", &path]).succeed();
        }
    }
}

#[test]
fn a_pull_by_digest_gives_that_image_and_a_pulled_archive_is_named_after_it() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    archive(&world);
    let reference = registry.reference("named/image:v1.2");
    let digest = digest_of(&to(&world, &["push", "image.tar", &reference]));
    assert_eq!(to(&world, &["pull", "-q", &reference]), "image-v1.2.tar");
    let by_digest = registry.reference(&format!("named/image@{digest}"));
    assert_eq!(
        to(&world, &["pull", "-q", &by_digest]),
        format!("{}.tar", digest.hex())
    );
}

#[test]
fn a_registry_with_tls_and_a_password_is_used_after_a_login() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::secure());
    archive(&world);
    let reference = registry.reference("private/image:1");
    let certificates = registry.certificates();
    let certificates = certificates.to_str().expect("a plain path");
    let push = ["push", "-q", "image.tar", &reference];

    let untrusted = packer(&world, &push).with_code(125);
    assert!(
        untrusted.only_error().contains("cannot be trusted"),
        "{untrusted}"
    );
    let trusting = [&push[..], &["--cert-dir", certificates]].concat();
    let unknown = packer(&world, &trusting).with_code(125);
    assert!(unknown.only_error().contains("log in first"), "{unknown}");
    let wrong = [&trusting[..], &["--creds", "user:wrong"]].concat();
    let refused = packer(&world, &wrong).with_code(125);
    assert!(
        refused.only_error().contains("password are wrong"),
        "{refused}"
    );
    let right = [&trusting[..], &["--creds", "user:secret"]].concat();
    let _ = packer(&world, &right).success();

    // What certs.d says holds without a flag.
    let folder = world
        .home()
        .join(".config/containers/certs.d")
        .join(&registry.address);
    std::fs::create_dir_all(&folder).expect("a new home");
    std::fs::copy(
        registry.certificates().join("ca.crt"),
        folder.join("ca.crt"),
    )
    .expect("a new home");
    world.own_all(&world.home());
    to(&world, &[&push[..], &["--creds", "user:secret"]].concat());
}

#[test]
fn blobs_that_are_there_are_not_sent_again() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    archive(&world);
    let reference = registry.reference("known/image:1");
    to(&world, &["push", "-q", "image.tar", &reference]);
    let again = packer(&world, &["push", "image.tar", &reference]).success();
    let skipped = again
        .stderr
        .lines()
        .filter(|line| line.ends_with("already exists"))
        .count();
    assert_eq!(skipped, 3, "{again}");
}

#[test]
fn a_push_of_what_is_there_is_one_head_a_blob_and_one_put() {
    let world = require!(World::of_a_user());
    archive(&world);
    let server = Scripted::start(|request, stream| {
        let status = if request.method == "PUT" { 201 } else { 200 };
        reply(stream, status, &[], b"");
    });
    to(
        &world,
        &["push", "-q", "image.tar", &server.reference("a/b:1")],
    );
    let mut lines: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.line())
        .collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines.pop().as_deref(), Some("PUT /v2/a/b/manifests/1"));
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("HEAD /v2/a/b/blobs/sha256:")),
        "{lines:?}"
    );
}

#[test]
fn what_cannot_be_is_said_in_one_line() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    archive(&world);
    let free = tests::wait::free_port();
    let absent = registry.reference("nobody/nothing:1");
    let unreachable = format!("localhost:{free}/a:1");
    for (words, said) in [
        (&["pull", &absent][..], "has no image"),
        (&["pull", &unreachable], "cannot be reached"),
        (
            &["push", "image.tar", "alpine"],
            "does not begin with a registry",
        ),
        (&["push", "image.tar", "localhost:1/A"], "lower case"),
        (&["push", "nowhere", &absent], "is no archive and no folder"),
        (&["push", "nowhere.tar", &absent], "No such file"),
        (&["pull", "no-alias-has-this"], "names no registry"),
        (&["pull", "localhost:1/a@sha256:12"], "no digest"),
        (&["pull", "-o", "/nowhere/a.tar", &absent], "/nowhere/a.tar"),
    ] {
        let outcome = packer(&world, words).with_code(125);
        assert!(outcome.only_error().contains(said), "{said}: {outcome}");
    }
    let left: Vec<_> = std::fs::read_dir(world.home())
        .expect("a home")
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn registries_conf_moves_mirrors_and_blocks() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    archive(&world);
    to(
        &world,
        &[
            "push",
            "-q",
            "image.tar",
            &registry.reference("mirror/team/image:1"),
        ],
    );
    let settings = format!(
        "unqualified-search-registries = ['nowhere.example', 'hub.example']\n\
         [aliases]\nours = 'hub.example/team/image'\n\
         [[registry]]\nlocation = 'hub.example'\n\
         [[registry.mirror]]\nlocation = 'localhost:1'\n\
         [[registry.mirror]]\nlocation = '{}/mirror'\n\
         [[registry]]\nprefix = 'moved.example/x'\nlocation = '{}/mirror'\n\
         [[registry]]\nlocation = 'nowhere.example'\nblocked = true\n",
        registry.address, registry.address
    );
    let settings = world.write("home/registries.conf", settings);
    let pull = |reference: &str| {
        let words = ["pull", "-q", "-o", "pulled.tar", reference];
        world
            .packer()
            .env("CONTAINERS_REGISTRIES_CONF", &settings)
            .args(words)
            .finish()
    };
    for reference in [
        "hub.example/team/image:1",
        "ours:1",
        "moved.example/x/team/image:1",
        "team/image:1",
    ] {
        let _ = pull(reference).success();
    }
    let blocked = pull("nowhere.example/a:1").with_code(125);
    assert!(blocked.only_error().contains("is blocked"), "{blocked}");
}
