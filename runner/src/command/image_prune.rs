//! `runner image prune`: removes the images that nobody needs.

use std::io::{BufRead, Write, stdin, stdout};
use std::process::ExitCode;

use super::images::Filters;
use super::rmi::ImageUsers;
use crate::human::tell;
use crate::store::{Pruning, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Remove every image that no container uses, also those with names and the generations before
    #[arg(short, long)]
    pub(super) all: bool,

    /// Taken for podman's sake: only this program's containers use images
    #[arg(long, hide = true)]
    pub(super) external: bool,

    /// Do not ask
    #[arg(short, long)]
    pub(super) force: bool,

    /// Only images that fit: label or until, as KEY=VALUE
    #[arg(long = "filter", value_name = "FILTER")]
    pub(super) filters: Vec<String>,

    /// Keep so many of the last generations of each name
    #[arg(long, value_name = "N", default_value_t = 2, conflicts_with = "all")]
    pub(super) keep: usize,
}

pub(super) fn confirmed(arguments: &Arguments) -> anyhow::Result<bool> {
    if arguments.force {
        return Ok(true);
    }
    let what = match arguments.all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    };
    tell(format_args!("WARNING! This command removes {what}."));
    write!(stdout(), "Are you sure you want to continue? [y/N] ")?;
    stdout().flush()?;
    let mut answer = String::new();
    if stdin().lock().read_line(&mut answer)? == 0 {
        anyhow::bail!("nobody answered: say --force to remove them without a question");
    }
    Ok(answer.trim_start().to_ascii_lowercase().starts_with('y'))
}

pub(super) fn run(
    arguments: &Arguments,
    store: &Store,
    users: &dyn ImageUsers,
) -> anyhow::Result<ExitCode> {
    let filters = Filters::parse(&arguments.filters, store)?;
    let pruning = Pruning {
        keep: arguments.keep,
        all: arguments.all,
    };
    // What a container uses stays in any case.
    let wanted = |listed: &_| filters.fit(listed, false);
    let removed = store.prune(pruning, &wanted, &|id| users.of(id))?;
    for id in removed.iter().filter_map(|one| one.deleted) {
        writeln!(stdout(), "{}", id.hex())?;
    }
    Ok(ExitCode::SUCCESS)
}
