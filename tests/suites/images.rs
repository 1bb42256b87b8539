//! What is listed, told and removed of images: the same words as podman's, and the generations,
//! which podman has not.

use serde_json::Value;
use tests::client::Podman;
use tests::fixture::{Archive, Layer, busybox};
use tests::{Engine, Mode, World, for_each_account, require};

/// Loads into both engines the same images: one of the date 2024-01-02 with a label and two names,
/// one of 2023 with one name.
fn load_into_both(runner: &Engine, podman: &Engine) {
    let world = runner.world;
    // Two images of the same layer are one to podman's history.
    for (name, date, changes) in [
        (
            "localhost/team/one:1",
            "1704164645",
            ["LABEL kind=test", "CMD /bin/sh", "EXPOSE 80"],
        ),
        (
            "localhost/two:latest",
            "1672628645",
            ["ENV A=b", "USER 5", "VOLUME /data"],
        ),
    ] {
        let layer = busybox::layer().expect("it was there before");
        let tar = layer.file("etc/image", 0o644, name).tar();
        let tar = world.write("root.tar", tar);
        let tar = tar.to_str().expect("a plain path");
        let changes = changes.iter().flat_map(|change| ["-c", change]);
        let words = ["import"].into_iter().chain(changes);
        let words: Vec<_> = words.chain(["-m", "by hand", tar, name]).collect();
        runner
            .command(&words)
            .env("SOURCE_DATE_EPOCH", date)
            .succeed();
        let archive = world.path("image.tar");
        let archive = archive.to_str().expect("a plain path");
        runner.to(&["save", "-o", archive, name]);
        podman.to(&["load", "-i", archive]);
    }
    for engine in [runner, podman] {
        engine.to(&["tag", "team/one:1", "localhost/one:x"]);
    }
}

/// A world in which both have the same images.
macro_rules! compared {
    ($runner:ident, $podman:ident) => {
        let world = require!(World::new(Mode::Mapped));
        require!(busybox::layer());
        let client = require!(Podman::new(&world));
        let ($runner, $podman) = (&world.runner(), &client.engine);
        load_into_both($runner, $podman);
    };
}

/// Asserts that both say the same on standard output and end with the same code. In which order the
/// names of one image come is podman's secret, so the order counts only where it was asked for.
fn expect_same(runner: &Engine, podman: &Engine, words: &[&str]) {
    let (ours, theirs) = (runner.try_to(words), podman.try_to(words));
    let lines = |said: &str| {
        let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
        if !words.contains(&"--sort") {
            lines.sort();
        }
        lines
    };
    let errors = format!("{words:?}\n{}\n{}", ours.stderr, theirs.stderr);
    assert_eq!(lines(&ours.stdout), lines(&theirs.stdout), "{errors}");
    assert_eq!(ours.code, theirs.code, "{errors}");
    assert_eq!(ours.stderr.is_empty(), theirs.stderr.is_empty(), "{errors}");
}

#[test]
fn lists_are_those_of_podman() {
    compared!(runner, podman);
    for line in [
        "images",
        "image ls -a",
        "images -n",
        "images --no-trunc --digests",
        "images one:x",
        "images team/one:1",
        "images nothing",
        "images --sort repository",
        "images --sort tag",
        "images --sort created --format {{.ID}}",
        "images --filter label=kind",
        "images --filter label=kind=test --filter reference=*two",
        "images -f label=kind=other",
        "images -f label!=kind",
        "images -f before=one:x",
        "images -f since=two",
        "images -f since=nothing",
        "images -f reference=*/two",
        "images -f reference=localhost/*",
        "images -f reference=o?e -f reference=two",
        "images -f dangling=true",
        "images -f dangling=false",
        "images -f until=2023-12-31",
        "images -f containers=true",
        "images -f readonly=true",
        "images -f nothing=1",
        "images -f nothing",
        "images --sort nothing",
        "image exists team/one:1",
        "image exists nothing",
        "history one:x",
        "history --no-trunc two",
        "history -q two",
        "history -q --format {{.Size}} two",
        "history nothing",
    ] {
        expect_same(runner, podman, &line.split(' ').collect::<Vec<_>>());
    }
    for format in [
        "{{.ID}} {{.Repository}} {{.Tag}}",
        "table {{.ID}} {{.Size}}",
        "{{.Id}} {{.Digest}} {{.CreatedAt}} {{.CreatedSince}} {{.Labels}}",
        "{{range .}}{{.Size}},{{end}}",
        "{{range .Names}}<>{{end}} {{len .Names}} {{.IsReadOnly}}",
        "{{truncate .ID 3}}|{{pad .Tag 2 4}}|{{html \"<&>\"}}|{{urlquery \"a b/\"}}|{{printf \"%5.2s\" .Tag}}",
    ] {
        expect_same(runner, podman, &["images", "--format", format]);
    }
    for format in [
        "{{.ID}} {{.CreatedBy}} {{.Comment}}",
        "table {{.Created}}\\t{{.Size}}",
        "{{.CreatedAt}} {{.CreatedSince}} {{.Tags}}",
    ] {
        expect_same(runner, podman, &["history", "--format", format, "two"]);
    }
    let sorted = |engine: &Engine| {
        let said = engine.to(&["images", "-q", "--sort", "id"]);
        let lines: Vec<_> = said.lines().map(str::to_owned).collect();
        (lines.is_sorted(), lines.len())
    };
    assert_eq!(sorted(runner), (true, 2));
}

#[test]
fn names_are_given_and_taken_as_podman_does() {
    compared!(runner, podman);
    let names = [
        "images",
        "--sort",
        "repository",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ];
    for line in [
        "tag two localhost/three:3 four",
        "tag nothing x",
        "tag two UPPER",
        "untag four",
        "untag nothing",
        "untag two localhost/nothing:1",
        "image untag localhost/three:3",
        "image tag one:x five:5",
        "untag five:5 five:5",
        "rmi nothing",
        "rmi --ignore nothing",
        "rmi",
        "rmi -a one:x",
        "rmi one:x",
        "rmi nothing localhost/team/one:1",
        "image prune --force",
        "rmi --all",
        "rmi --all",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        expect_same(runner, podman, &words);
        assert_eq!(runner.to(&names), podman.to(&names), "after {line}");
    }
}

/// The paths of all fields of a JSON value, those that name what was found (labels) left out.
fn fields(value: &Value, path: &str, found: &mut Vec<String>) {
    if let Value::Object(map) = value {
        for (key, value) in map {
            let path = format!("{path}.{key}");
            fields(value, &path, found);
            found.push(path);
        }
    }
}

/// Every field of podman's has ours beside it with the same value, but for those in `other`, of
/// which only the name counts.
fn expect_same_fields(ours: &Value, theirs: &Value, other: &[&str]) {
    let mut paths = Vec::new();
    fields(theirs, "", &mut paths);
    for path in paths {
        let pointer = path.replace('.', "/");
        if other.iter().any(|other| path.starts_with(other)) {
            continue;
        }
        let (ours, theirs) = (ours.pointer(&pointer), theirs.pointer(&pointer));
        let is_nothing = |value: Option<&Value>| {
            value.is_none_or(|value| value.is_null() || *value == serde_json::json!({}))
        };
        assert!(
            ours == theirs || is_nothing(ours) && is_nothing(theirs),
            "{path}: {ours:?} {theirs:?}"
        );
    }
}

#[test]
fn json_has_podman_s_fields_and_values() {
    compared!(runner, podman);
    let json = |engine: &Engine, words: &[&str]| -> Value {
        serde_json::from_str(&engine.to(words)).expect("JSON")
    };
    for name in ["two", "one:x"] {
        let words = ["image", "inspect", name];
        let (ours, theirs) = (json(runner, &words), json(podman, &words));
        // podman counts its own notes about an image as part of the size, and tells its own places.
        let other = [
            ".Size",
            ".VirtualSize",
            ".GraphDriver",
            ".NamesHistory",
            ".RepoTags",
        ];
        expect_same_fields(&ours[0], &theirs[0], &other);
        assert!(ours[0]["GraphDriver"]["Name"].is_string());
        let words = ["history", "--format", "json", name];
        expect_same_fields(&json(runner, &words)[0], &json(podman, &words)[0], &[]);
        let words = ["images", "--format", "json", name];
        let (ours, theirs) = (json(runner, &words), json(podman, &words));
        // podman 4 leaves the names out of RepoTags; docker has them there.
        let other = [".Size", ".VirtualSize", ".History", ".RepoTags", ".Names"];
        expect_same_fields(&ours[0], &theirs[0], &other);
    }
    expect_same(runner, podman, &["image", "inspect", "nothing"]);
    expect_same(runner, podman, &["inspect", "--type", "nothing", "two"]);
    let format = "{{.Id}} {{.Config.Cmd}} {{.Config.Labels}} {{.Config.Env}} \
        {{.Config.ExposedPorts}} {{.Config.Volumes}} <{{.Config.User}}{{.Config.WorkingDir}}>";
    for name in ["one:x", "two"] {
        for format in [
            format,
            "{{.ID}} {{.Comment}} {{.Created}} {{json .Created}} {{.Created.Unix}} {{.Created.Year}}",
            "{{.Created.Format \"Mon, 02 Jan 2006 15:04:05 MST\"}}",
            "{{range .History}}{{.CreatedBy}}|{{.EmptyLayer}}|{{.Comment}}|{{.Created}};{{end}}",
            "{{(index .History 0).CreatedBy}} {{if .HealthCheck}}x{{end}}",
            "{{.Created.Nothing}}",
        ] {
            let words = ["inspect", "--type", "image", "--format", format, name];
            expect_same(runner, podman, &words);
        }
        // What is empty is not in the JSON of a template either.
        let config = ["image", "inspect", "--format", "{{json .Config}}", name];
        assert_eq!(json(runner, &config), json(podman, &config));
    }
    expect_same(
        runner,
        podman,
        &[
            "images",
            "--filter",
            "reference=nothing",
            "--format",
            "json",
        ],
    );
}

/// Loads an image of the name `localhost/moving:1` whose only file has this content.
fn load_moving(runner: &Engine, content: &str) {
    let layer = Layer::new()
        .dir("etc/", 0o755)
        .file("etc/name", 0o644, content);
    runner.load(&Archive::new("localhost/moving:1", &[&layer], &["/bin/true"]).docker());
}

fn moving(runner: &Engine) -> String {
    runner.to(&[
        "inspect", "--type", "image", "--format", "{{.Id}}", "moving:1",
    ])
}

for_each_account! {
    fn a_name_goes_back_to_what_it_pointed_at_before(world) {
        let runner = world.runner();
        let ids = ["one", "two", "three"].map(|content| {
            load_moving(&runner, content);
            moving(&runner)
        });
        let words = ["image", "history", "--generations", "--format", "{{.Generation}}{{.Current}}", "moving:1"];
        assert_eq!(runner.to(&words), "3*\n2\n1");
        assert_eq!(runner.to(&["image", "rollback", "moving:1"]), "");
        assert_eq!((moving(&runner), runner.to(&words)), (ids[1].clone(), "3\n2*\n1".to_owned()));
        runner.to(&["image", "rollback", "moving:1", "1"]);
        assert_eq!(moving(&runner), ids[0]);
        for (line, said) in [
            ("image rollback moving:1", "no generation before"),
            ("image rollback moving:1 9", "no generation 9"),
            ("image rollback nothing", "image not known"),
            ("image history --generations nothing", "image not known"),
            ("image rollback moving:1 x", "invalid digit"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let outcome = runner.try_to(&words).with_code(125);
            assert!(outcome.stderr.contains(said), "{line}: {}", outcome.stderr);
        }
        // What is no longer a name's last two is not needed.
        runner.to(&["image", "rollback", "moving:1", "3"]);
        assert_eq!(runner.to(&["image", "prune", "-f"]), ids[0]);
        assert_eq!(runner.to(&words), "3*\n2");
        assert_eq!(runner.to(&["image", "prune", "-f", "--keep", "1"]), ids[1]);
        assert_eq!(runner.to(&["images", "-q"]).lines().count(), 1);
        assert_eq!(runner.to(&["image", "prune", "-af"]), ids[2]);
        assert_eq!(runner.to(&["images", "-q"]), "");
    }
}

#[test]
fn prune_asks_and_leaves_what_a_container_uses() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    runner.to(&["create", "--name", "user", busybox::NAME, "true"]);
    load_moving(&runner, "one");
    for (answer, left) in [("n\n", 2), ("nothing\n", 2), ("y\n", 1)] {
        let asked = runner.command(&["image", "prune", "--all"]).input(answer);
        assert!(asked.succeed().stdout.contains("[y/N]"));
        assert_eq!(runner.to(&["images", "-q"]).lines().count(), left);
    }
    let outcome = runner.command(&["image", "prune"]).input("").finish();
    assert!(outcome.with_code(125).stderr.contains("--force"));
    runner.to(&["rm", "user"]);
    assert_eq!(runner.to(&["image", "prune", "-af"]).lines().count(), 1);
}
