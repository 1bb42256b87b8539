//! `runner wait`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::chosen::Chosen;
use super::{Context, for_each};
use crate::container::Container;
use crate::container::state::Status;
use crate::sandbox::handle::Handle;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    let names = arguments.chosen.names(None, context)?;
    Ok(for_each(&names, |name| {
        let container = containers.find(name)?;
        let code = match container.status() {
            Status::Running(handle) => wait(&container, &handle)?,
            Status::Exited(exit) => exit.code,
            // Never started.
            Status::Created => 0,
        };
        Ok(writeln!(stdout(), "{code}")?)
    }))
}

/// Waits for the end of a container; its exit code.
fn wait(container: &Container, handle: &Handle) -> anyhow::Result<u8> {
    // Opened before: afterwards it may be removed.
    let watched = container.watch()?;
    handle.wait(None);
    match Container::settle(&watched) {
        Ok(Some(exit)) => Ok(exit.code),
        Ok(None) | Err(_) => match container.status() {
            Status::Exited(exit) => Ok(exit.code),
            _ => bail!("the exit code of {} is not known", container.record.name),
        },
    }
}
