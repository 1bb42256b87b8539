//! Images that were made to do harm when they are loaded or run.
//!
//! The probe is a folder of the host with a secret in it. Whatever an image tries, the probe is neither
//! changed nor read: the image is refused with one line, or what it does stays in the container.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tar::EntryType;
use tests::fixture::{Archive, Layer, busybox};
use tests::{Mode, Outcome, World, require};

const SECRET: &str = "the secret of the host";

/// Longer than this is a hang.
const LIMIT: Duration = Duration::from_secs(15);

/// What an image tries, and what a container of it is to run.
struct Attack {
    name: &'static str,
    layers: Vec<Layer>,
    config: Vec<(&'static str, serde_json::Value)>,
    options: Vec<String>,
    command: Vec<&'static str>,
}

impl Attack {
    fn new(name: &'static str, layers: Vec<Layer>) -> Self {
        Self {
            name,
            layers,
            config: Vec::new(),
            options: Vec::new(),
            command: vec!["true"],
        }
    }

    fn with(mut self, key: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.config.push((key, value.into()));
        self
    }

    fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    fn command(mut self, command: &[&'static str]) -> Self {
        self.command = command.to_vec();
        self
    }
}

/// The folder of the host that no container may see or change.
struct Probe {
    folder: PathBuf,
    before: BTreeMap<PathBuf, (u32, u32, u32, i64, Vec<u8>)>,
}

impl Probe {
    fn new(world: &World) -> Self {
        let folder = world.make_dir("probe", 0o755);
        world.write("probe/secret", SECRET);
        world.write("probe/program", "#!/bin/sh\n");
        std::fs::set_permissions(folder.join("program"), PermissionsExt::from_mode(0o755))
            .expect("our own");
        let before = Self::look(&folder);
        Self { folder, before }
    }

    fn look(folder: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, i64, Vec<u8>)> {
        let mut seen = BTreeMap::new();
        let entries = std::fs::read_dir(folder)
            .expect("the probe")
            .flatten()
            .map(|entry| entry.path());
        for path in entries.chain([folder.to_owned()]) {
            let file = path.symlink_metadata().expect("the probe");
            let content = if file.is_file() {
                std::fs::read(&path).unwrap_or_default()
            } else {
                Vec::new()
            };
            seen.insert(
                path,
                (file.mode(), file.uid(), file.gid(), file.mtime(), content),
            );
        }
        seen
    }

    fn expect_untouched(&self, attack: &str, outcome: &Outcome) {
        assert_eq!(
            Self::look(&self.folder),
            self.before,
            "{attack} has changed the host\n{outcome}"
        );
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(
            !said.contains(SECRET),
            "{attack} has read the host\n{outcome}"
        );
    }
}

fn layer() -> Layer {
    Layer::new()
}

/// Entries that want to be written outside of the tree.
fn entries(probe: &str, base: &Layer) -> Vec<Attack> {
    let with = |name, evil: Layer| Attack::new(name, vec![base.clone(), evil]);
    let two =
        |name, first: Layer, second: Layer| Attack::new(name, vec![base.clone(), first, second]);
    let up = format!("{}{}", "../".repeat(20), probe.trim_start_matches('/'));
    let new = format!("{probe}/new");
    let secret = format!("{probe}/secret");
    vec![
        with(
            "1: an entry with ..",
            layer().file(&format!("{up}/new"), 0o644, "x"),
        ),
        with("2: an absolute entry", layer().file(&new, 0o644, "x")),
        with(
            "3: a symlink, then a write through it",
            layer().symlink("link", probe).file("link/new", 0o644, "x"),
        ),
        two(
            "4: the same across layers",
            layer().symlink("link", probe),
            layer().file("link/new", 0o644, "x"),
        ),
        with(
            "5: a relative symlink",
            layer().symlink("link", &up).file("link/new", 0o644, "x"),
        ),
        with(
            "6: a hard link with ..",
            layer().hard_link("link", &format!("{up}/secret")),
        )
        .command(&["cat", "/link"]),
        with(
            "7: an absolute hard link",
            layer().hard_link("link", &secret),
        )
        .command(&["cat", "/link"]),
        with(
            "8: a hard link through a symlink",
            layer()
                .symlink("out", probe)
                .hard_link("link", "out/secret"),
        )
        .command(&["cat", "/link"]),
        with(
            "9: a file over a hard link to a symlink",
            layer()
                .symlink("out", &secret)
                .hard_link("link", "out")
                .file("link", 0o644, "x"),
        ),
        two(
            "10: a whiteout through a symlink",
            layer().symlink("out", probe),
            layer().file("out/.wh.secret", 0o644, ""),
        ),
        two(
            "11: an opaque marker through a symlink",
            layer().symlink("out", probe),
            layer().file("out/.wh..wh..opq", 0o644, ""),
        ),
        with(
            "12: a whiteout of ..",
            layer()
                .file(".wh...", 0o644, "")
                .file("a/.wh...", 0o644, ""),
        ),
        with(
            "13: a folder over a symlink",
            layer().symlink("out", probe).dir("out/", 0o777),
        ),
        with(
            "14: device nodes",
            layer().entry(EntryType::Block, "disk", "", 0o666, b""),
        )
        .command(&["head", "-c1", "/disk"]),
        with("22: a very deep path", deep()),
    ]
}

/// A hundred folders in each other, written as far as a plain header goes.
fn deep() -> Layer {
    let mut path = String::new();
    let mut layer = Layer::new();
    while path.len() < 95 {
        path.push_str("d/");
        layer = layer.dir(&path, 0o755);
    }
    layer
}

/// Configs that want to lead the engine to a place of the host.
fn configs(probe: &str, base: &Layer) -> Vec<Attack> {
    let plain = |name| Attack::new(name, vec![base.clone()]);
    let with = |name, evil: Layer| Attack::new(name, vec![base.clone(), evil]);
    let secret = format!("{probe}/secret");
    vec![
        plain("25: variables that name those of the host")
            .with("Env", vec!["HOME", "*", "SECRET*"])
            .command(&["env"]),
        with(
            "26: a working folder through a symlink",
            layer().symlink("out", probe),
        )
        .with("WorkingDir", "/out")
        .command(&["cat", "secret"]),
        plain("26: a working folder through a symlink, to be made")
            .option(format!("--workdir={probe}/new")),
        plain("27: a working folder in /proc")
            .with("WorkingDir", "/proc/self/fd/8")
            .command(&["cat", "secret", "../../../secret"]),
        plain("29: a user with a line feed")
            .with("User", "x\nroot:x:0:0")
            .command(&["id"]),
        plain("29: a user with many colons")
            .with("User", "0:0:0")
            .command(&["id"]),
        plain("30: a volume with ..")
            .with("Volumes", serde_json::json!({"/../../../../tmp/x": {}})),
        with("31: a volume over a symlink", layer().symlink("out", probe))
            .with("Volumes", serde_json::json!({"/out": {}})),
        with(
            "37: the users are a file of the host",
            layer()
                .file("etc/.wh.passwd", 0o644, "")
                .symlink("etc/passwd", &secret),
        )
        .option("--user=root")
        .command(&["cat", "/etc/passwd"]),
        with(
            "38: the users are a pipe",
            layer().entry(EntryType::Fifo, "etc/passwd", "", 0o644, b""),
        )
        .option("--user=alice"),
        with(
            "39: a line of 64 MiB among the users",
            layer().file("etc/passwd", 0o644, vec![b'x'; 64 << 20]),
        )
        .option("--user=alice"),
        with("40: hosts and its like are symlinks", names(probe)).command(&[
            "cat",
            "/etc/hosts",
            "/etc/mtab",
        ]),
        with(
            "41: the command is a symlink to the host",
            layer().symlink("command", &format!("{probe}/program")),
        )
        .command(&["/command"]),
        plain("42: the command is the engine").command(&["/proc/self/exe", "--version"]),
        with(
            "43: the place of a volume under a symlink",
            layer().symlink("out", probe),
        )
        .option("--volume=/usr/share:/out/place"),
        with(
            "43: the place of a tmpfs is a symlink",
            layer().symlink("out", probe),
        )
        .option("--tmpfs=/out"),
    ]
}

fn names(probe: &str) -> Layer {
    let secret = format!("{probe}/secret");
    ["hosts", "resolv.conf", "hostname", "mtab"]
        .iter()
        .fold(layer(), |layer, name| {
            layer.symlink(&format!("etc/{name}"), &secret)
        })
}

/// Folders of the system that are symlinks to the host.
fn system_folders(probe: &str, base: &Layer) -> Vec<Attack> {
    let folders = [
        ("32", "dev"),
        ("33", "proc"),
        ("34", "sys"),
        ("35", "etc"),
        ("36", "run"),
    ];
    let attack = |(number, folder): (&'static str, &'static str)| {
        let evil = layer().file(&format!(".wh.{folder}"), 0o644, "");
        Attack::new(
            number,
            vec![base.clone(), evil, layer().symlink(folder, probe)],
        )
    };
    folders.map(attack).into()
}

/// Loads the image of an attack and runs a container of it.
fn attempt(world: &World, attack: &Attack) -> Outcome {
    let runner = world.runner();
    let layers: Vec<&Layer> = attack.layers.iter().collect();
    let mut image = Archive::new("localhost/evil:latest", &layers, &["/bin/sh"]);
    for (key, value) in &attack.config {
        image = image.with(key, value.clone());
    }
    let path = world.write("evil.tar", image.docker());
    let load = [OsStr::new("load"), OsStr::new("-i"), path.as_os_str()];
    let loaded = runner.command(&load).limit(LIMIT).finish();
    if loaded.code != 0 {
        assert_eq!(loaded.code, 125, "{}: {loaded}", attack.name);
        let _ = loaded.only_error();
        return loaded;
    }
    let mut words = vec!["run", "--rm"];
    words.extend(attack.options.iter().map(String::as_str));
    words.push("localhost/evil:latest");
    words.extend(&attack.command);
    let ran = runner
        .command(&words)
        .env("SECRET_VARIABLE", SECRET)
        .limit(LIMIT)
        .finish();
    runner.to(&["rmi", "-f", "localhost/evil:latest"]);
    ran
}

fn withstand(mode: Mode, attacks: fn(&str, &Layer) -> Vec<Attack>) -> Result<(), tests::Missing> {
    let world = World::new(mode)?;
    let base = busybox::layer()?;
    let probe = Probe::new(&world);
    for attack in attacks(probe.folder.to_str().expect("a plain path"), &base) {
        let outcome = attempt(&world, &attack);
        probe.expect_untouched(attack.name, &outcome);
    }
    Ok(())
}

#[test]
fn entries_stay_in_the_tree() {
    require!(withstand(Mode::Mapped, entries));
}

#[test]
fn entries_stay_in_the_tree_for_root() {
    require!(withstand(Mode::Root, entries));
}

#[test]
fn configs_do_not_lead_to_the_host() {
    require!(withstand(Mode::Mapped, configs));
}

#[test]
fn configs_do_not_lead_to_the_host_for_root() {
    require!(withstand(Mode::Root, configs));
}

#[test]
fn configs_do_not_lead_to_the_host_for_a_user_with_a_single_id() {
    require!(withstand(Mode::Single, configs));
}

#[test]
fn folders_of_the_system_that_are_symlinks_do_not_lead_to_the_host() {
    require!(withstand(Mode::Mapped, system_folders));
}

#[test]
fn folders_of_the_system_that_are_symlinks_do_not_lead_to_the_host_for_root() {
    require!(withstand(Mode::Root, system_folders));
}

/// A set-uid file of the image gives nothing: nobody gains privileges in a container.
#[test]
fn a_set_uid_file_gives_no_rights() {
    let world = require!(World::of_a_user());
    let busybox_file = require!(tests::client::find("busybox"));
    let content = std::fs::read(busybox_file).expect("a program");
    let layer = require!(busybox::layer()).file("bin/gain", 0o4755, content);
    let runner = world.runner();
    runner.load(&Archive::new("localhost/gain:latest", &[&layer], &["/bin/sh"]).docker());
    let script = "cp /bin/gain /tmp/id 2>/dev/null; ln -s /bin/gain /tmp/sh; /tmp/sh -c 'grep ^Uid /proc/self/status'";
    let said = runner.to(&[
        "run",
        "--rm",
        "-u",
        "1000",
        "localhost/gain",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(
        said.split_whitespace().collect::<Vec<_>>(),
        ["Uid:", "1000", "1000", "1000", "1000"]
    );
}
