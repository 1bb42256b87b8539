//! The command line: one file a verb, which reads what was typed, calls the library and prints.
//!
//! Verbs, flags, output and exit codes are podman's. Codes are decided here: 0; what the program
//! in the container returned; 125 for an error of ours, 126 and 127 for a program that can not be
//! executed or found.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::storage::Storage;
use crate::container::Containers;
use crate::human::{one_line, tell};
use crate::paths::Paths;
use crate::sandbox::Failure;
use crate::store::Store;

mod chosen;
mod container_arguments;
mod container_filter;
mod exec;
mod follow;
mod history;
mod image;
mod image_prune;
pub mod images;
mod import;
mod info;
mod inspect;
pub mod inspect_image;
mod kill;
mod limit_arguments;
pub mod load;
mod login;
mod logs;
mod oci;
mod pack;
mod pause;
mod port;
mod process_arguments;
mod ps;
mod pull;
mod push;
mod remote;
mod restart;
mod rm;
pub mod rmi;
mod run;
mod save;
mod security;
mod short_flags;
mod sign;
mod sizes;
mod start;
mod stats;
mod stop;
mod system;
mod tag;
mod time;
mod top;
mod trust;
mod unshare;
mod update;
mod version;
mod wait;
mod watch;

/// A rootless, daemonless container engine.
///
/// In the folder of a Cargo package, `runner run` packs the package and runs it.
#[derive(Debug, Parser)]
#[command(
    name = "runner",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    // The last one counts, as with podman: scripts add flags to what they were given.
    args_override_self = true
)]
struct Cli<V: Subcommand> {
    /// Where images and containers are kept [default: ~/.local/share/runner].
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Where locks and sockets are kept until the next boot [default: $XDG_RUNTIME_DIR/runner].
    #[arg(long, global = true, value_name = "DIR")]
    runroot: Option<PathBuf>,

    #[command(subcommand)]
    verb: V,
}

/// The verbs that are typed most and have to be quick: even the names of all verbs take half a
/// millisecond to gather.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum QuickVerb {
    Run(Box<run::Arguments>),
    Exec(exec::Arguments),
}

impl From<QuickVerb> for Verb {
    fn from(verb: QuickVerb) -> Self {
        match verb {
            QuickVerb::Run(arguments) => Self::Run(*arguments),
            QuickVerb::Exec(arguments) => Self::Exec(arguments),
        }
    }
}

impl Cli<Verb> {
    /// Reads what was typed. Whatever is wrong with it, and every text of help, comes from the parser
    /// for all verbs.
    fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let cli = Self::parse_once(arguments)?;
        match cli.verb.spread_first_word(arguments) {
            Some(arguments) => Self::read(&arguments),
            None => Ok(cli),
        }
    }

    fn parse_once(arguments: &[OsString]) -> Result<Self, clap::Error> {
        if is_quick(arguments)
            && let Ok(quick) = Cli::<QuickVerb>::try_parse_from(arguments)
        {
            return Ok(Self {
                root: quick.root,
                runroot: quick.runroot,
                verb: quick.verb.into(),
            });
        }
        Self::try_parse_from(arguments)
    }
}

impl Verb {
    /// The name of a verb that ends with the words of a program, and these.
    fn program(&self) -> Option<(&'static str, &[String])> {
        match self {
            Self::Run(arguments) => Some(("run", arguments.program())),
            Self::Create(arguments) => Some(("create", arguments.program())),
            Self::Exec(arguments) => Some(("exec", arguments.program())),
            _ => None,
        }
    }

    /// What was typed, if the first word of a program is short flags with a value, in more words.
    fn spread_first_word(&self, arguments: &[OsString]) -> Option<Vec<OsString>> {
        let (name, program) = self.program()?;
        let first = program.first().filter(|word| word.starts_with('-'))?;
        let mut all = Cli::<Self>::command();
        all.build();
        let words = short_flags::spread(first, all.find_subcommand(name)?)?;
        // The program's words are the last ones.
        let place = arguments.len().checked_sub(program.len())?;
        let mut spread = arguments.to_vec();
        spread.splice(place..=place, words);
        Some(spread)
    }
}

/// Whether the first word that is no global flag is a [`QuickVerb`].
fn is_quick(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("run" | "exec") => return true,
            Some("--root" | "--runroot") => _ = words.next(),
            Some(word) if word.starts_with("--root=") || word.starts_with("--runroot=") => {}
            _ => return false,
        }
    }
    false
}

// The flags of the verb that was typed are all that a command has to know: to make those of every verb
// takes as long as many a verb itself. A doc comment on a struct of flags would then be the verb's text.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Verb {
    /// Run a program in a new container.
    Run(run::Arguments),
    /// Make a container and do not start it.
    Create(run::CreateArguments),
    /// Start containers that have ended or never ran.
    Start(start::Arguments),
    /// Run one more program in a running container.
    Exec(exec::Arguments),
    /// List containers.
    #[command(visible_alias = "list")]
    Ps(ps::Arguments),
    /// Print what a container printed.
    Logs(logs::Arguments),
    /// End containers in an orderly way.
    Stop(stop::Arguments),
    /// End containers and start them again.
    Restart(restart::Arguments),
    /// Send a signal to containers.
    Kill(kill::Arguments),
    /// Make every process of containers stand still.
    Pause(pause::Arguments),
    /// Let the processes of paused containers go on.
    Unpause(pause::Arguments),
    /// Change the limits of a container.
    Update(update::Arguments),
    /// Show what containers use.
    Stats(stats::Arguments),
    /// List the processes of a container.
    Top(top::Arguments),
    /// Wait until containers end and print their exit codes.
    Wait(wait::Arguments),
    /// Remove containers.
    Rm(rm::Arguments),
    /// Print where the ports of a container are published.
    Port(port::Arguments),
    /// Load images from an archive, or from standard input.
    Load(load::Args),
    /// Fetch images from registries.
    Pull(pull::Arguments),
    /// Send an image to a registry.
    Push(push::Arguments),
    /// Log in to a registry.
    Login(login::LoginArguments),
    /// Forget the credentials for a registry.
    Logout(login::LogoutArguments),
    /// Save images to an archive.
    Save(save::Args),
    /// Make an image from the tar of a root file system.
    Import(import::Args),
    /// List images.
    Images(images::Args),
    /// Remove images.
    Rmi(rmi::Args),
    /// Give an image more names.
    Tag(tag::TagArguments),
    /// Take names from an image.
    Untag(tag::UntagArguments),
    /// Show how an image was made, or what its name pointed at before.
    History(history::Arguments),
    /// The commands for images, under their longer names.
    #[command(subcommand)]
    Image(image::Verb),
    /// Print everything about containers or images, as JSON.
    Inspect(inspect::Arguments),
    /// What is open to a container, and what is shut.
    #[command(subcommand)]
    Security(security::Verb),
    /// Print what this engine found on this machine.
    Info(info::Arguments),
    /// How much room everything takes, and its care.
    #[command(subcommand)]
    System(system::Verb),
    /// Run a command as root of the user namespace of the images.
    Unshare(unshare::Arguments),
    /// Be an OCI runtime for podman, docker and containerd (see `runner oci --help`).
    #[command(disable_help_flag = true)]
    Oci,
    /// Print the version.
    Version(version::Arguments),
}

/// What every verb works with.
#[derive(Debug)]
pub struct Context {
    /// Where things are.
    pub paths: Paths,
    /// What the configuration says about storage.
    pub storage: Storage,
}

impl Context {
    /// The images.
    ///
    /// # Errors
    /// When the store can not be opened.
    pub fn store(&self) -> anyhow::Result<Store> {
        Ok(Store::open(&self.paths)?)
    }

    /// The containers.
    #[must_use]
    pub fn containers(&self) -> Containers {
        Containers::open(&self.paths.graphroot, &self.paths.runroot)
    }
}

/// An error with another exit code than 125.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExitWith {
    /// The line to print; nothing if it is empty.
    pub message: String,
    /// The exit code.
    pub code: u8,
}

/// The command's whole life: its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(words) = oci::words(&arguments) {
        return oci::main(words);
    }
    let cli = match Cli::read(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 125 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match execute(cli) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

fn execute(cli: Cli<Verb>) -> anyhow::Result<ExitCode> {
    let storage = Storage::load()?;
    let paths = Paths::discover(cli.root, cli.runroot, &storage)?;
    paths.create()?;
    let context = Context { paths, storage };
    match cli.verb {
        Verb::Run(arguments) => run::run(&arguments, &context),
        Verb::Create(arguments) => run::create(&arguments, &context),
        Verb::Start(arguments) => start::run(&arguments, &context),
        Verb::Exec(arguments) => exec::run(&arguments, &context),
        Verb::Ps(arguments) => ps::run(&arguments, &context),
        Verb::Logs(arguments) => logs::run(&arguments, &context),
        Verb::Stop(arguments) => stop::run(&arguments, &context),
        Verb::Restart(arguments) => restart::run(&arguments, &context),
        Verb::Kill(arguments) => kill::run(&arguments, &context),
        Verb::Pause(arguments) => pause::run(&arguments, &context, true),
        Verb::Unpause(arguments) => pause::run(&arguments, &context, false),
        Verb::Update(arguments) => update::run(&arguments, &context),
        Verb::Stats(arguments) => stats::run(&arguments, &context),
        Verb::Top(arguments) => top::run(&arguments, &context),
        Verb::Wait(arguments) => wait::run(&arguments, &context),
        Verb::Rm(arguments) => rm::run(&arguments, &context),
        Verb::Port(arguments) => port::run(&arguments, &context),
        Verb::Load(arguments) => image::load(&arguments, &context),
        Verb::Pull(arguments) => pull::run(&arguments, &context),
        Verb::Push(arguments) => push::run(&arguments, &context),
        Verb::Login(arguments) => login::login(&arguments),
        Verb::Logout(arguments) => login::logout(&arguments),
        Verb::Save(arguments) => image::save(&arguments, &context),
        Verb::Import(arguments) => image::import(&arguments, &context),
        Verb::Images(arguments) => image::list(&arguments, &context),
        Verb::Rmi(arguments) => image::remove(&arguments, &context),
        Verb::Tag(arguments) => tag::tag(&arguments, &context),
        Verb::Untag(arguments) => tag::untag(&arguments, &context),
        Verb::History(arguments) => history::run(&arguments, &context),
        Verb::Image(verb) => image::run(&verb, &context),
        Verb::Inspect(arguments) => inspect::run(&arguments, &context),
        Verb::Security(verb) => security::run(&verb, &context),
        Verb::Info(arguments) => info::run(&arguments, &context),
        Verb::System(verb) => system::run(&verb, &context),
        Verb::Unshare(arguments) => unshare::run(&arguments, &context),
        Verb::Oci => {
            anyhow::bail!("oci comes first: its flags stand after it (runner oci --root …)")
        }
        Verb::Version(arguments) => version::run(&arguments),
    }
}

/// Prints an error as one line and gives its exit code. Whoever stopped reading us is no error.
fn report(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    });
    if broken_pipe {
        return ExitCode::SUCCESS;
    }
    let (message, code) = if let Some(failure) = error.downcast_ref::<Failure>() {
        (failure.message.clone(), failure.code)
    } else if let Some(exit) = error.downcast_ref::<ExitWith>() {
        (exit.message.clone(), exit.code)
    } else {
        (format!("{error:#}"), 125)
    };
    if !message.is_empty() {
        tell(format_args!("Error: {}", one_line(&message)));
    }
    ExitCode::from(code)
}

/// The first word of a verb whose other words are those of a program, flags too; and these.
///
/// # Errors
/// For a flag before them, which is none of ours.
fn split_words(words: &[String]) -> anyhow::Result<Option<(&str, &[String])>> {
    match words.split_first() {
        Some((flag, _)) if flag.starts_with('-') => {
            anyhow::bail!("unknown flag: {} (see --help)", flag.escape_debug())
        }
        Some((first, rest)) => Ok(Some((first, rest))),
        None => Ok(None),
    }
}

/// Does `work` for each of `names` and goes on after an error, as podman does: each error is
/// printed, and the exit code is that of the first.
fn for_each<T: AsRef<str>>(
    names: &[T],
    mut work: impl FnMut(&str) -> anyhow::Result<()>,
) -> ExitCode {
    let mut first = None;
    for name in names {
        if let Err(error) = work(name.as_ref()) {
            let code = report(&error);
            first.get_or_insert(code);
        }
    }
    first.unwrap_or(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;

    /// The flags of a verb may say what it does too, and have the last word when it is made.
    fn expect_same_text(deferred: &Command, built: &Command) {
        for listed in deferred.get_subcommands() {
            let name = listed.get_name();
            let made = built.find_subcommand(name).expect("it was there before");
            let text = |command: &Command| command.get_about().map(ToString::to_string);
            assert_eq!(text(listed), text(made), "{name}");
            expect_same_text(listed, made);
        }
    }

    #[test]
    fn a_verb_says_of_itself_what_the_list_of_verbs_says() {
        let deferred = Cli::<Verb>::command();
        let mut built = Cli::<Verb>::command();
        built.build();
        expect_same_text(&deferred, &built);
        Cli::<Verb>::command().debug_assert();
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_quick_parser_reads_what_the_other_one_reads_and_refuses_what_it_refuses() {
        for line in [
            "runner run --rm -e A=1 image sh -c true",
            "runner --root /a --runroot=/b run --root /c image",
            "runner exec -i name cat --root x",
            "runner run --no-such-flag image",
            "runner exec",
            "runner run --help",
            "runner --version",
            "runner ps -a run",
        ] {
            let read = format!(
                "{:?}",
                Cli::read(&words(line)).map_err(|error| error.to_string())
            );
            let all = Cli::<Verb>::try_parse_from(words(line)).map_err(|error| error.to_string());
            assert_eq!(read, format!("{all:?}"), "{line}");
        }
        assert!(is_quick(&words("runner --root x run")) && !is_quick(&words("runner ps run")));
    }
}
