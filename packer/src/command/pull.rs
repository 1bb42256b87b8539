//! `packer pull`.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use packer::image::Platform;
use packer::registry::Pull;

use super::transfer::{RegistryArguments, Watcher, platform};
use super::write::{Destination, Format, folder_of};
use packer::credentials::Credentials;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image: [REGISTRY/]REPOSITORY[:TAG][@DIGEST]
    #[arg(value_name = "REFERENCE")]
    reference: String,

    /// Write it to this file or folder, or to standard output (-) [default: NAME-TAG.tar here]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// What is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Pull the image for this platform and not for the one of this machine
    #[arg(long, value_name = "OS/ARCHITECTURE", value_parser = platform)]
    platform: Option<Platform>,

    /// Log in with these for this one pull
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<Credentials>,

    /// Print nothing but the path
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let access = arguments.registry.access(arguments.creds)?;
    let typed = arguments
        .reference
        .strip_prefix("docker://")
        .unwrap_or(&arguments.reference);
    let wanted = arguments.platform.unwrap_or_else(Platform::host);
    let folder = match &arguments.output {
        Some(path) if path.as_os_str() != "-" => folder_of(path),
        _ => std::env::temp_dir(),
    };
    // Before anything is fetched, so that a place that cannot be written costs no time.
    let typed_place = match &arguments.output {
        Some(path) => Some(Destination::open(path, arguments.format)?),
        None => None,
    };
    let pull = Pull::find(&access, typed, &wanted, &folder)?;
    let (path, destination) = match (arguments.output, typed_place) {
        (Some(path), Some(destination)) => (path, destination),
        _ => {
            let path = default_path(&pull, arguments.format);
            let destination = Destination::open(&path, arguments.format)?;
            (path, destination)
        }
    };
    let watcher = Watcher::new(arguments.quiet);
    destination.write(pull.held(), &pull, &mut |step| watcher.copying(step))?;
    drop(watcher);
    if path.as_os_str() != "-" {
        let mut line = path.as_os_str().as_bytes().to_vec();
        line.push(b'\n');
        io::stdout().write_all(&line)?;
    }
    Ok(())
}

/// A name for the archive: the last part of the image's, and its tag.
fn default_path(pull: &Pull, format: Format) -> PathBuf {
    let held = pull.held();
    let name = match held.names().first() {
        Some(name) => {
            let last = name.repository().rsplit('/').next().unwrap_or_default();
            format!("{last}-{}", name.tag())
        }
        None => held.digest().hex(),
    };
    match format {
        Format::Archive => PathBuf::from(format!("{name}.tar")),
        Format::OciLayout | Format::Dir => PathBuf::from(name),
    }
}
