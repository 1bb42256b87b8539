//! `packer build --push`: what was packed goes to registries.

use std::path::Path;

use anyhow::Context;
use packer::archive::Archive;
use packer::plan::Packed;
use packer::reference::Reference;
use packer::registry::{Access, Push};

use super::output::Output;
use super::sbom::Bills;
use super::transfer::Watcher;

/// Pushes the only image of an archive, or its index with all images, to every reference, and
/// copies it into `output`, if that is somewhere else. The layers of a `base` in the same registry
/// are not sent. The bills of materials are attached to the images.
pub(super) fn publish(
    archive: &Path,
    references: &[Reference],
    base: Option<&Reference>,
    bills: &Bills,
    access: &Access,
    output: Output,
) -> anyhow::Result<()> {
    let (archive, held) = Archive::open_whole(archive, &std::env::temp_dir())?;
    let image = held.first().context("the archive is empty")?;
    for reference in references {
        let mut push = Push::open(access, reference)?;
        if let Some(base) = base {
            push = push.coming_from(base);
        }
        let watcher = Watcher::new(false);
        push.held(image, &archive, &|what| watcher.pushing(what))?;
        bills.attach(&push, image.images())?;
    }
    output.copy(&held, &archive)
}

/// The references that were given, each once.
pub(super) fn references(typed: &[String]) -> anyhow::Result<Vec<Reference>> {
    let mut references: Vec<Reference> = Vec::new();
    for typed in typed {
        let reference = super::push::parse(typed)?;
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    Ok(references)
}

/// What can be pulled now: each repository with the digest, once.
pub(super) fn pullable(references: &[Reference], packed: &Packed) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for reference in references {
        let line = format!("{}@{}", reference.untagged(), packed.digest);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}
