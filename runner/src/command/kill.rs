//! `runner kill`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use super::{Context, for_each, names_or_all};
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

    /// Names or ids.
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let number = signal::parse(&arguments.signal)
        .with_context(|| format!("\"{}\" is no signal", arguments.signal.escape_debug()))?;
    let containers = context.containers();
    let names = names_or_all(&arguments.containers, arguments.all, context, true)?;
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
