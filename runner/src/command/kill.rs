//! `runner kill`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use super::chosen::{All, Chosen};
use super::{Context, for_each};
use crate::container::state::Status;
use crate::signal;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The signal, by name or number.
    #[arg(short, long, default_value = "KILL")]
    signal: String,

    /// Every container that runs.
    #[arg(short, long)]
    all: bool,

    #[command(flatten)]
    chosen: Chosen,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let number = signal::parse(&arguments.signal)
        .with_context(|| format!("\"{}\" is no signal", arguments.signal.escape_debug()))?;
    let containers = context.containers();
    let names = arguments
        .chosen
        .names(arguments.all.then_some(All::Running), context)?;
    Ok(for_each(&names, |name| {
        let container = containers.find(name)?;
        let Status::Running(handle) = container.status() else {
            bail!(
                "can only kill running containers: {name} is {}",
                container.status().word()
            );
        };
        handle
            .signal(number)
            .with_context(|| format!("cannot signal container {name}"))?;
        if number == libc::SIGKILL {
            container.thaw();
        }
        Ok(writeln!(stdout(), "{name}")?)
    }))
}
