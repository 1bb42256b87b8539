use std::fs;

use super::*;

fn keyring(content: &str) -> (tempfile::TempDir, Keyring) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    fs::write(&path, content).unwrap();
    (folder, Keyring::new(Some(path), &[]))
}

fn found(content: &str, reference: &str) -> Option<String> {
    let (_folder, keyring) = keyring(content);
    match keyring.find(&reference.parse().unwrap()).unwrap()? {
        Credentials::Password { user, password } => Some(format!("{user}:{password}")),
        Credentials::IdentityToken(token) => Some(token),
    }
}

/// `a:1` and `b:2` in Base64.
const A: &str = "YTox";
const B: &str = "Yjoy";

#[test]
fn the_longest_path_is_found_first() {
    let file = format!(
        r#"{{"auths":{{"r.example":{{"auth":"{A}"}},"r.example/team":{{"auth":"{B}"}}}}}}"#
    );
    assert_eq!(found(&file, "r.example/team/x:1").unwrap(), "b:2");
    assert_eq!(found(&file, "r.example/teams/x:1").unwrap(), "a:1");
    assert_eq!(found(&file, "r.example:5000/team/x"), None);
    assert_eq!(
        found(
            &file,
            "example/team/x.y".replace("example", "o.example").as_str()
        ),
        None
    );
}

#[test]
fn docker_s_keys_are_understood() {
    let file = format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{A}"}}}}}}"#);
    assert_eq!(found(&file, "docker.io/library/alpine").unwrap(), "a:1");
    let file = format!(r#"{{"auths":{{"https://r.example/v2/":{{"auth":"{A}"}}}}}}"#);
    assert_eq!(found(&file, "r.example/x").unwrap(), "a:1");
    let file = r#"{"auths":{"r.example":{"identitytoken":"t"}}}"#;
    assert_eq!(found(file, "r.example/x").unwrap(), "t");
    assert_eq!(found(r#"{"auths":{"r.example":{}}}"#, "r.example/x"), None);
    assert_eq!(found("", "r.example/x"), None);
}

#[test]
fn what_is_stored_is_found_and_erased_and_the_rest_stays() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, keyring) = keyring(r#"{"auths":{"o.example":{"auth":"YTox"}},"detachKeys":"x"}"#);
    keyring.store("r.example", "user", "pass:word").unwrap();
    let found = keyring.find(&"r.example/x".parse().unwrap()).unwrap();
    assert_eq!(
        found,
        Some(Credentials::Password {
            user: "user".to_owned(),
            password: "pass:word".to_owned()
        })
    );
    assert_eq!(keyring.user("r.example").unwrap().as_deref(), Some("user"));
    let path = folder.path().join("auth.json");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(keyring.erase("r.example").unwrap());
    assert!(!keyring.erase("r.example").unwrap());
    let left = fs::read_to_string(&path).unwrap();
    assert!(
        left.contains("o.example") && left.contains("detachKeys"),
        "{left}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_broken_file_is_named() {
    let (_folder, keyring) = keyring("{");
    let error = keyring.find(&"r.example/x".parse().unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("auth.json is not understood"),
        "{error}"
    );
    let (_folder, keyring) = self::keyring(r#"{"auths":{"r.example":{"auth":"!"}}}"#);
    assert!(keyring.find(&"r.example/x".parse().unwrap()).is_err());
}

#[test]
fn secrets_are_not_printed() {
    let credentials = Credentials::Password {
        user: "u".to_owned(),
        password: "secret".to_owned(),
    };
    assert!(!format!("{credentials:?}").contains("secret"));
    assert!(!format!("{:?}", Credentials::IdentityToken("secret".to_owned())).contains("secret"));
}
