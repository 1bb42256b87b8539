//! Definitions: a `packer.toml` for a program of any language, the same keys in a `Cargo.toml`, how a
//! package is found by its name, and what is said about a definition that is wrong.

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::Value;
use tests::client::{Podman, find};
use tests::{Missing, Mode, Outcome, World, require};

/// A world with a static program in `home/app`, and a definition beside it.
fn with_definition(text: &str) -> Result<(World, PathBuf), Missing> {
    let busybox = find("busybox")?;
    let world = World::new(Mode::Mapped)?;
    let folder = world.make_dir("home/app", 0o755);
    std::fs::copy(busybox, folder.join("prog")).expect("a new folder");
    world.write("home/app/packer.toml", text);
    world.own_all(&folder);
    Ok((world, folder))
}

const FULL: &str = r#"
name = "busybox-sample"
version = "1.2.3"
description = "Says something. And more."
program = "prog"
entrypoint = ["/bin/busybox-sample", "sh", "-c"]
args = ["cat /srv/site/deep/page && stat -c %a:%u:%g /srv/site/deep/page /etc/secret /data && pwd"]
user = "1000:1001"
working-dir = "/srv/site"
volumes = ["/data"]
ports = [8080, "53/udp"]
stop-signal = "quit"
env = { GREETING = "hello" }
labels = { team = "web" }
annotations = { team = "web" }
health-check = { command = ["/bin/busybox-sample", "true"], interval = "30s", retries = 2, start-interval = "1s" }
files = [
  { source = "site", destination = "/srv/site" },
  { source = "secret", destination = "/etc/", mode = "0440", owner = "0:1001" },
]
time-zones = false
compress = "gzip:9"
"#;

fn full() -> Result<(World, PathBuf), Missing> {
    let (world, folder) = with_definition(FULL)?;
    world.make_dir(folder.join("site"), 0o700);
    world.make_dir(folder.join("site/deep"), 0o700);
    world.write(folder.join("site/deep/page"), "a page\n");
    world.write(folder.join("secret"), "a secret");
    world.own_all(&folder);
    Ok((world, folder))
}

fn packer(world: &World, folder: &PathBuf, words: &[&str]) -> Outcome {
    world.packer().args(words).current_dir(folder).finish()
}

/// Asserts that this definition is refused with one line that begins with its place.
fn expect_refused(text: &str, place: &str, said: &str) {
    let (world, folder) = match with_definition(text) {
        Ok(made) => made,
        Err(missing) => panic!("asked for before: {missing}"),
    };
    for words in [&["build"][..], &["show"]] {
        let outcome = packer(&world, &folder, words);
        assert_eq!(outcome.code, 125, "{outcome}");
        let error = outcome.only_error();
        assert!(error.contains(place) && error.contains(said), "{outcome}");
    }
}

#[test]
fn a_definition_is_what_the_image_says_and_holds() {
    let (world, folder) = require!(full());
    let podman = require!(Podman::new(&world));
    let archive = packer(&world, &folder, &["build"]).success();
    let words = [
        OsStr::new("load"),
        OsStr::new("-i"),
        archive.text().as_ref(),
    ];
    podman.engine.to(&words);
    let image = podman.engine.to(&["inspect", "localhost/busybox-sample"]);
    let image: Value = serde_json::from_str(&image).expect("JSON");
    let config = &image[0]["Config"];
    assert_eq!(config["User"], "1000:1001", "{config}");
    assert_eq!(config["WorkingDir"], "/srv/site");
    assert_eq!(config["StopSignal"], "SIGQUIT");
    assert!(config["Volumes"]["/data"].is_object(), "{config}");
    assert!(config["ExposedPorts"]["53/udp"].is_object(), "{config}");
    assert_eq!(config["Labels"]["team"], "web");
    assert_eq!(config["Env"][1], "GREETING=hello");
    let said = podman.engine.to(&[
        "run",
        "--rm",
        "--network",
        "none",
        "localhost/busybox-sample",
    ]);
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "a page",
            "644:0:0",
            "440:0:1001",
            "755:1000:1001",
            "/srv/site"
        ]
    );
    let runner = world.runner();
    runner.to(&words);
    assert_eq!(
        runner.to(&["run", "--rm", "localhost/busybox-sample"]),
        said
    );
}

#[test]
fn the_health_check_of_a_definition_is_in_the_config() {
    let (world, folder) = require!(full());
    require!(find("skopeo"));
    let archive = packer(&world, &folder, &["build"]).success();
    let source = format!("oci-archive:{}", archive.text());
    let config = world
        .run("skopeo")
        .args(["inspect", "--config", "--raw", &source])
        .succeed();
    let config: Value = serde_json::from_str(config.text()).expect("JSON");
    let check = &config["config"]["Healthcheck"];
    assert_eq!(check["Test"][1], "/bin/busybox-sample", "{config}");
    assert_eq!(check["Interval"], 30_000_000_000_u64, "{config}");
    assert_eq!(check["StartInterval"], 1_000_000_000_u64, "{config}");
    let said = packer(&world, &folder, &["inspect", archive.text()]).success();
    let line = "health:     CMD /bin/busybox-sample true";
    assert!(said.stdout.lines().any(|found| found == line), "{said}");
}

#[test]
fn capabilities_and_set_uid_bits_are_packed_when_they_are_listed() {
    require!(find("bsdtar"));
    let (world, folder) = require!(with_definition(
        "name = \"sample\"\nprogram = \"prog\"\ntime-zones = false\nfiles = [\n\
         { source = \"prog\", destination = \"/bin/capable\", capabilities = [\"net_raw\"] },\n\
         { source = \"prog\", destination = \"/bin/set\", mode = 0o4755 },\n]\n"
    ));
    world
        .run("chmod")
        .args(["6777"])
        .args([folder.join("prog")])
        .succeed();
    let archive = packer(&world, &folder, &["build", "--compress", "none"]).success();
    let list = world
        .run("sh")
        .args([
            "-c",
            r#"bsdtar -xOf "$0" "blobs/sha256/*" | bsdtar -tvf -"#,
            archive.text(),
        ])
        .succeed();
    let mode = |path: &str| {
        let line = list.text().lines().find(|line| line.ends_with(path));
        line.map(|line| line[..10].to_owned())
    };
    assert_eq!(mode("bin/sample").as_deref(), Some("-rwxr-xr-x"), "{list}");
    assert_eq!(mode("bin/capable").as_deref(), Some("-rwxr-xr-x"), "{list}");
    assert_eq!(mode("bin/set").as_deref(), Some("-rwsr-xr-x"), "{list}");
    let bytes = std::fs::read(archive.text()).expect("the archive");
    let attribute = b"SCHILY.xattr.security.capability=\x01\x00\x00\x02\x00\x20\x00\x00";
    assert!(
        bytes
            .windows(attribute.len())
            .any(|window| window == attribute)
    );
}

#[test]
fn time_zones_come_with_a_program_that_looks_for_them_and_a_word() {
    if !std::path::Path::new("/usr/share/zoneinfo/UTC").exists() {
        let why = Missing::because("there is no /usr/share/zoneinfo here");
        return tests::missing::did_not_run("definitions::time_zones", &why);
    }
    let definition = "name = \"sample\"\nprogram = \"prog\"\nargs = [\"date\"]\n";
    let (world, folder) = require!(with_definition(definition));
    let packed = packer(&world, &folder, &["build"]).success();
    assert!(packed.stderr.contains("time-zones = false"), "{packed}");
    let script =
        |path: &str| format!(r#"tar -xOf "{path}" --wildcards 'blobs/*' | tar -tzf - 2>/dev/null"#);
    let list = world
        .run("sh")
        .args(["-c", &script(packed.text())])
        .finish();
    assert!(list.stdout.contains("usr/share/zoneinfo/UTC"), "{list}");
    assert!(!list.stdout.contains("zoneinfo/right"), "{list}");
    world.write(
        folder.join("packer.toml"),
        format!("{definition}time-zones = false\n"),
    );
    let packed = packer(&world, &folder, &["build"]).success();
    assert_eq!(packed.stderr, "", "{packed}");
}

#[test]
fn a_definition_that_is_wrong_is_refused_with_its_place() {
    require!(find("busybox"));
    expect_refused(
        "program = \"prog\"\nprots = [80]\n",
        "packer.toml:2:1: ",
        "ports",
    );
    expect_refused(
        "program = \"prog\"\nports = [80, 0]\n",
        "packer.toml:2:14: ",
        "65535",
    );
    expect_refused(
        "program = \"prog\"\nuser = \"root\"\n",
        "packer.toml:2:8: ",
        "UID",
    );
    expect_refused("program = \"prog\"\n[env\n", "packer.toml:2:", "");
    expect_refused("name = \"x\"\n", "packer.toml:1:1: ", "program");
    expect_refused(
        "program = \"prog\"\n[[files]]\nsource = \"a\"\ndest = \"/b\"\n",
        "packer.toml:4:1: ",
        "destination",
    );
}

#[test]
fn what_a_definition_names_has_to_be_there() {
    let (world, folder) = require!(with_definition("program = \"absent\"\n"));
    let refused = |place: &str, what: &str| {
        let outcome = packer(&world, &folder, &["build"]);
        let error = outcome.with_code(125).only_error().to_owned();
        let begin = format!("packer: ./packer.toml:{place}: ");
        assert!(error.starts_with(&begin) && error.contains(what), "{error}");
    };
    refused("1:11", "absent cannot be packed: No such file");
    for (keys, place, what) in [
        (
            "files = [{ source = \"gone\", destination = \"/x\" }]",
            "2:21",
            "gone cannot be packed: No such file",
        ),
        ("base = \"./gone.tar\"", "2:8", "./gone.tar"),
        (
            "time-zones = false\nentrypoint = [\"/bin/other\"]",
            "3:14",
            "/bin/other",
        ),
    ] {
        let definition = format!("program = \"prog\"\n{keys}\n");
        world.write(folder.join("packer.toml"), definition);
        refused(place, what);
    }
    world.write(
        folder.join("packer.toml"),
        "program = \"packer.toml\"\nname = \"text\"\n",
    );
    refused("1:11", "it is no executable");
}

#[test]
fn a_package_is_found_by_its_name_through_the_path() {
    let (world, folder) = require!(with_definition("name = \"here\"\nprogram = \"prog\"\n"));
    let packages = world.make_dir("home/packages", 0o755);
    let definition = |name: &str| format!("name = \"{name}\"\nprogram = \"../app/prog\"\n");
    world.write(packages.join("one.toml"), definition("one"));
    world.make_dir(packages.join("two"), 0o755);
    let two = definition("two").replace("../", "../../");
    world.write(packages.join("two/packer.toml"), two);
    let three = world.write("home/third.toml", definition("three").replace("../", ""));
    world.own_all(&packages);
    let path = format!("/no/such/folder:{}:{}", packages.display(), three.display());
    for name in ["one", "two", "three"] {
        for verb in ["show", "build"] {
            let found = world
                .packer()
                .args([verb, name])
                .env("PACKER_PACKAGE_PATH", &path)
                .succeed();
            assert!(found.text().contains(name), "{found}");
        }
    }
    assert!(
        packer(&world, &folder, &["show", "here"])
            .success()
            .text()
            .starts_with("name: here")
    );
    let absent = world
        .packer()
        .args(["build", "four"])
        .env("PACKER_PACKAGE_PATH", &path)
        .finish();
    let error = absent.only_error();
    assert!(
        error.contains("\"four\"") && error.contains("third.toml"),
        "{absent}"
    );
}

#[test]
fn what_init_writes_is_a_definition() {
    let (world, folder) = require!(with_definition(""));
    std::fs::remove_file(folder.join("packer.toml")).expect("it was written");
    std::fs::rename(folder.join("prog"), folder.join("app")).expect("the same folder");
    let written = packer(&world, &folder, &["init"]).success();
    assert_eq!(written.text(), "./packer.toml");
    assert!(
        packer(&world, &folder, &["build"])
            .success()
            .text()
            .contains("-app-")
    );
    let shown = packer(&world, &folder, &["show", "--json"]).success();
    let shown: Value = serde_json::from_str(shown.text()).expect("JSON");
    assert_eq!(shown["name"], "app");
    let again = packer(&world, &folder, &["init"]);
    assert!(again.with_code(125).only_error().contains("already"));
}
