//! `runner rmi`: removes names and images.

use std::io::{self, Write};
use std::process::ExitCode;

use packer::Digest;

use crate::store::{Removed, Resolved, Store, StoreError};

/// Remove images
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names or ids of images
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    pub images: Vec<String>,
    /// Remove all images
    #[arg(short, long, conflicts_with = "images")]
    pub all: bool,
    /// Remove containers that use the image, and all names of an image that is named by its id
    #[arg(short, long)]
    pub force: bool,
}

/// The containers, as far as images are concerned.
pub trait ImageUsers {
    /// The ids of the containers that use `image`.
    fn of(&self, image: &Digest) -> Vec<String>;

    /// Stops and removes a container.
    ///
    /// # Errors
    /// Why it is still there.
    fn remove(&self, container: &str) -> anyhow::Result<()>;
}

/// An image is not known.
const UNKNOWN: u8 = 1;
/// An image is used by a container.
const IN_USE: u8 = 2;
/// Anything else.
const FAILED: u8 = 125;

/// Removes what `args` names and prints to `out` what is gone. What cannot be removed does not keep
/// the others; each failure is one line on standard error, and the exit code is podman's: 1 for an
/// unknown image, 2 for one in use, 125 for everything else and for several reasons.
///
/// # Errors
/// What printing or listing gives.
pub fn run(
    args: &Args,
    store: &Store,
    users: &dyn ImageUsers,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut untagged = Vec::new();
    let mut deleted = Vec::new();
    let mut codes = Vec::new();
    for text in targets(args, store)? {
        match remove(&text, args, store, users) {
            Ok(removed) => {
                untagged.extend(removed.untagged);
                deleted.extend(removed.deleted);
            }
            Err(error) => {
                writeln!(io::stderr(), "Error: {error:#}")?;
                codes.push(match error.downcast_ref() {
                    Some(StoreError::UnknownImage(_)) => UNKNOWN,
                    Some(StoreError::InUse { .. }) => IN_USE,
                    _ => FAILED,
                });
            }
        }
    }
    for name in untagged {
        writeln!(out, "Untagged: {name}")?;
    }
    for id in deleted {
        writeln!(out, "Deleted: {}", id.hex())?;
    }
    codes.dedup();
    Ok(match codes[..] {
        [] => ExitCode::SUCCESS,
        [code] => code.into(),
        _ => FAILED.into(),
    })
}

fn targets(args: &Args, store: &Store) -> anyhow::Result<Vec<String>> {
    if !args.all {
        return Ok(args.images.clone());
    }
    let images = store.images()?;
    Ok(images
        .into_iter()
        .map(|listed| listed.image.id.hex())
        .collect())
}

fn remove(
    text: &str,
    args: &Args,
    store: &Store,
    users: &dyn ImageUsers,
) -> anyhow::Result<Removed> {
    let resolved = store.resolve(text)?;
    let force = args.force || args.all;
    if args.force && takes_image(&resolved, store)? {
        for container in users.of(&resolved.image.id) {
            users.remove(&container)?;
        }
    }
    Ok(store.remove(&resolved, force, &|image| users.of(image))?)
}

/// Whether the removal takes the image and not only one of its names.
fn takes_image(resolved: &Resolved, store: &Store) -> Result<bool, StoreError> {
    let names = store.names_of(&resolved.image.id)?;
    Ok(resolved.name.is_none() || names.len() < 2)
}
