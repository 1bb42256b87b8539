//! Honest layers, and the tree that they become.

use super::*;

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
