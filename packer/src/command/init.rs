//! `packer init`.

use std::io::{self, Write};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder of the program
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let file = packer::package::init(&arguments.folder)?;
    writeln!(io::stdout(), "{}", file.display())?;
    Ok(())
}
