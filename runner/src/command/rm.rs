//! `runner rm`.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::fs::FlockOperation;

use super::{Context, ExitWith, for_each, names_or_all, stop};
use crate::container::folder::ContainerError;
use crate::container::{Container, Containers};

/// Flags of `rm`.
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

    /// Names or ids.
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers()?;
    containers.sweep();
    let mut names = names_or_all(&arguments.containers, arguments.all, context, false)?;
    let force = arguments.force || arguments.time.is_some();
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
            found => remove(&containers, &found?, force, arguments.time)?,
        }
        Ok(writeln!(stdout(), "{name}")?)
    }))
}

fn remove(
    containers: &Containers,
    container: &Container,
    force: bool,
    patience: Option<u64>,
) -> anyhow::Result<()> {
    if container.status().is_running() {
        if !force {
            return Err(ExitWith {
                message: format!(
                    "cannot remove container {} as it is running - running or paused containers \
                     cannot be removed without force: container state improper",
                    container.record.id
                ),
                code: 2,
            }
            .into());
        }
        let patience = patience.unwrap_or(container.record.stop_timeout);
        stop::stop(container, Duration::from_secs(patience))?;
    }
    // Only one removes, and nobody starts it meanwhile. A folder that is gone was removed by
    // its monitor.
    match container.lock(FlockOperation::LockExclusive) {
        Ok(_lock) => Ok(containers.remove(container)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
