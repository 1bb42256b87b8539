//! `packer show`.

use std::io::{self, Write};

use packer::package::Package;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name of a package, a folder, or a definition [default: the package that `packer build`
    /// packs here]
    #[arg(value_name = "NAME|DIR|FILE")]
    package: Option<String>,

    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let package = Package::to_show(arguments.package.as_deref())?;
    let text = match arguments.json {
        true => package.json(),
        false => package.record(),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
