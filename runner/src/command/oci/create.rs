//! `create` and `run`.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;

use super::Context;
use crate::monitor::Attach;
use crate::monitor::relay::{self, Relay, Streams};
use crate::oci::config::Config;
use crate::oci::container::{self, Options};
use crate::oci::process::Passed;
use crate::sandbox::Running;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder of config.json.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,

    /// Send the terminal to this socket.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,

    /// Write the id of the first process to this file.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Enter the root file system without pivot_root, as one in memory needs it.
    #[arg(long)]
    no_pivot: bool,

    /// Leave the program in the caller's session keyring.
    #[arg(long)]
    no_new_keyring: bool,

    /// How many descriptors after the streams the program gets.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    preserve_fds: u32,

    /// The container's name.
    #[arg(value_name = "CONTAINER")]
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Do not wait for the program's end.
    #[arg(short, long)]
    detach: bool,

    /// Leave the container's state after its end.
    #[arg(long)]
    keep: bool,

    /// Whose children orphans become; for other runtimes' sake.
    #[arg(long, hide = true)]
    no_subreaper: bool,

    #[command(flatten)]
    create: Arguments,
}

impl Arguments {
    fn options(&self, context: &Context) -> anyhow::Result<Options> {
        Ok(Options {
            bundle: self.bundle.clone(),
            console_socket: self.console_socket.clone(),
            pid_file: self.pid_file.clone(),
            no_pivot: self.no_pivot,
            systemd: context.systemd,
            new_keyring: !self.no_new_keyring,
            passed: Passed::of_caller(self.preserve_fds)?,
        })
    }

    fn has_terminal(&self) -> anyhow::Result<bool> {
        let (config, _) = Config::read(&self.bundle)?;
        Ok(config
            .process
            .is_some_and(|process| process.terminal == Some(true)))
    }

    /// A terminal needs somebody who takes it.
    fn check_console(&self, detached: bool) -> anyhow::Result<bool> {
        let terminal = self.has_terminal()?;
        ensure!(
            !(detached && terminal) || self.console_socket.is_some(),
            "cannot allocate tty if runc will detach without setting console socket: give \
             --console-socket"
        );
        ensure!(
            terminal || self.console_socket.is_none(),
            "cannot use console socket if runc will not detach or allocate tty: process.terminal \
             is false"
        );
        Ok(terminal)
    }
}

pub(super) fn create(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let options = arguments.options(context)?;
    arguments.check_console(true)?;
    container::create(&context.root, &arguments.id, &options, &mut drop)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(arguments: &RunArguments, context: &Context) -> anyhow::Result<ExitCode> {
    let id = &arguments.create.id;
    let options = arguments.create.options(context)?;
    let terminal = arguments.create.check_console(arguments.detach)?;
    let signals = relay::catch_signals()?;
    let mut master: Option<OwnedFd> = None;
    let made = container::create(&context.root, id, &options, &mut |found| {
        master = Some(found);
    })?;
    if let Err(error) = container::start(&made) {
        let _ = container::delete(&context.root, id, true);
        return Err(error);
    }
    if arguments.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let mut running = Running {
        process: made.saved.process,
        terminal: master,
        mounts: None,
        guard: None,
        notes: Vec::new(),
    };
    // Without a terminal the program has our own streams, and only signals are carried.
    let streams = Streams::new(true, false)?;
    let attach = Attach::fully(terminal && options.console_socket.is_none());
    let mut relay = Relay::new(&mut running, signals, streams, None, attach)?;
    let code = relay.run(made.saved.process, || ());
    relay.finish();
    if !arguments.keep {
        container::delete_own(&context.root, &made)?;
    }
    Ok(ExitCode::from(code))
}
