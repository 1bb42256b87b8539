use super::*;

fn parse(text: &str) -> Result<Policy, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    fs::write(&path, text).unwrap();
    Policy::read(&path).map_err(|error| format!("{}: {}", error.place, error.reason))
}

fn kind(policy: &Policy, origin: &Origin) -> (String, &'static str) {
    let rule = policy.rule(origin).unwrap();
    (rule.place, rule.requirements[0].kind())
}

fn docker(text: &str) -> Origin {
    Origin::registry(&text.parse().unwrap())
}

#[test]
fn the_most_specific_scope_holds() {
    let policy = parse(
        r#"{"default": [{"type": "reject"}], "transports": {"docker": {
            "": [{"type": "insecureAcceptAnything"}],
            "r.example": [{"type": "reject"}],
            "r.example/a": [{"type": "insecureAcceptAnything"}],
            "r.example/a/b:1": [{"type": "reject"}],
            "*.example": [{"type": "insecureAcceptAnything"}]},
            "dir": {"/a": [{"type": "insecureAcceptAnything"}]}}}"#,
    )
    .unwrap();
    for (origin, place, expected) in [
        (
            docker("r.example/a/b:1"),
            "transports.docker.\"r.example/a/b:1\"",
            "reject",
        ),
        (
            docker("r.example/a/b:2"),
            "transports.docker.\"r.example/a\"",
            "insecureAcceptAnything",
        ),
        (
            docker("r.example/ab"),
            "transports.docker.\"r.example\"",
            "reject",
        ),
        (
            docker("s.example/ab"),
            "transports.docker.\"*.example\"",
            "insecureAcceptAnything",
        ),
        (
            docker("r.example:5000/a"),
            "transports.docker.\"\"",
            "insecureAcceptAnything",
        ),
        (
            Origin::Dir {
                path: "/a/b".into(),
            },
            "transports.dir.\"/a\"",
            "insecureAcceptAnything",
        ),
        (Origin::Dir { path: "/ab".into() }, "default", "reject"),
        (Origin::Tarball, "default", "reject"),
    ] {
        let (found, kind) = kind(&policy, &origin);
        assert_eq!((found.as_str(), kind), (place, expected), "{origin}");
    }
    assert!(policy.rule(&Origin::ContainersStorage).is_none());
}

#[test]
fn a_file_that_is_not_understood_is_refused_with_its_place() {
    for (text, place, reason) in [
        ("", "line 1", "EOF"),
        ("{\n\"defualt\": []}", "line 2", "unknown field `defualt`"),
        ("{\"transports\": {}}", "line 1", "missing field `default`"),
        (r#"{"default": []}"#, "default", "the list is empty"),
        (
            r#"{"default": [{"type": "rejekt"}]}"#,
            "line 1",
            "unknown variant `rejekt`",
        ),
        (
            r#"{"default": [{"type": "reject", "more": 1}]}"#,
            "line 1",
            "unknown field `more`",
        ),
        (
            r#"{"default": [{"type": "reject", "type": "reject"}]}"#,
            "line 1",
            "duplicate field",
        ),
        (
            r#"{"default": [{"type": "reject"}], "transports": {"docker": {"a": [{"type": "reject"}], "a": [{"type": "reject"}]}}}"#,
            "line 1",
            "\"a\" stands twice",
        ),
        (
            r#"{"default": [{"type": "signedBy", "keyType": "GPGKeys"}]}"#,
            "default",
            "exactly one of keyPath",
        ),
        (
            r#"{"default": [{"type": "signedBy", "keyType": "X509", "keyPath": "/x"}]}"#,
            "line 1",
            "unknown variant `X509`",
        ),
        (
            r#"{"default": [{"type": "reject"}], "transports": {"dir": {"a": [{"type": "reject"}]}}}"#,
            "transports.dir.\"a\"",
            "absolute path",
        ),
        (
            r#"{"default": [{"type": "reject"}], "transports": {"docker": {"a*.example": [{"type": "reject"}]}}}"#,
            "transports.docker",
            "wildcard",
        ),
        (
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/x", "signedIdentity": {"type": "exactReference", "dockerReference": "r.example/a"}}]}"#,
            "default",
            "neither tag nor digest",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(
            error.contains(place) && error.contains(reason),
            "{text}: {error}"
        );
    }
}

#[test]
fn what_the_manual_shows_is_understood() {
    parse(
        r#"{"default": [{"type": "reject"}], "transports": {"docker": {
            "*.temporary-project.example.com": [{"type": "insecureAcceptAnything"}],
            "hostname:5000/myns/sigstore": [{"type": "sigstoreSigned", "keyPath": "/p", "signedIdentity": {"type": "matchRepository"}}]},
            "atomic": {"private-mirror:5000/vendor-mirror": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/p",
                "signedIdentity": {"type": "remapIdentity", "prefix": "private-mirror:5000/vendor-mirror", "signedPrefix": "vendor.example.com"}}]},
            "docker-daemon": {"": [{"type": "insecureAcceptAnything"}]}}}"#,
    )
    .unwrap();
}
