//! `runner exec`.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use super::container_arguments::environment;
use super::{Context, ExitWith, chosen, split_words};
use crate::container::state::Status;
use crate::container::{ContainerId, Record, State, isolation, user};
use crate::monitor::session::Session;
use crate::monitor::terminal;
use crate::paths::Paths;
use crate::sandbox::Failure;
use crate::sandbox::capability::CapabilitySet;
use crate::sandbox::spec::{Capabilities, Carried, Join, Process};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Let it run in the background, without the caller's streams, and print the id of the session.
    #[arg(short, long)]
    detach: bool,

    /// Pass standard input on.
    #[arg(short, long)]
    interactive: bool,

    /// Give the program a terminal.
    #[arg(short, long)]
    tty: bool,

    /// Another user than the container's: user[:group].
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// Another working directory than the container's.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// Set an environment variable.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Read environment variables from a file.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// In the container that was made last.
    #[arg(short, long)]
    latest: bool,

    /// The name or the id of the container, unless --latest says which; then the program and its
    /// arguments.
    // One list and not two: everything after the container is the program's, flags too.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CONTAINER COMMAND"
    )]
    words: Vec<String>,
}

impl Arguments {
    /// The container and the words of the program.
    pub(super) fn program(&self) -> &[String] {
        &self.words
    }

    /// podman's code for what can not be executed at all.
    fn refusal(&self) -> u8 {
        if self.detach { 125 } else { 255 }
    }

    fn refuse(&self, why: &str) -> ExitWith {
        ExitWith {
            message: format!(
                "can only create exec sessions on running containers: container state improper ({why})"
            ),
            code: self.refusal(),
        }
    }

    /// The container's name or id, and the program with its arguments.
    fn split(&self, context: &Context) -> anyhow::Result<(String, &[String])> {
        let (name, command) = match self.latest {
            true => (chosen::latest(context)?, &self.words[..]),
            false => {
                let missing = "exec requires the name or ID of a container or the --latest flag";
                let (name, command) = split_words(&self.words)?.context(missing)?;
                (name.to_owned(), command)
            }
        };
        if command.is_empty() {
            bail!(ExitWith {
                message: format!("name a program to execute in {name}, and its arguments"),
                code: self.refusal(),
            });
        }
        Ok((name, command))
    }
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let (name, command) = arguments.split(context)?;
    let container = context.containers().find(&name)?;
    let (Status::Running(handle), Some(state)) = (container.status(), container.state()) else {
        bail!(arguments.refuse(&format!("{} does not run", container.record.name)));
    };
    drop(handle);
    // It would be born standing still, and nobody could end it.
    if state.is_paused() {
        bail!(arguments.refuse(&format!("{} is paused", container.record.name)));
    }
    let process = process(arguments, command, &container.record, &state)?;
    let join = Join {
        pid: state.process.pid,
        start_time: state.process.start_time,
        process,
        own_cgroups: container.record.resources.own_cgroups && state.root.is_none(),
        root: state.root.clone(),
        bound: true,
        carried: Carried::default(),
    };
    let session = Session {
        join,
        cgroup: state.cgroup,
        terminal: arguments.tty,
        interactive: arguments.interactive && !arguments.detach,
    };
    let Paths { graphroot, runroot } = &context.paths;
    if !arguments.detach {
        return Ok(ExitCode::from(session.run(&container, runroot)?));
    }
    let id = ContainerId::random()?;
    // Whatever was wrong, as with podman.
    session
        .leave(&container, graphroot, runroot)
        .map_err(|failure| Failure::engine(failure.message))?;
    writeln!(stdout(), "{id}")?;
    Ok(ExitCode::SUCCESS)
}

fn process(
    arguments: &Arguments,
    command: &[String],
    record: &Record,
    state: &State,
) -> anyhow::Result<Process> {
    let root = match &state.root {
        Some(root) => root.clone(),
        None => PathBuf::from(format!("/proc/{}/root", state.process.pid)),
    };
    let (uid, gid, groups, home) = find_user(arguments, record, &root)?;
    let mut variables = record.environment.clone();
    if let Some(home) = home {
        variables.retain(|variable| !variable.starts_with("HOME="));
        variables.push(format!("HOME={home}"));
    }
    for variable in environment(&arguments.env, &arguments.env_file)? {
        let name = variable.split('=').next().unwrap_or("").to_owned() + "=";
        variables.retain(|known| !known.starts_with(&name));
        variables.push(variable);
    }
    let directory = arguments.workdir.as_ref().unwrap_or(&record.directory);
    anyhow::ensure!(
        directory.starts_with('/'),
        "the working directory \"{}\" is no absolute path",
        directory.escape_debug()
    );
    let bounding = isolation::bounding(record);
    let ambient = if uid == 0 {
        CapabilitySet::EMPTY
    } else {
        record.ambient.intersection(bounding)
    };
    Ok(Process {
        arguments: command.to_vec(),
        environment: variables,
        directory: directory.clone(),
        make_directory: false,
        uid,
        gid,
        groups,
        capabilities: Capabilities::of_user(uid, bounding, ambient),
        most_descriptors: true,
        traits: record.traits(),
        terminal: arguments.tty.then(terminal::own_size),
        rlimits: record.resources.rlimits(record.isolation),
        filter: record.security.filter.clone(),
        scopes: record.security.scopes(record.network),
        beside_host: state.root.is_some(),
        no_new_privileges: record.security.no_new_privileges,
        apparmor: record.security.apparmor.clone(),
    })
}

type FoundUser = (u32, u32, Vec<u32>, Option<String>);

/// The container's own user, or another one of its image.
fn find_user(arguments: &Arguments, record: &Record, root: &Path) -> anyhow::Result<FoundUser> {
    match &arguments.user {
        None => Ok((record.uid, record.gid, record.groups.clone(), None)),
        Some(text) => {
            let user = user::find(root, text)?;
            Ok((user.uid, user.gid, user.groups, Some(user.home)))
        }
    }
}
