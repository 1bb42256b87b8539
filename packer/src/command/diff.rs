//! `packer diff`: the reproducibility detective.

use std::io::{self, Write};
use std::process::ExitCode;

use packer::contents;
use packer::difference::{Side, compare};
use packer::image::Platform;
use packer::transport::Transport;

use super::transfer::{RegistryArguments, platform};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// An image: a path, docker-archive:FILE[:NAME], oci-archive:FILE[:NAME], oci:DIR[:NAME], dir:DIR
    /// or a reference
    #[arg(value_name = "A")]
    a: String,

    /// Another one
    #[arg(value_name = "B")]
    b: String,

    /// Compare the images for this platform
    #[arg(long, value_name = "OS/ARCHITECTURE", value_parser = platform)]
    platform: Option<Platform>,

    #[command(flatten)]
    registry: RegistryArguments,
}

/// The images differ, as diff(1) has it.
const DIFFERENT: u8 = 1;

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let access = arguments.registry.access(None)?;
    let platform = arguments.platform.unwrap_or_else(Platform::host);
    let find = |typed: &str| -> anyhow::Result<_> {
        Ok(Transport::parse(typed)?.find(&access, &platform, &std::env::temp_dir())?)
    };
    let (a, b) = (find(&arguments.a)?, find(&arguments.b)?);
    if a.image().digest() == b.image().digest() {
        return Ok(ExitCode::SUCCESS);
    }
    let in_a = contents::read(a.image(), a.source())?;
    let in_b = contents::read(b.image(), b.source())?;
    let [a, b] = [(&a, &in_a), (&b, &in_b)].map(|(found, contents)| Side {
        image: found.image(),
        contents,
    });
    let mut out = io::stdout().lock();
    for difference in compare(a, b) {
        writeln!(out, "{difference}")?;
    }
    Ok(ExitCode::from(DIFFERENT))
}
