//! `runner rm`.

use std::io::{ErrorKind, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::chosen::{All, Chosen};
use super::{Context, ExitWith, for_each, stop};
use crate::container::folder::ContainerError;
use crate::container::{Container, Containers};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Kill a container that runs; say nothing of one that is not there.
    #[arg(short, long)]
    force: bool,

    /// Every container that does not run; with --force every one.
    #[arg(short, long)]
    all: bool,

    /// Say nothing of containers that are not there.
    #[arg(short, long)]
    ignore: bool,

    /// How many seconds to wait before a container is killed; implies --force.
    #[arg(short, long, value_name = "SECONDS")]
    time: Option<u64>,

    /// Remove the container's nameless volumes too; there are none that outlive it here.
    #[arg(short, long)]
    volumes: bool,

    /// Containers that fit: id, name, status, label, ancestor or exited, as KEY=VALUE.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,

    #[command(flatten)]
    chosen: Chosen,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    containers.sweep();
    let mut names = arguments.chosen.names_or_filtered(
        arguments.all.then_some(All::Every),
        (&arguments.filter, All::Every),
        context,
    )?;
    let force = arguments.force || arguments.time.is_some();
    // Whoever removes a container with all its files does not wait for it to save them.
    let patience = Duration::from_secs(arguments.time.unwrap_or(0));
    if arguments.all && !force {
        names.retain(|name| {
            let running = |container: Container| container.status().is_running();
            !containers.find(name).is_ok_and(running)
        });
    }
    Ok(for_each(&names, |name| {
        match containers.find(name) {
            Err(ContainerError::NotFound(_)) if arguments.ignore || force => {}
            Err(error @ ContainerError::NotFound(_)) => {
                return Err(ExitWith {
                    message: error.to_string(),
                    code: 1,
                }
                .into());
            }
            found => remove(&containers, &found?, force, patience)?,
        }
        Ok(writeln!(stdout(), "{name}")?)
    }))
}

/// How often a container that others start again meanwhile is stopped.
const ATTEMPTS: usize = 3;

fn remove(
    containers: &Containers,
    container: &Container,
    force: bool,
    patience: Duration,
) -> anyhow::Result<()> {
    for _ in 0..ATTEMPTS {
        if container.status().is_running() {
            if !force {
                return Err(running(container).into());
            }
            stop::stop(container, patience)?;
        }
        // Only one removes, and nobody starts it meanwhile.
        match container.lock_soon() {
            Ok(_lock) => return Ok(containers.remove(container)?),
            // Its monitor or another command has removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            // Somebody has started it again, or its monitor does not go on.
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error.into()),
        }
    }
    let name = &container.record.name;
    match container.state() {
        Some(state) if !container.status().is_running() => bail!(
            "cannot remove container {name}: the process that watches it does not go on (let it \
             continue with kill -CONT {0}, or end it with kill -KILL {0})",
            state.monitor.pid
        ),
        _ => bail!("cannot remove container {name}: others start it again and again"),
    }
}

fn running(container: &Container) -> ExitWith {
    ExitWith {
        message: format!(
            "cannot remove container {} as it is running - running or paused containers cannot be \
             removed without force: container state improper",
            container.record.id
        ),
        code: 2,
    }
}
