//! What lists show, remembered and read.

use super::*;

/// Longer than a change takes to be told from the next one.
const SETTLED: std::time::Duration = std::time::Duration::from_millis(3100);

fn names(home: &Home) -> Vec<String> {
    let images = home.store.images().unwrap();
    let names = images.iter().flat_map(|listed| &listed.names);
    names.map(ToString::to_string).collect()
}

#[test]
fn what_is_remembered_is_what_is_there() {
    let home = Home::new();
    let list = home.store.root.join("list.json");
    let mut source = Memory::default();
    source.add(&["a:1"], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    let read = home.store.images().unwrap();
    assert!(!list.exists(), "another change may get the same time");

    std::thread::sleep(SETTLED);
    assert_eq!(home.store.images().unwrap(), read);
    assert!(list.exists());
    assert_eq!(home.store.images().unwrap(), read);

    home.store
        .tag(&read[0].id, &["b:2".parse().unwrap()])
        .unwrap();
    assert_eq!(names(&home), ["localhost/a:1", "localhost/b:2"]);
    home.store.untag(&"localhost/a:1".parse().unwrap()).unwrap();
    assert_eq!(names(&home), ["localhost/b:2"]);

    std::thread::sleep(SETTLED);
    assert_eq!(names(&home), ["localhost/b:2"]);
    for damage in ["", "{}", "no json"] {
        std::fs::write(&list, damage).unwrap();
        assert_eq!(names(&home), ["localhost/b:2"], "{damage}");
    }
}
