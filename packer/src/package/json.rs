//! What `packer show --json` prints: everything that is known about a package, by the keys of a
//! definition.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Command, Files, HealthCheck, Package, Port};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown<'a> {
    name: &'a str,
    version: Option<&'a str>,
    synopsis: Option<&'a str>,
    description: Option<&'a str>,
    home_page: Option<&'a str>,
    source: Option<&'a str>,
    license: Option<&'a str>,
    systems: Vec<String>,
    dependencies: &'a [String],
    location: &'a str,
    entrypoint: Vec<String>,
    args: &'a [String],
    env: &'a BTreeMap<String, String>,
    working_dir: Option<&'a str>,
    user: String,
    ports: Vec<String>,
    volumes: &'a [String],
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    stop_signal: Option<String>,
    health_check: Option<ShownCheck>,
    files: Vec<ShownFiles>,
    certificates: Option<bool>,
    time_zones: Option<bool>,
    base: Option<&'a str>,
    compress: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ShownCheck {
    command: Vec<String>,
    interval: Option<String>,
    timeout: Option<String>,
    start_period: Option<String>,
    start_interval: Option<String>,
    retries: Option<u32>,
}

#[derive(Serialize)]
struct ShownFiles {
    source: String,
    destination: String,
    mode: Option<String>,
    owner: String,
    capabilities: Option<String>,
}

/// One object, with a line break at its end.
pub(super) fn json(package: &Package) -> String {
    let shown = Shown {
        name: &package.name,
        version: package.version.as_deref(),
        synopsis: package.synopsis.as_deref(),
        description: package.description.as_deref(),
        home_page: package.home_page.as_deref(),
        source: package.source.as_deref(),
        license: package.license.as_deref(),
        systems: package.systems.iter().map(ToString::to_string).collect(),
        dependencies: &package.dependencies,
        location: &package.location,
        entrypoint: package.command(),
        args: &package.arguments,
        env: &package.environment,
        working_dir: package.working_dir.as_deref(),
        user: package.user.unwrap_or_default().to_string(),
        ports: package.ports.iter().map(Port::to_string).collect(),
        volumes: &package.volumes,
        labels: &package.labels,
        annotations: &package.annotations,
        stop_signal: package.stop_signal.as_ref().map(ToString::to_string),
        health_check: package.health_check.as_ref().map(check),
        files: package.files.iter().map(files).collect(),
        certificates: package.certificates,
        time_zones: package.time_zones,
        base: package.base.as_ref().map(|base| base.text.as_str()),
        compress: package
            .compression
            .map(|compression| compression.to_string()),
    };
    let text = serde_json::to_string_pretty(&shown).expect("it has only string keys");
    text + "\n"
}

fn check(check: &HealthCheck) -> ShownCheck {
    let duration = |time: Option<Duration>| Some(humantime::format_duration(time?).to_string());
    ShownCheck {
        command: match &check.command {
            Command::Words(words) => words.clone(),
            Command::Line(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        },
        interval: duration(check.interval),
        timeout: duration(check.timeout),
        start_period: duration(check.start_period),
        start_interval: duration(check.start_interval),
        retries: check.retries,
    }
}

fn files(files: &Files) -> ShownFiles {
    ShownFiles {
        source: files.source.display().to_string(),
        destination: format!("/{}", files.destination.display()),
        mode: files.mode.map(|mode| format!("{mode:04o}")),
        owner: files.owner.to_string(),
        capabilities: files.capabilities.map(|set| set.to_string()),
    }
}
