//! Images that are written to a file, a folder or standard output. Nothing has a name before it is
//! complete.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use packer::archive::{FolderWriter, Layout, Writer};
use packer::place::{self, Held, Source, Step};

use super::output::{cannot_be_written, copy_to, is_stream};

/// What an image is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One file that is a docker-archive and an oci-archive at once
    #[default]
    #[value(aliases = ["docker-archive", "oci-archive"])]
    Archive,
    /// A folder with an OCI layout
    #[value(alias = "oci-dir")]
    OciLayout,
    /// A folder as skopeo's dir:
    Dir,
}

/// A place that is being written. It is opened before anything is fetched, so that a place that
/// cannot be written costs no time.
pub(super) struct Destination {
    shown: PathBuf,
    writer: Kind,
}

enum Kind {
    File {
        writer: Writer,
        target: PathBuf,
    },
    /// A stream cannot be gone back in, so the archive is made elsewhere first.
    Stream(Writer),
    Folder(FolderWriter),
}

impl Destination {
    /// Begins to write at `path`; `-` is standard output.
    pub(super) fn open(path: &Path, format: Format) -> anyhow::Result<Self> {
        let context = || cannot_be_written(path);
        let writer = match format {
            Format::Archive if is_stream(path) => {
                Kind::Stream(Writer::in_folder(&std::env::temp_dir())?)
            }
            Format::Archive => {
                ensure!(
                    !path.is_dir(),
                    "{} is a folder: name a file in it",
                    path.display()
                );
                // A link stays one: what it leads to is replaced.
                let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
                let writer = Writer::in_folder(&folder_of(&target)).with_context(context)?;
                Kind::File { writer, target }
            }
            Format::OciLayout => {
                Kind::Folder(FolderWriter::new(Layout::Oci, path).with_context(context)?)
            }
            Format::Dir => {
                Kind::Folder(FolderWriter::new(Layout::Directory, path).with_context(context)?)
            }
        };
        let shown = path.to_owned();
        Ok(Self { shown, writer })
    }

    /// Writes an image or an index and gives the place its name.
    pub(super) fn write(
        self,
        held: &Held,
        source: &dyn Source,
        watch: &mut dyn FnMut(Step<'_>),
    ) -> anyhow::Result<()> {
        let context = || cannot_be_written(&self.shown);
        match self.writer {
            Kind::File { mut writer, target } => {
                place::copy_held(held, source, &mut writer, watch)?;
                let placed = writer.finish().and_then(|archive| archive.place(&target));
                placed.with_context(context)
            }
            Kind::Stream(mut writer) => {
                place::copy_held(held, source, &mut writer, watch)?;
                copy_to(&self.shown, writer.finish()?)
            }
            Kind::Folder(mut writer) => {
                place::copy_held(held, source, &mut writer, watch)?;
                writer.finish().with_context(context)
            }
        }
    }
}

/// The folder in which `path` is.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
