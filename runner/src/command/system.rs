//! `runner system …`: the whole of what is kept, and its care.

use std::io::{BufRead, Write, stdin, stdout};
use std::process::ExitCode;

use super::{Context, info};
use crate::human::tell;

mod check;
mod df;
mod migrate;
mod prune;
mod reset;

pub(super) use df::room;

/// The commands for everything at once.
#[derive(Debug, clap::Subcommand)]
#[command(defer = true)]
pub(super) enum Verb {
    /// Show how much room everything takes.
    Df(df::Arguments),
    /// Print what this engine found on this machine.
    Info(info::Arguments),
    /// Remove what nobody needs.
    Prune(prune::Arguments),
    /// Remove everything: containers, images and volumes.
    Reset(reset::Arguments),
    /// Compare everything that is kept with its digests.
    Check(check::Arguments),
    /// Go on with other ids, after lines in /etc/subuid and /etc/subgid have come or gone.
    Migrate,
}

pub(super) fn run(verb: &Verb, context: &Context) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Df(arguments) => df::run(arguments, context),
        Verb::Info(arguments) => info::run(arguments, context),
        Verb::Prune(arguments) => prune::run(arguments, context),
        Verb::Reset(arguments) => reset::run(arguments, context),
        Verb::Check(arguments) => check::run(arguments, context),
        Verb::Migrate => migrate::run(context),
    }
}

/// Asks on standard error whether all of `what` may go.
fn confirmed(what: &[&str]) -> anyhow::Result<bool> {
    tell("WARNING! This will remove:");
    for one in what {
        tell(format_args!("\t- {one}"));
    }
    write!(stdout(), "Are you sure you want to continue? [y/N] ")?;
    stdout().flush()?;
    let mut answer = String::new();
    if stdin().lock().read_line(&mut answer)? == 0 {
        anyhow::bail!("nobody answered: say --force to remove them without a question");
    }
    Ok(answer.trim_start().to_ascii_lowercase().starts_with('y'))
}
