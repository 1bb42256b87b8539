//! The `packer` command: glue between the command line and the library.

use std::process::ExitCode;

mod command;

fn main() -> ExitCode {
    command::main()
}
