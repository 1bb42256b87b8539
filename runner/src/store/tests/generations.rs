//! Names that move, and move back.

use super::*;

/// A home in which `name` was given to three images one after the other; their ids.
fn moved_twice() -> (Home, [Digest; 3]) {
    let home = Home::new();
    let ids = ["1", "2", "3"].map(|content| {
        let mut source = Memory::default();
        let image = source.add(&["a"], "amd64", &[&tar(&[("file", content)])]);
        home.load(&source).unwrap();
        image.id()
    });
    (home, ids)
}

/// Numbers and ids, the current one marked.
fn shown(home: &Home) -> Vec<(u64, Digest, bool)> {
    let generations = home.store.generations(&name("a")).unwrap();
    let shown = generations.iter();
    shown
        .map(|one| (one.number, one.image.id, one.is_current))
        .collect()
}

#[test]
fn a_name_remembers_where_it_pointed_and_goes_back() {
    let (home, [one, two, three]) = moved_twice();
    let all = |current| {
        let ids = [(1, one), (2, two), (3, three)];
        ids.map(|(number, id)| (number, id, number == current))
    };
    assert_eq!(shown(&home), all(3));
    assert_eq!(home.store.rollback(&name("a"), None).unwrap().number, 2);
    assert_eq!(home.resolve("a"), two);
    assert_eq!(shown(&home), all(2));
    home.store.rollback(&name("a"), None).unwrap();
    assert_eq!(home.resolve("a"), one);
    let error = home.store.rollback(&name("a"), None).unwrap_err();
    assert!(
        error.to_string().contains("no generation before"),
        "{error}"
    );
    home.store.rollback(&name("a"), Some(3)).unwrap();
    assert_eq!(shown(&home), all(3));
    assert!(home.store.rollback(&name("a"), Some(9)).is_err());
    assert!(home.store.generations(&name("b")).is_err());
}

#[test]
fn loading_the_same_again_is_no_new_generation_and_going_back_neither() {
    let (home, [one, _, three]) = moved_twice();
    home.store.rollback(&name("a"), Some(1)).unwrap();
    let mut source = Memory::default();
    source.add(&["a"], "amd64", &[&tar(&[("file", "1")])]);
    home.load(&source).unwrap();
    assert_eq!(shown(&home).len(), 3);
    let mut source = Memory::default();
    source.add(&["a"], "amd64", &[&tar(&[("file", "3")])]);
    home.load(&source).unwrap();
    let shown = shown(&home);
    assert_eq!(shown[3], (4, three, true));
    assert_eq!(shown[0], (1, one, false));
}

#[test]
fn prune_keeps_the_last_two_unless_told_otherwise() {
    let (home, [one, two, three]) = moved_twice();
    let prune = |keep, all| {
        let pruning = Pruning { keep, all };
        let pruned = home.store.prune(pruning, &|_| true, &|_| Vec::new());
        let mut ids: Vec<_> = pruned
            .unwrap()
            .iter()
            .filter_map(|one| one.deleted)
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(prune(2, false), [one]);
    assert_eq!(prune(2, false), []);
    assert_eq!(shown(&home), [(2, two, false), (3, three, true)]);
    assert_eq!(prune(0, false), [two], "what has a name stays");
    assert_eq!(prune(2, true), [three]);
    assert!(home.is_empty());
}

#[test]
fn a_name_that_goes_takes_its_generations_along() {
    let (home, [one, two, three]) = moved_twice();
    assert!(home.store.untag(&reference("a")).unwrap());
    home.store.tag(&one, &[name("a")]).unwrap();
    assert_eq!(shown(&home), [(1, one, true)]);
    for id in [two, three] {
        home.remove(&id.to_string(), false).unwrap();
    }
    home.remove("a", false).unwrap();
    assert!(home.is_empty());
}

#[test]
fn a_store_that_did_not_count_yet_begins_with_what_it_has() {
    let (home, [.., three]) = moved_twice();
    fs::remove_dir_all(&home.store.generations).unwrap();
    assert_eq!(shown(&home), [(1, three, true)]);
    let mut source = Memory::default();
    let image = source.add(&["a"], "amd64", &[]);
    home.load(&source).unwrap();
    assert_eq!(shown(&home), [(1, three, false), (2, image.id(), true)]);
}
