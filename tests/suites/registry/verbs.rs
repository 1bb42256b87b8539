//! Logging in, copying between all places, looking into images and comparing them.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tests::client::{Registry, find};
use tests::fixture::{Archive, Layer};
use tests::{Mode, World, require};

use super::{archive, digest_of, packer, skopeo, to};

#[test]
fn a_login_is_kept_for_us_and_for_skopeo_and_a_logout_ends_it() {
    require!(find("skopeo"));
    let world = require!(World::of_a_user());
    let registry = require!(Registry::secure());
    archive(&world);
    let certificates = registry.certificates();
    let certificates = certificates.to_str().expect("a plain path");
    let login = [
        "login",
        "--cert-dir",
        certificates,
        "-u",
        Registry::USER,
        "--password-stdin",
        &registry.address,
    ];
    let wrong = world
        .packer()
        .args(login)
        .input("wrong\n")
        .finish()
        .with_code(125);
    assert!(wrong.only_error().contains("password are wrong"), "{wrong}");
    let right = world.packer().args(login).input("secret\n").succeed();
    assert_eq!(right.text(), "Login Succeeded!");
    let file = world.path("run/containers/auth.json");
    let mode = std::fs::metadata(&file)
        .expect("the file of the login")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        to(&world, &["login", "--get-login", &registry.address]),
        "user"
    );

    let reference = registry.reference("login/image:1");
    to(
        &world,
        &[
            "push",
            "-q",
            "--cert-dir",
            certificates,
            "image.tar",
            &reference,
        ],
    );
    let source = format!("docker://{reference}");
    skopeo(&world, &["inspect", "--cert-dir", certificates, &source]);
    assert_eq!(
        to(&world, &["logout", &registry.address]),
        format!("Removed login credentials for {}", registry.address)
    );
    let after = packer(&world, &["pull", "--cert-dir", certificates, &reference]).with_code(125);
    assert!(after.only_error().contains("log in first"), "{after}");
    let again = packer(&world, &["logout", &registry.address]).with_code(125);
    assert!(again.only_error().contains("not logged into"), "{again}");
}

#[test]
fn credentials_come_from_docker_s_files_and_from_helpers() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::secure());
    archive(&world);
    let reference = registry.reference("helped/image:1");
    let certificates = registry.certificates();
    let certificates = certificates.to_str().expect("a plain path");
    let push = [
        "push",
        "-q",
        "--cert-dir",
        certificates,
        "image.tar",
        &reference,
    ];
    let bin = world.make_dir("bin", 0o755);
    let helper = world.write(
        "bin/docker-credential-test",
        "#!/bin/sh\nread server\n[ \"$1\" = get ] || exit 1\n\
         echo \"{\\\"ServerURL\\\":\\\"$server\\\",\\\"Username\\\":\\\"user\\\",\\\"Secret\\\":\\\"secret\\\"}\"\n",
    );
    std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).expect("our own file");
    world.make_dir("home/.docker", 0o700);
    let path = format!(
        "{}:{}",
        bin.display(),
        std::env::var("PATH").expect("a PATH")
    );
    for settings in [
        json!({"credHelpers": {&registry.address: "test"}}),
        json!({"credsStore": "test"}),
        // `user:secret` in Base64.
        json!({"auths": {format!("https://{}/v1/", registry.address): {"auth": "dXNlcjpzZWNyZXQ="}}}),
    ] {
        world.write("home/.docker/config.json", settings.to_string());
        world.packer().env("PATH", &path).args(push).succeed();
    }
    world.write(
        "home/.docker/config.json",
        json!({"credsStore": "absent"}).to_string(),
    );
    let absent = packer(&world, &push).with_code(125);
    assert!(
        absent.only_error().contains("docker-credential-absent"),
        "{absent}"
    );
}

#[test]
fn an_image_keeps_its_digest_from_place_to_place() {
    require!(find("skopeo"));
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    archive(&world);
    let (first, second) = (
        registry.reference("copy/one:1"),
        registry.reference("copy/two:1"),
    );
    let places = [
        "oci-archive:image.tar",
        &format!("docker://{first}"),
        &format!("docker://{second}"),
        "oci:layout:2",
        "dir:directory",
        "./again.tar",
        &format!("docker://{second}"),
    ];
    let digests: Vec<_> = places
        .windows(2)
        .map(|pair| digest_of(&to(&world, &["copy", "-q", pair[0], pair[1]])))
        .collect();
    assert!(
        digests.iter().all(|digest| *digest == digests[0]),
        "{digests:?}"
    );
    let inspect = ["inspect", "--format", "{{.Digest}}", "oci:layout:2"];
    assert_eq!(skopeo(&world, &inspect), digests[0].to_string());
}

#[test]
fn an_index_is_copied_with_all_that_it_names_and_a_platform_is_chosen_from_it() {
    require!(find("skopeo"));
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let layer = Layer::new().file("arch", 0o644, architecture);
        let mut image = Archive::new("example.com/x:1", &[&layer], &["/x"]);
        image.architecture = architecture.to_owned();
        world.write(format!("home/{architecture}.tar"), image.oci());
        let reference = registry.reference(&format!("multi/image:{architecture}"));
        let digest = digest_of(&to(
            &world,
            &["push", "-q", &format!("./{architecture}.tar"), &reference],
        ));
        let source = format!("docker://{reference}");
        let raw = skopeo(&world, &["inspect", "--raw", "--tls-verify=false", &source]);
        entries.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest.to_string(), "size": raw.len(),
            "platform": {"os": "linux", "architecture": architecture},
        }));
    }
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries,
    });
    put_index(registry, "multi/image", &index);

    let (all, copied) = (
        registry.reference("multi/image:all"),
        registry.reference("multi/copied:all"),
    );
    to(&world, &["copy", "-q", "--all", &all, &copied]);
    for reference in [all, copied.clone()] {
        let source = format!("docker://{reference}");
        let raw = skopeo(&world, &["inspect", "--raw", "--tls-verify=false", &source]);
        assert_eq!(raw, index.to_string());
    }
    for architecture in ["amd64", "arm64"] {
        let platform = format!("linux/{architecture}");
        let said = to(
            &world,
            &["inspect", "--json", "--platform", &platform, &copied],
        );
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said["config"]["architecture"], architecture);
        assert_eq!(said["files"][0]["size"], 5);
    }
    let none = packer(&world, &["pull", "--platform", "linux/s390x", &copied]).with_code(125);
    assert!(
        none.only_error().contains("linux/amd64, linux/arm64"),
        "{none}"
    );
}

/// Puts an index under the tag `all`; no command of a client that is here does that.
fn put_index(registry: &Registry, repository: &str, index: &Value) {
    use std::io::{Read, Write};
    let body = index.to_string();
    let mut stream = std::net::TcpStream::connect(&registry.address).expect("the registry");
    write!(
        stream,
        "PUT /v2/{repository}/manifests/all HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/vnd.oci.image.index.v1+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the registry");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[test]
fn inspect_prints_what_an_image_is_and_has() {
    let world = require!(World::of_a_user());
    archive(&world);
    let said = to(&world, &["inspect", "image.tar"]);
    for line in [
        "name:       example.com/team/image:1",
        "cmd:        /bin/true",
        "0755 0:0                      etc/",
        "0644 0:0                   5    a",
        "0644 0:0              100000    b",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}\n{said}");
    }
}

#[test]
fn diff_says_file_by_file_what_differs() {
    let world = require!(World::new(Mode::Mapped).or_else(|_| World::new(Mode::Single)));
    let image = |files: Layer, environment: &str| {
        let image = Archive::new("localhost/x:1", &[&files], &["/x"]);
        image.with("Env", json!([environment])).oci()
    };
    let a = Layer::new()
        .file("a", 0o644, "x")
        .file("b", 0o644, "x")
        .file("gone", 0o644, "");
    let b = Layer::new()
        .file("b", 0o755, "x")
        .file("a", 0o644, "y")
        .owned_by(7, 8);
    world.write("home/a.tar", image(a.clone(), "A=1"));
    world.write("home/same.tar", image(a, "A=1"));
    world.write("home/b.tar", image(b, "A=2"));
    assert_eq!(to(&world, &["diff", "a.tar", "same.tar"]), "");
    let differ = packer(&world, &["diff", "a.tar", "b.tar"]).with_code(1);
    for start in [
        "file a: content: 1 bytes, sha256:",
        "file a: owner: 0:0 -> 7:8",
        "file b: mode: 0644 -> 0755",
        "only in A: gone",
        "layer 0: another order, first where A has a and B has b",
        "config: config.Env[0]: \"A=1\" -> \"A=2\"",
        "manifest: layers[0].digest: ",
    ] {
        assert!(
            differ.stdout.lines().any(|line| line.starts_with(start)),
            "{start}\n{differ}"
        );
    }
    let absent = packer(&world, &["diff", "a.tar", "./absent.tar"]).with_code(125);
    assert!(absent.only_error().contains("absent.tar"), "{absent}");
}
