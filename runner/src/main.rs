//! The `runner` command: glue between the command line and the library.

use std::process::ExitCode;

use dlmalloc::GlobalDlmalloc;
use runner::{command, monitor, network, sandbox};

/// musl's asks the kernel for a page at a time and gives it back at once, which would be most of the system
/// calls of a start.
#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

fn main() -> ExitCode {
    // This program is also every other process that a container needs.
    sandbox::dispatch(network::proxy::main);
    monitor::dispatch();
    command::main()
}
