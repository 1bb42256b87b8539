//! The verbs for images, with what they need of containers and of the user namespace.

use std::io::stdout;
use std::process::ExitCode;
use std::time::Duration;

use packer::Digest;

use super::rmi::ImageUsers;
use super::{Context, images, import, load, pack, rmi, stop};
use crate::container::Containers;
use crate::sandbox::userns::UserNamespace;
use crate::store::Owners;

pub(super) fn load(arguments: &load::Args, context: &Context) -> anyhow::Result<ExitCode> {
    let store = context.store()?;
    load::run(arguments, &store, || enter(context), &mut stdout().lock())
}

pub(super) fn import(arguments: &import::Args, context: &Context) -> anyhow::Result<ExitCode> {
    let store = context.store()?;
    import::run(arguments, &store, || enter(context), &mut stdout().lock())
}

/// Moves this process to where the owners of the images' files exist.
fn enter(context: &Context) -> anyhow::Result<Owners> {
    let namespace = UserNamespace::acquire(&context.paths.runroot)?;
    namespace.enter()?;
    Ok(pack::owners(&namespace))
}

pub(super) fn list(arguments: &images::Args, context: &Context) -> anyhow::Result<ExitCode> {
    let used: Vec<Digest> = context
        .containers()?
        .all()?
        .iter()
        .map(|container| container.record.image_id)
        .collect();
    let count = |image: &Digest| used.iter().filter(|id| *id == image).count();
    images::run(arguments, &context.store()?, &count, &mut stdout().lock())
}

pub(super) fn remove(arguments: &rmi::Args, context: &Context) -> anyhow::Result<ExitCode> {
    let users = Users(context.containers()?);
    users.0.sweep();
    let store = context.store()?;
    // The files of an image may belong to any of the user's ids.
    let namespace = UserNamespace::acquire(&context.paths.runroot)?;
    namespace.enter()?;
    rmi::run(arguments, &store, &users, &mut stdout().lock())
}

struct Users(Containers);

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
