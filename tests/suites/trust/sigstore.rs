//! Signatures of sigstore: claims that are attached to an image in its registry.

use packer::Digest;

use super::*;

/// A key pair of openssl: the files of the private and of the public key.
fn key_pair(world: &World, name: &str) -> (String, String) {
    let path = |extension: &str| {
        world
            .path(format!("{name}.{extension}"))
            .display()
            .to_string()
    };
    let (private, public) = (path("key"), path("pub"));
    let curve = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ];
    world
        .run("openssl")
        .args(curve)
        .args(["-out", &private])
        .succeed();
    let out = ["pkey", "-in", &private, "-pubout", "-out", &public];
    world.run("openssl").args(out).succeed();
    (private, public)
}

/// Writes the policy that wants a signature by `key` from the registry.
fn want(world: &World, registry: &Registry, key: &str, identity: &str) {
    let rule =
        json!([{"type": "sigstoreSigned", "keyPath": key, "signedIdentity": {"type": identity}}]);
    policy(
        world,
        "reject",
        &json!({"docker": { registry.address.clone(): rule }}),
    );
}

fn use_attachments(world: &World) {
    configure(
        world,
        "registries.d/all.yaml",
        "default-docker: {use-sigstore-attachments: true}\n",
    );
}

#[test]
fn what_we_sign_for_sigstore_is_accepted_by_openssl_and_by_ourselves() {
    require!(find("skopeo"));
    require!(find("openssl"));
    let registry = require!(Registry::plain());
    let world = require!(World::of_a_user());
    let gpg = require!(Gpg::new(&world, &[]));
    let runner = world.runner();
    use_attachments(&world);
    policy(&world, "insecureAcceptAnything", &json!({}));
    let (private, public) = key_pair(&world, "alice");
    let (_, other) = key_pair(&world, "mallory");
    let place = registry.reference("attached:1");
    let loaded = runner.load(&image("localhost/attached:1", "x").oci());
    runner.to(&[
        "push",
        "-q",
        "--sign-by-sigstore-private-key",
        &private,
        &loaded,
        &place,
    ]);
    want(&world, registry, &other, "matchRepoDigestOrExact");
    refused(
        runner.try_to(&["pull", &place]),
        &["sigstoreSigned", "not made by a key of this rule"],
    );
    want(&world, registry, &public, "matchRepoDigestOrExact");
    runner.to(&["pull", "-q", &place]);
    let digest = digest(&runner, &place);
    configure(&world, "registries.d/all.yaml", "");
    refused(
        runner.try_to(&["pull", &place]),
        &["it has no such signature"],
    );
    check_attachment(&world, &gpg, registry, &digest, &public);
}

/// Has skopeo fetch what is attached to the image, and openssl check it.
fn check_attachment(world: &World, gpg: &Gpg<'_>, registry: &Registry, digest: &str, key: &str) {
    policy(world, "insecureAcceptAnything", &json!({}));
    let tag = format!("attached:{}.sig", digest.replace(':', "-"));
    let from = format!("docker://{}", registry.reference(&tag));
    let folder = world.path("fetched");
    let to = format!("dir:{}", folder.display());
    skopeo(world, gpg, &["copy", "--src-tls-verify=false", &from, &to]).succeed();
    let read = |name: &str| fs::read(folder.join(name)).expect("skopeo wrote it");
    let manifest: Value = serde_json::from_slice(&read("manifest.json")).expect("JSON");
    let layer = &manifest["layers"][0];
    let blob = layer["digest"]
        .as_str()
        .expect("a digest")
        .trim_start_matches("sha256:");
    let claim: Value = serde_json::from_slice(&read(blob)).expect("JSON");
    let critical = &claim["critical"];
    assert_eq!(critical["image"]["docker-manifest-digest"], digest);
    assert_eq!(
        critical["identity"]["docker-reference"],
        registry.reference("attached:1")
    );
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str();
    let verify = format!(
        "echo '{}' | base64 -d > signature; openssl dgst -sha256 -verify '{key}' -signature signature '{}'",
        signature.expect("a signature"),
        folder.join(blob).display()
    );
    world.run("sh").args(["-c", &verify]).succeed();
}

fn digest(runner: &Engine<'_>, name: &str) -> String {
    runner.to(&[
        "inspect",
        "--type",
        "image",
        "--format",
        "{{.Digest}}",
        name,
    ])
}

#[test]
fn what_openssl_signed_and_skopeo_attached_is_accepted() {
    require!(find("skopeo"));
    require!(find("openssl"));
    let registry = require!(Registry::plain());
    let world = require!(World::of_a_user());
    let gpg = require!(Gpg::new(&world, &[]));
    let runner = world.runner();
    use_attachments(&world);
    policy(&world, "insecureAcceptAnything", &json!({}));
    let place = publish(
        &runner,
        registry,
        &image("localhost/theirs:1", "x"),
        "theirs:1",
    );
    runner.to(&["pull", "-q", &place]);
    let digest = runner.to(&[
        "inspect",
        "--type",
        "image",
        "--format",
        "{{.Digest}}",
        &place,
    ]);
    // As cosign writes it: the identity is the repository alone.
    let claim = json!({
        "critical": {
            "identity": {"docker-reference": registry.reference("theirs")},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let claim = claim.to_string();
    let (private, public) = key_pair(&world, "alice");
    let path = world.write("claim", &claim);
    let sign = format!(
        "openssl dgst -sha256 -sign '{private}' '{}' | base64 -w0",
        path.display()
    );
    let signature = world.run("sh").args(["-c", &sign]).succeed();
    attach(&world, &gpg, registry, &digest, &claim, signature.text());
    want(&world, registry, &public, "matchRepository");
    runner.to(&["pull", "-q", &place]);
    // A tag is more than the claim says.
    want(&world, registry, &public, "matchRepoDigestOrExact");
    refused(runner.try_to(&["pull", &place]), &["it is for", "theirs"]);
}

/// Puts a claim with its signature where cosign would, by way of an OCI layout.
fn attach(
    world: &World,
    gpg: &Gpg<'_>,
    registry: &Registry,
    digest: &str,
    claim: &str,
    signature: &str,
) {
    let folder = world.make_dir("layout", 0o755);
    world.make_dir("layout/blobs", 0o755);
    world.make_dir("layout/blobs/sha256", 0o755);
    let put = |content: &str, kind: &str| {
        let digest = Digest::of(content.as_bytes());
        world.write(format!("layout/blobs/sha256/{}", digest.hex()), content);
        json!({"mediaType": kind, "digest": digest.to_string(), "size": content.len()})
    };
    let mut layer = put(claim, "application/vnd.dev.cosign.simplesigning.v1+json");
    let config = json!({
        "architecture": "", "os": "", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
    let config = put(
        &config.to_string(),
        "application/vnd.oci.image.config.v1+json",
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
    let manifest = put(&manifest.to_string(), kind);
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    world.write("layout/index.json", index.to_string());
    world.write("layout/oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#);
    let tag = format!("theirs:{}.sig", digest.replace(':', "-"));
    let to = format!("docker://{}", registry.reference(&tag));
    let from = format!("oci:{}", folder.display());
    skopeo(world, gpg, &["copy", "--dest-tls-verify=false", &from, &to]).succeed();
}
