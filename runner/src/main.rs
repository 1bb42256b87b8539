//! The `runner` command: glue between the command line and the library.

use std::process::ExitCode;

use runner::{command, monitor, network, sandbox};

fn main() -> ExitCode {
    // This program is also every other process that a container needs.
    sandbox::dispatch(network::proxy::main);
    monitor::detached::dispatch();
    command::main()
}
