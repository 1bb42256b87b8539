//! Names and images that are removed.

use super::*;

#[test]
fn removing_the_last_name_removes_the_image_and_all_that_was_its_own() {
    let home = Home::new();
    let mut source = Memory::default();
    let base = tar(&[("a", "1")]);
    let one = source.add(&["one", "uno"], "amd64", &[&base]);
    source.add(&["two"], "amd64", &[&base, &tar(&[("b", "2")])]);
    home.load(&source).unwrap();
    home.store
        .remember_packed(&Digest::of(b"f"), &one.id())
        .unwrap();
    assert_eq!(
        home.remove("uno", false).unwrap(),
        Removed {
            untagged: vec![reference("uno")],
            deleted: None
        }
    );
    assert_eq!(
        home.remove("one", false).unwrap(),
        Removed {
            untagged: vec![reference("one")],
            deleted: Some(one.id())
        }
    );
    // The blob of the base is the other image's too.
    assert_eq!(home.files("blobs/sha256").len(), 2);
    assert_eq!(home.files("trees").len(), 1);
    assert!(home.store.packed(&Digest::of(b"f")).unwrap().is_none());
    home.remove("two", false).unwrap();
    assert!(home.is_empty());
}

#[test]
fn an_image_with_several_names_is_removed_by_its_id_only_by_force() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&["one", "two"], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    let id = image.id().hex();
    let error = home.remove(&id, false).unwrap_err();
    assert!(matches!(error, StoreError::SeveralNames { .. }), "{error}");
    assert_eq!(home.remove(&id, true).unwrap().untagged.len(), 2);
    assert!(home.is_empty());
}

#[test]
fn an_image_that_a_container_uses_stays_with_its_last_name() {
    let home = Home::new();
    let mut source = Memory::default();
    source.add(&["one", "two"], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    let remove = |text| {
        let resolved = home.store.resolve(text).unwrap();
        let users = |_: &Digest| vec!["c1".to_owned()];
        home.store.remove(&resolved, true, &users)
    };
    remove("one").unwrap();
    let error = remove("two").unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    home.resolve("two");
}

#[test]
fn what_a_crash_left_without_an_image_goes_with_the_next_removal() {
    let home = Home::new();
    let mut source = Memory::default();
    source.add(&["x"], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    let stray = Digest::of(b"stray");
    fs::write(home.store.blob(&stray), "stray").unwrap();
    fs::create_dir_all(home.store.trees.join(stray.hex()).join("root")).unwrap();
    fs::create_dir_all(home.store.tmp.join("99999-0/tree-1/root")).unwrap();
    home.remove("x", false).unwrap();
    assert!(home.is_empty());
}

#[test]
fn an_untagged_image_stays() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&["x"], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    assert!(home.store.untag(&reference("x")).unwrap());
    assert!(!home.store.untag(&reference("x")).unwrap());
    assert_eq!(home.resolve(&image.id().hex()), image.id());
}
