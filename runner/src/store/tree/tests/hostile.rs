//! Layers that try to reach the host, to be misunderstood or to take everything.

use super::*;

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
fn a_hard_link_to_nothing_names_both_files() {
    let error = Place::new()
        .flatten(vec![layer().hard_link("b", "a")])
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"b\"") && text.contains("\"a\""), "{text}");
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
fn an_owner_that_is_not_mapped_is_refused() {
    let place = Place::new();
    let root = File::open(place.path("")).unwrap();
    // Whoever runs this test may not be root anywhere: the owners count from the first entry on.
    let mut tree = Tree::new(root.into(), Owners::Squashed).unwrap();
    tree.owners = Owners::Mapped;
    let foreign = layer().pax(&[("uid", b"65536")]).file("f", "").end();
    let error = tree.place_layer(&foreign[..]).unwrap_err().to_string();
    assert!(error.contains("65536"), "{error}");
    assert!(place.list().is_empty());
}

#[test]
fn very_deep_paths_are_placed_or_refused() {
    let deep = |levels: usize| {
        let path = vec!["d"; levels].join("/");
        layer().pax(&[("path", path.as_bytes())]).file("x", "deep")
    };
    let place = flat(vec![deep(1100), deep(1099)]);
    delete_tree(&place);
    assert!(Place::new().flatten(vec![deep(3000)]).is_err());
    let links = flat(vec![
        deep(1100)
            .pax(&[("linkpath", vec!["d"; 1000].join("/").as_bytes())])
            .symlink("s", "")
            .pax(&[(
                "path",
                format!("s/{}", vec!["e"; 1100].join("/")).as_bytes(),
            )])
            .file("x", ""),
    ]);
    delete_tree(&links);
}

fn delete_tree(place: &Place) {
    let parent = File::open(place.folder.path()).unwrap();
    crate::store::delete::remove(parent, b"tree").unwrap();
}
