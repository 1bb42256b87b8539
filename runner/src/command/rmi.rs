//! `runner rmi`: removes names and images.

use std::io::Write;
use std::process::ExitCode;

use anyhow::ensure;
use packer::Digest;

use crate::human::tell;
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
    /// Remove containers that use the image, and all names of an image that is named by its id; an
    /// image that is not there is no error
    #[arg(short, long)]
    pub force: bool,
    /// An image that is not there is no error
    #[arg(short, long)]
    pub ignore: bool,
    /// Leave images that have lost their last name before; that is never done here
    #[arg(long)]
    pub no_prune: bool,
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
    let mut fail = |error: anyhow::Error| {
        if (args.ignore || args.force) && is_unknown(&error) {
            return;
        }
        tell(format_args!("Error: {error:#}"));
        codes.push(match error.downcast_ref() {
            Some(StoreError::UnknownImage(_)) => UNKNOWN,
            Some(StoreError::InUse { .. }) => IN_USE,
            _ => FAILED,
        });
    };
    // All are looked for before the first one goes: what is named twice is there both times.
    let mut found: Vec<Resolved> = Vec::new();
    for text in targets(args, store)? {
        match find(&text, store) {
            Ok(one) if found.iter().any(|other| is_same(other, &one)) => {}
            Ok(one) => found.push(one),
            Err(error) => fail(error),
        }
    }
    for resolved in found {
        if deleted.contains(&resolved.image.id) {
            continue;
        }
        match remove(&resolved, args, store, users) {
            Ok(removed) => {
                untagged.extend(removed.untagged);
                deleted.extend(removed.deleted);
            }
            Err(error) => fail(error),
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

fn is_unknown(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::UnknownImage(_)))
}

fn targets(args: &Args, store: &Store) -> anyhow::Result<Vec<String>> {
    if !args.all {
        return Ok(args.images.clone());
    }
    let images = store.images()?;
    Ok(images.into_iter().map(|listed| listed.id.hex()).collect())
}

fn find(text: &str, store: &Store) -> anyhow::Result<Resolved> {
    let resolved = store.resolve(text)?;
    let is_digest_only = resolved.name.is_none() && text.contains('@');
    ensure!(
        !is_digest_only || store.names_of(&resolved.image.id)?.len() < 2,
        "{}: tag not known: it is none of the names of the image",
        text.escape_debug()
    );
    Ok(resolved)
}

fn is_same(one: &Resolved, other: &Resolved) -> bool {
    one.image.id == other.image.id && one.name == other.name
}

fn remove(
    resolved: &Resolved,
    args: &Args,
    store: &Store,
    users: &dyn ImageUsers,
) -> anyhow::Result<Removed> {
    let force = args.force || args.all;
    if args.force && takes_image(resolved, store)? {
        for container in users.of(&resolved.image.id) {
            users.remove(&container)?;
        }
    }
    Ok(store.remove(resolved, force, &|image| users.of(image))?)
}

/// Whether the removal takes the image and not only one of its names.
fn takes_image(resolved: &Resolved, store: &Store) -> Result<bool, StoreError> {
    let names = store.names_of(&resolved.image.id)?;
    Ok(resolved.name.is_none() || names.len() < 2)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::store::tests::{Home, Memory, tar};

    /// Containers in memory, all of the same image.
    #[derive(Default)]
    struct Users(RefCell<Vec<String>>);

    impl ImageUsers for Users {
        fn of(&self, _: &Digest) -> Vec<String> {
            self.0.borrow().clone()
        }

        fn remove(&self, container: &str) -> anyhow::Result<()> {
            self.0.borrow_mut().retain(|other| other != container);
            Ok(())
        }
    }

    fn home() -> (Home, Digest) {
        let home = Home::new();
        let mut source = Memory::default();
        let image = source.add(&["one", "two"], "amd64", &[&tar(&[("a", "1")])]);
        home.load(&source).unwrap();
        (home, image.id())
    }

    /// What is printed, and the exit code.
    fn rmi(home: &Home, users: &Users, images: &[&str], force: bool) -> (String, ExitCode) {
        let args = Args {
            images: images.iter().map(ToString::to_string).collect(),
            all: images.is_empty(),
            force,
            ignore: false,
            no_prune: false,
        };
        let mut out = Vec::new();
        let code = run(&args, &home.store, users, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), code)
    }

    #[test]
    fn names_go_first_and_the_image_with_the_last_one() {
        let (home, id) = home();
        let users = Users::default();
        let (out, code) = rmi(&home, &users, &["one"], false);
        assert_eq!(out, "Untagged: localhost/one:latest\n");
        assert_eq!(code, ExitCode::SUCCESS);
        let (out, _) = rmi(&home, &users, &["two"], false);
        let deleted = format!("Untagged: localhost/two:latest\nDeleted: {}\n", id.hex());
        assert_eq!(out, deleted);
    }

    #[test]
    fn exit_codes_are_podman_s() {
        let (home, id) = home();
        let users = Users::default();
        let hex = id.hex();
        assert_eq!(rmi(&home, &users, &["none"], false).1, 1.into());
        assert_eq!(rmi(&home, &users, &[&hex], false).1, 125.into());
        users.0.borrow_mut().push("c1".to_owned());
        assert_eq!(rmi(&home, &users, &["one", "two"], false).1, 2.into());
        assert_eq!(rmi(&home, &users, &["none", "two"], false).1, 125.into());
        assert_eq!(home.store.images().unwrap().len(), 1);
    }

    #[test]
    fn force_takes_the_containers_along() {
        let (home, _) = home();
        let users = Users(RefCell::new(vec!["c1".to_owned()]));
        // Another name is left, so the image and its container are too.
        rmi(&home, &users, &["one"], true);
        assert_eq!(users.0.borrow().len(), 1);
        let (_, code) = rmi(&home, &users, &[], true);
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(users.0.borrow().is_empty());
        assert!(home.store.images().unwrap().is_empty());
    }
}
