//! `runner restart`.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use super::chosen::{All, Chosen, Filtered};
use super::{Context, for_each, start, stop};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many seconds to wait before a container is killed.
    #[arg(short, long, value_name = "SECONDS")]
    time: Option<u64>,

    /// Every container, also those that do not run.
    #[arg(short, long)]
    all: bool,

    /// Every container that runs.
    #[arg(long, conflicts_with_all = ["all", "latest", "containers"])]
    running: bool,

    #[command(flatten)]
    filtered: Filtered,

    #[command(flatten)]
    chosen: Chosen,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let all = match (arguments.running, arguments.all) {
        (true, _) => Some(All::Running),
        (false, true) => Some(All::Every),
        (false, false) => None,
    };
    let names = arguments.chosen.names_or_filtered(
        all,
        (&arguments.filtered.filter, All::Every),
        context,
    )?;
    let containers = context.containers();
    Ok(for_each(&names, |name| {
        // Before anything ends: what can not begin again goes on.
        let container = start::find(name, &containers, context)?;
        let record = &container.record;
        ensure!(
            !record.remove || !container.status().is_running(),
            "container {} was started with --rm and would be gone when it ends: run it again instead",
            record.name
        );
        let patience = arguments.time.unwrap_or(record.stop_timeout);
        stop::stop(&container, Duration::from_secs(patience))?;
        start::in_background(&container, context)?;
        Ok(writeln!(stdout(), "{name}")?)
    }))
}
