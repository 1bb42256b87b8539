//! `packer build`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use packer::archive::{NewFile, Writer};
use packer::epoch::Epoch;
use packer::layer::Compression;
use packer::package::Choice;
use packer::plan::Subject;
use packer::{ImageName, Plan, Request, prepare};

use super::cache::Cache;
use super::report::Report;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What is packed: the name of a package, a folder, or a definition [default: the package of
    /// the current folder]
    #[arg(value_name = "NAME|DIR|FILE", conflicts_with = "file")]
    subject: Option<PathBuf>,

    /// Pack this static executable instead of a package
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["package", "bin"])]
    file: Option<PathBuf>,

    /// Pack this package of the workspace
    #[arg(short, long, value_name = "NAME")]
    package: Option<String>,

    /// Pack this binary of the package
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,

    /// Name the image so; may be given several times [default: localhost/NAME:latest]
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    tags: Vec<ImageName>,

    /// Write the archive to this file, or to standard output (-) [default: a file in the cache,
    /// named after its content]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Call the package so, and not as its definition or the file does
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// How the layer is compressed: gzip or gzip:1 to gzip:9 (every client reads it), or none (quick
    /// to pack and to load) [default: as the package says, else gzip]
    #[arg(long, value_name = "KIND[:LEVEL]")]
    compress: Option<Compression>,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let typed = arguments.output.clone();
    let output = Output::open(typed.as_deref())?;
    let report = Report::default();
    let plan = prepare(&request(arguments)?, &report)?;
    let path = match output {
        Output::Cache(cache) => in_cache(&plan, &cache, &report)?,
        Output::File { archive, target } => {
            let placed = pack(&plan, archive, &report)?.place(&target);
            placed.with_context(|| cannot_be_written(&target))?;
            typed.unwrap_or(target)
        }
        Output::Stream(archive, path) => {
            let archive = pack(&plan, archive, &report)?;
            drop(report);
            return copy_to(&path, archive);
        }
    };
    // Before the path, or the bar would be drawn over it.
    drop(report);
    let mut line = path.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    Ok(())
}

fn request(arguments: Arguments) -> anyhow::Result<Request> {
    let choice = Choice {
        package: arguments.package,
        binary: arguments.bin,
    };
    let subject = match (arguments.file, arguments.subject) {
        (Some(file), _) => Subject::File(file),
        (None, Some(word)) => subject(word, choice),
        (None, None) => Subject::Folder {
            path: PathBuf::from("."),
            choice,
        },
    };
    Ok(Request {
        subject,
        name: arguments.name,
        tags: arguments.tags,
        compression: arguments.compress,
        epoch: Epoch::from_environment()?,
    })
}

/// A word that is no text can only be a path.
fn subject(word: PathBuf, choice: Choice) -> Subject {
    match word.into_os_string().into_string() {
        Ok(word) => Subject::Word { word, choice },
        Err(word) => Subject::Folder {
            path: word.into(),
            choice,
        },
    }
}

/// Where the archive goes. It is opened before anything is compiled, so that a place that cannot be
/// written costs no time.
enum Output {
    Cache(Cache),
    File {
        archive: Writer,
        target: PathBuf,
    },
    /// A stream cannot be gone back in to write a header, so the archive is made elsewhere first.
    Stream(Writer, PathBuf),
}

impl Output {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Cache::open().map(Self::Cache);
        };
        let begin =
            |folder: &Path| Writer::in_folder(folder).with_context(|| cannot_be_written(path));
        if is_stream(path) {
            return Ok(Self::Stream(begin(&std::env::temp_dir())?, path.to_owned()));
        }
        anyhow::ensure!(
            !path.is_dir(),
            "{} is a folder: name a file in it",
            path.display()
        );
        // A link stays one: what it leads to is replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let archive = begin(target.parent().unwrap_or(Path::new(".")))?;
        Ok(Self::File { archive, target })
    }
}

fn in_cache(plan: &Plan, cache: &Cache, report: &Report) -> anyhow::Result<PathBuf> {
    if let Some(path) = cache.find(plan) {
        return Ok(path);
    }
    let context = || cannot_be_written(cache.folder());
    let archive = Writer::in_folder(cache.folder()).with_context(context)?;
    let archive = pack(plan, archive, report)?;
    cache.place(plan, archive).with_context(context)
}

fn pack(plan: &Plan, mut archive: Writer, report: &Report) -> anyhow::Result<NewFile> {
    plan.write(&mut archive, report)?;
    let name = &plan.package().name;
    archive
        .finish()
        .with_context(|| format!("{name} was not packed"))
}

fn copy_to(path: &Path, archive: NewFile) -> anyhow::Result<()> {
    if path == "-" {
        return Ok(archive.copy_to(&mut io::stdout())?);
    }
    let context = || cannot_be_written(path);
    let stream = fs::OpenOptions::new().write(true).open(path);
    archive
        .copy_to(&mut stream.with_context(context)?)
        .with_context(context)
}

fn cannot_be_written(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

/// Whether `path` takes bytes without being a file: `-`, a pipe, `/dev/stdout`.
fn is_stream(path: &Path) -> bool {
    let is_special = |kind: fs::FileType| !kind.is_file() && !kind.is_dir();
    path == "-" || fs::metadata(path).is_ok_and(|metadata| is_special(metadata.file_type()))
}
