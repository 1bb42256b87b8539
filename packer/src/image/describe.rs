//! From a package to the config and the manifest of its image.
//!
//! Everything that is known about the package is said in both: labels of the config are what
//! docker and podman show, annotations of the manifest are what registries show. There is no date
//! unless somebody asked for one; a date of 1970 would be a lie.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Descriptor, Empty, Healthcheck, History, ImageConfig, Manifest, PUBLISH_LABEL, Platform,
    RootFs, RunConfig, media_type,
};
use crate::digest::Digest;
use crate::epoch::Epoch;
use crate::package::{HealthCheck, HealthCommand, Package, Port, Protocol};

/// Where a program looks for others; what every engine sets when an image says nothing.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The config of the image of `package`. `diff_id` is the one of its layer.
#[must_use]
pub fn config(
    package: &Package,
    platform: &Platform,
    diff_id: Digest,
    epoch: Option<Epoch>,
) -> ImageConfig {
    let created = epoch.map(|epoch| epoch.to_string());
    let ports = package.ports.iter();
    let volumes = package.volumes.iter();
    let stop_signal = package.stop_signal.as_ref();
    let variables = package.environment.iter();
    ImageConfig {
        created: created.clone(),
        author: None,
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        config: RunConfig {
            user: package.user.to_string(),
            exposed_ports: ports.map(|port| (port.to_string(), Empty {})).collect(),
            env: path(package)
                .into_iter()
                .chain(variables.map(|(name, value)| format!("{name}={value}")))
                .collect(),
            entrypoint: package.command(),
            cmd: package.arguments.clone(),
            volumes: volumes.map(|path| (path.clone(), Empty {})).collect(),
            working_dir: package.working_dir.clone().unwrap_or_default(),
            labels: labels(package),
            stop_signal: stop_signal.map(ToString::to_string).unwrap_or_default(),
            healthcheck: package.health_check.as_ref().map(healthcheck),
        },
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: vec![diff_id],
        },
        // A step without a date is shown as one of 292 years ago.
        history: created.map(step).into_iter().collect(),
    }
}

fn healthcheck(check: &HealthCheck) -> Healthcheck {
    let nanoseconds = |time: Option<Duration>| {
        let nanoseconds = time.unwrap_or_default().as_nanos();
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    };
    let test = match &check.command {
        HealthCommand::Words(words) => [&["CMD".to_owned()], words.as_slice()].concat(),
        HealthCommand::Line(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
    };
    Healthcheck {
        test,
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        start_period: nanoseconds(check.start_period),
        retries: check.retries.unwrap_or_default().into(),
    }
}

fn step(created: String) -> History {
    History {
        created: Some(created),
        created_by: Some(concat!("packer ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..History::default()
    }
}

/// The manifest of the image of `package`.
#[must_use]
pub fn manifest(
    package: &Package,
    config: Descriptor,
    layer: Descriptor,
    epoch: Option<Epoch>,
) -> Manifest {
    let mut annotations = annotations(package);
    annotations.extend(package.annotations.clone());
    if let Some(epoch) = epoch {
        annotations.insert(annotation("created"), epoch.to_string());
    }
    Manifest {
        schema_version: 2,
        media_type: media_type::MANIFEST.to_owned(),
        config,
        layers: vec![layer],
        annotations,
    }
}

/// `PATH`, unless the package has one of its own.
fn path(package: &Package) -> Option<String> {
    (!package.environment.contains_key("PATH")).then(|| PATH.to_owned())
}

/// What the package says itself goes before what we say about it.
fn labels(package: &Package) -> BTreeMap<String, String> {
    let mut labels = annotations(package);
    if !package.ports.is_empty() {
        let ports: Vec<String> = package.ports.iter().map(published).collect();
        labels.insert(PUBLISH_LABEL.to_owned(), ports.join(","));
    }
    labels.extend(package.labels.clone());
    labels
}

/// A port as it is published: TCP goes without saying.
fn published(port: &Port) -> String {
    match port.protocol {
        Protocol::Tcp => port.number.to_string(),
        Protocol::Udp => port.to_string(),
    }
}

/// The pre-defined keys of the specification (`annotations.md`) that are known.
fn annotations(package: &Package) -> BTreeMap<String, String> {
    [
        ("title", Some(&package.name)),
        ("version", package.version.as_ref()),
        ("description", package.synopsis.as_ref()),
        ("licenses", package.license.as_ref()),
        ("url", package.home_page.as_ref()),
        ("source", package.source.as_ref()),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((annotation(key), value?.clone())))
    .collect()
}

fn annotation(key: &str) -> String {
    format!("org.opencontainers.image.{key}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn package() -> Package {
        let mut package = Package::of_file(Path::new("hello"), None).unwrap();
        package.version = Some("1.2.3".to_owned());
        package.ports = vec!["53/udp".parse().unwrap(), "8080".parse().unwrap()];
        package.environment.insert("A".to_owned(), "b".to_owned());
        package
    }

    fn described(package: &Package, epoch: Option<Epoch>) -> ImageConfig {
        config(package, &Platform::host(), Digest::of(b""), epoch)
    }

    #[test]
    fn the_config_says_how_the_program_runs() {
        let run = described(&package(), None).config;
        assert_eq!(run.entrypoint, ["/bin/hello"]);
        assert_eq!(run.user, "65532:65532");
        assert_eq!(run.env, [PATH, "A=b"]);
        let ports: Vec<_> = run.exposed_ports.keys().collect();
        assert_eq!(ports, ["53/udp", "8080/tcp"]);
        assert_eq!(run.labels[PUBLISH_LABEL], "53/udp,8080");
        assert_eq!(run.labels["org.opencontainers.image.version"], "1.2.3");
    }

    #[test]
    fn an_image_has_a_date_only_when_one_was_asked_for() {
        let config = described(&package(), None);
        let text = String::from_utf8(super::super::to_json(&config)).unwrap();
        assert!(!text.contains("created\""), "{text}");
        let dated = described(&package(), Some("0".parse().unwrap()));
        assert_eq!(dated.created.as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(dated.history[0].created, dated.created);
    }

    #[test]
    fn what_the_package_says_goes_first() {
        let mut package = package();
        let title = "org.opencontainers.image.title".to_owned();
        package.labels.insert(title.clone(), "Other".to_owned());
        package
            .environment
            .insert("PATH".to_owned(), "/x".to_owned());
        let run = described(&package, None).config;
        assert_eq!(run.labels[&title], "Other");
        assert_eq!(run.env, ["A=b", "PATH=/x"]);
    }
}
