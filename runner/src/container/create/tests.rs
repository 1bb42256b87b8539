//! What a container is made of, from an image and from flags.

use super::*;

fn options() -> Options {
    Options::default()
}

fn config(json: &str) -> ImageConfig {
    packer::image::from_json("the config", json.as_bytes()).unwrap()
}

fn record(json: &str, options: &Options) -> Result<Record, CreateError> {
    let source = Source {
        name: "localhost/x:latest".to_owned(),
        id: Digest::of(b""),
        config: &config(json),
        tree: std::path::Path::new("/nonexistent"),
    };
    create(ContainerId::random().unwrap(), &source, options)
}

#[test]
fn the_command_replaces_the_images_arguments_and_the_entrypoint_both() {
    let image = r#"{"config":{"Entrypoint":["/e"],"Cmd":["c"]}}"#;
    let with = |command: &[&str], entrypoint: Option<&[&str]>| {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let options = Options {
            command: list(command),
            entrypoint: entrypoint.map(list),
            ..options()
        };
        record(image, &options).map(|record| record.arguments.join(" "))
    };
    assert_eq!(with(&[], None).unwrap(), "/e c");
    assert_eq!(with(&["d"], None).unwrap(), "/e d");
    assert_eq!(with(&[], Some(&["/f"])).unwrap(), "/f");
    assert_eq!(with(&["d"], Some(&[])).unwrap(), "d");
    assert!(matches!(with(&[], Some(&[])), Err(CreateError::NoCommand)));
}

#[test]
fn variables_of_the_image_without_a_value_take_nothing_from_the_host() {
    let record = record(
        r#"{"config":{"Cmd":["x"],"Env":["HOME_OF_HOST","*","=x","A=image","B=image"]}}"#,
        &Options {
            environment: vec!["B=user".to_owned()],
            ..options()
        },
    );
    let environment = record.unwrap().environment;
    assert!(environment.contains(&"A=image".to_owned()));
    assert!(environment.contains(&"B=user".to_owned()));
    assert!(environment.iter().all(|variable| !variable.contains('*')));
    assert!(!environment.contains(&"B=image".to_owned()));
}

#[test]
fn capabilities_are_added_and_dropped() {
    let with = |add: &[&str], drop: &[&str], uid| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let options = Options {
            cap_add: list(add),
            cap_drop: list(drop),
            ..options()
        };
        let (bounding, ambient) = capabilities(&options, uid).unwrap();
        (bounding.names(), ambient.names())
    };
    let none = Vec::<String>::new();
    assert_eq!(
        with(&["NET_RAW"], &["all"], 0),
        (vec!["CAP_NET_RAW".to_owned()], none.clone())
    );
    assert_eq!(with(&["NET_RAW"], &["all"], 7).1, ["CAP_NET_RAW"]);
    assert_eq!(with(&[], &["all"], 0).0, none);
    assert!(
        !with(&["all"], &["SYS_ADMIN"], 0)
            .0
            .contains(&"CAP_SYS_ADMIN".to_owned())
    );
}

#[test]
fn exposed_ports_are_published_only_when_meant() {
    let exposing = r#"{"config":{"Cmd":["x"],"ExposedPorts":{"80/tcp":{},"53/udp":{}}}}"#;
    assert!(
        record(exposing, &options())
            .unwrap()
            .implied_ports
            .is_empty()
    );
    let meant = Options {
        publish_implied: true,
        ..options()
    };
    assert_eq!(record(exposing, &meant).unwrap().implied_ports, [80]);
    let labelled =
        r#"{"config":{"Cmd":["x"],"ExposedPorts":{"80":{}},"Labels":{"packer.publish":"80"}}}"#;
    assert_eq!(record(labelled, &options()).unwrap().implied_ports, [80]);
    let none = Options {
        network: Network::None,
        ..meant.clone()
    };
    assert!(record(labelled, &none).unwrap().implied_ports.is_empty());
}

#[test]
fn an_image_for_other_processors_is_refused() {
    let image = r#"{"architecture":"mips","config":{"Cmd":["x"]}}"#;
    let refused = record(image, &options());
    assert!(matches!(
        refused,
        Err(CreateError::OtherArchitecture { .. })
    ));
}
