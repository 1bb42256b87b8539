use std::path::Path;

use super::*;

fn registries(files: &[&str]) -> Registries {
    let mut registries = Registries::default();
    for text in files {
        let file = file::parse(text).unwrap();
        registries.merge(file, Path::new("test")).unwrap();
    }
    registries
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn places(registries: &Registries, text: &str) -> Vec<String> {
    let endpoints = registries.endpoints(&reference(text)).unwrap();
    endpoints
        .iter()
        .map(|endpoint| endpoint.reference.to_string())
        .collect()
}

const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_short_name_is_completed_by_its_alias_or_searched() {
    let registries = registries(&[
        "unqualified-search-registries = ['a.example', 'docker.io']\n[aliases]\n'alpine' = 'b.example/c/alpine'",
    ]);
    let meant = |typed: &str| -> Vec<String> {
        let found = registries.candidates(typed).unwrap();
        found.iter().map(ToString::to_string).collect()
    };
    assert_eq!(meant("alpine:3"), ["b.example/c/alpine:3"]);
    assert_eq!(meant("alpine"), ["b.example/c/alpine:latest"]);
    assert_eq!(
        meant("x"),
        ["a.example/x:latest", "docker.io/library/x:latest"]
    );
    assert_eq!(
        meant("team/x:1"),
        ["a.example/team/x:1", "docker.io/team/x:1"]
    );
    let digest = format!("x{DIGEST}");
    assert_eq!(meant(&digest)[0], format!("a.example/x{DIGEST}"));
    assert_eq!(meant("c.example/x:1"), ["c.example/x:1"]);
}

#[test]
fn a_short_name_without_a_place_to_look_says_what_to_do() {
    let error = Registries::default().candidates("alpine").unwrap_err();
    assert!(error.to_string().contains("docker.io/alpine"), "{error}");
    let error = Registries::default().candidates("Alpine").unwrap_err();
    assert!(error.to_string().starts_with("\"Alpine\""), "{error}");
}

#[test]
fn the_longest_prefix_decides_where_an_image_is() {
    let registries = registries(&["
        [[registry]]
        prefix = 'docker.io'
        location = 'mirror.example/hub'
        [[registry]]
        prefix = 'docker.io/team'
        location = 'localhost:5000'
        insecure = true
        [[registry]]
        prefix = '*.corp.example'
        location = 'one.example'
    "]);
    assert_eq!(
        places(&registries, "docker.io/alpine:3"),
        ["mirror.example/hub/library/alpine:3"]
    );
    assert_eq!(
        places(&registries, "docker.io/team/x:1"),
        ["localhost:5000/x:1"]
    );
    assert_eq!(
        places(&registries, "a.corp.example/x"),
        ["one.example/x:latest"]
    );
    assert!(
        registries
            .endpoint(&reference("docker.io/team/x:1"))
            .unwrap()
            .insecure
    );
}

#[test]
fn mirrors_are_asked_first_and_as_their_rules_say() {
    let registries = registries(&["
        [[registry]]
        location = 'r.example'
        [[registry.mirror]]
        location = 'all.example/r'
        [[registry.mirror]]
        location = 'digests.example'
        pull-from-mirror = 'digest-only'
        [[registry.mirror]]
        location = 'tags.example'
        pull-from-mirror = 'tag-only'
    "]);
    assert_eq!(
        places(&registries, "r.example/x:1"),
        ["all.example/r/x:1", "tags.example/x:1", "r.example/x:1"]
    );
    let by_digest = places(&registries, &format!("r.example/x{DIGEST}"));
    assert_eq!(by_digest[1], format!("digests.example/x{DIGEST}"));
}

#[test]
fn a_blocked_registry_is_refused_with_its_rule() {
    let registries = registries(&["[[registry]]\nprefix = 'bad.example/team'\nblocked = true"]);
    let error = registries
        .endpoints(&reference("bad.example/team/x"))
        .unwrap_err();
    assert!(
        error.to_string().contains("\"bad.example/team\""),
        "{error}"
    );
    assert!(
        registries
            .endpoints(&reference("bad.example/other"))
            .is_ok()
    );
}

#[test]
fn a_later_file_goes_before_an_earlier_one() {
    let registries = registries(&[
        "unqualified-search-registries = ['a.example']\n[aliases]\nx = 'a.example/x'\ny = 'a.example/y'\n\
         [[registry]]\nlocation = 'r.example'\nblocked = true",
        "[aliases]\nx = ''\ny = 'b.example/y'\n[[registry]]\nlocation = 'r.example'",
    ]);
    let first = |typed: &str| registries.candidates(typed).unwrap()[0].to_string();
    assert_eq!(first("x"), "a.example/x:latest");
    assert_eq!(first("y"), "b.example/y:latest");
    assert!(registries.endpoint(&reference("r.example/x")).is_ok());
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    let error = file::parse("\n\n[[registry]]\nblocked = 1").unwrap_err();
    assert!(error.starts_with("line 4"), "{error}");
    let mixed = "unqualified-search-registries = []\n[registries.search]\nregistries = []";
    assert!(file::parse(mixed).unwrap_err().contains("version 1"));
}

#[test]
fn the_first_version_of_the_format_is_read_too() {
    let registries = registries(&[
        "[registries.search]\nregistries = ['a.example']\n[registries.insecure]\n\
         registries = ['b.example:5000']\n[registries.block]\nregistries = ['c.example']",
    ]);
    assert_eq!(registries.search(), ["a.example"]);
    let endpoint = |text: &str| registries.endpoint(&reference(text));
    assert!(endpoint("b.example:5000/x").unwrap().insecure);
    assert!(!endpoint("a.example/x").unwrap().insecure);
    assert!(matches!(
        endpoint("c.example/x"),
        Err(Error::Blocked { .. })
    ));
}
