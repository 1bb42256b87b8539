//! Where `packer build` writes to. It is opened before anything is compiled, so that a place that
//! cannot be written costs no time.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use packer::Progress;
use packer::archive::{FolderWriter, Kind, Layout, NewFile, Writer};
use packer::place::{self, Held, Sink, Source};
use packer::plan::{Bundle, Error, Packed};

use super::cache::Cache;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A file that docker and podman load
    DockerArchive,
    /// A file that holds an OCI layout
    OciArchive,
    /// A folder that is an OCI layout
    OciLayout,
    /// A folder with a manifest and its blobs (dir: of skopeo and podman)
    Dir,
}

/// A place that was opened.
pub(super) enum Output {
    Cache(Cache, Kind),
    File {
        archive: Writer,
        target: PathBuf,
        /// The path as it was typed.
        typed: PathBuf,
    },
    /// A stream cannot be gone back in to write a header, so the archive is made elsewhere first.
    Stream(Writer, PathBuf),
    Folder(FolderWriter, PathBuf),
}

impl Output {
    pub(super) fn open(path: Option<&Path>, format: Option<Format>) -> anyhow::Result<Self> {
        let kind = match format {
            None => Kind::Both,
            Some(Format::DockerArchive) => Kind::Docker,
            Some(Format::OciArchive) => Kind::Oci,
            Some(Format::OciLayout) => return Self::folder(Layout::Oci, path),
            Some(Format::Dir) => return Self::folder(Layout::Directory, path),
        };
        let Some(path) = path else {
            return Ok(Self::Cache(Cache::open()?, kind));
        };
        let begin =
            |folder: &Path| Writer::of_kind(kind, folder).with_context(|| cannot_be_written(path));
        if is_stream(path) {
            ensure!(
                path != "-" || !io::stdout().is_terminal(),
                "an archive is nothing for a terminal: name a file with -o, or redirect standard \
                 output"
            );
            return Ok(Self::Stream(begin(&std::env::temp_dir())?, path.to_owned()));
        }
        ensure!(
            !path.is_dir(),
            "{} is a folder: name a file in it",
            path.display()
        );
        // A link stays one: what it leads to is replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Ok(Self::File {
            archive: begin(target.parent().unwrap_or(Path::new(".")))?,
            target,
            typed: path.to_owned(),
        })
    }

    fn folder(layout: Layout, path: Option<&Path>) -> anyhow::Result<Self> {
        let path = match path {
            None => bail!("a folder is written where you say: name it with -o"),
            Some(path) if path == "-" => {
                bail!("a folder cannot be written to standard output: name it with -o")
            }
            Some(path) => path,
        };
        let writer = FolderWriter::new(layout, path).with_context(|| cannot_be_written(path))?;
        Ok(Self::Folder(writer, path.to_owned()))
    }

    /// Packs all images into the cache, whatever this place is.
    pub(super) fn fill_cache(
        bundles: &[Bundle],
        progress: &dyn Progress,
    ) -> anyhow::Result<(PathBuf, Vec<Packed>)> {
        in_cache(&Cache::open()?, Kind::Both, bundles, progress)
    }

    /// Copies what was packed into this place, which is not the cache.
    pub(super) fn copy(self, held: &[Held], source: &dyn Source) -> anyhow::Result<()> {
        let all = |place: &mut dyn Sink| {
            held.iter()
                .try_for_each(|held| place::copy_held(held, source, place, &mut |_| {}))
        };
        match self {
            Self::Cache(..) => Ok(()),
            Self::File {
                mut archive,
                target,
                ..
            } => all(&mut archive)
                .and_then(|()| archive.finish()?.place(&target))
                .with_context(|| cannot_be_written(&target)),
            Self::Stream(mut archive, path) => {
                all(&mut archive)?;
                copy_to(&path, archive.finish()?)
            }
            Self::Folder(mut writer, path) => all(&mut writer)
                .and_then(|()| writer.finish())
                .with_context(|| cannot_be_written(&path)),
        }
    }

    /// Packs all images into this place. The path is where they are now, unless that is a stream.
    pub(super) fn fill(
        self,
        bundles: &[Bundle],
        progress: &dyn Progress,
    ) -> anyhow::Result<(Option<PathBuf>, Vec<Packed>)> {
        match self {
            Self::Cache(cache, kind) => {
                let (path, packed) = in_cache(&cache, kind, bundles, progress)?;
                Ok((Some(path), packed))
            }
            Self::File {
                archive,
                target,
                typed,
            } => {
                let (new, packed) = pack(archive, &typed, bundles, progress)?;
                new.place(&target)
                    .with_context(|| cannot_be_written(&target))?;
                Ok((Some(typed), packed))
            }
            Self::Stream(archive, path) => {
                let (new, packed) = pack(archive, &std::env::temp_dir(), bundles, progress)?;
                copy_to(&path, new)?;
                Ok((None, packed))
            }
            Self::Folder(mut writer, path) => {
                let packed = put_all(&mut writer, &path, bundles, progress)?;
                writer.finish().with_context(|| cannot_be_written(&path))?;
                Ok((Some(path), packed))
            }
        }
    }
}

fn in_cache(
    cache: &Cache,
    kind: Kind,
    bundles: &[Bundle],
    progress: &dyn Progress,
) -> anyhow::Result<(PathBuf, Vec<Packed>)> {
    let title = bundles[0].title();
    let note = cache
        .note(kind, bundles)
        .with_context(|| format!("{title} cannot be packed"))?;
    if let Some(found) = cache.find(&note) {
        return Ok(found);
    }
    let context = || cannot_be_written(cache.folder());
    let archive = Writer::of_kind(kind, cache.folder()).with_context(context)?;
    let (new, packed) = pack(archive, cache.folder(), bundles, progress)?;
    let path = cache
        .place((kind, title), new, &packed, &note)
        .with_context(context)?;
    Ok((path, packed))
}

fn pack(
    mut archive: Writer,
    path: &Path,
    bundles: &[Bundle],
    progress: &dyn Progress,
) -> anyhow::Result<(NewFile, Vec<Packed>)> {
    let packed = put_all(&mut archive, path, bundles, progress)?;
    let name = bundles[0].title();
    let new = archive
        .finish()
        .with_context(|| format!("{name} was not packed"))?;
    Ok((new, packed))
}

/// Packs all images into `place`, which is at `path`.
fn put_all(
    place: &mut dyn Sink,
    path: &Path,
    bundles: &[Bundle],
    progress: &dyn Progress,
) -> anyhow::Result<Vec<Packed>> {
    let pack = |bundle: &Bundle| match bundle.write(place, progress) {
        // A file that cannot be read is named by its error, so this one is the place's.
        Err(Error::Write { name, cause }) if cause.raw_os_error().is_some() => {
            let error = Error::Write { name, cause };
            Err(anyhow::Error::new(error).context(cannot_be_written(path)))
        }
        packed => Ok(packed?),
    };
    bundles.iter().map(pack).collect()
}

/// Copies an archive that was made elsewhere into a stream.
pub(super) fn copy_to(path: &Path, archive: NewFile) -> anyhow::Result<()> {
    if path == "-" {
        return Ok(archive.copy_to(&mut io::stdout())?);
    }
    let context = || cannot_be_written(path);
    let stream = fs::OpenOptions::new().write(true).open(path);
    archive
        .copy_to(&mut stream.with_context(context)?)
        .with_context(context)
}

pub(super) fn cannot_be_written(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

/// Whether `path` takes bytes without being a file: `-`, a pipe, `/dev/stdout`.
pub(super) fn is_stream(path: &Path) -> bool {
    let is_special = |kind: fs::FileType| !kind.is_file() && !kind.is_dir();
    path == "-" || fs::metadata(path).is_ok_and(|metadata| is_special(metadata.file_type()))
}
