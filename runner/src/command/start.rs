//! `runner start`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args;

use super::{Context, for_each};
use crate::container::{Container, Containers};
use crate::monitor::{self, Attach, detached};
use crate::trust::Trust;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Show the output and pass signals on, as `run` without --detach.
    #[arg(short, long)]
    attach: bool,

    /// Pass standard input on; implies --attach.
    #[arg(short, long)]
    interactive: bool,

    /// Names or ids.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// The container, if the policy accepts its image still.
fn find(name: &str, containers: &Containers, context: &Context) -> anyhow::Result<Container> {
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
    let paths = &context.paths;
    if arguments.attach || arguments.interactive {
        let [name] = arguments.containers.as_slice() else {
            anyhow::bail!("you cannot start and attach multiple containers at once");
        };
        let container = find(name, &containers, context)?;
        let attach = Attach {
            input: arguments.interactive,
            output: true,
        };
        let listeners = monitor::open_ports(&container)?;
        let runroot = &paths.runroot;
        let watched = monitor::start(&containers, &container, None, runroot, listeners, attach)?;
        return Ok(ExitCode::from(watched.wait()));
    }
    Ok(for_each(&arguments.containers, |name| {
        let container = find(name, &containers, context)?;
        // Starting what runs is no error, as with podman.
        if !container.status().is_running() {
            detached::start(&paths.graphroot, &paths.runroot, &container)?;
        }
        Ok(writeln!(stdout(), "{name}")?)
    }))
}
