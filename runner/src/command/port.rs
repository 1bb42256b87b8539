//! `runner port`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use super::{Context, chosen};
use crate::network::PortMapping;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Every container that runs.
    #[arg(short, long)]
    all: bool,

    /// The container that was made last.
    #[arg(short, long, conflicts_with = "all")]
    latest: bool,

    /// The name or the id, unless --latest or --all says which; then the only port of the container that
    /// is wanted: 8080 or 8080/tcp.
    #[arg(value_name = "CONTAINER PORT", num_args = 0..=2)]
    words: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    let mut out = stdout().lock();
    if arguments.all {
        for container in containers
            .all()?
            .iter()
            .filter(|one| one.status().is_running())
        {
            for mapping in open_ports(container) {
                writeln!(out, "{}\t{}", container.record.id.short(), line(&mapping))?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (name, wanted) = chosen::first(&arguments.words, arguments.latest, context)?;
    ensure!(wanted.len() < 2, "give one port at most");
    let container = containers.find(&name)?;
    ensure!(
        container.status().is_running(),
        "container {name} does not run, so no port of it is open"
    );
    let ports = open_ports(&container);
    let Some(wanted) = wanted.first() else {
        for mapping in &ports {
            writeln!(out, "{}", line(mapping))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let number = wanted.strip_suffix("/tcp").unwrap_or(wanted).parse();
    let found: Vec<_> = ports
        .iter()
        .filter(|mapping| number == Ok(mapping.container_port))
        .collect();
    ensure!(
        !found.is_empty(),
        "no port of container {name} is published for \"{}\"",
        wanted.escape_debug()
    );
    for mapping in found {
        writeln!(out, "{}", host_side(mapping))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The ports that are open now. An address that was left out is shown once, as podman does.
pub(super) fn open_ports(container: &crate::container::Container) -> Vec<PortMapping> {
    let mut ports = container
        .state()
        .map(|state| state.ports)
        .unwrap_or_default();
    ports.dedup();
    ports
}

fn line(mapping: &PortMapping) -> String {
    let container = format!("{}/{}", mapping.container_port, mapping.protocol);
    format!("{container} -> {}", host_side(mapping))
}

/// `0.0.0.0:8080`, `[::1]:8080`.
pub(super) fn host_side(mapping: &PortMapping) -> String {
    match mapping.address {
        None => format!("0.0.0.0:{}", mapping.host_port),
        Some(address) => std::net::SocketAddr::new(address, mapping.host_port).to_string(),
    }
}
