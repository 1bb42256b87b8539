//! `runner system prune`: removes what nobody needs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};

use super::super::images::Filters;
use super::super::rmi::ImageUsers;
use super::super::{Context, image};
use super::confirmed;
use super::df::room;
use crate::container::record::Volume;
use crate::container::{Container, Containers};
use crate::human::size;
use crate::store::Pruning;

#[derive(Debug, clap::Args)]
pub(in crate::command) struct Arguments {
    /// Remove every image that no container uses, also those with names and the generations before
    #[arg(short, long)]
    all: bool,

    /// Do not ask
    #[arg(short, long)]
    force: bool,

    /// Remove the volumes that no container uses too
    #[arg(long)]
    volumes: bool,

    /// Only what fits: label=KEY[=VALUE] or until=TIME
    #[arg(long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
}

/// Generations of a name that stay; as with `image prune`.
const KEPT: usize = 2;

pub(in crate::command) fn run(
    arguments: &Arguments,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let images = match arguments.all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    };
    let mut what = vec!["all stopped containers", images];
    if arguments.volumes {
        what.push("all volumes that no container uses");
    }
    if !arguments.force && !confirmed(&what)? {
        return Ok(ExitCode::SUCCESS);
    }
    let (store, users) = image::for_removal(context)?;
    let fit = Filters::parse(&arguments.filters, &store)?;
    let containers = context.containers();
    let before = room(&context.paths.graphroot);
    let mut out = stdout().lock();
    let removed = stopped(&containers, &arguments.filters)?;
    report(&mut out, "Deleted Containers", &removed)?;
    if arguments.volumes {
        let removed = unused_volumes(&containers, &context.paths.graphroot.join("volumes"))?;
        report(&mut out, "Deleted Volumes", &removed)?;
    }
    let pruning = Pruning {
        keep: KEPT,
        all: arguments.all,
    };
    let removed = store.prune(pruning, &|listed| fit.fit(listed, false), &|id| {
        users.of(id)
    })?;
    let removed = removed.iter().filter_map(|one| Some(one.deleted?.hex()));
    report(&mut out, "Deleted Images", &removed.collect::<Vec<_>>())?;
    let freed = before.saturating_sub(room(&context.paths.graphroot));
    writeln!(
        out,
        "Total reclaimed space: {}",
        size(freed).replace(' ', "")
    )?;
    Ok(ExitCode::SUCCESS)
}

fn report(out: &mut dyn Write, title: &str, removed: &[String]) -> std::io::Result<()> {
    if !removed.is_empty() {
        writeln!(out, "{title}\n{}", removed.join("\n"))?;
    }
    Ok(())
}

/// Removes the containers that do not run and fit; their ids.
fn stopped(containers: &Containers, filters: &[String]) -> anyhow::Result<Vec<String>> {
    let mut removed = Vec::new();
    for container in containers.all()? {
        if container.status().is_running() || !fits(&container, filters)? {
            continue;
        }
        // Whoever starts it at this moment keeps it.
        if container.lock_soon().is_ok() {
            containers.remove(&container)?;
            removed.push(container.record.id.to_string());
        }
    }
    Ok(removed)
}

fn fits(container: &Container, filters: &[String]) -> anyhow::Result<bool> {
    for filter in filters {
        let fits = match filter.split_once('=') {
            Some(("label", wanted)) => {
                let (key, value) = wanted.split_once('=').unwrap_or((wanted, ""));
                let found = container.record.labels.get(key);
                found.is_some_and(|found| !wanted.contains('=') || found == value)
            }
            Some(("until", moment)) => {
                let created = Duration::from_nanos(container.record.created);
                SystemTime::UNIX_EPOCH + created < super::super::images::moment(moment)?
            }
            _ => bail!(
                "\"{}\" is no filter: label=KEY[=VALUE] or until=TIME",
                filter.escape_debug()
            ),
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the volumes that no container has; their names.
fn unused_volumes(containers: &Containers, folder: &Path) -> anyhow::Result<Vec<String>> {
    let all = containers.all()?;
    let mounts = all.iter().flat_map(|container| &container.record.mounts);
    let used: BTreeSet<&str> = mounts
        .filter_map(|mount| match mount {
            Volume::Named { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let mut removed = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !used.contains(name.as_str()) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove the volume {name}"))?;
            removed.push(name);
        }
    }
    removed.sort();
    Ok(removed)
}
