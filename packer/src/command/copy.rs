//! `packer copy`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use packer::archive::Layout;
use packer::image::Platform;
use packer::place::Held;
use packer::reference::Reference;
use packer::registry::{Access, End, Extent, Push};
use packer::transport::Transport;
use packer::{Digest, ImageName};

use super::push::parse;
use super::transfer::{RegistryArguments, Watcher, platform};
use super::write::{Destination, Format, folder_of};
use packer::credentials::Credentials;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image: docker://REFERENCE, docker-archive:FILE[:NAME], oci-archive:FILE[:NAME],
    /// oci:DIR[:NAME], dir:DIR, a path or a reference
    #[arg(value_name = "FROM")]
    from: String,

    /// Where it goes, written as FROM is
    #[arg(value_name = "TO")]
    to: String,

    /// Copy an index with the images for all platforms
    #[arg(short, long, conflicts_with = "platform")]
    all: bool,

    /// Copy the image for this platform and not the one for this machine
    #[arg(long, value_name = "OS/ARCHITECTURE", value_parser = platform)]
    platform: Option<Platform>,

    /// Log in with these where the image comes from
    #[arg(long, value_name = "USER:PASSWORD")]
    src_creds: Option<Credentials>,

    /// Log in with these where the image goes
    #[arg(long, value_name = "USER:PASSWORD")]
    dest_creds: Option<Credentials>,

    /// Write the digest of the manifest to this file
    #[arg(long, alias = "digest-file", value_name = "FILE")]
    digestfile: Option<PathBuf>,

    /// Print nothing but the result
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let from = arguments.registry.access(arguments.src_creds)?;
    let to = arguments.registry.access(arguments.dest_creds)?;
    let (source, target) = (
        Transport::parse(&arguments.from)?,
        Transport::parse(&arguments.to)?,
    );
    let platform = arguments.platform.unwrap_or_else(Platform::host);
    let find = |source: &Transport, temporary: &Path| match arguments.all {
        true => source.find_whole(&from, temporary),
        false => source.find(&from, &platform, temporary),
    };
    let (shown, digest) = match (&source, &target) {
        (Transport::Registry(typed), Transport::Registry(_)) => {
            let target = parse(&arguments.to)?;
            let extent = if arguments.all {
                Extent::All
            } else {
                Extent::One(platform.clone())
            };
            let digest = between_registries(&from, typed, &to, &target, &extent, arguments.quiet)?;
            (target.untagged(), digest)
        }
        (_, Transport::Registry(_)) => {
            let target = parse(&arguments.to)?;
            let found = find(&source, &std::env::temp_dir())?;
            let watcher = Watcher::new(arguments.quiet);
            let push = Push::open(&to, &target)?;
            let digest = push.held(found.held(), found.source(), &|what| watcher.pushing(what))?;
            (target.untagged(), digest)
        }
        (_, Transport::Archive { path, name } | Transport::Folder { path, name, .. }) => {
            let format = match &target {
                Transport::Folder {
                    layout: Layout::Oci,
                    ..
                } => Format::OciLayout,
                Transport::Folder { .. } => Format::Dir,
                _ => Format::Archive,
            };
            let found = find(&source, &folder_of(path))?;
            let held = renamed(found.held(), name.as_deref())?;
            let watcher = Watcher::new(arguments.quiet);
            let destination = Destination::open(path, format)?;
            destination.write(&held, found.source(), &mut |step| watcher.copying(step))?;
            (target.to_string(), held.digest())
        }
    };
    if let Some(path) = &arguments.digestfile {
        let written = std::fs::write(path, digest.to_string());
        written.with_context(|| format!("{} cannot be written", path.display()))?;
    }
    // Standard output may be the archive.
    if shown != "-" {
        writeln!(io::stdout(), "{shown}@{digest}")?;
    }
    Ok(())
}

fn between_registries(
    from: &Access,
    typed: &str,
    to: &Access,
    target: &Reference,
    extent: &Extent,
    quiet: bool,
) -> anyhow::Result<Digest> {
    let watcher = Watcher::new(quiet);
    let target = End {
        access: to,
        reference: target,
    };
    let candidates = from.registries().candidates(typed)?;
    let mut last = None;
    for reference in &candidates {
        let source = End {
            access: from,
            reference,
        };
        match packer::registry::copy(source, target, extent, &|what| watcher.pushing(what)) {
            Ok(digest) => return Ok(digest),
            // A short name may mean another registry.
            Err(error) if error.is_not_found() => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.map_or_else(|| anyhow::anyhow!("{typed} was not found"), Into::into))
}

/// What was found under the name that it gets in an archive: a whole one, or a tag for the one it
/// has.
fn renamed(held: &Held, name: Option<&str>) -> anyhow::Result<Held> {
    let Some(typed) = name else {
        return Ok(held.clone());
    };
    let whole = typed.contains(['/', ':']);
    let name: ImageName = match held.names().first() {
        Some(known) if !whole => known.with_tag(typed)?,
        _ => typed.parse()?,
    };
    Ok(held.clone().renamed(vec![name]))
}
