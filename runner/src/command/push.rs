//! `runner push`: an image from the store to a registry, an archive or a folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use packer::ImageName;
use packer::archive::{FolderWriter, Layout, RefName, Writer};
use packer::image::Family;
use packer::layer::Compression;
use packer::place::{Image, Source, copy};
use packer::recompress::Recompressed;
use packer::reference::Reference;
use packer::registry::{Push, RETRIES};
use packer::transport::Transport;

use super::Context;
use super::remote::{self, RegistryArguments};
use super::sign::Signer;
use super::watch::{PushWatch, Watch};
use crate::human::tell;
use crate::store::Resolved;
use packer::credentials::Credentials;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Where it goes: [docker://]REGISTRY/REPOSITORY:TAG, docker-archive:FILE, oci-archive:FILE,
    /// oci:DIR or dir:DIR [default: the name of the image]
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,

    /// Log in with these for this one push
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<Credentials>,

    /// Write a manifest of this kind, oci or v2s2 (docker's) [default: as it is]
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Family>,

    /// Compress the layers so, gzip, zstd or zstd:chunked, which becomes zstd [default: as they are]
    #[arg(long, value_name = "FORMAT", value_enum)]
    compression_format: Option<CompressionFormat>,

    /// How much: 1 to 9 for gzip, 1 to 19 for zstd
    #[arg(long, value_name = "LEVEL", requires = "compression_format")]
    compression_level: Option<u8>,

    /// The same as --compression-format gzip
    #[arg(long, conflicts_with = "compression_format")]
    compress: bool,

    /// Taken for podman's sake: what is asked for is always done
    #[arg(long, hide = true)]
    force_compression: bool,

    /// Taken for podman's sake: without --sign-by, no signatures are sent anyway
    #[arg(long)]
    remove_signatures: bool,

    /// Taken for docker's sake: nothing changes
    #[arg(long, hide = true)]
    disable_content_trust: bool,

    /// Write the digest of the manifest to this file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,

    /// Try so often again when the registry is busy or the connection breaks
    #[arg(long, value_name = "NUMBER", default_value_t = RETRIES)]
    retry: u32,

    /// Do not tell what is done
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    signer: Signer,

    #[command(flatten)]
    registry: RegistryArguments,
}

/// podman's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CompressionFormat {
    Gzip,
    Zstd,
    /// Zstd with a list of the files in it, for readers that fetch single ones.
    #[value(name = "zstd:chunked")]
    ZstdChunked,
}

impl Arguments {
    /// How the layers are to be compressed, if that matters.
    fn compression(&self) -> anyhow::Result<Option<Compression>> {
        let name = match self.compression_format {
            Some(CompressionFormat::Zstd | CompressionFormat::ZstdChunked) => "zstd",
            Some(CompressionFormat::Gzip) => "gzip",
            None if self.compress => "gzip",
            None => return Ok(None),
        };
        let text = match self.compression_level {
            Some(level) => format!("{name}:{level}"),
            None => name.to_owned(),
        };
        Ok(Some(text.parse()?))
    }

    /// The words in which the manifest is to be written, if that matters. Docker's have none for zstd
    /// that others read.
    fn family(&self) -> anyhow::Result<Option<Family>> {
        if matches!(
            self.compression_format,
            None | Some(CompressionFormat::Gzip)
        ) {
            return Ok(self.format);
        }
        ensure!(
            self.format != Some(Family::Docker),
            "docker's manifests have no layers of zstd: leave out --format, or say gzip"
        );
        Ok(Some(Family::Oci))
    }
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let (family, compression) = (arguments.family()?, arguments.compression()?);
    if arguments.compression_format == Some(CompressionFormat::ZstdChunked) && !arguments.quiet {
        tell(
            "zstd:chunked is written as plain zstd, which its readers read too, whole layers at a time",
        );
    }
    let store = context.store()?;
    let Resolved { image, name } = store.resolve(&arguments.image)?;
    let place = match (&arguments.destination, &name) {
        (Some(typed), _) => Transport::parse_name(typed)?,
        (None, Some(name)) if name.registry() != "localhost" => {
            Transport::Registry(name.to_string())
        }
        (None, _) => bail!(
            "{} has no name in a registry: say where it goes, as REGISTRY/REPOSITORY:TAG",
            arguments.image.escape_debug()
        ),
    };
    // In an archive the image is called as the destination says, or as it was asked for.
    let named = |text: &Option<String>| match text {
        Some(text) => Ok(vec![text.parse::<ImageName>()?]),
        None => anyhow::Ok(name.iter().filter_map(Reference::name).collect()),
    };
    let names = match &place {
        Transport::Registry(_) => Vec::new(),
        Transport::Archive { name, .. } | Transport::Folder { name, .. } => named(name)?,
    };
    if arguments.signer.is_there() && !matches!(place, Transport::Registry(_)) {
        bail!("signatures are for images in registries: leave out --sign-by");
    }
    if let Some(file) = &arguments.registry.authfile {
        remote::check_authfile(file)?;
    }
    let stored = store.source(&[(image, names)])?;
    let image = &stored.images()[0];
    // A layout of the OCI has no other manifests.
    let is_layout = matches!(
        &place,
        Transport::Folder {
            layout: Layout::Oci,
            ..
        }
    );
    let family = family.or(is_layout.then_some(Family::Oci));
    let image = family.map_or_else(|| image.clone(), |family| image.in_family(family));
    match compression {
        None => send(arguments, (&image, &stored), &place)?,
        Some(compression) => {
            let folder = store.temporary_folder();
            let new = Recompressed::new(&image, &stored, compression, folder)?;
            send(arguments, (new.image(), &new), &place)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Sends the image to its place, and writes its digest down.
fn send(
    arguments: &Arguments,
    (image, source): (&Image, &(dyn Source + Sync)),
    place: &Transport,
) -> anyhow::Result<()> {
    match place {
        Transport::Registry(typed) => push(arguments, (image, source), typed)?,
        Transport::Archive { path, name } => {
            let write = || {
                let folder = path.parent().unwrap_or(Path::new("."));
                let mut writer = Writer::in_folder(folder)?.calling(ref_name(name));
                copy_all(arguments, (image, source), &mut writer)?;
                writer.finish()?.place(path)
            };
            write().with_context(|| format!("cannot push to {}", path.display()))?;
        }
        Transport::Folder { path, layout, name } => {
            let write = || {
                let mut writer = FolderWriter::over(*layout, path)?.calling(ref_name(name));
                copy_all(arguments, (image, source), &mut writer)?;
                writer.finish()
            };
            write().with_context(|| format!("cannot push to {}", path.display()))?;
        }
    }
    if let Some(path) = &arguments.digestfile {
        std::fs::write(path, image.digest().to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn push(
    arguments: &Arguments,
    (image, source): (&Image, &(dyn Source + Sync)),
    typed: &str,
) -> anyhow::Result<()> {
    let access = arguments
        .registry
        .access(arguments.creds.as_ref(), arguments.retry)?;
    // Never a short name: what is published goes to a place that was named.
    let reference: Reference = typed.parse()?;
    if reference.digest().is_some() {
        bail!("{reference} names a digest, and an image is pushed to a tag");
    }
    let watch = PushWatch::new(arguments.quiet);
    Push::open(&access, &reference)?.image(image, source, &|what| watch.show(what))?;
    arguments
        .signer
        .sign((&reference, &image.digest()), None, &access)?;
    Ok(())
}

/// What an image is called in an index: as it was typed behind the path, or with its whole name.
fn ref_name(typed: &Option<String>) -> RefName {
    typed.clone().map_or(RefName::Whole, RefName::Typed)
}

fn copy_all(
    arguments: &Arguments,
    (image, source): (&Image, &dyn Source),
    sink: &mut dyn packer::place::Sink,
) -> std::io::Result<()> {
    let mut watch = Watch::new(arguments.quiet);
    copy(image, source, sink, &mut |step| watch.show(step))
}
