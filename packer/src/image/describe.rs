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
use crate::package::{Command, HealthCheck, Package, Port, Protocol, User};

/// Where a program looks for others; what every engine sets when an image says nothing.
pub(crate) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The config of the image of `package`, on a base image or without one. The layer of its own is
/// missing: see [`add_layer`].
///
/// What the package says goes before what the base says, as behind docker's `FROM`; the command of
/// the base is the base's own and does not stay.
#[must_use]
pub fn config(
    package: &Package,
    platform: &Platform,
    base: Option<&ImageConfig>,
    epoch: Option<Epoch>,
) -> ImageConfig {
    let inherited = base.cloned().unwrap_or_else(|| alone(package));
    let mut run = inherited.config;
    if let Some(user) = package.user {
        run.user = user.to_string();
    }
    let ports = package.ports.iter();
    run.exposed_ports
        .extend(ports.map(|port| (port.to_string(), Empty {})));
    for (name, value) in &package.environment {
        set_variable(&mut run.env, name, value);
    }
    run.entrypoint = package.command();
    run.cmd.clone_from(&package.arguments);
    let volumes = package.volumes.iter();
    run.volumes
        .extend(volumes.map(|path| (path.clone(), Empty {})));
    if let Some(folder) = &package.working_dir {
        run.working_dir.clone_from(folder);
    }
    run.labels.extend(labels(package));
    if let Some(signal) = &package.stop_signal {
        run.stop_signal = signal.to_string();
    }
    if let Some(check) = &package.health_check {
        run.healthcheck = Some(healthcheck(check));
    }
    ImageConfig {
        created: epoch.map(|epoch| epoch.to_string()),
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        config: run,
        ..inherited
    }
}

/// What an image has that stands on no other: a user who is not root, and a `PATH` unless the
/// package has one of its own.
fn alone(package: &Package) -> ImageConfig {
    let path = (!package.environment.contains_key("PATH")).then(|| PATH.to_owned());
    ImageConfig {
        config: RunConfig {
            user: User::default().to_string(),
            env: path.into_iter().collect(),
            ..RunConfig::default()
        },
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        },
        ..ImageConfig::default()
    }
}

/// Sets a variable where it is, or behind the others.
pub(crate) fn set_variable(variables: &mut Vec<String>, name: &str, value: &str) {
    let is_it = |line: &&mut String| line.split_once('=').is_some_and(|(known, _)| known == name);
    let line = format!("{name}={value}");
    match variables.iter_mut().find(is_it) {
        Some(known) => *known = line,
        None => variables.push(line),
    }
}

/// Adds a layer on top, and the step that made it to the history, if the layers below have theirs.
pub fn add_layer(config: &mut ImageConfig, diff_id: Digest, epoch: Option<Epoch>) {
    let steps = config
        .history
        .iter()
        .filter(|step| step.empty_layer != Some(true));
    let is_complete = steps.count() == config.rootfs.diff_ids.len();
    let is_first = config.rootfs.diff_ids.is_empty();
    config.rootfs.diff_ids.push(diff_id);
    // A step without a date is shown as one of 292 years ago, and needed only behind others.
    if is_complete && (epoch.is_some() || !is_first) {
        config.history.push(step(epoch));
    }
}

/// The health check as docker writes it.
pub(crate) fn healthcheck(check: &HealthCheck) -> Healthcheck {
    let nanoseconds = |time: Option<Duration>| {
        let nanoseconds = time.unwrap_or_default().as_nanos();
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    };
    let test = match &check.command {
        Command::Words(words) => [&["CMD".to_owned()], words.as_slice()].concat(),
        Command::Line(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
    };
    Healthcheck {
        test,
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        start_period: nanoseconds(check.start_period),
        start_interval: nanoseconds(check.start_interval),
        retries: check.retries.unwrap_or_default().into(),
    }
}

fn step(epoch: Option<Epoch>) -> History {
    History {
        created: epoch.map(|epoch| epoch.to_string()),
        created_by: Some(concat!("packer ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..History::default()
    }
}

/// The annotations of the image of `package`.
#[must_use]
pub fn annotations(package: &Package, epoch: Option<Epoch>) -> BTreeMap<String, String> {
    let mut annotations = known(package);
    annotations.extend(package.annotations.clone());
    if let Some(epoch) = epoch {
        annotations.insert(annotation("created"), epoch.to_string());
    }
    annotations
}

/// A manifest; the lowest layer comes first.
#[must_use]
pub fn manifest(
    annotations: BTreeMap<String, String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: media_type::MANIFEST.to_owned(),
        config,
        layers,
        annotations,
    }
}

/// What the package says itself goes before what we say about it.
fn labels(package: &Package) -> BTreeMap<String, String> {
    let mut labels = known(package);
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
fn known(package: &Package) -> BTreeMap<String, String> {
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

pub(crate) fn annotation(key: &str) -> String {
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
        let mut config = config(package, &Platform::host(), None, epoch);
        add_layer(&mut config, Digest::of(b""), epoch);
        config
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

    #[test]
    fn a_base_is_inherited_but_for_its_command() {
        let mut base = described(&package(), Some("0".parse().unwrap()));
        base.author = Some("somebody".to_owned());
        base.config = RunConfig {
            user: "web".to_owned(),
            env: vec![
                "PATH=/base".to_owned(),
                "A=base".to_owned(),
                "Z=z".to_owned(),
            ],
            cmd: vec!["serve".to_owned()],
            working_dir: "/srv".to_owned(),
            labels: [("team".to_owned(), "base".to_owned())].into(),
            exposed_ports: [("1/tcp".to_owned(), Empty {})].into(),
            ..RunConfig::default()
        };
        let mut on = config(&package(), &Platform::host(), Some(&base), None);
        add_layer(&mut on, Digest::of(b"own"), None);
        assert_eq!((on.created, on.author), (None, base.author));
        assert_eq!(on.rootfs.diff_ids, [Digest::of(b""), Digest::of(b"own")]);
        assert_eq!(on.history.len(), 2);
        let run = on.config;
        assert_eq!(run.env, ["PATH=/base", "A=b", "Z=z"]);
        assert_eq!(
            (run.user.as_str(), run.working_dir.as_str()),
            ("web", "/srv")
        );
        assert_eq!(
            (run.entrypoint, run.cmd),
            (vec!["/bin/hello".to_owned()], vec![])
        );
        assert_eq!(run.labels["team"], "base");
        let ports: Vec<_> = run.exposed_ports.keys().collect();
        assert_eq!(ports, ["1/tcp", "53/udp", "8080/tcp"]);
    }

    #[test]
    fn a_base_without_history_gets_none() {
        let base = described(&package(), None);
        let mut on = config(
            &package(),
            &Platform::host(),
            Some(&base),
            Some("0".parse().unwrap()),
        );
        add_layer(&mut on, Digest::of(b"own"), None);
        assert!(on.history.is_empty());
    }
}
