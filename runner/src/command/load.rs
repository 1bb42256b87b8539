//! `runner load`: images from an archive into the store.

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use packer::archive::Archive;
use packer::place::Source;

use super::remote;
use super::watch::Watch;
use crate::store::{Owners, Store};
use crate::trust::{Origin, Provenance, Trust, lookaside};

/// Load images from an archive, or from standard input
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read this archive, folder, or http:// or https:// address and not standard input
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Print only the names of the loaded images
    #[arg(short, long)]
    pub quiet: bool,
}

/// Loads every image of the archive and prints its names to `out`. `enter` is called when the
/// archive is open: it moves this process to where the owners of the images' files exist.
///
/// # Errors
/// What reading the archive or writing the store gives; images that came before stay.
pub fn run(
    args: &Args,
    store: &Store,
    enter: impl FnOnce() -> anyhow::Result<Owners>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let archive = open(args, store)?;
    if archive.images().is_empty() {
        bail!("the archive holds no image: write one with `packer build` or `podman save`");
    }
    let provenance = accepted(args, &archive)?;
    let mut writer = store.writer(enter()?)?.coming_from(vec![provenance]);
    for image in archive.images() {
        let mut image = image.clone();
        if archive.images().len() == 1 {
            remote::name_as_podman(&mut image, &archive);
        }
        let mut watch = Watch::new(args.quiet);
        let stored = writer.load(&image, &archive, &mut |step| watch.show(step))?;
        if image.names.is_empty() {
            writeln!(out, "Loaded image: {}", stored.id)?;
        }
        for name in &image.names {
            writeln!(out, "Loaded image: {name}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How the images come here, when the policy accepts all of them.
fn accepted(args: &Args, archive: &Archive) -> anyhow::Result<Provenance> {
    let trust = Trust::load()?;
    let origin = Origin::archive(archive.transport(), args.input.as_deref());
    let mut provenance = Provenance::unsigned(origin);
    for image in archive.images() {
        let digest = image.digest();
        if trust.needs_signatures(&provenance.origin) {
            provenance.signatures = lookaside::gather(&provenance.origin, None, &digest)?;
        }
        trust.check(&digest, &provenance)?;
    }
    Ok(provenance)
}

fn open(args: &Args, store: &Store) -> anyhow::Result<Archive> {
    // What has to be copied before it can be read goes where images have room.
    let temporary = store.temporary_folder();
    if let Some(url) = args.input.as_deref().and_then(remote::url) {
        return Ok(Archive::from_reader(
            url,
            &mut remote::download(url)?,
            temporary,
        )?);
    }
    if let Some(path) = &args.input {
        return Ok(Archive::open_with(path, temporary)?);
    }
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        bail!("cannot read an archive from a terminal: name it with --input, or use a pipe");
    }
    let input: &mut dyn Read = &mut input;
    Ok(Archive::from_reader("standard input", input, temporary)?)
}
