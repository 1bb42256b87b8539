//! Names that are more than a repository and a tag: digests of manifests and of indexes, aliases,
//! registries that are searched, patterns. podman says what each of them means.

use tests::client::{Podman, Registry};
use tests::{Engine, Mode, World, require};

use super::image;

/// Two engines that may pull from the same registry, in which there are the images `one:1` and
/// `two:1`, an index `multi:1` of both, and an alias `short` for `one`.
struct Pair<'w> {
    runner: Engine<'w>,
    podman: Podman<'w>,
    /// Where the images are: the registry, and a path of this test's own.
    place: String,
}

impl<'w> Pair<'w> {
    fn new(world: &'w World, name: &str) -> Result<Self, tests::Missing> {
        let registry = Registry::plain()?;
        let podman = Podman::new(world)?;
        let place = registry.reference(name);
        let settings = format!(
            "unqualified-search-registries = ['{}']\n[aliases]\n'short' = '{place}/one'\n\
             [[registry]]\nlocation = '{}'\ninsecure = true\n",
            registry.address, registry.address
        );
        for home in ["home", "podman"] {
            let folder = world.path(home).join(".config/containers");
            std::fs::create_dir_all(&folder).expect("a home");
            std::fs::write(folder.join("registries.conf"), &settings).expect("a home");
            world.own_all(&world.path(home));
        }
        let pair = Self {
            runner: world.runner(),
            podman,
            place,
        };
        pair.fill();
        Ok(pair)
    }

    fn fill(&self) {
        let (runner, podman) = (&self.runner, &self.podman.engine);
        for name in ["one", "two"] {
            let loaded = runner.load(&image(&format!("localhost/{name}:1"), name).oci());
            runner.to(&["push", "-q", &loaded, &format!("{}/{name}:1", self.place)]);
        }
        runner.to(&["rmi", "--all"]);
        let list = "localhost/list:1";
        podman.to(&["manifest", "create", list]);
        for (name, architecture) in [("one", "amd64"), ("two", "s390x")] {
            let source = format!("docker://{}/{name}:1", self.place);
            podman.to(&["manifest", "add", "--arch", architecture, list, &source]);
        }
        let target = format!("docker://{}/multi:1", self.place);
        podman.to(&["manifest", "push", "--all", list, &target]);
        podman.to(&["rmi", "--all", "--force"]);
    }

    /// What podman knows of an image after a pull; the digest comes first, of the index if it has one.
    fn digest(&self, name: &str) -> String {
        let podman = &self.podman.engine;
        let name = format!("{}/{name}:1", self.place);
        podman.to(&["pull", "-q", &name]);
        let digest = podman.to(&[
            "inspect",
            "--type",
            "image",
            "--format",
            "{{.Digest}}",
            &name,
        ]);
        podman.to(&["rmi", "--all", "--force"]);
        digest
    }

    /// Runs the same in both, `@` for the place, and asserts that they say the same and end with the
    /// same code.
    fn expect_same(&self, line: &str) {
        let line = line.replace("@/", &format!("{}/", self.place));
        let words: Vec<&str> = line.split(' ').collect();
        let (ours, theirs) = (
            self.runner.try_to(&words),
            self.podman.engine.try_to(&words),
        );
        let sorted = |said: &str| {
            let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let errors = format!("{line}\n{}\n{}", ours.stderr, theirs.stderr);
        assert_eq!(sorted(&ours.stdout), sorted(&theirs.stdout), "{errors}");
        assert_eq!(ours.code, theirs.code, "{errors}");
    }
}

const LIST: &str = "images --format {{.Repository}}|{{.Tag}}|{{.Digest}}|{{.ID}}";
const TOLD: &str = "inspect --type image --format {{.Id}}|{{.Digest}}|{{.RepoDigests}}";

#[test]
fn an_image_that_was_pulled_by_its_digest_keeps_its_repository() {
    let world = require!(World::new(Mode::Mapped));
    let pair = require!(Pair::new(&world, "pinned"));
    let digest = pair.digest("one");
    let one = format!("@/one@{digest}");
    for line in [
        &format!("pull -q {one}"),
        LIST,
        "images --format {{.Repository}}|{{.Tag}}|{{.Names}}|{{.RepoDigests}}",
        "images -q --filter dangling=true",
        "image prune --force",
        &format!("{TOLD} {one}"),
        &format!("{TOLD} one@{digest}"),
        &format!("tag {one} other:1"),
        LIST,
        &format!("{TOLD} other:1"),
        &format!("rmi {one}"),
        LIST,
        "rmi other:1",
        // A tag beside the digest is not kept.
        &format!("pull -q @/one:1@{digest}"),
        LIST,
        "pull -q @/one:1",
        LIST,
        &format!("rmi {one}"),
        LIST,
        "tag @/one:1 other:1",
        // It is none of its names now.
        &format!("rmi {one}"),
        LIST,
        "rmi other:1",
        &format!("rmi {one}"),
        LIST,
    ] {
        pair.expect_same(line);
    }
    // Once it is here, nobody is asked for it, and a container is called as it was asked for.
    let (runner, one) = (&pair.runner, one.replace("@/", &format!("{}/", pair.place)));
    runner.to(&["pull", "-q", &one]);
    let made = runner
        .command(&["create", "--name", "pinned", &one])
        .succeed();
    assert_eq!(made.stderr, "");
    let name = ["inspect", "--format", "{{.ImageName}}", "pinned"];
    assert_eq!(runner.to(&name), one);
}

#[test]
fn an_image_of_an_index_is_known_by_both_digests() {
    let world = require!(World::new(Mode::Mapped));
    let pair = require!(Pair::new(&world, "listed"));
    let (index, one) = (pair.digest("multi"), pair.digest("one"));
    for line in [
        "pull -q @/multi:1",
        LIST,
        &format!("{TOLD} @/multi@{index}"),
        &format!("{TOLD} @/multi@{one}"),
        "tag @/multi:1 other:1",
        &format!("{TOLD} other@{index}"),
        &format!("rmi @/multi@{index}"),
        &format!("rmi --force other@{index}"),
        LIST,
        "rmi --all --force",
        &format!("pull -q @/multi@{index}"),
        LIST,
        &format!("{TOLD} @/multi@{index}"),
        &format!("{TOLD} @/multi@{one}"),
        // The same image once more, without its index, and the other way round.
        "rmi --all --force",
        "pull -q @/one:1",
        "pull -q @/multi:1",
        "image inspect --format {{.RepoDigests}} @/multi:1",
        &format!("rmi @/one@{index}"),
    ] {
        pair.expect_same(line);
    }
    let asked = format!("{}/multi@{index}", pair.place);
    for engine in [&pair.runner, &pair.podman.engine] {
        engine.to(&["create", "--pull", "never", "--name", "listed", &asked]);
        let name = ["inspect", "--format", "{{.ImageName}}", "listed"];
        assert_eq!(engine.to(&name), asked);
    }
}

#[test]
fn a_short_name_means_its_alias_wherever_it_stands() {
    let world = require!(World::new(Mode::Mapped));
    let pair = require!(Pair::new(&world, "aliases"));
    let one = pair.digest("one");
    for line in [
        "pull -q short:1",
        LIST,
        &format!("{TOLD} short:1"),
        "image exists short:1",
        "image exists short:2",
        // The alias goes before this machine.
        "pull -q @/two:1",
        "tag @/two:1 localhost/short:1",
        &format!("{TOLD} short:1"),
        "rmi short:1",
        &format!("{TOLD} short:1"),
        "rmi --all",
        &format!("pull -q short@{one}"),
        &format!("rmi short@{one}"),
        LIST,
    ] {
        pair.expect_same(line);
    }
    // Where it is looked for is told as podman tells it.
    for name in ["short:1", "aliases/two:1", &format!("{}/one:1", pair.place)] {
        let said = |engine: &Engine| {
            let said = engine.command(&["pull", name]).succeed().stderr;
            let place = |line: &&str| line.starts_with("Resolv") || line.starts_with("Trying");
            let lines: Vec<_> = said.lines().filter(place).map(home_left_out).collect();
            lines.join("\n")
        };
        assert_eq!(said(&pair.runner), said(&pair.podman.engine));
    }
    let made = pair.runner.command(&["create", "short:1"]).succeed();
    assert_eq!(made.stderr, "");
}

/// A line without the path of the configuration, of which each engine has its own.
fn home_left_out(line: &str) -> String {
    let path = line.find(" (/").unwrap_or(line.len());
    line[..path].to_owned()
}

#[test]
fn a_list_is_narrowed_down_by_patterns_and_several_filters() {
    let world = require!(World::new(Mode::Mapped));
    let pair = require!(Pair::new(&world, "patterns"));
    for line in [
        "pull -q @/one:1",
        "pull -q @/two:1",
        "tag @/one:1 one:x team/one:7 three",
    ] {
        pair.expect_same(line);
    }
    for name in [
        "one",
        "one:1",
        "one:9",
        "localhost/one",
        "team/one",
        "@/two",
        "two",
        "t*",
        "tw?",
        "*",
        "*/one",
        "*/*/two",
        "localhost/*",
        "two:*",
        "[",
        "[n-p]*",
        "nothing",
        "UPPER",
        "two:",
        "short",
    ] {
        pair.expect_same(&format!("{LIST} {name}"));
    }
    for line in [
        "images --filter reference=two,reference=three --format {{.Repository}}",
        "images --filter dangling=false,reference=two --format {{.Repository}}",
        "images -n --filter reference=two,three",
        "images -n --filter reference=two one",
        "images -q --format {{.ID}}x two",
        "images -q --no-trunc one",
    ] {
        pair.expect_same(line);
    }
    let json = pair.runner.to(&["images", "-q", "--format", "json", "two"]);
    assert!(json.starts_with('['), "{json}");
}

#[test]
fn what_fails_does_not_keep_the_others_and_what_is_named_twice_goes_once() {
    let world = require!(World::new(Mode::Mapped));
    let pair = require!(Pair::new(&world, "several"));
    for line in [
        "pull -q @/one:1 @/nothing:1 @/two:1",
        LIST,
        "rmi --force nothing",
        "rmi --force nothing @/one:1 nothing",
        LIST,
        "rmi @/two:1 @/two:1",
        LIST,
        "pull -q @/one:1",
        "rmi one@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        pair.expect_same(line);
    }
    let id = pair.runner.to(&["images", "-q"]);
    for engine in [&pair.runner, &pair.podman.engine] {
        let first = &id[..1];
        assert_eq!(
            engine.to(&["image", "inspect", "--format", "{{.Id}}", first])[..12],
            id
        );
    }
    pair.expect_same(&format!("rmi {id} {id}"));
    pair.expect_same(LIST);
}
