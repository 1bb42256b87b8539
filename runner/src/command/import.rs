//! `runner import`: an image from the tar of a root file system.

use std::fs::File;
use std::io::{IsTerminal, Read, Write, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use packer::epoch::Epoch;
use packer::image::Platform;
use packer::import::{Change, Import};
use packer::{Digest, ImageName};

use super::remote;
use crate::human::tell;
use crate::store::{Owners, Store};
use crate::trust::{Origin, Provenance, Trust};

/// Make an image from the tar of a root file system
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The tar, compressed or not, or its http:// or https:// address; - is standard input
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The name of the image
    #[arg(value_name = "REFERENCE")]
    reference: Option<ImageName>,
    /// An instruction for the image, as CMD /bin/sh; may be given several times
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<Change>,
    /// The comment in the image's history
    #[arg(short, long)]
    message: Option<String>,
    /// What the image runs on [default: this machine's]
    #[arg(long)]
    arch: Option<String>,
    /// Whose programs the image holds [default: linux]
    #[arg(long)]
    os: Option<String>,
    /// The variant of the architecture, such as v7
    #[arg(long)]
    variant: Option<String>,
    /// Print only the id
    #[arg(short, long)]
    quiet: bool,
}

/// Imports the tar and prints the id of the image to `out`. `enter` is called when the tar is open:
/// it moves this process to where the owners of the image's files exist.
///
/// # Errors
/// What reading the tar or writing the store gives; nothing is left then.
pub(super) fn run(
    args: &Args,
    store: &Store,
    enter: impl FnOnce() -> anyhow::Result<Owners>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let host = Platform::host();
    let import = Import {
        name: args.reference.clone(),
        platform: Platform {
            architecture: args.arch.clone().unwrap_or(host.architecture),
            os: args.os.clone().unwrap_or(host.os),
            variant: args.variant.clone(),
        },
        message: args.message.clone(),
        changes: args.changes.clone(),
        epoch: Epoch::from_environment()?,
    };
    let shown = args.path.display();
    let mut tar: Box<dyn Read> = if args.path.as_os_str() == "-" {
        if stdin().is_terminal() {
            bail!("cannot read a tar from a terminal: name the file, or use a pipe");
        }
        Box::new(stdin().lock())
    } else if let Some(url) = remote::url(&args.path) {
        if !args.quiet {
            tell(format_args!("Downloading from \"{}\"", url.escape_debug()));
        }
        Box::new(remote::download(url)?)
    } else {
        Box::new(File::open(&args.path).with_context(|| format!("cannot open {shown}"))?)
    };
    let provenance = Provenance::unsigned(Origin::Tarball);
    // Its digest is not known yet, and no signature can be for it.
    Trust::load()?.check(&Digest::of(b""), &provenance)?;
    let mut writer = store.writer(enter()?)?.coming_from(vec![provenance]);
    let image = import
        .run(&mut tar, store.temporary_folder(), &mut writer)
        .with_context(|| format!("cannot import {shown}"))?;
    if !args.quiet {
        tell("Getting image source signatures");
        for layer in &image.manifest.layers {
            tell(format_args!("Copying blob {}", layer.digest));
        }
        tell(format_args!("Copying config {}", image.id()));
        tell("Writing manifest to image destination");
        tell("Storing signatures");
    }
    writeln!(out, "{}", image.id())?;
    Ok(ExitCode::SUCCESS)
}
