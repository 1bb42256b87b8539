//! Which images are accepted: `policy.json`, signatures of others, and others with signatures of ours.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::client::{Gpg, Podman, Registry, find};
use tests::command::Run;
use tests::fixture::{Archive, Layer, busybox};
use tests::scripted::Scripted;
use tests::{Engine, Mode, Outcome, World, require};

#[path = "trust/keys.rs"]
mod keys;
#[path = "trust/sigstore.rs"]
mod sigstore;

const ALICE: &str = "alice@example.org";
const MALLORY: &str = "mallory@example.org";

/// Writes a file of the user's configuration.
fn configure(world: &World, name: &str, content: impl AsRef<[u8]>) {
    let folder = world.home().join(".config/containers");
    fs::create_dir_all(folder.join("registries.d")).expect("a new home");
    fs::write(folder.join(name), content).expect("a new home");
    world.own_all(&world.home().join(".config"));
}

/// Sets the policy: what holds by default, and what for each transport and scope.
fn policy(world: &World, default: &str, transports: &Value) {
    let policy = json!({"default": [{"type": default}], "transports": transports});
    configure(world, "policy.json", policy.to_string());
}

fn signed_by(key: &Path) -> Value {
    json!([{"type": "signedBy", "keyType": "GPGKeys", "keyPath": key}])
}

/// The line of a refusal, which names the file, the rule and the reason.
fn refused(outcome: Outcome, words: &[&str]) {
    let outcome = outcome.with_code(125);
    let line = outcome.stderr.lines().last().expect("a line").to_owned();
    for word in words {
        assert!(line.contains(word), "{word:?} is not said: {line}");
    }
}

fn image(name: &str, content: &str) -> Archive {
    let layer = Layer::new().file("content", 0o644, content);
    Archive::new(name, &[&layer], &["/content"])
}

/// skopeo, with the key ring and the policy of the user.
fn skopeo(world: &World, gpg: &Gpg<'_>, words: &[&str]) -> Run {
    let folder = world.home().join(".config/containers/registries.d");
    world
        .run("skopeo")
        .env("GNUPGHOME", &gpg.home)
        .args([
            "--registries.d",
            &folder.display().to_string(),
            "--tmpdir",
            "/tmp",
        ])
        .args(words)
}

/// Pushes an image to the registry, under a name of its own.
fn publish(runner: &Engine<'_>, registry: &Registry, archive: &Archive, name: &str) -> String {
    let place = registry.reference(name);
    let loaded = runner.load(&archive.oci());
    runner.to(&["push", "-q", &loaded, &place]);
    runner.to(&["rmi", "-f", &loaded]);
    place
}

#[test]
fn what_skopeo_signed_is_accepted_and_nothing_else() {
    require!(find("skopeo"));
    let registry = require!(Registry::plain());
    let world = require!(World::of_a_user());
    let gpg = require!(Gpg::new(
        &world,
        &[(ALICE, "rsa2048"), (MALLORY, "ed25519")]
    ));
    let runner = world.runner();
    let plain = publish(&runner, registry, &require!(busybox::image()), "plain:1");
    let store = format!("lookaside: 'file://{}'", world.path("lookaside").display());
    configure(
        &world,
        "registries.d/all.yaml",
        format!("default-docker: {{{store}}}\n"),
    );
    let signed = registry.reference("signed:1");
    let tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    for (user, place) in [
        (ALICE, &signed),
        (MALLORY, &registry.reference("mallory:1")),
    ] {
        let (from, to) = (format!("docker://{plain}"), format!("docker://{place}"));
        let words = ["copy", tls[0], tls[1], "--sign-by", user, &from, &to];
        skopeo(&world, &gpg, &words).succeed();
    }
    let rule = signed_by(&gpg.public(ALICE));
    let scopes = json!({ registry.address.clone(): rule });
    policy(&world, "reject", &json!({ "docker": scopes }));
    let place = format!("transports.docker.\"{}\": signedBy", registry.address);
    refused(
        runner.try_to(&["pull", &plain]),
        &["policy.json", &place, "it has no such signature"],
    );
    refused(
        runner.try_to(&["pull", &registry.reference("mallory:1")]),
        &[&place, "not made by a key of this rule"],
    );
    assert_eq!(runner.to(&["images", "-q"]), "");
    assert_eq!(runner.to(&["run", "--rm", &signed, "echo", "hi"]), "hi");

    // A good signature beside another name of the same image is for the other name.
    let lookaside = |name: &str| world.path("lookaside").join(name);
    let digest = runner.to(&[
        "inspect",
        "--type",
        "image",
        "--format",
        "{{.Digest}}",
        &signed,
    ]);
    let folder = |name: &str| lookaside(&format!("{name}@{}", digest.replace(':', "=")));
    fs::create_dir_all(folder("plain")).expect("our own folder");
    fs::copy(
        folder("signed").join("signature-1"),
        folder("plain").join("signature-1"),
    )
    .expect("skopeo wrote it");
    refused(
        runner.try_to(&["pull", &plain]),
        &[&place, "it is for", "signed:1"],
    );

    // A signature that was changed is none.
    let path = folder("signed").join("signature-1");
    let mut bytes = fs::read(&path).expect("skopeo wrote it");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).expect("our own folder");
    refused(runner.try_to(&["pull", &signed]), &[&place]);

    // The store remembers the signature: a run asks for it again, and no lookaside.
    assert_eq!(runner.to(&["run", "--rm", &signed, "echo", "hi"]), "hi");
    let scopes = json!({ registry.address.clone(): signed_by(&gpg.public(MALLORY)) });
    policy(&world, "reject", &json!({ "docker": scopes }));
    refused(
        runner.try_to(&["run", "--rm", &signed, "echo", "hi"]),
        &[&place, "not made by a key of this rule"],
    );
}

#[test]
fn what_we_sign_is_accepted_by_skopeo_and_by_ourselves() {
    require!(find("skopeo"));
    let registry = require!(Registry::plain());
    let world = require!(World::of_a_user());
    let gpg = require!(Gpg::new(
        &world,
        &[
            (ALICE, "rsa2048"),
            ("bob@example.org", "ed25519"),
            (MALLORY, "rsa2048")
        ]
    ));
    let runner = world.runner();
    let folder = world.path("lookaside");
    let served = Scripted::start({
        let folder = folder.clone();
        move |request, stream| {
            use std::io::Write;
            let file = fs::read(folder.join(request.path.trim_start_matches('/')));
            let status = if file.is_ok() {
                "200 OK"
            } else {
                "404 Not Found"
            };
            let body = file.unwrap_or_default();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(&[head.into_bytes(), body].concat());
        }
    });
    let lookaside = format!(
        "default-docker: {{lookaside: 'http://127.0.0.1:{}', lookaside-staging: 'file://{}'}}\n",
        served.port,
        folder.display()
    );
    configure(&world, "registries.d/all.yaml", lookaside);
    for (number, user) in [ALICE, "bob@example.org"].iter().enumerate() {
        let place = publish(
            &runner,
            registry,
            &image("localhost/ours:1", user),
            &format!("ours{number}:1"),
        );
        let scopes = json!({ registry.address.clone(): signed_by(&gpg.public(user)) });
        policy(&world, "reject", &json!({ "docker": scopes }));
        let to = world.path(format!("copy-{number}"));
        let words = [
            "copy",
            "--src-tls-verify=false",
            &format!("docker://{place}"),
            &format!("dir:{}", to.display()),
        ];
        let without = skopeo(&world, &gpg, &words).finish();
        assert!(
            without.code != 0 && without.stderr.contains("signature"),
            "{without}"
        );
        refused(
            runner.try_to(&["pull", &place]),
            &["it has no such signature"],
        );
        let key = gpg.secret(user).display().to_string();
        let path = runner.to(&[
            "image",
            "sign",
            "--sign-by",
            &key,
            &format!("docker://{place}"),
        ]);
        assert!(
            Path::new(&path).is_file() && path.ends_with("signature-1"),
            "{path}"
        );
        skopeo(&world, &gpg, &words).succeed();
        runner.to(&["pull", "-q", &place]);
        // What gpg keeps for itself signs too.
        let by_gpg = runner.command(&["image", "sign", "--sign-by", user, &place]);
        let path = by_gpg.env("GNUPGHOME", &gpg.home).succeed();
        assert!(path.text().ends_with("signature-2"), "{}", path.text());
        policy(&world, "insecureAcceptAnything", &json!({}));
    }
    refused(
        runner.try_to(&[
            "image",
            "sign",
            "--sign-by",
            "nobody@example.org",
            "docker://localhost:1/a",
        ]),
        &["localhost:1"],
    );
}

#[test]
fn a_folder_carries_its_signatures() {
    require!(find("skopeo"));
    let world = require!(World::of_a_user());
    let gpg = require!(Gpg::new(&world, &[(ALICE, "ed25519")]));
    let runner = world.runner();
    configure(&world, "registries.d/none.yaml", "");
    policy(&world, "insecureAcceptAnything", &json!({}));
    let archive = world.write("image.tar", image("localhost/in-a-folder:1", "x").docker());
    let folder = world.path("folder");
    let (from, to) = (
        format!("docker-archive:{}", archive.display()),
        format!("dir:{}", folder.display()),
    );
    let identity = "vendor.example/product:1";
    let words = [
        "copy",
        "--sign-by",
        ALICE,
        "--sign-identity",
        identity,
        &from,
        &to,
    ];
    skopeo(&world, &gpg, &words).succeed();
    let rule = |reference: &str| {
        let identity = json!({"type": "exactReference", "dockerReference": reference});
        let mut rule = signed_by(&gpg.public(ALICE));
        rule[0]["signedIdentity"] = identity;
        json!({"dir": { folder.display().to_string(): rule }})
    };
    policy(&world, "reject", &rule("vendor.example/product:2"));
    let load = ["load", "-q", "-i", &folder.display().to_string()];
    refused(
        runner.try_to(&load),
        &["transports.dir", "it is for vendor.example/product:1"],
    );
    policy(&world, "reject", &rule(identity));
    runner.to(&load);
    fs::remove_file(folder.join("signature-1")).expect("skopeo wrote it");
    refused(runner.try_to(&load), &["it has no such signature"]);
}

#[test]
fn a_transport_is_accepted_or_not_at_load_and_at_run() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let archive = image("localhost/loaded:1", "x");
    let path = world.write("docker.tar", archive.docker());
    let file = path.display().to_string();
    policy(
        &world,
        "reject",
        &json!({"docker-archive": {"": [{"type": "insecureAcceptAnything"}]}}),
    );
    runner.to(&["load", "-q", "-i", &file]);
    let container = runner.to(&["create", "localhost/loaded:1"]);
    policy(
        &world,
        "reject",
        &json!({"docker": {"": [{"type": "insecureAcceptAnything"}]}}),
    );
    for words in [
        &["load", "-q", "-i", &file][..],
        &["import", &file],
        &["create", "localhost/loaded:1"],
        &["run", "--rm", "localhost/loaded:1"],
        &["start", &container],
        &["start", "-a", &container],
    ] {
        refused(
            runner.try_to(words),
            &["policy.json", "rule default: reject", "it accepts no image"],
        );
    }
    runner.to(&["rm", &container]);
    let piped = runner
        .command(&["load", "-q"])
        .input(archive.docker())
        .finish();
    refused(piped, &["(standard input)", "rule default: reject"]);
    // A folder that is trusted, with all that is in it.
    let oci = world.write("oci.tar", archive.oci());
    let folder = world.folder().canonicalize().expect("our own folder");
    let scopes = json!({ folder.display().to_string(): [{"type": "insecureAcceptAnything"}] });
    policy(&world, "reject", &json!({ "oci-archive": scopes }));
    runner.to(&["load", "-q", "-i", &oci.display().to_string()]);
    runner.to(&["rm", &runner.to(&["create", "localhost/loaded:1"])]);
}

#[test]
fn a_policy_that_is_not_understood_accepts_nothing() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let path = world.write("image.tar", image("localhost/broken:1", "x").docker());
    for (text, words) in [
        ("{", ["policy.json, line 1", "EOF"]),
        (
            "{\n \"default\": [{\"type\": \"reject\"}],\n \"more\": 1}",
            ["line 3", "unknown field `more`"],
        ),
        ("{\"default\": []}", ["default", "the list is empty"]),
    ] {
        configure(&world, "policy.json", text);
        let outcome = runner.try_to(&["load", "-q", "-i", &path.display().to_string()]);
        refused(outcome.clone(), &words);
        let _ = outcome.only_error();
    }
    assert_eq!(runner.to(&["images", "-q"]), "");
}

#[test]
fn the_policy_is_shown_and_set_as_podman_does() {
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let gpg = require!(Gpg::new(&world, &[(ALICE, "ed25519")]));
    let runner = world.runner();
    let key = gpg.public(ALICE).display().to_string();
    let (ours, theirs) = (world.path("ours.json"), world.path("theirs.json"));
    let start = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
    for path in [&ours, &theirs] {
        world.write(path, start);
    }
    for words in [
        &["-t", "reject", "default"][..],
        &["-f", &key, "quay.io/team"],
        &["--type", "accept", "docker.io"],
    ] {
        let set = |path: &Path| -> Vec<String> {
            let fixed = [
                "image",
                "trust",
                "set",
                "--policypath",
                path.to_str().expect("UTF-8"),
            ];
            fixed
                .iter()
                .chain(words)
                .map(|&word| word.to_owned())
                .collect()
        };
        runner.to(&set(&ours));
        podman.engine.to(&set(&theirs));
    }
    let read = |path: &Path| -> Value {
        serde_json::from_slice(&fs::read(path).expect("it was written")).expect("JSON")
    };
    assert_eq!(read(&ours), read(&theirs));
    let show = ["show", "--policypath", ours.to_str().expect("UTF-8")];
    let lines = runner.to(&[&["image", "trust"], &show[..]].concat());
    let words: Vec<Vec<&str>> = lines
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        words,
        [
            &["TRANSPORT", "NAME", "TYPE", "ID", "STORE"][..],
            &["all", "default", "reject"],
            &["repository", "docker.io", "accept"],
            &["repository", "quay.io/team", "signed", ALICE],
        ]
    );
    // The user's own file begins as the one that held.
    runner.to(&["image", "trust", "set", "-t", "reject", "evil.example"]);
    let own = read(&world.home().join(".config/containers/policy.json"));
    assert_eq!(
        own["transports"]["docker"]["evil.example"][0]["type"],
        "reject"
    );
    refused(
        runner.try_to(&["image", "trust", "set", "x.example"]),
        &["--pubkeysfile"],
    );
    refused(
        runner.try_to(&["pull", "evil.example/a"]),
        &["evil.example"],
    );
}
