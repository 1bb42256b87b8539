//! What configurations become, and that none of them, however damaged, does more than be refused.

use serde_json::{Value, json};

use super::*;
use crate::noise::{Random, damage};
use crate::oci::template;
use crate::sandbox::spec::{Mount, Mounted};

fn translate(text: &str) -> anyhow::Result<Spec> {
    let config = Config::parse(text.as_bytes())?;
    spec(
        &config,
        Path::new("/"),
        false,
        Path::new("/nonexistent"),
        Told::default(),
    )
}

fn usual() -> Value {
    let mut config = template::config(false);
    config["root"]["path"] = "/".into();
    config
}

#[test]
fn the_usual_configuration_is_translated() {
    let spec = translate(&usual().to_string()).unwrap();
    assert_eq!(spec.network, Network::None);
    assert!(spec.own_cgroups && spec.read_only && spec.users.is_empty());
    assert_eq!(spec.mounts.len(), 7);
    assert_eq!(spec.process.terminal, Some((0, 0)));
    assert_eq!(spec.process.capabilities.effective.names().len(), 3);
    let rlimit = spec.process.rlimits[0];
    assert_eq!(
        (rlimit.resource, rlimit.soft),
        (Resource::Nofile, Some(1024))
    );
}

#[test]
fn a_shared_namespace_is_joined_and_none_is_named_twice() {
    let mut config = usual();
    config["linux"]["namespaces"][1] = json!({"type": "network", "path": "/proc/1/ns/net"});
    let spec = translate(&config.to_string()).unwrap();
    assert_eq!(spec.network, Network::Host);
    assert_eq!(spec.namespaces.joined.len(), 1);
    config["linux"]["namespaces"][0] = json!({"type": "network"});
    let error = translate(&config.to_string()).unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
}

#[test]
fn mount_options_are_read_in_their_order() {
    let mut config = usual();
    config["mounts"] = json!([
        {"destination": "data/./x", "source": "/tmp", "options": ["rbind", "rw", "ro", "rnosuid", "rslave"]},
        {"destination": "/t", "type": "tmpfs", "options": ["noatime", "size=1m", "exec", "noexec"]},
    ]);
    let spec = translate(&config.to_string()).unwrap();
    let [Mount::Listed(bind), Mount::Listed(tmpfs)] = &spec.mounts[..] else {
        panic!("{:?}", spec.mounts);
    };
    assert_eq!(bind.target, "/data/x");
    assert_eq!((bind.attributes.set, bind.attributes.clear), (1, 0));
    assert_eq!(bind.recursive.set, 2);
    assert_eq!(bind.propagation, [(Propagation::Slave, true)]);
    assert!(matches!(
        &bind.what,
        Mounted::Path {
            recursive: true,
            ..
        }
    ));
    assert_eq!((tmpfs.attributes.set, tmpfs.attributes.clear), (0x18, 0x70));
    let Mounted::FileSystem { options, .. } = &tmpfs.what else {
        panic!("{:?}", tmpfs.what);
    };
    assert_eq!(options, &[("size".to_owned(), Some("1m".to_owned()))]);
}

#[test]
fn unknown_fields_and_nulls_are_passed_over() {
    let mut config = usual();
    config["future"] = json!({"x": [1]});
    config["linux"]["sysctl"] = Value::Null;
    config["process"]["rlimits"] = Value::Null;
    config["hooks"] = json!({"prestart": null});
    assert!(translate(&config.to_string()).is_ok());
}

#[test]
fn damaged_configurations_are_refused_in_one_short_line_or_understood() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut refused = 0;
    for _ in 0..4000 {
        let mut config = usual();
        for _ in 0..=random.below(3) {
            damage(&mut config, &mut random);
        }
        let mut text = config.to_string();
        if random.below(10) == 0 {
            let cut = random.below(text.len());
            text.truncate(
                (0..=cut)
                    .rev()
                    .find(|at| text.is_char_boundary(*at))
                    .unwrap_or(0),
            );
        }
        if let Err(error) = translate(&text) {
            refused += 1;
            let line = crate::human::one_line(&format!("{error:#}"));
            assert!(!line.contains(['\n', '\u{1b}', '\0']), "{line}");
        }
    }
    assert!(
        (500..3900).contains(&refused),
        "{refused} of 4000 were refused"
    );
}
