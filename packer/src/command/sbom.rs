//! Bills of materials: `packer sbom`, and what `build --sbom` and `push --sbom` do with them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use packer::archive::NewFile;
use packer::bom::{Bill, Format, InvalidFormat};
use packer::credentials::Credentials;
use packer::image::Platform;
use packer::place::Image;
use packer::plan::Bundle;
use packer::registry::{Artifact, Push};
use packer::transport::Transport;

use super::output::cannot_be_written;
use super::transfer::{RegistryArguments, platform};
use super::write::folder_of;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A reference, to whose image a bill is attached; an archive, beside which one lies; or a
    /// program that was compiled with cargo auditable
    #[arg(value_name = "IMAGE|PROGRAM")]
    subject: String,

    /// spdx or cyclonedx
    #[arg(long, default_value = "spdx")]
    format: Format,

    /// Look at the image for this platform
    #[arg(long, value_name = "OS/ARCHITECTURE", value_parser = platform)]
    platform: Option<Platform>,

    /// Log in with these
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<Credentials>,

    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let format = arguments.format;
    let path = Path::new(&arguments.subject);
    let documents = if path.exists() {
        vec![on_disk(path, format)?]
    } else {
        attached(arguments)?
    };
    let mut out = io::stdout().lock();
    for document in documents {
        out.write_all(&document)?;
    }
    Ok(out.flush()?)
}

/// The bill that lies beside an archive, or that of a program.
fn on_disk(path: &Path, format: Format) -> anyhow::Result<Vec<u8>> {
    let beside = beside(path, "", format);
    if beside.exists() {
        return fs::read(&beside).with_context(|| format!("{} cannot be read", beside.display()));
    }
    let mut magic = [0; 4];
    let file = fs::File::open(path);
    let is_program = file
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut magic))
        .is_ok_and(|()| &magic == b"\x7fELF");
    ensure!(
        is_program,
        "no bill of materials lies beside {}: {} is not there (packer build --sbom {format} writes it)",
        path.display(),
        beside.display()
    );
    Ok(Bill::of_program(path)?.document(format))
}

/// The bills that are attached to an image in a registry.
fn attached(arguments: Arguments) -> anyhow::Result<Vec<Vec<u8>>> {
    let access = arguments.registry.access(arguments.creds)?;
    let platform = arguments.platform.unwrap_or_else(Platform::host);
    let place = Transport::parse(&arguments.subject)?;
    let found = place.find(&access, &platform, &std::env::temp_dir())?;
    let Some(pull) = found.pull() else {
        bail!("{} is in no registry: name its file", arguments.subject);
    };
    let format = arguments.format;
    let artifacts = pull
        .repository()
        .referring(&found.image().digest(), format.media_type())?;
    ensure!(
        !artifacts.is_empty(),
        "no bill of materials in the format {format} is attached to {} (packer build --push … \
         --sbom {format} attaches one)",
        arguments.subject
    );
    Ok(artifacts
        .into_iter()
        .map(|artifact| artifact.content)
        .collect())
}

/// One `--sbom` of `packer build`.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    format: Format,
    file: Option<PathBuf>,
}

impl FromStr for Wanted {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, InvalidFormat> {
        let (format, file) = match text.split_once('=') {
            Some((format, file)) => (format, Some(PathBuf::from(file))),
            None => (text, None),
        };
        Ok(Self {
            format: format.parse()?,
            file,
        })
    }
}

/// The bill of one image for one platform, in one format.
struct Written {
    wanted: Wanted,
    /// What tells it from the others of its format: name and architecture, if there are others.
    part: String,
    /// Which of a bundle's images it is of.
    image: usize,
    document: Vec<u8>,
}

/// The bills of a build.
pub(super) struct Bills(Vec<Written>);

impl Bills {
    /// Makes the bills, before anything is written.
    pub(super) fn of(wanted: &[Wanted], bundles: &[Bundle]) -> anyhow::Result<Self> {
        let mut written = Vec::new();
        if wanted.is_empty() {
            return Ok(Self(written));
        }
        let images: usize = bundles.iter().map(|bundle| bundle.plans().len()).sum();
        for bundle in bundles {
            for (image, plan) in bundle.plans().iter().enumerate() {
                let bill = plan.bill()?;
                let (name, architecture) = (plan.title(), plan.architecture());
                let part = format!("{name}-{architecture}.");
                for wanted in wanted {
                    ensure!(
                        images == 1 || wanted.file.is_none(),
                        "there are {images} images, and each has a bill of its own: leave the name \
                         of the file out"
                    );
                    written.push(Written {
                        document: bill.document(wanted.format),
                        wanted: wanted.clone(),
                        part: if images == 1 {
                            String::new()
                        } else {
                            part.clone()
                        },
                        image,
                    });
                }
            }
        }
        Ok(Self(written))
    }

    /// Refuses a bill that would lie nowhere, or where nothing can be written.
    pub(super) fn check_place(&self, output: Option<&Path>, is_pushed: bool) -> anyhow::Result<()> {
        let is_stream = output.is_some_and(super::output::is_stream);
        let homeless = |written: &&Written| written.wanted.file.is_none();
        if let Some(written) = self
            .0
            .iter()
            .find(homeless)
            .filter(|_| is_stream && !is_pushed)
        {
            let format = written.wanted.format;
            bail!("an archive in a stream has no place beside it: write --sbom {format}=FILE");
        }
        for file in self
            .0
            .iter()
            .filter_map(|written| written.wanted.file.as_ref())
        {
            // A file without a name leaves nothing behind.
            NewFile::in_folder(&folder_of(file)).with_context(|| cannot_be_written(file))?;
        }
        Ok(())
    }

    /// Writes the bills: where they were asked for, or beside the archive, if there is one.
    pub(super) fn write(&self, archive: Option<&Path>) -> anyhow::Result<()> {
        for written in &self.0 {
            let format = written.wanted.format;
            let path = match (&written.wanted.file, archive) {
                (Some(file), _) => file.clone(),
                (None, Some(archive)) => beside(archive, &written.part, format),
                (None, None) => continue,
            };
            place(&path, &written.document).with_context(|| cannot_be_written(&path))?;
        }
        Ok(())
    }

    /// Attaches the bills to the images that were pushed.
    pub(super) fn attach(&self, push: &Push, images: &[Image]) -> anyhow::Result<()> {
        for written in &self.0 {
            let image = images.get(written.image).context("an image is missing")?;
            push.refer(
                &image.descriptor(),
                &artifact(written.wanted.format, written.document.clone()),
            )?;
        }
        Ok(())
    }
}

/// A document of the user's that is to be attached.
pub(super) fn read(path: &Path) -> anyhow::Result<Artifact> {
    let document = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let format = Format::of_document(&document).with_context(|| {
        format!(
            "{} is no bill of materials: neither SPDX nor CycloneDX, as JSON",
            path.display()
        )
    })?;
    Ok(artifact(format, document))
}

fn artifact(format: Format, content: Vec<u8>) -> Artifact {
    Artifact {
        media_type: format.media_type().to_owned(),
        title: format!("sbom.{}", format.extension()),
        content,
    }
}

/// `ARCHIVE.spdx.json`.
fn beside(archive: &Path, part: &str, format: Format) -> PathBuf {
    let mut name = archive.as_os_str().to_owned();
    name.push(format!(".{part}{}", format.extension()));
    PathBuf::from(name)
}

/// Nobody sees half of it.
fn place(path: &Path, document: &[u8]) -> io::Result<()> {
    let new = NewFile::in_folder(&folder_of(path))?;
    new.file().write_all(document)?;
    new.place(path)
}
