//! `runner stop`.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::chosen::{All, Chosen, Filtered};
use super::{Context, for_each};
use crate::container::Container;
use crate::container::state::Status;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many seconds to wait before the container is killed.
    #[arg(short, long, value_name = "SECONDS")]
    time: Option<u64>,

    /// Every container that runs.
    #[arg(short, long)]
    all: bool,

    /// Say nothing of containers that are not there.
    #[arg(short, long)]
    ignore: bool,

    #[command(flatten)]
    filtered: Filtered,

    #[command(flatten)]
    chosen: Chosen,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    let names = arguments.chosen.names_or_filtered(
        arguments.all.then_some(All::Running),
        (&arguments.filtered.filter, All::Running),
        context,
    )?;
    Ok(for_each(&names, |name| {
        let container = match containers.find(name) {
            Err(_) if arguments.ignore => return Ok(()),
            found => found?,
        };
        let patience = arguments.time.unwrap_or(container.record.stop_timeout);
        stop(&container, Duration::from_secs(patience))?;
        Ok(writeln!(stdout(), "{name}")?)
    }))
}

/// Asks the container to end, and kills it if it does not; returns when its end is written down,
/// unless its monitor does not go on.
pub(super) fn stop(container: &Container, patience: Duration) -> anyhow::Result<()> {
    let Status::Running(handle) = container.status() else {
        return Ok(());
    };
    let watched = container.watch();
    let what = || format!("cannot signal container {}", container.record.name);
    handle
        .signal(container.record.stop_signal)
        .with_context(what)?;
    // One that is paused would not hear of it.
    container.thaw();
    if !handle.wait(Some(patience)) {
        handle.signal(libc::SIGKILL).with_context(what)?;
        handle.wait(None);
    }
    if let Ok(watched) = watched {
        let _ = Container::settle(&watched);
    }
    Ok(())
}
