//! `runner wait`.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::chosen::Chosen;
use super::{Context, for_each};
use crate::container::Container;
use crate::container::state::Status;
use crate::sandbox::handle::Handle;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How often a state other than the end is looked at: milliseconds, or with a unit (1s).
    #[arg(short, long, value_name = "TIME", default_value = "250ms")]
    interval: String,

    /// Wait until it is in this state: created, running, paused, exited or stopped [default: exited].
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    condition: Vec<String>,

    #[command(flatten)]
    chosen: Chosen,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    let names = arguments.chosen.names(None, context)?;
    let interval = interval(&arguments.interval)?;
    for state in &arguments.condition {
        ensure!(
            STATES.contains(&state.as_str()),
            "unknown container state: {}: {} are known",
            state.escape_debug(),
            STATES.join(", ")
        );
    }
    let is_end = |state: &String| matches!(state.as_str(), "exited" | "stopped");
    let waits_for_end = arguments.condition.iter().all(is_end);
    Ok(for_each(&names, |name| {
        let container = containers.find(name)?;
        if !waits_for_end {
            let code = poll(&container, &arguments.condition, interval)?;
            return Ok(writeln!(stdout(), "{code}")?);
        }
        let code = match container.status() {
            Status::Running(handle) => wait(&container, &handle)?,
            Status::Exited(exit) => exit.code,
            // Never started.
            Status::Created => 0,
        };
        Ok(writeln!(stdout(), "{code}")?)
    }))
}

/// What a container can be waited for to be in.
const STATES: [&str; 5] = ["created", "running", "paused", "exited", "stopped"];

/// A number is milliseconds, as with podman.
fn interval(text: &str) -> anyhow::Result<Duration> {
    let number = text.parse().ok().map(Duration::from_millis);
    let duration = number.map_or_else(|| humantime::parse_duration(text), Ok);
    duration.with_context(|| {
        let shown = text.escape_debug();
        format!("--interval {shown}: milliseconds or a time such as 1s is expected")
    })
}

/// Looks again and again until the container is in one of the states; its exit code, or -1 if it has none.
fn poll(container: &Container, states: &[String], interval: Duration) -> anyhow::Result<i32> {
    loop {
        let status = container.status();
        let word = container.word(&status);
        let is_meant = |state: &String| state == word || (state == "stopped" && word == "exited");
        match status {
            Status::Exited(exit) if states.iter().any(is_meant) => return Ok(exit.code.into()),
            _ if states.iter().any(is_meant) => return Ok(-1),
            _ if !container.folder().exists() => bail!("{} is gone", container.record.name),
            _ => std::thread::sleep(interval),
        }
    }
}

/// Waits for the end of a container; its exit code.
///
/// # Errors
/// When nobody knows it.
pub(super) fn wait(container: &Container, handle: &Handle) -> anyhow::Result<u8> {
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
