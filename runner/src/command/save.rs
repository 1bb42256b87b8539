//! `runner save`: images from the store into an archive or a folder.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use packer::ImageName;
use packer::archive::{FolderWriter, Layout, NewFile, RefName, Writer};
use packer::image::Family;
use packer::layer::Compression;
use packer::place::{Sink, Source, copy};
use packer::recompress::Recompressed;
use packer::reference::Reference;

use super::watch::Watch;
use crate::store::{Resolved, Store, StoredImage};

/// Save images to an archive
///
/// What was loaded or pulled is saved with the digests that it came with, unless an image with
/// docker's manifest goes into one of the OCI's formats.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image, and more names for it in the archive; with -m all of them are images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Write to this file or folder and not to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What is written; an archive is always both kinds of archive at once
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Save several images into one archive
    #[arg(short, long)]
    multi_image_archive: bool,
    /// With docker-dir, compress the layers with gzip
    #[arg(long)]
    compress: bool,
    /// Taken for podman's sake: layers are saved as they came, compressed or not
    #[arg(long, hide = true)]
    uncompressed: bool,
    /// Do not tell what is done
    #[arg(short, long)]
    quiet: bool,
}

/// What a saved image looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A file that docker and podman load
    #[default]
    DockerArchive,
    /// A file that holds an OCI layout
    OciArchive,
    /// A folder that is an OCI layout
    OciDir,
    /// A folder with a manifest and its blobs (dir: of skopeo)
    DockerDir,
}

/// Saves what `args` names; to `out`, which is standard output, if no file is named.
///
/// # Errors
/// What reading the store or writing gives; the file is as it was then.
pub(super) fn run(args: &Args, store: &Store, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let source = store.source(&wanted(args, store)?)?;
    let several = source.images().len() > 1;
    ensure!(
        !args.compress || args.format == Format::DockerDir,
        "--compress is for --format docker-dir: elsewhere layers stay as they came"
    );
    match (args.format, &args.output) {
        (Format::DockerDir, _) if several => bail!("docker-dir holds one image: leave out -m"),
        (Format::OciDir | Format::DockerDir, None) => bail!("name the folder with --output"),
        (Format::OciDir, Some(path)) => save_folder(args, &source, Layout::Oci, path)?,
        (Format::DockerDir, Some(path)) if args.compress => {
            let (image, folder) = (&source.images()[0], store.temporary_folder());
            let source = Recompressed::new(image, &source, Compression::GZIP, folder)?;
            save_folder(args, &source, Layout::Directory, path)?;
        }
        (Format::DockerDir, Some(path)) => save_folder(args, &source, Layout::Directory, path)?,
        (_, Some(path)) => save_file(args, &source, path, store.temporary_folder())
            .with_context(|| format!("cannot save to {}", path.display()))?,
        (_, None) => {
            ensure!(
                !io::stdout().is_terminal(),
                "an archive is nothing for a terminal: name a file with --output, or redirect \
                 standard output"
            );
            write_archive(args, &source, store.temporary_folder())?.copy_to(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The images, each with the names that it has in the archive.
fn wanted(args: &Args, store: &Store) -> anyhow::Result<Vec<(StoredImage, Vec<ImageName>)>> {
    let mut images: Vec<(StoredImage, Vec<ImageName>)> = Vec::new();
    for text in &args.images {
        if images.is_empty() || args.multi_image_archive {
            let Resolved { image, name } = store.resolve(text)?;
            let tagged = name.as_ref().and_then(Reference::name);
            // The same image under two names is one image.
            match images.iter_mut().find(|(other, _)| other.id == image.id) {
                Some((_, names)) => names.extend(tagged),
                None => images.push((image, tagged.into_iter().collect())),
            }
        } else if let Some((_, names)) = images.last_mut() {
            names.push(text.parse()?);
        }
    }
    for (_, names) in &mut images {
        names.sort();
        names.dedup();
    }
    Ok(images)
}

fn save_folder(
    args: &Args,
    source: &dyn Source,
    layout: Layout,
    path: &Path,
) -> anyhow::Result<()> {
    let save = || {
        let mut writer = FolderWriter::over(layout, path)?.calling(RefName::Whole);
        copy_all(args, source, &mut writer)?;
        writer.finish()
    };
    save().with_context(|| format!("cannot save to {}", path.display()))
}

fn save_file(args: &Args, source: &dyn Source, path: &Path, temporary: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    // A pipe or a device is written to, and not replaced.
    let special = path
        .metadata()
        .is_ok_and(|found| !found.is_file() && !found.is_dir());
    if special {
        let mut file = File::options().write(true).open(path)?;
        return write_archive(args, source, temporary)?.copy_to(&mut file);
    }
    write_archive(args, source, parent)?.place(path)
}

fn write_archive(args: &Args, source: &dyn Source, folder: &Path) -> io::Result<NewFile> {
    let mut writer = Writer::in_folder(folder)?.calling(RefName::Whole);
    copy_all(args, source, &mut writer)?;
    writer.finish()
}

fn copy_all(args: &Args, source: &dyn Source, sink: &mut dyn Sink) -> io::Result<()> {
    for image in source.images() {
        let mut watch = Watch::of_a_save(args.quiet);
        let image = match args.format {
            Format::OciArchive | Format::OciDir => image.in_family(Family::Oci),
            Format::DockerArchive | Format::DockerDir => image.clone(),
        };
        copy(&image, source, sink, &mut |step| watch.show(step))?;
    }
    Ok(())
}
