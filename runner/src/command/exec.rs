//! `runner exec`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::container_arguments::environment;
use super::{Context, ExitWith};
use crate::container::state::Status;
use crate::container::{Record, State, isolation, user};
use crate::monitor::Attach;
use crate::monitor::relay::{self, Relay, Streams};
use crate::monitor::terminal;
use crate::sandbox;
use crate::sandbox::capability::CapabilitySet;
use crate::sandbox::spec::{Capabilities, Carried, Join, Process, Traits};

#[derive(Debug, Args)]
pub(super) struct Arguments {
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

    /// The name or the id.
    container: String,

    /// The program and its arguments.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let container = context.containers().find(&arguments.container)?;
    let (Status::Running(handle), Some(state)) = (container.status(), container.state()) else {
        bail!(ExitWith {
            message: format!(
                "can only create exec sessions on running containers: container state improper \
                 ({} does not run)",
                container.record.name
            ),
            code: 255,
        });
    };
    drop(handle);
    let process = process(arguments, &container.record, &state)?;
    let join = Join {
        pid: state.process.pid,
        start_time: state.process.start_time,
        process,
        own_cgroups: container.record.resources.own_cgroups && state.root.is_none(),
        root: state.root.clone(),
        bound: true,
        carried: Carried::default(),
    };
    let attach = Attach {
        input: arguments.interactive,
        output: true,
    };
    let signals = relay::catch_signals()?;
    let streams = Streams::new(arguments.tty, arguments.interactive)?;
    let group = state.cgroup.as_ref();
    let mut running = sandbox::join(
        &join,
        &context.paths.runroot,
        group,
        streams.inside(),
        &mut container.moments(Some(state.process)),
    )?;
    let process = running.process;
    let mut relay = Relay::new(&mut running, signals, streams, None, attach)?;
    let code = relay.run(process, || ());
    relay.finish();
    Ok(ExitCode::from(code))
}

fn process(arguments: &Arguments, record: &Record, state: &State) -> anyhow::Result<Process> {
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
        arguments: arguments.command.clone(),
        environment: variables,
        directory: directory.clone(),
        make_directory: false,
        uid,
        gid,
        groups,
        capabilities: Capabilities::of_user(uid, bounding, ambient),
        most_descriptors: true,
        traits: Traits::default(),
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
