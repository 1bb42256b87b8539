//! `runner pause` and `runner unpause`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::chosen::{All, Chosen, Filtered};
use super::{Context, for_each};
use crate::container::state::Status;
use crate::sandbox::cgroup::Limits;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Every container for which it makes sense.
    #[arg(short, long)]
    all: bool,

    #[command(flatten)]
    filtered: Filtered,

    #[command(flatten)]
    chosen: Chosen,
}

pub(super) fn run(
    arguments: &Arguments,
    context: &Context,
    pause: bool,
) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    let names = arguments.chosen.names_or_filtered(
        arguments.all.then_some(All::Running),
        (&arguments.filtered.filter, All::Running),
        context,
    )?;
    Ok(for_each(&names, |name| {
        let container = containers.find(name)?;
        let (is_running, is_paused) = match container.status() {
            Status::Running(_) => (true, container.is_paused()),
            _ => (false, false),
        };
        match (pause, is_paused) {
            (true, false) if is_running => {
                let group = container.group(&context.paths.runroot, &Limits::default())?;
                group.freeze(true)?;
            }
            (false, true) => container.thaw(),
            _ if arguments.all || !arguments.filtered.filter.is_empty() => return Ok(()),
            _ => bail!(
                "{name} is not {}: container state improper",
                if pause { "running" } else { "paused" }
            ),
        }
        Ok(writeln!(stdout(), "{name}")?)
    }))
}
