//! Which messages of OpenPGP count as signatures, and which keys may make them.

use super::*;

/// Has gpg make a message of the claim, and puts it into the folder as its only signature.
fn sign(gpg: &Gpg<'_>, claim: &Path, folder: &Path, words: &[&str]) {
    let to = folder.join("signature-1").display().to_string();
    let claim = claim.display().to_string();
    let words = [&["--yes", "--output", &to], words, &[&claim]].concat();
    gpg.command(&words).succeed();
}

#[test]
fn only_a_signed_message_by_a_key_that_may_sign_counts() {
    let world = require!(World::of_a_user());
    let gpg = require!(Gpg::new(
        &world,
        &[(ALICE, "rsa2048"), (MALLORY, "rsa2048")]
    ));
    let runner = world.runner();
    policy(&world, "insecureAcceptAnything", &json!({}));
    let name = runner.load(&image("localhost/in-a-folder:1", "x").oci());
    let folder = world.path("folder");
    let shown = folder.display().to_string();
    runner.to(&["save", "-q", "--format", "docker-dir", "-o", &shown, &name]);
    let manifest = fs::read(folder.join("manifest.json")).expect("runner wrote it");
    let claim = json!({
        "critical": {
            "identity": {"docker-reference": "vendor.example/product:1"},
            "image": {"docker-manifest-digest": packer::Digest::of(&manifest).to_string()},
            "type": "atomic container signature",
        },
        "optional": {},
    });
    let claim = world.write("claim", claim.to_string());
    let past = ["--faked-system-time", "20200101T000000"];
    let expired = [
        "--quick-gen-key",
        "old@example.org",
        "rsa2048",
        "sign",
        "1y",
    ];
    gpg.command(&[&past[..], &expired].concat()).succeed();
    let subkey = [
        "--quick-gen-key",
        "sub@example.org",
        "rsa2048",
        "cert",
        "never",
    ];
    gpg.command(&subkey).succeed();
    let listed = gpg
        .command(&["--with-colons", "--list-keys", "sub@example.org"])
        .succeed();
    let line = listed
        .stdout
        .lines()
        .find(|line| line.starts_with("fpr"))
        .expect("a key");
    let fingerprint = line.split(':').nth(9).expect("a fingerprint").to_owned();
    gpg.command(&["--quick-add-key", &fingerprint, "ed25519", "sign", "never"])
        .succeed();
    let trust = |key: &Path| {
        let mut rule = signed_by(key);
        rule[0]["signedIdentity"] =
            json!({"type": "exactRepository", "dockerRepository": "vendor.example/product"});
        policy(&world, "reject", &json!({"dir": {"": rule}}));
    };
    let load = || runner.try_to(&["load", "-q", "-i", &shown]);
    let accepted = || assert_eq!(load().code, 0, "{}", load());
    let by = |user| ["--local-user", user, "--sign"];

    trust(&gpg.public(ALICE));
    for message in [
        &by(ALICE)[..],
        &[&["--compress-algo", "none"], &by(ALICE)[..]].concat(),
    ] {
        sign(&gpg, &claim, &folder, message);
        accepted();
    }
    for (message, reason) in [
        (&["--store"][..], "not signed by one key"),
        (
            &[&by(MALLORY)[..], &["--local-user", ALICE]].concat(),
            "not signed by one key",
        ),
        (
            &["--local-user", ALICE, "--clear-sign"],
            "no OpenPGP message",
        ),
        (&["--local-user", ALICE, "--detach-sign"], ""),
        (
            &[&["--digest-algo", "SHA1"], &by(ALICE)[..]].concat(),
            "can be forged",
        ),
        (
            &[
                &past[..],
                &["--ignore-time-conflict", "--default-sig-expire", "1m"],
                &by(ALICE),
            ]
            .concat(),
            "it has expired",
        ),
        (&by(MALLORY), "not made by a key of this rule"),
    ] {
        sign(&gpg, &claim, &folder, message);
        refused(load(), &["transports.dir", reason]);
    }
    trust(&gpg.public("old@example.org"));
    sign(
        &gpg,
        &claim,
        &folder,
        &[&past[..], &by("old@example.org")].concat(),
    );
    refused(load(), &["a key that has expired"]);

    trust(&gpg.public("sub@example.org"));
    sign(&gpg, &claim, &folder, &by("sub@example.org"));
    accepted();
    let revoke = format!(
        "sed 's/^:-----/-----/' '{}/openpgp-revocs.d/{fingerprint}.rev' | gpg --batch --quiet --import",
        gpg.home.display()
    );
    world
        .run("sh")
        .env("GNUPGHOME", &gpg.home)
        .args(["-c", &revoke])
        .succeed();
    trust(&gpg.public("sub@example.org"));
    refused(load(), &["a key that is revoked"]);
}
