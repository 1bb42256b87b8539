//! `runner image …`, and what the verbs for images need of containers and of the user namespace.

use std::io::stdout;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use packer::Digest;

use super::rmi::ImageUsers;
use super::{
    Context, history, image_prune, images, import, inspect, load, pack, pull, push, rmi, save,
    sign, stop, tag, trust,
};
use crate::container::Containers;
use crate::sandbox::userns::FileIds;
use crate::store::{Owners, Store, StoreError};

/// The commands for images. Those that are also commands of their own are the same.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum Verb {
    /// List images.
    #[command(visible_alias = "list")]
    Ls(images::Args),
    /// Print everything about images, as JSON.
    Inspect(inspect::ImageArguments),
    /// Say with the exit code whether an image is there.
    Exists {
        /// The image.
        #[arg(value_name = "IMAGE")]
        image: String,
    },
    /// Show how an image was made, or what its name pointed at before.
    History(history::Arguments),
    /// Give an image more names.
    Tag(tag::TagArguments),
    /// Take names from an image.
    Untag(tag::UntagArguments),
    /// Let a name point at what it pointed at before.
    Rollback(tag::RollbackArguments),
    /// Fetch images from registries.
    Pull(pull::Arguments),
    /// Send an image to a registry.
    Push(push::Arguments),
    /// Load images from an archive, or from standard input.
    Load(load::Args),
    /// Save images to an archive.
    Save(save::Args),
    /// Make an image from the tar of a root file system.
    Import(import::Args),
    /// Remove images.
    #[command(visible_alias = "remove")]
    Rm(rmi::Args),
    /// Remove the images that nobody needs.
    Prune(image_prune::Arguments),
    /// Sign images, so that others can tell whose they are.
    Sign(sign::Arguments),
    /// Show and set which images are accepted.
    #[command(subcommand)]
    Trust(trust::Verb),
}

pub(super) fn run(verb: &Verb, context: &Context) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Ls(arguments) => list(arguments, context),
        Verb::Inspect(arguments) => inspect::image(arguments, context),
        Verb::Exists { image } => exists(image, context),
        Verb::History(arguments) => history::run(arguments, context),
        Verb::Tag(arguments) => tag::tag(arguments, context),
        Verb::Untag(arguments) => tag::untag(arguments, context),
        Verb::Rollback(arguments) => tag::rollback(arguments, context),
        Verb::Pull(arguments) => pull::run(arguments, context),
        Verb::Push(arguments) => push::run(arguments, context),
        Verb::Load(arguments) => load(arguments, context),
        Verb::Save(arguments) => save(arguments, context),
        Verb::Import(arguments) => import(arguments, context),
        Verb::Rm(arguments) => remove(arguments, context),
        Verb::Prune(arguments) => prune(arguments, context),
        Verb::Sign(arguments) => sign::run(arguments, context),
        Verb::Trust(verb) => trust::run(verb),
    }
}

fn exists(image: &str, context: &Context) -> anyhow::Result<ExitCode> {
    match context.store()?.resolve(image) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(StoreError::UnknownImage(_)) => Ok(ExitCode::FAILURE),
        Err(error) => Err(error.into()),
    }
}

fn prune(arguments: &image_prune::Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    if !image_prune::confirmed(arguments)? {
        return Ok(ExitCode::SUCCESS);
    }
    let (store, users) = for_removal(context)?;
    image_prune::run(arguments, &store, &users)
}

pub(super) fn save(arguments: &save::Args, context: &Context) -> anyhow::Result<ExitCode> {
    save::run(arguments, &context.store()?, &mut stdout().lock())
}

pub(super) fn load(arguments: &load::Args, context: &Context) -> anyhow::Result<ExitCode> {
    let store = context.store()?;
    load::run(arguments, &store, || enter(context), &mut stdout().lock())
}

pub(super) fn import(arguments: &import::Args, context: &Context) -> anyhow::Result<ExitCode> {
    let store = context.store()?;
    import::run(arguments, &store, || enter(context), &mut stdout().lock())
}

/// Moves this process to where the owners of the images' files exist.
pub(super) fn enter(context: &Context) -> anyhow::Result<Owners> {
    let ids = FileIds::acquire(&context.paths.runroot)?;
    ids.enter()?;
    Ok(pack::owners(&ids))
}

pub(super) fn list(arguments: &images::Args, context: &Context) -> anyhow::Result<ExitCode> {
    let used: Vec<Digest> = context
        .containers()
        .all()?
        .iter()
        .map(|container| container.record.image_id)
        .collect();
    let count = |image: &Digest| used.iter().filter(|id| *id == image).count();
    images::run(arguments, &context.store()?, &count, &mut stdout().lock())
}

pub(super) fn remove(arguments: &rmi::Args, context: &Context) -> anyhow::Result<ExitCode> {
    let (store, users) = for_removal(context)?;
    rmi::run(arguments, &store, &users, &mut stdout().lock())
}

/// The store and its users, in a process that may remove any file of an image: they may belong to
/// any of the user's ids.
pub(super) fn for_removal(context: &Context) -> anyhow::Result<(Store, Users)> {
    let users = Users(context.containers());
    users.0.sweep();
    let store = context.store()?;
    FileIds::acquire(&context.paths.runroot)?.enter()?;
    Ok((store, users))
}

/// Who uses images: the containers.
pub(super) struct Users(Containers);

impl ImageUsers for Users {
    fn of(&self, image: &Digest) -> Vec<String> {
        let containers = self.0.all().unwrap_or_default().into_iter();
        containers
            .filter(|container| container.record.image_id == *image)
            .map(|container| container.record.id.to_string())
            .collect()
    }

    fn remove(&self, container: &str) -> anyhow::Result<()> {
        let container = self.0.find(container)?;
        stop::stop(&container, Duration::ZERO)?;
        Ok(self.0.remove(&container)?)
    }
}
