//! Layers made by hand, honest ones and hostile ones, and what becomes of them.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::*;

/// A tar made by hand.
#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn entry(self, kind: u8, path: &str, link: &str, content: &[u8]) -> Self {
        self.entry_with(kind, path, link, content, |_| ())
    }

    fn entry_with(
        mut self,
        kind: u8,
        path: &str,
        link: &str,
        content: &[u8],
        change: impl FnOnce(&mut tar::GnuHeader),
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        fields.typeflag = [kind];
        header.set_size(content.len() as u64);
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        change(header.as_gnu_mut().unwrap());
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(b'0', path, "", content.as_bytes())
    }

    fn directory(self, path: &str) -> Self {
        self.entry(b'5', path, "", b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, target, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, target, b"")
    }

    /// Extended records for the next entry.
    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = rest + (rest + 3).to_string().len();
            bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        self.entry(b'x', "PaxHeaders", "", &bytes)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A tree with something beside it that no layer may touch.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("probe")).unwrap();
        fs::write(folder.path().join("probe/secret"), "secret").unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("tree").join(path)
    }

    fn probe(&self) -> String {
        self.folder.path().join("probe").display().to_string()
    }

    fn flatten(&self, layers: Vec<Layer>) -> Result<u64, LayerError> {
        let root = File::open(self.path("")).unwrap();
        let mut tree = Tree::new(root.into(), Owners::Squashed)?;
        for layer in layers {
            tree.place_layer(&layer.end()[..])?;
        }
        tree.finish()
    }

    fn check_probe(&self, attack: &str) {
        let probe = self.folder.path().join("probe");
        let names: Vec<_> = probe
            .read_dir()
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"], "{attack}");
        assert_eq!(
            fs::read_to_string(probe.join("secret")).unwrap(),
            "secret",
            "{attack}"
        );
        assert_eq!(
            probe.join("secret").metadata().unwrap().nlink(),
            1,
            "{attack}"
        );
        assert_eq!(probe.metadata().unwrap().mode() & 0o7777, 0o755, "{attack}");
        assert_eq!(
            self.folder.path().read_dir().unwrap().count(),
            2,
            "{attack}"
        );
    }

    /// All paths of the tree, in order.
    fn list(&self) -> Vec<String> {
        fn walk(at: &Path, top: &Path, found: &mut Vec<String>) {
            for entry in at.read_dir().unwrap() {
                let entry = entry.unwrap();
                let path = entry.path();
                found.push(path.strip_prefix(top).unwrap().display().to_string());
                if entry.file_type().unwrap().is_dir() {
                    walk(&path, top, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.path(""), &self.path(""), &mut found);
        found.sort();
        found
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }
}

fn layer() -> Layer {
    Layer::default()
}

fn flat(layers: Vec<Layer>) -> Place {
    let place = Place::new();
    place.flatten(layers).unwrap();
    place
}

#[test]
fn no_layer_reaches_what_is_outside_of_its_tree() {
    type Attack = (&'static str, fn(&str) -> Vec<Layer>);
    let attacks: &[Attack] = &[
        ("upwards", |_| vec![layer().file("../../x", "")]),
        ("upwards to the probe", |_| {
            vec![layer().file("../probe/x", "")]
        }),
        ("upwards in the middle", |_| {
            vec![layer().file("a/../../probe/x", "")]
        }),
        ("absolute", |probe| {
            vec![layer().file(&format!("{probe}/x"), "")]
        }),
        ("through a symlink", |probe| {
            vec![layer().symlink("l", probe).file("l/x", "")]
        }),
        ("through a symlink of a lower layer", |probe| {
            vec![
                layer().symlink("l", probe),
                layer().file("l/secret", "changed"),
            ]
        }),
        ("through a relative symlink", |_| {
            vec![layer().symlink("l", "../probe").file("l/secret", "changed")]
        }),
        ("hard link upwards", |_| {
            vec![layer().hard_link("h", "../probe/secret")]
        }),
        ("absolute hard link", |probe| {
            vec![layer().hard_link("h", &format!("{probe}/secret"))]
        }),
        ("hard link through a symlink", |probe| {
            vec![layer().symlink("l", probe).hard_link("h", "l/secret")]
        }),
        ("file over a hard link to a symlink", |probe| {
            vec![
                layer()
                    .symlink("l", &format!("{probe}/secret"))
                    .hard_link("h", "l")
                    .file("h", "changed"),
            ]
        }),
        ("file over a symlink", |probe| {
            vec![
                layer()
                    .symlink("l", &format!("{probe}/secret"))
                    .file("l", "changed"),
            ]
        }),
        ("whiteout through a symlink", |probe| {
            vec![
                layer().symlink("l", probe),
                layer().file("l/.wh.secret", ""),
            ]
        }),
        ("opaque whiteout through a symlink", |probe| {
            vec![
                layer().symlink("l", probe),
                layer().file("l/.wh..wh..opq", ""),
            ]
        }),
        ("whiteout upwards", |_| {
            vec![layer().directory("a"), layer().file("a/.wh...", "")]
        }),
        ("directory over a symlink", |probe| {
            vec![
                layer().symlink("l", probe),
                layer().entry_with(b'5', "l", "", b"", |header| {
                    header.mode = *b"0000777\0";
                }),
            ]
        }),
        ("long name upwards", |_| {
            vec![
                layer()
                    .entry(b'L', "././@LongLink", "", b"../probe/x\0")
                    .file("x", ""),
            ]
        }),
        ("pax path upwards", |_| {
            vec![layer().pax(&[("path", b"../probe/x")]).file("x", "")]
        }),
        ("pax link upwards", |_| {
            vec![
                layer()
                    .pax(&[("linkpath", b"../probe/secret")])
                    .hard_link("h", "x"),
            ]
        }),
        ("replaced parent", |probe| {
            vec![
                layer()
                    .directory("a")
                    .file("a/x", "")
                    .symlink("a", probe)
                    .file("a/secret", "changed"),
            ]
        }),
        ("symlink as the root", |probe| {
            vec![layer().symlink("./", probe)]
        }),
        ("fifo over a symlink", |probe| {
            vec![
                layer()
                    .symlink("l", &format!("{probe}/secret"))
                    .entry(b'6', "l", "", b""),
            ]
        }),
    ];
    for (attack, layers) in attacks {
        let place = Place::new();
        let layers = layers(&place.probe());
        // Refused or contained: both are right, what is outside decides.
        let _ = place.flatten(layers);
        place.check_probe(attack);
    }
}

#[test]
fn what_could_be_understood_in_two_ways_is_refused() {
    let nul_name = layer().pax(&[("path", b"a\0b")]).file("x", "");
    let sparse = layer().entry(b'S', "x", "", b"");
    let pax_sparse = layer().pax(&[("GNU.sparse.major", b"1")]).file("x", "");
    let unknown = layer().entry(b'M', "x", "", b"");
    let upwards = layer().file("../x", "");
    let no_link = layer().symlink("l", "");
    let whiteout = layer().file("a/.wh..", "");
    let huge = layer().entry_with(b'0', "x", "", b"", |header| header.size = [0x7f; 12]);
    let negative = layer().entry_with(b'0', "x", "", b"", |header| header.size = [0xff; 12]);
    let words = layer().entry_with(b'0', "x", "", b"", |header| header.mode = *b"rwxr-xr\0");
    for (what, layer) in [
        ("NUL in a name", nul_name),
        ("sparse file", sparse),
        ("sparse file in PAX", pax_sparse),
        ("unknown kind", unknown),
        ("upwards", upwards),
        ("empty symlink", no_link),
        ("whiteout of nothing", whiteout),
        ("impossible size", huge),
        ("negative size", negative),
        ("mode in words", words),
    ] {
        let place = Place::new();
        let error = place.flatten(vec![layer]).expect_err(what).to_string();
        assert!(!error.contains('\n'), "{what}: {error}");
    }
}

#[test]
fn the_size_of_the_extended_header_counts_for_what_comes_next() {
    // A reader that believes the header's 0 finds the entry "hidden" inside of the content.
    let hidden = layer().file("hidden", "x").0;
    let size = hidden.len().to_string();
    let mut outer = layer()
        .pax(&[("size", size.as_bytes())])
        .entry(b'0', "outer", "", b"");
    outer.0.extend_from_slice(&hidden);
    let place = flat(vec![outer.file("after", "y")]);
    assert_eq!(place.list(), ["after", "outer"]);
    assert_eq!(fs::read(place.path("outer")).unwrap(), hidden);
}

#[test]
fn a_layer_that_is_cut_or_damaged_is_refused() {
    let whole = layer().file("a", "content of a").end();
    for length in [100, 512, 515] {
        let place = Place::new();
        let root = File::open(place.path("")).unwrap();
        let mut tree = Tree::new(root.into(), Owners::Squashed).unwrap();
        let error = tree.place_layer(&whole[..length]).unwrap_err();
        assert!(matches!(error, LayerError::Truncated), "{length}: {error}");
    }
    let mut damaged = whole.clone();
    damaged[0] ^= 1;
    let place = Place::new();
    let root = File::open(place.path("")).unwrap();
    let mut tree = Tree::new(root.into(), Owners::Squashed).unwrap();
    assert!(matches!(
        tree.place_layer(&damaged[..]),
        Err(LayerError::NotTar(_))
    ));
}

#[test]
fn an_extended_header_of_more_than_a_mebibyte_is_refused_unread() {
    for kind in [b'x', b'L', b'K'] {
        let endless = layer().entry_with(kind, "h", "", b"", |header| {
            header.size = *b"77777777777\0";
        });
        let error = Place::new().flatten(vec![endless]).unwrap_err();
        assert!(error.to_string().contains("1 MiB"), "{error}");
    }
}

#[test]
fn whiteouts_hide_what_lower_layers_have_and_nothing_else() {
    let below = || {
        layer()
            .directory("d")
            .file("d/a", "1")
            .file("d/b", "1")
            .directory("d/sub")
            .file("d/sub/c", "1")
            .file("other", "1")
    };
    let one = flat(vec![
        below(),
        layer().file("d/.wh.a", "").file(".wh.other", ""),
    ]);
    assert_eq!(one.list(), ["d", "d/b", "d/sub", "d/sub/c"]);
    let directory = flat(vec![below(), layer().file("d/.wh.sub", "")]);
    assert_eq!(directory.list(), ["d", "d/a", "d/b", "other"]);
    let opaque = flat(vec![
        below(),
        layer().file("d/.wh..wh..opq", "").file("d/new", "2"),
    ]);
    assert_eq!(opaque.list(), ["d", "d/new", "other"]);
    let missing = flat(vec![
        below(),
        layer().file("none/.wh.x", "").file(".wh.none", ""),
    ]);
    assert_eq!(missing.list(), flat(vec![below()]).list());
}

#[test]
fn a_whiteout_leaves_what_its_own_layer_made_whatever_the_order() {
    let below = || {
        layer()
            .file("d/old", "1")
            .file("d/sub/old", "1")
            .file("x", "1")
    };
    let late = flat(vec![
        below(),
        layer()
            .file("d/new", "2")
            .file("d/sub/new", "2")
            .file("x", "2")
            .file("d/.wh..wh..opq", "")
            .file(".wh.x", ""),
    ]);
    assert_eq!(late.list(), ["d", "d/new", "d/sub", "d/sub/new", "x"]);
    assert_eq!(late.read("x"), "2");
    let lowest = flat(vec![
        layer()
            .file("x", "1")
            .file(".wh.x", "")
            .file(".wh..wh..opq", ""),
    ]);
    assert_eq!(lowest.list(), ["x"]);
}

#[test]
fn a_higher_layer_replaces_files_and_merges_directories() {
    let place = flat(vec![
        layer()
            .directory("d")
            .file("d/a", "1")
            .file("f", "1")
            .directory("e")
            .file("e/x", "1"),
        layer()
            .entry_with(b'5', "d", "", b"", |header| header.mode = *b"0001777\0")
            .file("d/b", "2")
            .directory("f")
            .file("f/y", "2")
            .file("e", "2"),
    ]);
    assert_eq!(place.list(), ["d", "d/a", "d/b", "e", "f", "f/y"]);
    assert_eq!(place.read("e"), "2");
    assert_eq!(place.path("d").metadata().unwrap().mode() & 0o7777, 0o1777);
}

#[test]
fn an_entry_below_a_link_to_a_directory_lands_in_that_directory() {
    let place = flat(vec![
        layer().directory("usr/lib").symlink("lib", "/usr/lib"),
        layer().file("lib/new", "2"),
    ]);
    assert_eq!(place.list(), ["lib", "usr", "usr/lib", "usr/lib/new"]);
}

#[test]
fn hard_links_of_one_image_stay_one_file() {
    let place = flat(vec![
        layer()
            .file("a/x", "1")
            .hard_link("b/y", "a/x")
            .hard_link("a/x", "a/x"),
    ]);
    let inode = |path| place.path(path).metadata().unwrap().ino();
    assert_eq!(inode("a/x"), inode("b/y"));
    // A new file with the old name leaves the other name alone.
    let replaced = flat(vec![
        layer().file("a", "1").hard_link("b", "a"),
        layer().file("a", "2"),
    ]);
    assert_eq!(
        (replaced.read("a"), replaced.read("b")),
        ("2".into(), "1".into())
    );
}

#[test]
fn a_hard_link_to_nothing_names_both_files() {
    let error = Place::new()
        .flatten(vec![layer().hard_link("b", "a")])
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"b\"") && text.contains("\"a\""), "{text}");
}

#[test]
fn modes_and_times_are_the_image_s_and_not_the_umask_s() {
    let place = flat(vec![
        layer()
            .entry_with(b'5', "d", "", b"", |header| header.mode = *b"0002777\0")
            .entry_with(b'0', "d/f", "", b"x", |header| header.mode = *b"0004666\0")
            .file("implied/f", "x")
            .symlink("d/l", "nowhere"),
    ]);
    let mode = |path| place.path(path).symlink_metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode("d"), 0o2777);
    assert_eq!(mode("d/f"), 0o4666);
    assert_eq!(mode("implied"), 0o755);
    assert_eq!(mode(""), 0o755);
    for path in ["", "d", "d/f", "d/l", "implied", "implied/f"] {
        let metadata = place.path(path).symlink_metadata().unwrap();
        assert_eq!(metadata.mtime(), 1_700_000_000, "{path:?}");
    }
}

#[test]
fn directories_keep_their_times_when_more_are_open_than_fit() {
    let mut many = layer();
    for number in 0..200 {
        many = many.directory(&format!("d{number}"));
    }
    for number in 0..200 {
        many = many.file(&format!("d{number}/f"), "");
    }
    let place = flat(vec![many, layer().file("d7/.wh.f", "")]);
    for number in 0..200 {
        let metadata = place.path(&format!("d{number}")).metadata().unwrap();
        assert_eq!(metadata.mtime(), 1_700_000_000, "d{number}");
    }
}

#[test]
fn impossible_times_are_clamped() {
    let place = flat(vec![
        layer()
            .entry_with(b'0', "negative", "", b"", |header| {
                header.mtime = [0xff; 12]
            })
            .pax(&[("mtime", b"-5.5")])
            .file("pax", "")
            .pax(&[("mtime", b"99999999999999999999")])
            .file("huge", ""),
    ]);
    assert_eq!(place.path("negative").metadata().unwrap().mtime(), 0);
    assert_eq!(place.path("pax").metadata().unwrap().mtime(), 0);
    assert!(place.path("huge").metadata().unwrap().mtime() > 4_000_000_000);
}

#[test]
fn device_nodes_are_left_out_and_fifos_are_made() {
    let place = flat(vec![
        layer()
            .entry(b'3', "dev/null", "", b"")
            .entry(b'4', "dev/sda", "", b"")
            .entry(b'6', "dev/fifo", "", b""),
    ]);
    assert_eq!(place.list(), ["dev", "dev/fifo"]);
    let metadata = place.path("dev/fifo").metadata().unwrap();
    assert!(metadata.file_type().is_fifo());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o644);
}

#[test]
fn attributes_of_overlay_and_of_the_host_are_dropped() {
    let place = flat(vec![
        layer()
            .pax(&[
                ("SCHILY.xattr.user.kept", b"1\n2"),
                ("SCHILY.xattr.user.overlay.opaque", b"y"),
                ("SCHILY.xattr.user.overlay.redirect", b"/probe"),
                ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                ("SCHILY.xattr.security.selinux", b"x"),
            ])
            .directory("d")
            .pax(&[("SCHILY.xattr.user.f", b"")])
            .file("d/f", ""),
    ]);
    let names = |path: &str| {
        let mut buffer = [0; 1024];
        let length = rustix::fs::listxattr(place.path(path), &mut buffer[..]).unwrap();
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        text.split_terminator('\0')
            .filter(|name| name.starts_with("user.") || name.contains("overlay"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("d"), ["user.kept"]);
    assert_eq!(names("d/f"), ["user.f"]);
}

#[test]
fn a_directory_that_is_described_anew_loses_its_old_attributes() {
    let place = flat(vec![
        layer()
            .pax(&[("SCHILY.xattr.user.old", b"1")])
            .directory("d"),
        layer().directory("d"),
    ]);
    let mut buffer = [0; 1024];
    let length = rustix::fs::listxattr(place.path("d"), &mut buffer[..]).unwrap();
    assert!(
        !buffer[..length].starts_with(b"user."),
        "{:?}",
        &buffer[..length]
    );
}

#[test]
fn an_owner_that_is_not_mapped_is_refused() {
    let place = Place::new();
    let root = File::open(place.path("")).unwrap();
    let mut tree = Tree::new(root.into(), Owners::Mapped).unwrap();
    let foreign = layer().pax(&[("uid", b"65536")]).file("f", "").end();
    let error = tree.place_layer(&foreign[..]).unwrap_err().to_string();
    assert!(error.contains("65536"), "{error}");
    assert!(place.list().is_empty());
}

#[test]
fn names_of_any_bytes_are_kept() {
    use std::os::unix::ffi::OsStrExt;
    let place = flat(vec![layer().pax(&[("path", b"a\nb\xff")]).file("x", "")]);
    let name = place
        .path("")
        .read_dir()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    assert_eq!(name.as_bytes(), b"a\nb\xff");
}

#[test]
fn very_deep_paths_are_placed_or_refused() {
    let deep = |levels: usize| {
        let path = vec!["d"; levels].join("/");
        layer().pax(&[("path", path.as_bytes())]).file("x", "deep")
    };
    let place = flat(vec![deep(1500), deep(1499)]);
    delete_tree(&place);
    assert!(Place::new().flatten(vec![deep(3000)]).is_err());
    let links = flat(vec![
        deep(1500)
            .pax(&[("linkpath", vec!["d"; 1400].join("/").as_bytes())])
            .symlink("s", "")
            .pax(&[(
                "path",
                format!("s/{}", vec!["e"; 1500].join("/")).as_bytes(),
            )])
            .file("x", ""),
    ]);
    delete_tree(&links);
}

fn delete_tree(place: &Place) {
    let parent = File::open(place.folder.path()).unwrap();
    crate::store::delete::remove(parent, b"tree").unwrap();
}
