//! `packer show`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use packer::package::Package;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A package of this workspace by its name, or the folder of a package [default: the package
    /// that `packer build` packs here]
    #[arg(value_name = "NAME|DIR")]
    package: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let here = Path::new(".");
    let package = match &arguments.package {
        None => Package::to_show(here, None),
        Some(name) => show_named(here, name),
    }?;
    io::stdout().write_all(package.record().as_bytes())?;
    Ok(())
}

/// A word that could be both is the name of a package first: `server` in a workspace whose folder
/// `server` holds it means the same either way.
fn show_named(here: &Path, name: &Path) -> Result<Package, packer::package::PackageError> {
    let text = name.to_string_lossy();
    if text.contains('/') || text.starts_with('.') {
        return Package::to_show(name, None);
    }
    match Package::to_show(here, Some(&text)) {
        Err(_) if name.is_dir() => Package::to_show(name, None),
        other => other,
    }
}
