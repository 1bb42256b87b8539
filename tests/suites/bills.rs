//! Bills of materials: that strangers read them, that they say what is in the image, that they are the
//! same each time, and how they travel.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tests::client::{Registry, find};
use tests::fixture::{Archive, Layer};
use tests::scripted::{Scripted, reply};
use tests::{Missing, Outcome, Run, World, binaries, require};

/// The programs of both projects that check documents, as libraries of Python's. Prints what is wrong.
const VALIDATE: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
for path in sys.argv[1:]:
    if path.endswith('spdx.json'):
        for found in validate_full_spdx_document(parse_file(path)):
            print(path, found.validation_message)
    else:
        found = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(path).read())
        print(path, found) if found else None
";

/// What cargo-auditable writes about a program of two crates.
const AUDITABLE: &str = r#"{"packages":[
    {"name":"lib","version":"2.0.0","source":"crates.io"},
    {"name":"tool","version":"3.0.0","source":"local","dependencies":[0],"root":true}]}"#;

fn validate(paths: &[&str], world: &World) -> Result<(), Missing> {
    let python = find("python3")?;
    let checked =
        Run::new(&python).args(["-c", "import cyclonedx.validation.json, spdx_tools.spdx"]);
    if checked.finish().code != 0 {
        return Err(Missing::because(
            "python3 has no spdx-tools and cyclonedx-python-lib[json-validation]",
        ));
    }
    let checked = Run::new(python)
        .args([&["-c", VALIDATE], paths].concat())
        .current_dir(world.home())
        .limit(Duration::from_secs(120))
        .succeed();
    assert_eq!(checked.text(), "");
    Ok(())
}

fn packer(world: &World, words: &[&str]) -> Outcome {
    world.packer().args(words).finish()
}

/// What it prints when it succeeds.
fn to(world: &World, words: &[&str]) -> String {
    packer(world, words).success().stdout
}

fn json(world: &World, name: &str) -> Value {
    let text = fs::read(world.home().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_slice(&text).expect("JSON")
}

/// The package URLs in a document of SPDX.
fn purls(document: &Value) -> Vec<&str> {
    let packages = document["packages"].as_array().expect("packages");
    packages
        .iter()
        .filter_map(|package| package["externalRefs"][0]["referenceLocator"].as_str())
        .collect()
}

/// A definition of a script and a file.
fn package(world: &World) {
    world.write("home/hello", "#!/bin/sh\necho hello\n");
    world.write(
        "home/packer.toml",
        "name = \"hello\"\nversion = \"1.2\"\nlicense = \"MIT OR Apache-2.0\"\nentrypoint = [\"/bin/hello\"]\n\
         files = [{ source = \"hello\", destination = \"/bin/hello\", mode = \"0755\" }]\n",
    );
}

/// A static program in which cargo-auditable's section is.
fn auditable(world: &World) -> Result<(), Missing> {
    let (compiler, objcopy, python) = (find("cc")?, find("objcopy")?, find("python3")?);
    let here = |program| Run::new(program).current_dir(world.home());
    world.write("home/tool.c", "int main(void) { return 0; }\n");
    here(compiler)
        .args(["-static", "-o", "plain", "tool.c"])
        .succeed();
    let compress =
        "import sys, zlib; sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read()))";
    let into = format!("exec \"$@\" > {}", world.home().join("section").display());
    Run::new("sh")
        .args(["-c", &into, "sh"])
        .args([&python])
        .args(["-c", compress])
        .input(AUDITABLE)
        .succeed();
    here(objcopy)
        .args(["--add-section", ".dep-v0=section", "plain", "tool"])
        .succeed();
    world.own_all(&world.home());
    Ok(())
}

#[test]
fn bills_lie_beside_the_archive_and_are_the_same_each_time() {
    let world = require!(World::of_a_user());
    package(&world);
    for archive in ["one.tar", "two.tar"] {
        let words = [
            "build",
            "-o",
            archive,
            "--sbom",
            "spdx",
            "--sbom",
            "cyclonedx",
        ];
        to(&world, &words);
    }
    for kind in ["spdx.json", "cdx.json"] {
        let [one, two] =
            ["one", "two"].map(|name| fs::read(world.home().join(format!("{name}.tar.{kind}"))));
        assert!(one.expect("a bill") == two.expect("a bill"), "{kind}");
    }
    let document = json(&world, "one.tar.spdx.json");
    assert_eq!(document["packages"][0]["versionInfo"], "1.2");
    let names: Vec<_> = document["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert!(
        ["bin/hello", "etc/passwd"]
            .iter()
            .all(|end| names.iter().any(|name| name.ends_with(end))),
        "{names:?}"
    );
    let printed = to(&world, &["sbom", "one.tar", "--format", "cyclonedx"]);
    assert_eq!(
        serde_json::from_str::<Value>(&printed).unwrap(),
        json(&world, "one.tar.cdx.json")
    );
    require!(validate(&["one.tar.spdx.json", "one.tar.cdx.json"], &world));
}

#[test]
fn the_closure_of_a_program_names_the_packages_of_the_distribution() {
    require!(find("dpkg-query"));
    let world = require!(World::of_a_user());
    let tool = "/usr/bin/dpkg-query";
    let words = [
        "build",
        "--file",
        tool,
        "-o",
        "a.tar",
        "--sbom",
        "spdx",
        "--sbom=cyclonedx=a.cdx.json",
    ];
    to(&world, &words);
    let document = json(&world, "a.tar.spdx.json");
    let installed = Run::new(tool)
        .args(["-W", "-f", "pkg:deb/debian/${Package}@${Version}", "libc6"])
        .succeed();
    let expected = installed.text().replace('+', "%2B");
    let found = purls(&document);
    assert!(
        found.iter().any(|purl| purl.starts_with(&expected)),
        "{expected}: {found:?}"
    );
    require!(validate(&["a.tar.spdx.json", "a.cdx.json"], &world));
}

#[test]
fn a_program_of_cargo_has_the_crates_that_are_compiled_into_it() {
    let world = require!(World::of_a_user());
    let bill = world.home().join("server.spdx.json");
    let other = world.home().join("server.cdx.json");
    binaries::with_our_environment(Run::new(binaries::path("packer")))
        .args(["build", "server", "-o", "/dev/null"])
        .args([
            format!("--sbom=spdx={}", bill.display()),
            format!("--sbom=cyclonedx={}", other.display()),
        ])
        .env("CARGO_TARGET_DIR", binaries::target_folder())
        .current_dir(binaries::workspace())
        .limit(Duration::from_secs(900))
        .succeed();
    let document = json(&world, "server.spdx.json");
    let found = purls(&document);
    let has = |name: &str| {
        found
            .iter()
            .any(|purl| purl.starts_with(&format!("pkg:cargo/{name}@")))
    };
    // What serves, but neither what only the tests have, nor what another system would get.
    assert!(has("hyper") && has("tokio"), "{found:?}");
    assert!(!has("tempfile") && !has("windows-sys"), "{found:?}");
    let lock = fs::read_to_string(binaries::workspace().join("Cargo.lock")).expect("the lock file");
    let packages = document["packages"].as_array().expect("packages");
    let crates = packages
        .iter()
        .filter(|one| one["externalRefs"][0].is_object());
    for package in crates {
        let checksum = package["checksums"][0]["checksumValue"]
            .as_str()
            .expect("a checksum");
        assert!(lock.contains(checksum), "{package}");
    }
    require!(validate(&["server.spdx.json", "server.cdx.json"], &world));
}

#[test]
fn a_program_says_itself_what_it_is_made_of() {
    let world = require!(World::of_a_user());
    require!(auditable(&world));
    let printed = to(&world, &["sbom", "tool"]);
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(purls(&printed), ["pkg:cargo/lib@2.0.0"]);
    to(
        &world,
        &["build", "--file", "tool", "-o", "a.tar", "--sbom", "spdx"],
    );
    assert_eq!(
        purls(&json(&world, "a.tar.spdx.json")),
        ["pkg:cargo/lib@2.0.0"]
    );
    let silent = packer(&world, &["sbom", "plain"]).with_code(125);
    assert!(silent.only_error().contains("cargo auditable"), "{silent}");
}

#[test]
fn a_bill_is_attached_to_what_is_pushed_once() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    require!(find("skopeo"));
    package(&world);
    let reference = registry.reference("bills/built:1");
    let build = [
        "build",
        "--push",
        &reference,
        "--sbom",
        "spdx",
        "--sbom=cyclonedx=a.cdx.json",
    ];
    let digest = packer(&world, &build)
        .success()
        .text()
        .rsplit_once("sha256:")
        .expect("a digest")
        .1
        .to_owned();
    to(&world, &build);
    // As every client without the new interface finds it.
    let list = world
        .run("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .args([format!(
            "docker://{}:sha256-{digest}",
            registry.reference("bills/built")
        )])
        .succeed();
    let list: Value = serde_json::from_str(list.text()).expect("JSON");
    let kinds: Vec<_> = list["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["artifactType"])
        .collect();
    assert_eq!(
        kinds,
        ["application/spdx+json", "application/vnd.cyclonedx+json"]
    );
    let attached = to(&world, &["sbom", &reference, "--format", "cyclonedx"]);
    assert_eq!(
        serde_json::from_str::<Value>(&attached).unwrap(),
        json(&world, "a.cdx.json")
    );
}

#[test]
fn a_bill_that_somebody_else_made_is_pushed_along() {
    let world = require!(World::of_a_user());
    let registry = require!(Registry::plain());
    let layer = Layer::new().file("bin/a", 0o755, "a");
    let image = Archive::new("localhost/a:latest", &[&layer], &["/bin/a"]);
    world.write("home/a.tar", image.oci());
    let bill = "{\"bomFormat\": \"CycloneDX\", \"specVersion\": \"1.4\", \"version\": 1}\n";
    world.write("home/own.json", bill);
    world.write("home/none.json", "{}");
    let reference = registry.reference("bills/pushed:1");
    to(
        &world,
        &["push", "-q", "a.tar", &reference, "--sbom", "own.json"],
    );
    let attached = to(&world, &["sbom", &reference, "--format", "cyclonedx"]);
    assert_eq!(attached, bill);
    let absent = packer(&world, &["sbom", &reference]).with_code(125);
    assert!(
        absent.only_error().contains("no bill of materials"),
        "{absent}"
    );
    let refused = packer(
        &world,
        &["push", "-q", "a.tar", &reference, "--sbom", "none.json"],
    )
    .with_code(125);
    assert!(
        refused.only_error().contains("none.json is no bill"),
        "{refused}"
    );
}

#[test]
fn a_registry_that_lists_referrers_itself_gets_no_tag() {
    let world = require!(World::of_a_user());
    let registry = Scripted::start(|request, stream| match request.method.as_str() {
        "PUT" => reply(stream, 201, &[("OCI-Subject", "sha256:0")], b""),
        _ => reply(stream, 200, &[], b""),
    });
    package(&world);
    let reference = registry.reference("bills/new:1");
    to(&world, &["build", "--push", &reference, "--sbom", "spdx"]);
    let puts = registry
        .requests()
        .into_iter()
        .filter(|request| request.method == "PUT");
    let puts: Vec<_> = puts.collect();
    assert_eq!(puts.len(), 2, "the image and the bill");
    let manifest: Value = serde_json::from_slice(&puts[1].body).expect("JSON");
    assert_eq!(manifest["artifactType"], "application/spdx+json");
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.oci.empty.v1+json"
    );
    assert_eq!(
        manifest["subject"]["digest"],
        packer::Digest::of(&puts[0].body).to_string()
    );
}

#[test]
fn a_bill_that_cannot_be_is_refused_before_anything_is_written() {
    let world = require!(World::of_a_user());
    package(&world);
    for (words, reason) in [
        (&["-o", "a.tar", "--sbom", "swid"][..], "spdx and cyclonedx"),
        (&["-o", "-", "--sbom", "spdx"], "--sbom spdx=FILE"),
        (
            &["-o", "a.tar", "--sbom", "spdx=absent/bill"],
            "absent/bill",
        ),
    ] {
        let outcome = world.packer().args(["build"]).args(words).finish();
        assert!(
            outcome.code != 0 && outcome.stderr.contains(reason),
            "{outcome}"
        );
        assert!(outcome.stdout.is_empty(), "{words:?}");
        assert!(!world.home().join("a.tar").exists(), "{words:?}");
    }
    let absent = packer(&world, &["sbom", "hello"]).with_code(125);
    assert!(
        absent.only_error().contains("hello.spdx.json is not there"),
        "{absent}"
    );
}
