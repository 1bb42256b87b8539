//! `runner wait`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args;

use super::{Context, for_each, stop};
use crate::container::state::Status;

/// Flags of `wait`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Names or ids.
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers()?;
    Ok(for_each(&arguments.containers, |name| {
        let container = containers.find(name)?;
        if let Status::Running(handle) = container.status() {
            handle.wait(None);
            stop::settle(&container);
        }
        let code = match container.status() {
            Status::Exited(exit) => exit.code,
            // Removed at its end, or never started.
            Status::Created | Status::Running(_) => 0,
        };
        Ok(writeln!(stdout(), "{code}")?)
    }))
}
