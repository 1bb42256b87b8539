//! The command line: what was typed, what came of it, and the exit code. One file a verb.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod build;
mod cache;
mod copy;
mod diff;
mod init;
mod inspect;
mod login;
mod output;
mod publish;
mod pull;
mod push;
mod report;
mod sbom;
mod show;
mod transfer;
mod write;

/// Any other error, as podman and docker have it.
const ERROR: u8 = 125;

/// From a program to a small, bit-for-bit reproducible container image.
#[derive(Debug, Parser)]
#[command(name = "packer", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

// The flags are made for the verb that was typed; a doc comment on their struct would then be its text.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Verb {
    /// Pack a program into an image archive and print the archive's path
    Build(Box<build::Arguments>),
    /// Write a definition that explains every key
    Init(init::Arguments),
    /// Copy an image from anywhere to anywhere
    Copy(copy::Arguments),
    /// Print in what two images differ; the exit code is 1 if they do
    Diff(diff::Arguments),
    /// Print what an image says about itself and what is in it
    Inspect(inspect::Arguments),
    /// Keep user name and password for a registry
    Login(login::Login),
    /// Forget user name and password for a registry
    Logout(login::Logout),
    /// Copy an image from a registry into an archive or a folder and print its path
    Pull(pull::Arguments),
    /// Copy an image from an archive or a folder to a registry and print its digest
    Push(push::Arguments),
    /// Print the bill of materials of an image or a program
    Sbom(sbom::Arguments),
    /// Print what is known about a package, as a record of recutils
    Show(show::Arguments),
}

/// Runs the command that was typed.
pub(crate) fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Init(arguments) => init::run(&arguments),
        Verb::Copy(arguments) => copy::run(arguments),
        Verb::Diff(arguments) => return finish(diff::run(arguments)),
        Verb::Inspect(arguments) => inspect::run(arguments),
        Verb::Login(arguments) => login::login(arguments),
        Verb::Logout(arguments) => login::logout(&arguments),
        Verb::Pull(arguments) => pull::run(arguments),
        Verb::Push(arguments) => push::run(arguments),
        Verb::Sbom(arguments) => sbom::run(arguments),
        Verb::Show(arguments) => show::run(&arguments),
    };
    finish(done.map(|()| ExitCode::SUCCESS))
}

/// The exit code; an error is printed on one line.
fn finish(done: anyhow::Result<ExitCode>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report::tell(format_args!("packer: {error:#}"));
            ExitCode::from(ERROR)
        }
    }
}

/// Whoever read our output has read enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_flags_of_every_verb_fit_together() {
        Arguments::command().debug_assert();
    }
}
