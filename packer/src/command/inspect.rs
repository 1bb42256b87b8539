//! `packer inspect`.

use std::io::{self, Write};

use packer::contents::{self, Contents, Entry, Kind};
use packer::image::{Platform, RunConfig};
use packer::place::Image;
use packer::transport::Transport;
use serde_json::{Value, json};

use super::transfer::{RegistryArguments, platform};
use packer::credentials::Credentials;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image: a path, docker-archive:FILE[:NAME], oci-archive:FILE[:NAME], oci:DIR[:NAME],
    /// dir:DIR or a reference
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print nothing about the files, for which the layers have to be read
    #[arg(long)]
    no_files: bool,

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
    let access = arguments.registry.access(arguments.creds)?;
    let platform = arguments.platform.unwrap_or_else(Platform::host);
    let place = Transport::parse(&arguments.image)?;
    let found = place.find(&access, &platform, &std::env::temp_dir())?;
    let image = found.image();
    let contents = match arguments.no_files {
        true => None,
        false => Some(contents::read(image, found.source())?),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    match arguments.json {
        true => writeln!(out, "{:#}", as_json(image, contents.as_ref()))?,
        false => print(&mut out, image, contents.as_ref())?,
    }
    Ok(out.flush()?)
}

fn as_json(image: &Image, contents: Option<&Contents>) -> Value {
    let document = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let mut value = json!({
        "names": image.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "digest": image.digest(),
        "id": image.id(),
        "manifest": document(&image.manifest_bytes),
        "config": document(&image.config_bytes),
    });
    if let Some(contents) = contents {
        let files = contents
            .iter()
            .map(|(path, entry)| file_as_json(path, entry));
        value["files"] = files.collect();
    }
    value
}

fn file_as_json(path: &[u8], entry: &Entry) -> Value {
    let mut value = json!({
        "path": String::from_utf8_lossy(path),
        "mode": format!("{:04o}", entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
        "time": entry.time,
        "layer": entry.layer,
    });
    let kind = match &entry.kind {
        Kind::File { size, digest } => {
            value["size"] = (*size).into();
            value["digest"] = digest.to_string().into();
            "file"
        }
        Kind::Directory => "directory",
        Kind::Symlink(target) => {
            value["target"] = String::from_utf8_lossy(target).into();
            "symlink"
        }
        Kind::HardLink(target) => {
            value["target"] = String::from_utf8_lossy(target).into();
            "hard link"
        }
        Kind::Special(name) => name,
    };
    value["type"] = kind.into();
    value
}

fn print(out: &mut dyn Write, image: &Image, contents: Option<&Contents>) -> io::Result<()> {
    for name in &image.names {
        field(out, "name", name)?;
    }
    field(out, "digest", image.digest())?;
    field(out, "id", image.id())?;
    let config = &image.config;
    field(
        out,
        "platform",
        shown(&format!("{}/{}", config.os, config.architecture)),
    )?;
    if let Some(created) = &config.created {
        field(out, "created", shown(created))?;
    }
    print_run_config(out, &config.config)?;
    for layer in &image.manifest.layers {
        let kind = shown(&layer.media_type);
        field(
            out,
            "layer",
            format!("{} {} bytes {kind}", layer.digest, layer.size),
        )?;
    }
    let Some(contents) = contents else {
        return Ok(());
    };
    writeln!(out)?;
    contents
        .iter()
        .try_for_each(|(path, entry)| print_file(out, path, entry))
}

fn print_run_config(out: &mut dyn Write, run: &RunConfig) -> io::Result<()> {
    let list = |words: &[String]| {
        words
            .iter()
            .map(|word| shown(word))
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (name, value) in [
        ("user", shown(&run.user)),
        ("entrypoint", list(&run.entrypoint)),
        ("cmd", list(&run.cmd)),
        ("workdir", shown(&run.working_dir)),
        ("stopsignal", shown(&run.stop_signal)),
        (
            "health",
            run.healthcheck
                .as_ref()
                .map_or_else(String::new, |check| list(&check.test)),
        ),
    ] {
        if !value.is_empty() {
            field(out, name, value)?;
        }
    }
    run.env
        .iter()
        .try_for_each(|variable| field(out, "env", shown(variable)))?;
    run.exposed_ports
        .keys()
        .try_for_each(|port| field(out, "port", shown(port)))?;
    run.volumes
        .keys()
        .try_for_each(|volume| field(out, "volume", shown(volume)))?;
    run.on_build
        .iter()
        .try_for_each(|instruction| field(out, "onbuild", shown(instruction)))?;
    run.labels.iter().try_for_each(|(key, value)| {
        field(out, "label", format!("{}={}", shown(key), shown(value)))
    })
}

/// One line: mode, owner, size, and the last part of the path, as deep as its folders.
fn print_file(out: &mut dyn Write, path: &[u8], entry: &Entry) -> io::Result<()> {
    let depth = path.iter().filter(|&&byte| byte == b'/').count();
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let (size, end) = match &entry.kind {
        Kind::File { size, .. } => (size.to_string(), String::new()),
        Kind::Directory => (String::new(), "/".to_owned()),
        Kind::Symlink(target) => (String::new(), format!(" -> {}", target.escape_ascii())),
        Kind::HardLink(target) => (String::new(), format!(" = {}", target.escape_ascii())),
        Kind::Special(name) => (String::new(), format!(" ({name})")),
    };
    let owner = format!("{}:{}", entry.uid, entry.gid);
    let indent = "  ".repeat(depth);
    let name = name.escape_ascii();
    writeln!(
        out,
        "{:04o} {owner:<11} {size:>11}  {indent}{name}{end}",
        entry.mode
    )
}

fn field(out: &mut dyn Write, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
    writeln!(out, "{:<12}{value}", format!("{name}:"))
}

/// What somebody else wrote, harmless for a terminal.
fn shown(text: &str) -> String {
    text.escape_debug()
        .to_string()
        .replace("\\\"", "\"")
        .replace("\\'", "'")
}
