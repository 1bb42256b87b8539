//! What images try when they are loaded or run. The numbers are those of the list of attacks.

use tar::EntryType;

use super::Attack;
use crate::fixture::Layer;

fn layer() -> Layer {
    Layer::new()
}

/// Entries that want to be written outside of the tree; `probe` is the folder of a [`Probe`](super::Probe).
#[must_use]
pub fn entries(probe: &str, base: &Layer) -> Vec<Attack> {
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
#[must_use]
pub fn configs(probe: &str, base: &Layer) -> Vec<Attack> {
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
#[must_use]
pub fn system_folders(probe: &str, base: &Layer) -> Vec<Attack> {
    let folders = [
        ("32: /dev is a symlink to the host", "dev"),
        ("33: /proc is a symlink to the host", "proc"),
        ("34: /sys is a symlink to the host", "sys"),
        ("35: /etc is a symlink to the host", "etc"),
        ("36: /run is a symlink to the host", "run"),
    ];
    let attack = |(name, folder): (&'static str, &'static str)| {
        let evil = layer().file(&format!(".wh.{folder}"), 0o644, "");
        Attack::new(
            name,
            vec![base.clone(), evil, layer().symlink(folder, probe)],
        )
    };
    folders.map(attack).into()
}
