//! Images that go out again, and images that are made of a tar: `save` and `import`, and what other
//! programs make of the result.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::client::{Podman, find};
use tests::fixture::archive::gzip;
use tests::fixture::{Archive, Layer, busybox};
use tests::{Engine, Mode, World, for_each_account, require};

/// The digest of the image's manifest.
fn digest(engine: &Engine, name: &str) -> String {
    let words = ["inspect", "--type", "image", "--format", "{{.Digest}}"];
    engine.to(&[&words[..], &[name]].concat())
}

/// The name that a load tells, for the archive or folder at `path`.
fn load(engine: &Engine, path: &Path) -> String {
    engine.to(&[OsStr::new("load"), OsStr::new("-i"), path.as_os_str()])
}

/// Saves `images` to `path` with the flags `flags`.
fn save(engine: &Engine, flags: &[&str], path: &Path, images: &[&str]) {
    let mut words: Vec<&OsStr> = vec![OsStr::new("save"), OsStr::new("-o"), path.as_os_str()];
    words.extend(flags.iter().chain(images).map(OsStr::new));
    assert_eq!(engine.to(&words), "");
}

/// An image of one file.
fn small(name: &str) -> Archive {
    let layer = Layer::new()
        .dir("etc/", 0o755)
        .file("etc/name", 0o644, name);
    Archive::new(name, &[&layer], &["/bin/true"])
}

for_each_account! {
    fn every_format_gives_back_the_digest_that_was_loaded(world) {
        let runner = world.runner();
        let name = runner.load(&small("localhost/small:1").oci());
        let loaded = digest(&runner, &name);
        for format in ["docker-archive", "oci-archive", "oci-dir", "docker-dir"] {
            let saved = world.path(format);
            save(&runner, &["--format", format], &saved, &[&name]);
            runner.to(&["rmi", "--all", "--force"]);
            let said = load(&runner, &saved);
            let id = said.strip_prefix("Loaded image: ").expect("the name").to_owned();
            // The last format has no place for a name.
            assert_eq!(id.starts_with("sha256:"), format == "docker-dir", "{id}");
            assert_eq!(digest(&runner, &id), loaded, "{format}");
            if format == "docker-dir" {
                runner.to(&["rmi", &id]);
            }
        }
    }
}

for_each_account! {
    fn several_images_travel_in_one_archive(world) {
        let runner = world.runner();
        let names = ["localhost/one:1", "localhost/two:2"];
        for name in names {
            runner.load(&small(name).docker());
        }
        let digests = names.map(|name| digest(&runner, name));
        let path = world.path("two.tar");
        save(&runner, &["-m"], &path, &names);
        runner.to(&["rmi", "--all"]);
        assert_eq!(load(&runner, &path), format!("Loaded image: {}\nLoaded image: {}", names[0], names[1]));
        assert_eq!(names.map(|name| digest(&runner, name)), digests);
        // Without -m, what follows the image are names for it.
        save(&runner, &[], &path, &[names[0], "localhost/three:3"]);
        runner.to(&["rmi", "--all"]);
        let said = load(&runner, &path);
        assert_eq!(said, "Loaded image: localhost/one:1\nLoaded image: localhost/three:3");
    }
}

#[test]
fn an_archive_goes_through_a_pipe() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let name = runner.load(&small("localhost/small:1").docker());
    let line = "runner save $1 | gzip | runner load; runner save $1 | xz | runner load -q";
    let directory = tests::binaries::path("runner");
    let path = format!(
        "{}:/usr/bin:/bin",
        directory.parent().expect("a folder").display()
    );
    let words = ["-c", line, "sh", &name];
    let said = world.run("sh").args(words).env("PATH", path).succeed();
    let loaded = format!("Loaded image: {name}");
    assert_eq!(said.text(), format!("{loaded}\n{loaded}"));
    let progress: Vec<_> = said
        .stderr
        .lines()
        .filter(|line| line.contains("blob"))
        .collect();
    assert_eq!(progress.len(), 3, "{}", said.stderr);
}

#[test]
fn the_outer_archive_may_be_compressed_in_every_usual_way() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let plain = world.write("image.tar", small("localhost/small:1").docker());
    for (program, extension) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
        require!(find(program));
        world.run(program).args(["-kq"]).args([&plain]).succeed();
        let compressed = plain.with_extension(format!("tar.{extension}"));
        assert_eq!(
            load(&runner, &compressed),
            "Loaded image: localhost/small:1"
        );
        runner.to(&["rmi", "localhost/small:1"]);
    }
}

#[test]
fn layers_may_be_compressed_in_every_usual_way() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let layer = Layer::new().dir("etc/", 0o755).file("etc/name", 0o644, "x");
    let plain = world.write("layer.tar", layer.tar());
    let mut ids = Vec::new();
    for (program, extension) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
        require!(find(program));
        world.run(program).args(["-kq"]).args([&plain]).succeed();
        let compressed = plain.with_extension(format!("tar.{extension}"));
        let words = [
            OsStr::new("import"),
            OsStr::new("-q"),
            compressed.as_os_str(),
        ];
        ids.push(runner.to(&words));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one config, however its layer is stored");
}

#[test]
fn podman_and_skopeo_read_what_is_saved() {
    let world = require!(World::new(Mode::Mapped));
    require!(find("skopeo"));
    let image = require!(busybox::image());
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    runner.load(&image.oci());
    let words = [
        "inspect",
        "--type",
        "image",
        "--format",
        "{{.Id}}",
        busybox::NAME,
    ];
    let id = runner.to(&words);
    for (format, transport) in [
        ("docker-archive", "docker-archive"),
        ("oci-archive", "oci-archive"),
        ("oci-dir", "oci"),
        ("docker-dir", "dir"),
    ] {
        let path = world.path(format);
        save(&runner, &["--format", format], &path, &[busybox::NAME]);
        let said = load(&podman.engine, &path);
        assert!(said.starts_with("Loaded image: "), "{said}");
        let words = ["image", "inspect", "--format", "{{.Id}}", &id];
        assert_eq!(podman.engine.to(&words), id, "{format}");
        podman.engine.to(&["rmi", "--force", &id]);
        let source = format!("{transport}:{}", path.display());
        let said = world
            .run("skopeo")
            .args(["inspect", "--raw", &source])
            .succeed();
        assert!(said.text().contains(&id), "{format}: {}", said.text());
    }
}

/// What skopeo says of the manifest at `source`.
fn manifest(world: &World, source: &str) -> Value {
    let raw = world
        .run("skopeo")
        .args(["inspect", "--raw", source])
        .succeed();
    serde_json::from_str(raw.text()).expect("JSON")
}

#[test]
fn an_archive_of_the_oci_is_called_and_made_as_podman_does() {
    let world = require!(World::new(Mode::Mapped));
    require!(find("skopeo"));
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    let name = runner.load(&small("localhost/small:1").docker());
    // With a compressed layer, and with docker's manifest.
    runner.to(&[
        "push",
        "-q",
        "-f",
        "v2s2",
        "--compress",
        &name,
        "dir:docker",
    ]);
    runner.to(&["rmi", &name]);
    let id = runner.to(&["pull", "-q", "dir:docker"]);
    runner.to(&["tag", &id, &name]);
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    assert_eq!(manifest(&world, "dir:docker")["mediaType"], docker);
    for (format, transport) in [("oci-archive", "oci-archive"), ("oci-dir", "oci")] {
        let path = world.path(format);
        save(&runner, &["--format", format], &path, &[&name]);
        let source = format!("{transport}:{}:{name}", path.display());
        let kind = "application/vnd.oci.image.manifest.v1+json";
        assert_eq!(manifest(&world, &source)["mediaType"], kind, "{format}");
        assert_eq!(podman.engine.to(&["pull", "-q", &source]), id);
        podman.engine.to(&["rmi", "--force", &id]);
        runner.to(&["rmi", "--force", &id]);
        assert_eq!(runner.to(&["pull", "-q", &source]), id);
        assert_eq!(digest(&runner, &name), digest(&runner, &id));
    }
    // What is one of the OCI already is not touched.
    let before = digest(&runner, &name);
    runner.to(&["push", "-q", "-f", "oci", &name, "oci:again"]);
    let again = manifest(&world, "oci:again");
    let layers = again["layers"].as_array().expect("layers");
    assert!(layers.iter().all(|layer| layer["mediaType"] != docker));
    runner.to(&["rmi", "--force", &id]);
    load(&runner, &world.path("home/again"));
    assert_eq!(digest(&runner, &name), before);
}

#[test]
fn a_layout_whose_images_have_only_tags_is_called_as_podman_calls_it() {
    let world = require!(World::new(Mode::Mapped));
    require!(find("skopeo"));
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    let archive = world.write("image.tar", small("localhost/small:1").docker());
    let source = format!("docker-archive:{}", archive.display());
    for place in [
        "oci:tagged:1",
        "oci:bare",
        "oci-archive:tagged.tar:one",
        "oci-archive:bare.tar",
    ] {
        world
            .run("skopeo")
            .args(["copy", "-q", &source, place])
            .succeed();
    }
    for path in ["tagged", "bare", "tagged.tar", "bare.tar"] {
        let path = Path::new(path);
        let full = |said: String| match said.contains("sha256:") || said.matches(':').count() == 2 {
            true => said,
            // podman leaves the tag of a folder away.
            false => said + ":latest",
        };
        assert_eq!(load(&runner, path), full(load(&podman.engine, path)));
    }
    for engine in [&runner, &podman.engine] {
        engine.to(&["rmi", "--all", "--force"]);
    }
    for place in ["oci:tagged:1", "oci-archive:tagged.tar:one"] {
        let words = ["pull", "-q", place];
        assert_eq!(runner.to(&words), podman.engine.to(&words));
        let words = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
        assert_eq!(runner.to(&words), podman.engine.to(&words));
        for engine in [&runner, &podman.engine] {
            engine.to(&["rmi", "--all", "--force"]);
        }
    }
}

#[test]
fn an_image_gives_way_and_a_layout_gets_more_where_podman_does_so() {
    let world = require!(World::of_a_user());
    require!(find("skopeo"));
    let runner = world.runner();
    let names = ["localhost/one:1", "localhost/two:2"];
    for name in names {
        runner.load(&small(name).oci());
    }
    for name in names {
        save(
            &runner,
            &["--format", "docker-dir"],
            &world.path("home/saved"),
            &[name],
        );
        save(
            &runner,
            &["--format", "oci-dir"],
            &world.path("home/layout"),
            &[name],
        );
        runner.to(&["push", "-q", name, "dir:pushed"]);
        // The second one takes the place of the first.
        runner.to(&["push", "-q", name, "oci:layout:same"]);
    }
    let of = |source: &str| manifest(&world, source)["config"]["digest"].clone();
    let [one, two] = names.map(|name| {
        let words = ["image", "inspect", "--format", "{{.Id}}", name];
        format!("sha256:{}", runner.to(&words))
    });
    for (source, id) in [
        ("dir:saved", &two),
        ("dir:pushed", &two),
        ("oci:layout:localhost/one:1", &one),
        ("oci:layout:localhost/two:2", &two),
        ("oci:layout:same", &two),
    ] {
        assert_eq!(of(source), **id, "{source}");
    }
    let files = fs::read_dir(world.path("home/saved")).expect("a folder");
    assert_eq!(files.count(), 4, "version, manifest, config and layer");
    let names_left = fs::read_dir(world.home()).expect("a folder").flatten();
    let leftovers =
        names_left.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".packer"));
    assert_eq!(leftovers.count(), 0);
}

/// What `image inspect` says that an import decides.
fn imported(engine: &Engine, name: &str) -> Value {
    let said = engine.to(&["inspect", "--type", "image", name]);
    let whole: Value = serde_json::from_str(&said).expect("JSON");
    let mut config = whole[0]["Config"].clone();
    // podman gives the number of a signal where its name was given.
    config["StopSignal"] = Value::Null;
    serde_json::json!({
        "Config": config, "Architecture": whole[0]["Architecture"], "Os": whole[0]["Os"],
        "Layers": whole[0]["RootFS"]["Layers"], "RepoTags": whole[0]["RepoTags"],
        "By": whole[0]["History"][0]["created_by"], "Comment": whole[0]["History"][0]["comment"],
    })
}

#[test]
fn import_makes_the_image_that_podman_makes() {
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    let tar = world.write("root.tar", require!(busybox::layer()).tar());
    let tar = tar.to_str().expect("a plain path");
    let words = [
        "import",
        "-c",
        "CMD [\"/bin/sh\"]",
        "-c",
        "ENTRYPOINT=/bin/env",
        "-c",
        "ENV A=b c",
        "--change",
        "EXPOSE 80/udp",
        "-c",
        "LABEL a=b c=d",
        "-c",
        "USER 5:6",
        "-c",
        "VOLUME /x /y",
        "-c",
        "WORKDIR /tmp",
        "-c",
        "STOPSIGNAL SIGINT",
        "-m",
        "by hand",
        tar,
        "made:1",
    ];
    let ours = runner.command(&words).succeed();
    let theirs = podman.engine.command(&words).succeed();
    assert!(ours.text().starts_with("sha256:") && theirs.text().starts_with("sha256:"));
    assert_eq!(
        imported(&runner, "made:1"),
        imported(&podman.engine, "made:1")
    );
    for engine in [&runner, &podman.engine] {
        engine.to(&[
            "import", "-q", "--arch", "arm64", "--os", "linux", tar, "bare",
        ]);
    }
    assert_eq!(imported(&runner, "bare"), imported(&podman.engine, "bare"));
}

for_each_account! {
    fn an_imported_tar_runs(world) {
        let runner = world.runner();
        let tar = gzip(&require!(busybox::layer()).tar());
        let words = ["import", "-c", "CMD echo imported", "-", "made"];
        let id = runner.command(&words).input(tar).succeed();
        assert_eq!(runner.to(&["run", "--rm", "made"]), "imported");
        assert_eq!(runner.to(&["run", "--rm", id.text()]), "imported");
    }
}

for_each_account! {
    fn what_cannot_be_saved_or_imported_is_told_and_leaves_nothing(world) {
        let runner = world.runner();
        let name = runner.load(&small("localhost/small:1").docker());
        let taken = world.make_dir("taken", 0o755);
        world.write("taken/file", "kept");
        let path = |name: &str| world.path(name).display().to_string();
        let (new, taken_path, absent) = (path("new"), path("taken"), path("absent/x"));
        for (words, said) in [
            (vec!["save", "-o", &new, "nothing"], "nothing: image not known"),
            (vec!["save", "-o", &absent, &name], "absent/x"),
            (vec!["save", "-o", &taken_path, &name], "taken"),
            (vec!["save", "--format", "oci-dir", "-o", &taken_path, &name], "taken"),
            (vec!["save", "--format", "oci-dir", &name], "--output"),
            (vec!["import", &absent], "absent/x"),
            (vec!["import", &taken_path], "taken"),
            (vec!["import", "-c", "FROM x", &new], "FROM x"),
        ] {
            let outcome = runner.try_to(&words).with_code(125);
            assert!(outcome.stderr.contains(said), "{words:?}: {}", outcome.stderr);
        }
        let outcome = runner.command(&["import", "-"]).input("this is no tar").finish();
        assert!(outcome.with_code(125).stderr.contains("cannot import -"));
        assert!(!world.path("new").exists());
        assert_eq!(fs::read_dir(&taken).expect("it is there").count(), 1);
        assert_eq!(runner.to(&["images", "-q"]).lines().count(), 1);
    }
}
