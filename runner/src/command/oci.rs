//! `runner oci`: the command line of an OCI runtime, as runc has it. Called by the name `runc`, this
//! program is that and nothing else.
//!
//! An error goes to standard error and into the log, where callers look for it, and the exit code
//! is 1 as runc's is (255 for `exec`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::human::{one_line, tell};
use crate::oci::log;
use crate::oci::state::Root;

mod create;
mod exec;
mod query;
mod usage;

/// The name that callers know a runtime of this kind by.
const RUNC: &str = "runc";

/// The usual root when called by our own name.
const OWN_ROOT: &str = "runner-oci";

/// An OCI runtime: it makes containers of bundles (a folder with config.json).
///
/// podman, dockerd and containerd call it; flags and output are runc's.
#[derive(Debug, Parser)]
#[command(max_term_width = 100, disable_version_flag = true)]
struct Cli {
    /// Where the state of containers is kept [default: /run/runner-oci, or below $XDG_RUNTIME_DIR].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Where errors are written, beside standard error.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// How they are written there.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    log_format: log::Format,

    /// Have systemd make the control groups.
    #[arg(long)]
    systemd_cgroup: bool,

    /// Whether to do without root; found out by itself.
    #[arg(long, value_name = "BOOL", hide = true)]
    rootless: Option<String>,

    /// Tell more; there is nothing more to tell.
    #[arg(long, hide = true)]
    debug: bool,

    /// Print the version.
    #[arg(short, long)]
    version: bool,

    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Verb {
    /// Print what this runtime can do, as JSON.
    Features,
    /// Make a container of a bundle; its program waits for start.
    Create(create::Arguments),
    /// Start the program of a container that was created.
    Start(query::Name),
    /// Print the state of a container, as JSON.
    State(query::Name),
    /// Send a signal to a container (SIGTERM if none is named).
    Kill(query::Kill),
    /// Remove what is left of a container.
    Delete(query::Delete),
    /// Run one more program in a container.
    Exec(exec::Arguments),
    /// List the processes of a container.
    Ps(usage::Ps),
    /// Stop the processes of a container where they stand.
    Pause(query::Name),
    /// Let the processes of a paused container go on.
    Resume(query::Name),
    /// Change the limits of a container.
    Update(usage::Update),
    /// Print what a container uses, every few seconds or once.
    Events(usage::Events),
    /// Make a container, start its program, wait for its end and remove it.
    Run(create::RunArguments),
    /// List containers.
    List(query::List),
    /// Write a config.json to begin with.
    Spec(query::Spec),
}

/// What every verb works with.
struct Context {
    root: Root,
    /// Whether systemd makes the control groups.
    systemd: bool,
}

/// The words of the command line if it is one of the runtime: `runner oci …`, or any of `runc`.
pub(super) fn words(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (name, rest) = arguments.split_first()?;
    if is_runc(name) {
        return Some(rest.to_vec());
    }
    match rest.split_first() {
        Some((verb, rest)) if verb == "oci" => Some(rest.to_vec()),
        _ => None,
    }
}

fn is_runc(name: &OsString) -> bool {
    Path::new(name).file_name().is_some_and(|name| name == RUNC)
}

/// The runtime's whole life: its exit code.
pub(super) fn main(words: Vec<OsString>) -> ExitCode {
    let by_name = std::env::args_os()
        .next()
        .is_some_and(|name| is_runc(&name));
    let (shown, root) = if by_name {
        (RUNC, RUNC)
    } else {
        ("runner oci", OWN_ROOT)
    };
    let cli = match Cli::try_parse_from([OsString::from(shown)].into_iter().chain(words)) {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::from(error.use_stderr());
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    if cli.version {
        return version(shown);
    }
    let failed = if matches!(cli.verb, Some(Verb::Exec(_))) {
        255
    } else {
        1
    };
    let (log, format) = (cli.log.clone(), cli.log_format);
    match execute(cli, root) {
        Ok(code) => code,
        Err(error) => {
            let message = in_gos_words(one_line(&format!("{error:#}")));
            if let Some(Err(reason)) = log.map(|log| log::error(&log, format, &message)) {
                tell(format_args!("{shown}: cannot write the log: {reason}"));
            }
            tell(format_args!("{shown}: {message}"));
            ExitCode::from(failed)
        }
    }
}

/// Callers that are written in Go tell reasons apart by Go's words for them, which are the C library's
/// in lower case: dockerd makes exit code 126 of "permission denied".
fn in_gos_words(mut message: String) -> String {
    for phrase in [
        "Permission denied",
        "No such file or directory",
        "Operation not permitted",
        "Is a directory",
        "Not a directory",
        "Exec format error",
    ] {
        message = message.replace(phrase, &phrase.to_lowercase());
    }
    message
}

fn execute(cli: Cli, root: &str) -> anyhow::Result<ExitCode> {
    let Some(verb) = cli.verb else {
        anyhow::bail!("name a command (see --help)");
    };
    // These two need no container.
    match &verb {
        Verb::Features => return query::features(),
        Verb::Spec(arguments) => return query::spec(arguments),
        _ => {}
    }
    let context = Context {
        root: Root::open(cli.root.as_deref(), root)?,
        systemd: cli.systemd_cgroup,
    };
    match verb {
        Verb::Create(arguments) => create::create(&arguments, &context),
        Verb::Run(arguments) => create::run(&arguments, &context),
        Verb::Start(arguments) => query::start(&arguments, &context),
        Verb::State(arguments) => query::state(&arguments, &context),
        Verb::Kill(arguments) => query::kill(&arguments, &context),
        Verb::Delete(arguments) => query::delete(&arguments, &context),
        Verb::Exec(arguments) => exec::run(&arguments, &context),
        Verb::Ps(arguments) => usage::ps(&arguments, &context),
        Verb::Pause(arguments) => usage::freeze(&arguments, &context, true),
        Verb::Resume(arguments) => usage::freeze(&arguments, &context, false),
        Verb::Update(arguments) => usage::update(&arguments, &context),
        Verb::Events(arguments) => usage::events(&arguments, &context),
        Verb::List(arguments) => query::list(&arguments, &context),
        Verb::Features | Verb::Spec(_) => Ok(ExitCode::SUCCESS),
    }
}

/// The lines that dockerd reads.
fn version(shown: &str) -> ExitCode {
    println!("{shown} version {}", env!("CARGO_PKG_VERSION"));
    println!("commit: {}", env!("CARGO_PKG_VERSION"));
    println!("spec: {}", crate::oci::VERSION);
    ExitCode::SUCCESS
}
