//! Running the hooks of a container (config.md, "POSIX-platform Hooks").

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Pid;

use super::failure::{Failure, describe};
use super::handle::Handle;
use super::spec::{Hook, Told};

impl Told {
    /// What a hook inside reads: the state, with the process id that the container's first process
    /// has there.
    pub(super) fn state(&self) -> String {
        let mut state = self.state.clone();
        state.insert("pid".to_owned(), std::process::id().into());
        serde_json::Value::Object(state).to_string()
    }
}

/// Runs `hooks`, which stand under `name` in the configuration, one after the other. Each reads
/// `state` from its standard input.
///
/// # Errors
/// When one could not be started, failed, or took longer than it may; the others are not run.
pub fn run_all(name: &str, hooks: &[Hook], state: &str) -> Result<(), Failure> {
    for hook in hooks {
        run(hook, state).map_err(|reason| {
            let path = hook.path.display();
            Failure::engine(format!("the {name} hook {path} {reason}"))
        })?;
    }
    Ok(())
}

fn run(hook: &Hook, state: &str) -> Result<(), String> {
    let environment = hook.env.iter().filter_map(|line| line.split_once('='));
    let mut command = Command::new(&hook.path);
    if let Some((name, arguments)) = hook.args.split_first() {
        command.arg0(name).args(arguments);
    }
    let mut child = command
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("could not be started: {}", describe(&error)))?;
    if let Some(mut input) = child.stdin.take() {
        // A hook that does not read is as good as one that does.
        let _ = input.write_all(state.as_bytes());
    }
    match wait(&mut child, hook.timeout.map(Duration::from_secs))? {
        status if status.success() => Ok(()),
        status => Err(format!("failed: {status}")),
    }
}

fn wait(child: &mut Child, limit: Option<Duration>) -> Result<ExitStatus, String> {
    let handle = Pid::from_raw(child.id().cast_signed()).map(Handle::of_child);
    let in_time = match handle {
        Some(Ok(handle)) => handle.wait(limit),
        _ => true,
    };
    if !in_time {
        let _ = child.kill();
        let _ = child.wait();
        return Err("took longer than its time limit".to_owned());
    }
    child.wait().map_err(|error| describe(&error))
}
