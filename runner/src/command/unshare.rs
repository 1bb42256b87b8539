//! `runner unshare`: a command in the user namespace of the images, in which the user is root.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::{Context, ExitWith};
use crate::sandbox::userns::UserNamespace;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The command and its arguments [default: $SHELL]
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    words: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let shell = || vec![std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned())];
    let words = match arguments.words.is_empty() {
        true => shell(),
        false => arguments.words.clone(),
    };
    UserNamespace::acquire(&context.paths.runroot)?.enter()?;
    let (program, rest) = words
        .split_first()
        .ok_or_else(|| anyhow::anyhow!("no command"))?;
    let error = Command::new(program)
        .args(rest)
        .env("CONTAINERS_GRAPHROOT", &context.paths.graphroot)
        .env("CONTAINERS_RUNROOT", &context.paths.runroot)
        .exec();
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => 127,
        _ => 126,
    };
    Err(ExitWith {
        message: format!("cannot execute {}: {error}", program.escape_debug()),
        code,
    }
    .into())
}
