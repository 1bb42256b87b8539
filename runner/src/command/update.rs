//! `runner update`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use super::Context;
use super::limit_arguments::LimitArguments;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    limits: LimitArguments,

    /// The name or the id.
    container: String,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let limits = arguments.limits.read()?;
    ensure!(!limits.is_empty(), "name at least one limit to change");
    let mut container = context.containers().find(&arguments.container)?;
    if container.status().is_running() {
        container.group(&context.paths.runroot, &limits)?;
    }
    container.write_limits(&limits)?;
    writeln!(stdout(), "{}", container.record.id)?;
    Ok(ExitCode::SUCCESS)
}
