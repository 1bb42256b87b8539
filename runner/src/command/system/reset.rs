//! `runner system reset`: as if nothing had ever been here.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::super::{Context, stop};
use super::confirmed;
use crate::sandbox::userns::{self, FileIds};
use crate::store::Pruning;

#[derive(Debug, clap::Args)]
pub(in crate::command) struct Arguments {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// What is in the graph root of an empty store.
const EMPTY: [&str; 14] = [
    // The first one: without it, the next command makes a new store.
    "version",
    "list.json",
    "lock",
    "blobs/sha256",
    "blobs",
    "images",
    "trees",
    "names",
    "packed",
    "generations",
    "tmp",
    "containers",
    "container-names",
    userns::TRASH,
];

pub(in crate::command) fn run(
    arguments: &Arguments,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let what = [
        "all containers",
        "all images",
        "all volumes",
        "all that is kept for later",
    ];
    if !arguments.force && !confirmed(&what)? {
        return Ok(ExitCode::SUCCESS);
    }
    let containers = context.containers();
    for container in containers.all()? {
        stop::stop(&container, Duration::ZERO)?;
        let _lock = container.lock_soon();
        containers.remove(&container)?;
    }
    containers.sweep();
    let graphroot = &context.paths.graphroot;
    let ids = FileIds::acquire(&context.paths.runroot)?;
    let empty = || -> anyhow::Result<()> {
        // Image by image, so that whatever is left after a crash is a whole store.
        let everything = Pruning { keep: 0, all: true };
        context
            .store()?
            .prune(everything, &|_| true, &|_| Vec::new())?;
        let volumes = graphroot.join("volumes");
        userns::remove_tree(&volumes)
            .with_context(|| format!("cannot remove {}", volumes.display()))
    };
    ids.run_inside(|| empty().map_err(|error| format!("{error:#}")))?
        .map_err(|message| anyhow!(message))?;
    drop(ids);
    // Of what somebody else begins at this moment, everything stays.
    for name in EMPTY {
        let path = graphroot.join(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    }
    userns::dismiss(&context.paths.runroot)?;
    userns::forget_ahead(&context.paths.graphroot)?;
    Ok(ExitCode::SUCCESS)
}
