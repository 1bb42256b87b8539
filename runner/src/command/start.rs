//! `runner start`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use super::chosen::{All, Chosen, Filtered};
use super::{Context, follow, for_each};
use crate::container::state::Status;
use crate::container::{Container, Containers};
use crate::monitor::{self, Attach, detached};
use crate::trust::Trust;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Show the output and pass signals on, as `run` without --detach; of a container that runs what it
    /// prints from now on.
    #[arg(short, long)]
    attach: bool,

    /// Pass standard input on; implies --attach.
    #[arg(short, long)]
    interactive: bool,

    /// Every container that does not run.
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    filtered: Filtered,

    #[command(flatten)]
    chosen: Chosen,
}

/// Starts the container with a monitor of its own, unless it runs: that is no error, as with podman.
pub(super) fn in_background(container: &Container, context: &Context) -> anyhow::Result<()> {
    let paths = &context.paths;
    if !container.status().is_running() {
        detached::start(&paths.graphroot, &paths.runroot, container)?;
    }
    Ok(())
}

/// The container, if the policy accepts its image still.
pub(super) fn find(
    name: &str,
    containers: &Containers,
    context: &Context,
) -> anyhow::Result<Container> {
    let container = containers.find(name)?;
    let store = context.store()?;
    let id = container.record.image_id;
    if let Some(image) = store.image(&id)? {
        Trust::load()?.check_stored(&image.digest, &store.origins(&id)?)?;
    }
    Ok(container)
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    let names = arguments.chosen.names_or_filtered(
        arguments.all.then_some(All::Every),
        (&arguments.filtered.filter, All::Every),
        context,
    )?;
    if arguments.attach || arguments.interactive {
        let [name] = names.as_slice() else {
            anyhow::bail!("you cannot start and attach multiple containers at once");
        };
        let container = find(name, &containers, context)?;
        if let Status::Running(process) = container.status() {
            ensure!(
                !arguments.interactive,
                "{name} runs already, and its input is decided: leave --interactive out"
            );
            return Ok(ExitCode::from(follow::follow(&container, &process)?));
        }
        let attach = Attach::fully(arguments.interactive);
        let listeners = monitor::open_ports(&container)?;
        let runroot = &context.paths.runroot;
        let watched = monitor::start(&containers, &container, None, runroot, listeners, attach)?;
        return Ok(ExitCode::from(watched.wait()));
    }
    Ok(for_each(&names, |name| {
        let container = find(name, &containers, context)?;
        in_background(&container, context)?;
        Ok(writeln!(stdout(), "{name}")?)
    }))
}
