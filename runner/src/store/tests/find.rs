//! Images that are found by what was typed.

use super::*;

#[test]
fn images_are_found_as_podman_finds_them() {
    let home = Home::new();
    let mut source = Memory::default();
    let local = source.add(&["server"], "amd64", &[&tar(&[("a", "1")])]);
    let hub = source.add(&["docker.io/alpine"], "amd64", &[&tar(&[("a", "2")])]);
    let far = source.add(&["quay.io/team/tool:2"], "amd64", &[&tar(&[("a", "3")])]);
    let bare = source.add(&[], "amd64", &[&tar(&[("a", "4")])]);
    home.load(&source).unwrap();
    for (text, image) in [
        ("server", &local),
        ("server:latest", &local),
        ("localhost/server", &local),
        ("alpine", &hub),
        ("library/alpine", &hub),
        ("docker.io/library/alpine:latest", &hub),
        ("tool:2", &far),
        ("team/tool:2", &far),
        (&bare.id().hex(), &bare),
        (&bare.id().hex()[..12], &bare),
        (&bare.id().to_string(), &bare),
        (&bare.digest().to_string(), &bare),
        (&format!("server@{}", local.digest()), &local),
    ] {
        assert_eq!(home.resolve(text), image.id(), "{text}");
    }
    for text in [
        "nix",
        "server:2",
        "localhost/alpine",
        "tool",
        "ool:2",
        "0f0",
        &format!("alpine@{}", local.digest()),
        &Digest::of(b"none").to_string(),
    ] {
        let error = home.store.resolve(text).unwrap_err();
        assert!(
            matches!(error, StoreError::UnknownImage(_)),
            "{text}: {error}"
        );
    }
    assert!(matches!(
        home.store.resolve("a b"),
        Err(StoreError::InvalidName(_))
    ));
}

#[test]
fn what_fits_several_images_is_refused() {
    let home = Home::new();
    let mut source = Memory::default();
    source.add(&["quay.io/a/tool"], "amd64", &[&tar(&[("a", "1")])]);
    source.add(&["ghcr.io/b/tool"], "amd64", &[&tar(&[("a", "2")])]);
    for number in 0..30 {
        source.add(&[], "amd64", &[&tar(&[("n", &number.to_string())])]);
    }
    home.load(&source).unwrap();
    let error = home.store.resolve("tool").unwrap_err();
    assert!(matches!(error, StoreError::Ambiguous { .. }), "{error}");
    // A short id of two images: one that the file system shows twice.
    let id = source.images[0].id().hex();
    let twin = format!("{}{}", &id[..10], "0".repeat(54));
    fs::create_dir(home.store.images.join(twin)).unwrap();
    let error = home.store.resolve(&id[..10]).unwrap_err();
    assert!(matches!(error, StoreError::Ambiguous { .. }), "{error}");
}

#[test]
fn a_name_moves_to_the_image_that_was_loaded_last() {
    let home = Home::new();
    let mut source = Memory::default();
    let old = source.add(&["x"], "amd64", &[&tar(&[("a", "1")])]);
    let new = source.add(&["x"], "amd64", &[&tar(&[("a", "2")])]);
    home.load(&source).unwrap();
    assert_eq!(home.resolve("x"), new.id());
    assert!(home.store.names_of(&old.id()).unwrap().is_empty());
    assert_eq!(home.resolve(&old.id().to_string()), old.id());
}

#[test]
fn what_was_packed_is_found_by_its_fingerprint() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&[], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    let fingerprint = Digest::of(b"plan");
    assert!(home.store.packed(&fingerprint).unwrap().is_none());
    home.store
        .remember_packed(&fingerprint, &image.id())
        .unwrap();
    assert_eq!(
        home.store.packed(&fingerprint).unwrap().unwrap().id,
        image.id()
    );
}

#[test]
fn an_image_is_kept_and_found_by_the_digests_that_a_registry_has_for_it() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&[], "amd64", &[&tar(&[("a", "1")])]);
    let index = Digest::of(b"an index");
    let pinned = reference("quay.io/team/tool").with_digest(index);
    let load = |digests: Digests, owners: Owners| {
        let writer = home.store.writer(owners).unwrap();
        let mut writer = writer.known_by(digests);
        writer.load(&image, &source, &mut |_| ()).unwrap();
    };
    load(Digests::default(), Owners::Squashed);
    let digests = Digests {
        index: Some(index),
        pinned: Some(pinned.clone()),
    };
    load(digests, Owners::Squashed);
    // Placed once more for other ids, as `system migrate` does it.
    load(Digests::default(), Owners::Mapped);
    for text in [
        pinned.to_string(),
        format!("tool@{index}"),
        format!("quay.io/team/tool:1@{index}"),
        format!("team/tool@{}", image.digest()),
    ] {
        assert_eq!(home.resolve(&text), image.id(), "{text}");
    }
    let [listed] = &home.store.images().unwrap()[..] else {
        panic!("one image");
    };
    assert_eq!(listed.names, std::slice::from_ref(&pinned));
    assert_eq!(listed.shown_digest(), index);
    let pruning = Pruning {
        keep: 0,
        all: false,
    };
    let pruned = home.store.prune(pruning, &|_| true, &|_| Vec::new());
    assert!(pruned.unwrap().is_empty(), "it has a name");
    assert_eq!(
        home.remove(&pinned.to_string(), false).unwrap().untagged,
        [pinned]
    );
    assert!(home.is_empty());
}
