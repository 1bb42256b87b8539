//! `packer build`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
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
    /// The folder of the package [default: the current one]
    #[arg(value_name = "DIR", conflicts_with = "file")]
    folder: Option<PathBuf>,

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

    /// How the layer is compressed
    #[arg(long, value_enum, default_value_t)]
    compress: Compress,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Compress {
    /// Small; every client reads it
    #[default]
    Gzip,
    /// Quick to pack and to load
    None,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let output = arguments.output.clone();
    let report = Report::default();
    let plan = prepare(&request(arguments)?, &report)?;
    let path = match output {
        None => in_cache(&plan, &report)?,
        Some(path) if is_stream(&path) => return to_stream(&plan, &path, &report),
        Some(path) => to_file(&plan, path, &report)?,
    };
    // Before the path, or the bar would be drawn over it.
    drop(report);
    let mut line = path.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    Ok(())
}

fn request(arguments: Arguments) -> anyhow::Result<Request> {
    let subject = match arguments.file {
        Some(file) => Subject::File(file),
        None => Subject::Folder {
            path: arguments.folder.unwrap_or_else(|| PathBuf::from(".")),
            choice: Choice {
                package: arguments.package,
                binary: arguments.bin,
            },
        },
    };
    Ok(Request {
        subject,
        name: arguments.name,
        tags: arguments.tags,
        compression: match arguments.compress {
            Compress::Gzip => Compression::Gzip,
            Compress::None => Compression::None,
        },
        epoch: Epoch::from_environment()?,
    })
}

fn in_cache(plan: &Plan, report: &Report) -> anyhow::Result<PathBuf> {
    let cache = Cache::open()?;
    if let Some(path) = cache.find(plan) {
        return Ok(path);
    }
    let archive = pack(plan, cache.folder(), report)?;
    let placed = cache.place(plan, archive);
    placed.with_context(|| format!("{} cannot be written", cache.folder().display()))
}

fn to_file(plan: &Plan, path: PathBuf, report: &Report) -> anyhow::Result<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let archive = pack(plan, folder, report)?;
    let placed = archive.place(&path);
    placed.with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// A stream cannot be gone back in to write a header, so the archive is made elsewhere first.
fn to_stream(plan: &Plan, path: &Path, report: &Report) -> anyhow::Result<()> {
    let archive = pack(plan, &std::env::temp_dir(), report)?;
    if path == "-" {
        archive.copy_to(&mut io::stdout())?;
        return Ok(());
    }
    let context = || format!("{} cannot be written", path.display());
    let mut stream = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .with_context(context)?;
    archive.copy_to(&mut stream).with_context(context)
}

fn pack(plan: &Plan, folder: &Path, report: &Report) -> anyhow::Result<NewFile> {
    let context = || format!("nothing can be written in {}", shown(folder));
    let mut writer = Writer::in_folder(folder).with_context(context)?;
    plan.write(&mut writer, report)?;
    writer.finish().with_context(context)
}

fn shown(folder: &Path) -> String {
    match folder.as_os_str().is_empty() {
        true => "this folder".to_owned(),
        false => folder.display().to_string(),
    }
}

/// Whether `path` takes bytes without being a file: `-`, a pipe, `/dev/stdout`.
fn is_stream(path: &Path) -> bool {
    let is_special = |kind: fs::FileType| !kind.is_file() && !kind.is_dir();
    path == "-" || fs::metadata(path).is_ok_and(|metadata| is_special(metadata.file_type()))
}
