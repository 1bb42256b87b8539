//! `packer build`.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use packer::base::BaseName;
use packer::credentials::Credentials;
use packer::epoch::Epoch;
use packer::layer::Compression;
use packer::package::{Choice, InvalidSystem, Listed, System};
use packer::plan::{Bundle, Packed, Subject, Targets};
use packer::stages::Recipe;
use packer::{ImageName, Progress, Reference, Request};
use serde::Serialize;

use super::output::{Format, Output};
use super::publish::{self, publish};
use super::report::Report;
use super::sbom::{Bills, Wanted};
use super::transfer::RegistryArguments;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What is packed: the name of a package, a folder, or a definition [default: the package of
    /// the current folder]
    #[arg(value_name = "NAME|DIR|FILE", conflicts_with_all = ["file", "manifest"])]
    subject: Option<PathBuf>,

    /// Pack this program or script instead of a package
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["package", "bin", "manifest"])]
    file: Option<PathBuf>,

    /// Pack the packages that this list names: several into one image, or several images
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["package", "bin", "name", "tags"])]
    manifest: Option<PathBuf>,

    /// Carry this Containerfile out in the folder that is named; what needs a process, such as RUN, is
    /// an error
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["file", "manifest", "package", "bin", "base"])]
    containerfile: Option<PathBuf>,

    /// Set an ARG of the Containerfile; without a value, to that of the environment
    #[arg(
        long = "build-arg",
        value_name = "NAME[=VALUE]",
        requires = "containerfile"
    )]
    arguments: Vec<String>,

    /// Build this stage of the Containerfile and not the last one
    #[arg(long, value_name = "NAME", requires = "containerfile")]
    stage: Option<String>,

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

    /// What is written [default: an archive that is a docker-archive and an oci-archive at once]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Call the package so, and not as its definition or the file does
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// How the layer is compressed: gzip or gzip:1 to gzip:9 (every client reads it), zstd or zstd:1
    /// to zstd:19 (quick and small), or none (quickest) [default: as the package says, else gzip]
    #[arg(long, value_name = "KIND[:LEVEL]")]
    compress: Option<Compression>,

    /// What it is packed for, as amd64,arm64; or all that the package names [default: this host]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    target: Vec<Target>,

    /// Put it on this image, written as docker://REFERENCE, docker-archive:FILE[:NAME],
    /// oci-archive:FILE[:NAME], oci:DIR[:NAME], dir:DIR, a path or a reference [default: as the
    /// package says, else on none]
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,

    /// Push the image, with --target of several an index, to this place in a registry and print what
    /// can be pulled there; may be given several times. No archive is written then unless -o says so
    #[arg(long, value_name = "REFERENCE")]
    push: Vec<String>,

    /// Log in with these
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<Credentials>,

    #[command(flatten)]
    registry: RegistryArguments,

    /// Write a bill of materials, spdx or cyclonedx: into FILE, or else beside the archive as
    /// ARCHIVE.spdx.json or ARCHIVE.cdx.json; with --push it is attached to the image
    #[arg(long, value_name = "FORMAT[=FILE]")]
    sbom: Vec<Wanted>,

    /// Write the digest of the image into this file
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,

    /// Write the names with their digests into this file, one a line
    #[arg(long, value_name = "FILE")]
    image_refs: Option<PathBuf>,

    /// Print what was packed as JSON, and not only the path
    #[arg(long)]
    json: bool,
}

/// One word of `--target`.
#[derive(Debug, Clone)]
enum Target {
    All,
    One(System),
}

impl FromStr for Target {
    type Err = InvalidSystem;

    fn from_str(text: &str) -> Result<Self, InvalidSystem> {
        match text {
            "all" => Ok(Self::All),
            one => one.parse().map(Self::One),
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    images: &'a [Packed],
    /// What can be pulled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pushed: Vec<String>,
}

/// What came of a build.
struct Done {
    /// Where the archive or folder is.
    path: Option<PathBuf>,
    packed: Vec<Packed>,
    /// Where the image was pushed to.
    references: Vec<Reference>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        !(arguments.json && arguments.output.as_deref() == Some(Path::new("-"))),
        "--json and the archive cannot both be written to standard output: name a file with -o"
    );
    let references = publish::references(&arguments.push)?;
    let output = Output::open(arguments.output.as_deref(), arguments.format)?;
    let report = Report::default();
    let requests = requests(arguments)?.into_iter();
    let bundles = match recipe(arguments) {
        Some(recipe) => requests
            .map(|request| Bundle::of_recipe(&recipe, &request, &report))
            .collect::<Result<Vec<_>, _>>()?,
        None => requests
            .map(|request| Bundle::prepare(&request, &report))
            .collect::<Result<Vec<_>, _>>()?,
    };
    check_names(&bundles)?;
    anyhow::ensure!(
        references.is_empty() || bundles.len() == 1,
        "the list has {} images, and --push names the place of one: push each from its own list",
        bundles.len()
    );
    if bundles
        .iter()
        .any(|bundle| matches!(bundle.compression(), Compression::Zstd(_)))
    {
        report.note("not every client reads zstd: docker before 23 and umoci before 0.5 do not");
    }
    let bills = Bills::of(&arguments.sbom, &bundles)?;
    bills.check_place(arguments.output.as_deref(), !references.is_empty())?;
    let done = write(arguments, references, output, &bundles, &bills, &report)?;
    bills.write(done.path.as_deref())?;
    // Before the result, or the bar would be drawn over it.
    drop(report);
    write_notes(arguments, &done)?;
    print(arguments, done)
}

/// Writes the images where they go.
fn write(
    arguments: &Arguments,
    references: Vec<Reference>,
    output: Output,
    bundles: &[Bundle],
    bills: &Bills,
    report: &Report,
) -> anyhow::Result<Done> {
    if references.is_empty() {
        let (path, packed) = output.fill(bundles, report)?;
        return Ok(Done {
            path,
            packed,
            references,
        });
    }
    let access = arguments.registry.access(arguments.creds.clone())?;
    let (cached, packed) = Output::fill_cache(bundles, report)?;
    publish(
        &cached,
        &references,
        bundles[0].base_repository(),
        bills,
        &access,
        output,
    )?;
    let written = |path: &PathBuf| path.as_os_str() != "-";
    Ok(Done {
        path: arguments.output.clone().filter(written),
        packed,
        references,
    })
}

/// Standard output: what was pushed, or else the path.
fn print(arguments: &Arguments, done: Done) -> anyhow::Result<()> {
    let pushed = publish::pullable(&done.references, &done.packed[0]);
    if arguments.json {
        let result = Printed {
            path: done.path.map(|path| path.to_string_lossy().into_owned()),
            images: &done.packed,
            pushed,
        };
        let text = serde_json::to_string_pretty(&result).context("the result as JSON")?;
        writeln!(io::stdout(), "{text}")?;
    } else if !pushed.is_empty() && arguments.output.as_deref() != Some(Path::new("-")) {
        writeln!(io::stdout(), "{}", pushed.join("\n"))?;
    } else if let Some(path) = done.path {
        let mut line = path.as_os_str().as_bytes().to_vec();
        line.push(b'\n');
        io::stdout().write_all(&line)?;
    }
    Ok(())
}

/// Two images of one archive cannot have one name.
fn check_names(bundles: &[Bundle]) -> anyhow::Result<()> {
    let mut seen: Vec<&ImageName> = Vec::new();
    for name in bundles.iter().flat_map(Bundle::names) {
        anyhow::ensure!(
            !seen.contains(&name),
            "two images would be called {name}: name one of them"
        );
        seen.push(name);
    }
    Ok(())
}

/// The files that were asked for beside the archive.
fn write_notes(arguments: &Arguments, done: &Done) -> anyhow::Result<()> {
    let write = |path: &Path, text: String| {
        let context = || format!("{} cannot be written", path.display());
        fs::write(path, text).with_context(context)
    };
    if let Some(path) = &arguments.digest_file {
        let digests: Vec<String> = done
            .packed
            .iter()
            .map(|image| image.digest.to_string())
            .collect();
        // Without a line break behind the last one, as podman writes it.
        write(path, digests.join("\n"))?;
    }
    if let Some(path) = &arguments.image_refs {
        let line = |name: &dyn Display, image: &Packed| format!("{name}@{}\n", image.digest);
        let references = done.references.iter();
        let names = done.packed.iter().flat_map(|image| {
            let names = image.names.iter();
            names.map(move |name| line(name, image))
        });
        let lines = match done.references.is_empty() {
            true => names.collect(),
            false => references
                .map(|reference| line(reference, &done.packed[0]))
                .collect(),
        };
        write(path, lines)?;
    }
    Ok(())
}

/// One request for each image.
fn requests(arguments: &Arguments) -> anyhow::Result<Vec<Request>> {
    let Some(list) = &arguments.manifest else {
        let request = with_options(arguments, Request::new(subject(arguments)))?;
        return Ok(vec![Request {
            name: arguments.name.clone(),
            tags: arguments.tags.clone(),
            ..request
        }]);
    };
    let images = Listed::in_file(list)?;
    images
        .into_iter()
        .map(|image| listed(arguments, image))
        .collect()
}

fn listed(arguments: &Arguments, image: Listed) -> anyhow::Result<Request> {
    let mut subjects = image.packages.into_iter().map(|word| Subject::Word {
        word,
        choice: Choice::default(),
    });
    let main = subjects.next().context("the list names no package")?;
    let request = with_options(arguments, Request::new(main))?;
    // The name is the image's and not the first program's.
    let name = image.name.map(|name| name.parse()).transpose()?;
    let tags = match image.tags.is_empty() {
        true => name.into_iter().collect(),
        false => image.tags,
    };
    Ok(Request {
        also: subjects.collect(),
        tags,
        ..request
    })
}

fn with_options(arguments: &Arguments, request: Request) -> anyhow::Result<Request> {
    let one = |target: &Target| match target {
        Target::All => None,
        Target::One(system) => Some(*system),
    };
    // `all` has the others in it.
    let listed: Option<Vec<System>> = arguments.target.iter().map(one).collect();
    Ok(Request {
        targets: match listed {
            None => Targets::All,
            Some(none) if none.is_empty() => Targets::Host,
            Some(listed) => Targets::Listed(listed),
        },
        compression: arguments.compress,
        base: arguments.base.as_deref().map(base).transpose()?,
        registries: arguments.registry.options(arguments.creds.clone()),
        epoch: Epoch::from_environment()?,
        ..request
    })
}

/// What `-f` and its company say.
fn recipe(arguments: &Arguments) -> Option<Recipe> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), std::env::var(text).ok()?)),
    };
    Some(Recipe {
        file: arguments.containerfile.clone()?,
        context: arguments
            .subject
            .clone()
            .unwrap_or_else(|| PathBuf::from(".")),
        arguments: arguments.arguments.iter().filter_map(pair).collect(),
        stage: arguments.stage.clone(),
    })
}

fn base(typed: &str) -> anyhow::Result<BaseName> {
    Ok(BaseName::parse(typed, Path::new(""))?)
}

fn subject(arguments: &Arguments) -> Subject {
    let choice = Choice {
        package: arguments.package.clone(),
        binary: arguments.bin.clone(),
    };
    match (&arguments.file, &arguments.subject) {
        (Some(file), _) => Subject::File(file.clone()),
        (None, None) => Subject::Folder {
            path: PathBuf::from("."),
            choice,
        },
        (None, Some(word)) => match word.to_str() {
            Some(word) => Subject::Word {
                word: word.to_owned(),
                choice,
            },
            // A word that is no text can only be a path.
            None => Subject::Folder {
                path: word.clone(),
                choice,
            },
        },
    }
}
