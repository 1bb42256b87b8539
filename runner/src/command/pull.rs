//! `runner pull`, and the pull that a `run` begins.

use std::fmt;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{anyhow, bail, ensure};
use packer::image::Platform;
use packer::reference::Reference;
use packer::registries::How;
use packer::registry::{Access, Pull, RETRIES};
use packer::transport::{Found, Transport};

use super::remote::{self, Accepted, Policy, RegistryArguments};
use super::{Context, image, pack};
use crate::human::tell;
use crate::sandbox::userns::FileIds;
use crate::store::{Resolved, Store, StoreError, StoredImage};
use packer::credentials::Credentials;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The images: [docker://][REGISTRY/]REPOSITORY[:TAG][@DIGEST], docker-archive:FILE,
    /// oci-archive:FILE, oci:DIR or dir:DIR
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    /// Pull every tag of the repository
    #[arg(short, long, conflicts_with = "policy")]
    all_tags: bool,

    /// Pull the image for this platform and not for the one of this machine
    #[arg(long, value_name = "OS/ARCHITECTURE", value_parser = remote::platform, conflicts_with_all = ["os", "arch", "variant"])]
    platform: Option<Platform>,

    /// Pull the image for this operating system
    #[arg(long)]
    os: Option<String>,

    /// Pull the image for this architecture
    #[arg(long)]
    arch: Option<String>,

    /// Pull the image for this variant of the architecture, such as v7
    #[arg(long)]
    variant: Option<String>,

    /// When the registry is asked
    #[arg(long, value_enum, default_value_t = Policy::Always)]
    policy: Policy,

    /// Log in with these for this one pull
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<Credentials>,

    /// Try so often again when the registry is busy or the connection breaks
    #[arg(long, value_name = "NUMBER", default_value_t = RETRIES)]
    retry: u32,

    /// Taken for docker's sake: nothing changes
    #[arg(long, hide = true)]
    disable_content_trust: bool,

    /// Print only the ids
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let store = context.store()?;
    let access = arguments
        .registry
        .access(arguments.creds.as_ref(), arguments.retry)?;
    let host = Platform::host();
    let platform = arguments.platform.clone().unwrap_or(Platform {
        os: arguments.os.clone().unwrap_or(host.os),
        architecture: arguments.arch.clone().unwrap_or(host.architecture),
        variant: arguments.variant.clone(),
    });
    let quiet = arguments.quiet;
    let look = |one: &String| find(one, arguments.policy, (&access, &platform), &store, quiet);
    // What cannot be pulled does not keep the others.
    let mut failures = Vec::new();
    let mut found = Vec::new();
    for typed in &arguments.images {
        match every_tag(arguments, &access, typed) {
            Ok(all) => found.extend(all.iter().filter_map(|one| kept(look(one), &mut failures))),
            Err(error) => failures.push(error),
        }
    }
    // Every registry has answered; credentials and certificates were read as the user.
    let mut owners = None;
    for wanted in found {
        let stored = match wanted {
            Wanted::Present(image) => Ok(*image),
            Wanted::Found(accepted) => {
                let owners = match owners {
                    Some(owners) => owners,
                    None => *owners.insert(image::enter(context)?),
                };
                accepted.store(&store, owners, quiet)
            }
        };
        if let Some(image) = kept(stored, &mut failures) {
            writeln!(stdout(), "{}", image.id.hex())?;
        }
    }
    let Some(last) = failures.pop() else {
        return Ok(ExitCode::SUCCESS);
    };
    for error in failures {
        tell(format_args!("Error: {error:#}"));
    }
    Err(last)
}

/// What came of it; a failure joins the others.
fn kept<T>(outcome: anyhow::Result<T>, failures: &mut Vec<anyhow::Error>) -> Option<T> {
    outcome.map_err(|error| failures.push(error)).ok()
}

/// What was typed, or with --all-tags one reference a tag.
fn every_tag(arguments: &Arguments, access: &Access, typed: &str) -> anyhow::Result<Vec<String>> {
    if !arguments.all_tags {
        return Ok(vec![typed.to_owned()]);
    }
    let Transport::Registry(name) = Transport::parse_name(typed)? else {
        bail!(
            "--all-tags is for registries, and {} is none",
            typed.escape_debug()
        );
    };
    let [reference] = &access.registries().candidates(&name)?[..] else {
        bail!(
            "--all-tags needs the registry: write REGISTRY/{}",
            name.escape_debug()
        );
    };
    ensure!(
        reference.tag().is_none() && reference.digest().is_none(),
        "--all-tags pulls every tag: leave out the one of {reference}"
    );
    let tags = access.repository(reference)?.tags()?;
    let references = tags.iter().map(|tag| reference.with_tag(tag));
    let references: Vec<Reference> = references.collect::<Result<_, _>>()?;
    Ok(references.iter().map(ToString::to_string).collect())
}

/// What came of looking for an image.
#[derive(Debug)]
enum Wanted {
    /// It is here, and that is enough.
    Present(Box<StoredImage>),
    /// It is to be fetched.
    Found(Box<Accepted>),
}

/// Looks for what was typed as far as `policy` says.
fn find(
    typed: &str,
    policy: Policy,
    (access, platform): (&Access, &Platform),
    store: &Store,
    quiet: bool,
) -> anyhow::Result<Wanted> {
    let place = Transport::parse_name(typed)?;
    let present = match &place {
        Transport::Registry(name) => known(store, name)?,
        Transport::Archive { .. } | Transport::Folder { .. } => None,
    };
    match (policy, &present) {
        (Policy::Missing, Some(image)) | (Policy::Never, Some(image)) => {
            return Ok(Wanted::Present(Box::new(image.clone())));
        }
        (Policy::Never, None) => {
            return Err(StoreError::UnknownImage(typed.escape_debug().to_string()).into());
        }
        _ => {}
    }
    match (
        search(&place, (access, platform), store.temporary_folder(), quiet),
        present,
    ) {
        (Ok(found), Some(image))
            if policy == Policy::Newer && found.image().digest() == image.digest =>
        {
            Ok(Wanted::Present(Box::new(image)))
        }
        (Ok(found), _) => Ok(Wanted::Found(Box::new(Accepted::new(found, &place)?))),
        (Err(_), Some(image)) if policy == Policy::Newer => Ok(Wanted::Present(Box::new(image))),
        (Err(error), _) => Err(error),
    }
}

/// Looks for an image at its place; of registries it is told, as podman does, which are asked and why.
fn search(
    place: &Transport,
    (access, platform): (&Access, &Platform),
    temporary: &Path,
    quiet: bool,
) -> anyhow::Result<Found> {
    let Transport::Registry(typed) = place else {
        return Ok(place.find(access, platform, temporary)?);
    };
    let say = |text: fmt::Arguments<'_>| {
        if !quiet {
            tell(text);
        }
    };
    let name = typed.split([':', '@']).next().unwrap_or(typed);
    match access.registries().meaning(typed)?.how {
        How::Complete => {}
        How::Alias(path) => say(format_args!(
            "Resolved \"{name}\" as an alias ({})",
            path.display()
        )),
        How::Search(path) => say(format_args!(
            "Resolving \"{name}\" using unqualified-search registries ({})",
            path.display()
        )),
    }
    let trying = |one: &Reference| say(format_args!("Trying to pull {one}..."));
    let pull = Pull::find_telling(access, typed, platform, temporary, &trying)?;
    Ok(pull.into())
}

/// The image that has this name here.
fn known(store: &Store, name: &str) -> anyhow::Result<Option<StoredImage>> {
    match store.resolve(name) {
        Ok(found) => Ok(Some(found.image)),
        Err(StoreError::UnknownImage(_) | StoreError::InvalidName(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The image that is to be run, and its name: the one that is here, or else, as `policy` says, one
/// from a registry, which is fetched with a word about it unless that is to be `quiet`.
pub(super) fn for_run(
    typed: &str,
    (policy, quiet): (Policy, bool),
    context: &Context,
    store: &Store,
) -> anyhow::Result<Resolved> {
    let resolved = store.resolve(typed);
    let here_only = |name: &Reference| {
        // A name without a registry's host was given on this machine.
        name.registry() == "localhost"
    };
    let asked = match (&resolved, policy) {
        (Ok(_), Policy::Missing) | (_, Policy::Never) => return Ok(resolved?),
        // An id says which image it is.
        (Ok(Resolved { name: None, .. }), _) => return Ok(resolved?),
        (
            Ok(Resolved {
                name: Some(name), ..
            }),
            _,
        ) if here_only(name) => return Ok(resolved?),
        (
            Ok(Resolved {
                name: Some(name), ..
            }),
            _,
        ) => name.to_string(),
        (Err(StoreError::UnknownImage(_)), _) if !typed.starts_with("localhost/") => {
            typed.to_owned()
        }
        (Err(_), _) => return Ok(resolved?),
    };
    let wanted = find(
        &asked,
        policy,
        (&remote::usual_access()?, &Platform::host()),
        store,
        false,
    )?;
    let Wanted::Found(accepted) = wanted else {
        return Ok(resolved?);
    };
    // In a process of its own: what follows in this one must not be inside.
    let ids = FileIds::acquire(&context.paths.runroot)?;
    let owners = pack::owners(&ids);
    let fetch = || accepted.store(store, owners, quiet);
    ids.run_inside(|| fetch().map(drop).map_err(|error| format!("{error:#}")))?
        .map_err(|message| anyhow!(message))?;
    let found = accepted.found.image();
    let image = store.image(&found.id())?;
    Ok(Resolved {
        image: image.ok_or_else(|| anyhow!("{asked} was removed while it was pulled"))?,
        name: accepted.name(),
    })
}
