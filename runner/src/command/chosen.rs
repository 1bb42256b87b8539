//! Which containers a verb is about: those that are named, all, or the one that was made last.

use anyhow::{Context as _, ensure};
use clap::Args;

use super::Context;
use super::container_filter::Filter;
use crate::container::Container;

// How a command line names them. (A doc comment would become the text of each verb that has this.)
#[derive(Debug, Args)]
pub(super) struct Chosen {
    /// The container that was made last.
    #[arg(short, long)]
    latest: bool,

    /// Names or ids.
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// What `--all` means to a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum All {
    /// Every container.
    Every,
    /// Every one that runs.
    Running,
}

impl Chosen {
    /// The names and ids that are meant; `all` is what `--all` means, if it was given.
    ///
    /// # Errors
    /// What podman refuses, in its words.
    pub(super) fn names(&self, all: Option<All>, context: &Context) -> anyhow::Result<Vec<String>> {
        let Self { latest, containers } = self;
        ensure!(
            all.is_none() || !latest,
            "--all and --latest cannot be used together"
        );
        ensure!(
            all.is_none() || containers.is_empty(),
            "no arguments are needed with --all"
        );
        check_latest(*latest, !containers.is_empty())?;
        if *latest {
            return Ok(vec![self::latest(context)?]);
        }
        let Some(all) = all else {
            ensure!(
                !containers.is_empty(),
                "name at least one container, or give --all or --latest"
            );
            return Ok(containers.clone());
        };
        ids(all, &[], context)
    }

    /// The same, or of all those that fit the filters, if there are any.
    ///
    /// # Errors
    /// As [`names`](Self::names), and one line for what is no filter.
    pub(super) fn names_or_filtered(
        &self,
        all: Option<All>,
        (filters, of): (&[String], All),
        context: &Context,
    ) -> anyhow::Result<Vec<String>> {
        if filters.is_empty() {
            return self.names(all, context);
        }
        ensure!(
            self.containers.is_empty() && !self.latest,
            "--filter says which containers are meant: name none beside it"
        );
        let filters = Filter::parse_all(filters)?;
        ids(of, &filters, context)
    }
}

/// The ids of those containers that fit every filter.
fn ids(of: All, filters: &[Filter], context: &Context) -> anyhow::Result<Vec<String>> {
    let fits = |container: &Container| {
        let status = container.status();
        (of == All::Every || status.is_running())
            && filters.iter().all(|filter| filter.fits(container, &status))
    };
    let containers = context.containers().all()?;
    let containers = containers.iter().filter(|container| fits(container));
    Ok(containers
        .map(|container| container.record.id.to_string())
        .collect())
}

// Those that are of a kind, for the verbs that podman gives the flag.
#[derive(Debug, Args)]
pub(super) struct Filtered {
    /// Containers that fit: id, name, status, label, ancestor or exited, as KEY=VALUE.
    #[arg(short, long, value_name = "FILTER")]
    pub(super) filter: Vec<String>,
}

/// The container that the words of a verb begin with, unless `--latest` says which; and the other words.
///
/// # Errors
/// When there is none.
pub(super) fn first<'a>(
    words: &'a [String],
    latest: bool,
    context: &Context,
) -> anyhow::Result<(String, &'a [String])> {
    if latest {
        return Ok((self::latest(context)?, words));
    }
    let (first, rest) = words.split_first().context(NOT_NAMED)?;
    Ok((first.clone(), rest))
}

const NOT_NAMED: &str = "name a container, or give --latest";

fn check_latest(latest: bool, named: bool) -> anyhow::Result<()> {
    ensure!(
        !(latest && named),
        "--latest and containers cannot be used together"
    );
    Ok(())
}

/// The id of the container that was made last.
///
/// # Errors
/// When there is none.
pub(super) fn latest(context: &Context) -> anyhow::Result<String> {
    let last = last(context)?.context("there is no container yet: no such container")?;
    Ok(last.record.id.to_string())
}

/// The container that was made last, if there is any.
pub(super) fn last(context: &Context) -> anyhow::Result<Option<Container>> {
    Ok(context.containers().all()?.pop())
}
