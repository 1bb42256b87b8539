//! `runner tag`, `runner untag` and `runner image rollback`: moving names.

use std::process::ExitCode;

use anyhow::bail;
use packer::ImageName;
use packer::reference::Reference;

use super::Context;
use crate::human::tell;
use crate::store::{Resolved, StoreError};

#[derive(Debug, clap::Args)]
pub(super) struct TagArguments {
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Its new names.
    #[arg(required = true, value_name = "TARGET_NAME")]
    names: Vec<ImageName>,
}

pub(super) fn tag(arguments: &TagArguments, context: &Context) -> anyhow::Result<ExitCode> {
    let store = context.store()?;
    let found = store.resolve(&arguments.image)?;
    store.tag(&found.image.id, &arguments.names)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct UntagArguments {
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// The names that it loses; all of them, if none is given.
    #[arg(value_name = "NAME")]
    names: Vec<ImageName>,
}

pub(super) fn untag(arguments: &UntagArguments, context: &Context) -> anyhow::Result<ExitCode> {
    let store = context.store()?;
    let Resolved { image, .. } = store.resolve(&arguments.image)?;
    let has = store.names_of(&image.id)?;
    // Nothing is done if one of them is wrong.
    let named: Vec<_> = arguments.names.iter().map(Reference::from).collect();
    if let Some(other) = named.iter().find(|name| !has.contains(name)) {
        bail!("{other} is no name of {}", arguments.image.escape_debug());
    }
    let names = if named.is_empty() { has } else { named };
    for name in &names {
        store.untag(name)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct RollbackArguments {
    /// The name that moves.
    #[arg(value_name = "NAME")]
    name: ImageName,

    /// The generation that it points at afterwards [default: the one before].
    #[arg(value_name = "N")]
    number: Option<u64>,
}

pub(super) fn rollback(
    arguments: &RollbackArguments,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let store = context.store()?;
    let Resolved { name, .. } = store.resolve(&arguments.name.to_string())?;
    let name = name
        .and_then(|name| name.name())
        .ok_or_else(|| StoreError::UnknownImage(arguments.name.to_string()))?;
    let reached = store.rollback(&name, arguments.number)?;
    tell(format_args!(
        "{name} is generation {} again ({})",
        reached.number,
        reached.image.short_id()
    ));
    Ok(ExitCode::SUCCESS)
}
