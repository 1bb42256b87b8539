//! `exec`.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;

use super::Context;
use crate::monitor::Attach;
use crate::monitor::relay::{self, Relay, Streams};
use crate::oci::config::{self, Capabilities, Config};
use crate::oci::process::{self, Passed, Place};
use crate::oci::state;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Send the terminal to this socket.
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,

    /// Another working directory than the container's.
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,

    /// NAME=value, more than once.
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Give the program a terminal.
    #[arg(short, long)]
    tty: bool,

    /// UID or UID:GID instead of the container's.
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,

    /// More groups, more than once.
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,

    /// A file that describes the process, in place of all other flags about it.
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,

    /// Do not wait for the program's end.
    #[arg(short, long)]
    detach: bool,

    /// Write the id of the process to this file.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// The SELinux label.
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,

    /// The AppArmor profile.
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,

    /// Keep the process from getting more privileges.
    #[arg(long)]
    no_new_privs: bool,

    /// A capability, more than once.
    #[arg(short, long, value_name = "NAME")]
    cap: Vec<String>,

    /// How many descriptors after the streams the program gets.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    preserve_fds: u32,

    /// Into a cgroup below the container's, which is there; with controllers before it in the first version of
    /// cgroups.
    #[arg(long, value_name = "[CONTROLLERS:]PATH")]
    cgroup: Vec<String>,

    /// Join a container that is paused too; it runs when that goes on.
    #[arg(long)]
    ignore_paused: bool,

    /// The container, and the program with its arguments.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "CONTAINER [COMMAND]"
    )]
    words: Vec<String>,
}

impl Arguments {
    /// What to run: the file's process, or the container's with other words.
    fn process(&self, config: &Config) -> anyhow::Result<config::Process> {
        let mut process = match &self.process {
            Some(path) => config::Process::read(path)?,
            None => {
                let own = config.process.clone().unwrap_or_default();
                ensure!(
                    self.words.len() > 1,
                    "exec: no command: give one, or --process"
                );
                config::Process {
                    args: Some(self.words[1..].to_vec()),
                    terminal: Some(self.tty),
                    ..own
                }
            }
        };
        // conmon gives both.
        if self.tty {
            process.terminal = Some(true);
        }
        if self.process.is_none() {
            self.change(&mut process)?;
        }
        Ok(process)
    }

    fn change(&self, process: &mut config::Process) -> anyhow::Result<()> {
        if let Some(cwd) = &self.cwd {
            process.cwd.clone_from(cwd);
        }
        process.env.get_or_insert_default().extend(self.env.clone());
        if let Some(user) = &self.user {
            let (uid, gid) = user.split_once(':').unwrap_or((user, ""));
            let what = || format!("--user: \"{}\" is no id", user.escape_debug());
            process.user.uid = uid.parse().with_context(what)?;
            if !gid.is_empty() {
                process.user.gid = gid.parse().with_context(what)?;
            }
        }
        let groups = process.user.additional_gids.get_or_insert_default();
        groups.extend(&self.additional_gids);
        if self.no_new_privs {
            process.no_new_privileges = Some(true);
        }
        let text = |new: &Option<String>, old: &mut Option<String>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        text(&self.process_label, &mut process.selinux_label);
        text(&self.apparmor, &mut process.apparmor_profile);
        let sets = process
            .capabilities
            .get_or_insert_with(Capabilities::default);
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.get_or_insert_default().extend(self.cap.clone());
        }
        Ok(())
    }
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let passed = Passed::of_caller(arguments.preserve_fds)?;
    let container = context.root.find(&arguments.words[0])?;
    let config = container.config()?;
    let process = arguments.process(config)?;
    let terminal = process.terminal == Some(true);
    ensure!(
        !(arguments.detach && terminal) || arguments.console_socket.is_some(),
        "cannot allocate tty if runc will detach without setting console socket: give \
         --console-socket"
    );
    let signals = relay::catch_signals()?;
    let null = File::open("/dev/null").context("/dev/null")?;
    let stdio = if terminal {
        [null.as_fd(); 3]
    } else {
        [
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
        ]
    };
    let mut running = process::exec(
        &container,
        config,
        &process,
        stdio,
        &passed,
        &Place {
            cgroups: arguments.cgroup.clone(),
            ignore_paused: arguments.ignore_paused,
        },
    )?;
    if let Some(path) = &arguments.console_socket {
        process::send_terminal(&mut running, path)?;
    }
    if let Some(path) = &arguments.pid_file {
        state::write_whole(path, running.process.pid.to_string().as_bytes())?;
    }
    if arguments.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let attach = Attach::fully(terminal && arguments.console_socket.is_none());
    let started = running.process;
    // Without a terminal the program has our own streams, and only signals are carried.
    let streams = Streams::new(true, false)?;
    let mut relay = Relay::new(&mut running, signals, streams, None, attach)?;
    let code = relay.run(started, || ());
    relay.finish();
    Ok(ExitCode::from(code))
}
