//! `packer push`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use packer::image::Platform;
use packer::reference::Reference;
use packer::registry::Push;
use packer::transport::{Found, Transport};

use super::sbom;
use super::transfer::{RegistryArguments, Watcher};
use packer::credentials::Credentials;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image: an archive or a folder, as docker-archive:FILE, oci-archive:FILE, oci:DIR, dir:DIR
    /// or a path
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Where it goes: REGISTRY/REPOSITORY:TAG [default: the name that the image has]
    #[arg(value_name = "REFERENCE")]
    reference: Option<String>,

    /// Log in with these for this one push
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<Credentials>,

    /// Attach this bill of materials to the image, an SPDX or CycloneDX document
    #[arg(long, value_name = "FILE")]
    sbom: Vec<PathBuf>,

    /// Write the digest of the manifest to this file
    #[arg(long, alias = "digest-file", value_name = "FILE")]
    digestfile: Option<PathBuf>,

    /// Print nothing but the result
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let access = arguments.registry.access(arguments.creds)?;
    let place = Transport::parse(&arguments.image)?;
    if let Transport::Registry(typed) = &place {
        bail!(
            "{typed} is no archive and no folder: write its path, or use `packer copy {typed} …`"
        );
    }
    let typed = arguments.reference.map(|typed| parse(&typed)).transpose()?;
    let bills = arguments.sbom.iter().map(|path| sbom::read(path));
    let bills = bills.collect::<anyhow::Result<Vec<_>>>()?;
    let found = place.find(&access, &Platform::host(), &std::env::temp_dir())?;
    let reference = match typed {
        Some(reference) => reference,
        None => named(&found)?,
    };
    let push = Push::open(&access, &reference)?;
    let watcher = Watcher::new(arguments.quiet);
    let digest = push.image(found.image(), found.source(), &|what| watcher.pushing(what))?;
    drop(watcher);
    for bill in &bills {
        push.refer(&found.image().descriptor(), bill)?;
    }
    if let Some(path) = &arguments.digestfile {
        let written = std::fs::write(path, digest.to_string());
        written.with_context(|| format!("{} cannot be written", path.display()))?;
    }
    writeln!(io::stdout(), "{}@{digest}", reference.untagged())?;
    Ok(())
}

/// Where to, as it was typed; never a short name: what is published goes to a place that was named.
pub(super) fn parse(typed: &str) -> anyhow::Result<Reference> {
    let reference: Reference = typed.strip_prefix("docker://").unwrap_or(typed).parse()?;
    if reference.digest().is_some() {
        bail!(
            "{reference} names a digest, and an image is pushed to a tag: write {}:TAG",
            reference.untagged()
        );
    }
    Ok(reference)
}

/// The name that the image has, if it is one in a registry.
fn named(found: &Found) -> anyhow::Result<Reference> {
    match found.image().names.first() {
        Some(name) if name.registry() != "localhost" => Ok(Reference::from(name)),
        Some(name) => bail!(
            "{name} is a name on this machine: say where it goes, as in `packer push IMAGE \
             registry.example/{}:{}`",
            name.repository(),
            name.tag()
        ),
        None => bail!(
            "the image has no name: say where it goes, as in `packer push IMAGE registry.example/NAME:TAG`"
        ),
    }
}
