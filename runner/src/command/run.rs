//! `runner run` and `runner create`.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use packer::reference::Reference;

use super::container_arguments::ContainerArguments;
use super::{Context, pack, pull, split_words};
use crate::config::storage::Driver;
use crate::container::create::{self, Source};
use crate::container::folder::ContainerError;
use crate::container::{Container, ContainerId, Containers};
use crate::human::tell;
use crate::monitor::{self, Attach, Begun, detached};
use crate::network::{PortMapping, publish};
use crate::sandbox::Failure;
use crate::sandbox::handle::ProcessId;
use crate::sandbox::spec::{Isolation, Network};
use crate::sandbox::userns::UserNamespace;
use crate::store::{Owners, Resolved, StoreError};
use crate::trust::Trust;

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// Leave the container running and print its id.
    #[arg(short, long)]
    detach: bool,

    /// Show this stream of the program alone, or these: with commas, or given several times. Everything is in
    /// the log all the same.
    #[arg(
        short,
        long,
        value_name = "STREAM",
        value_delimiter = ',',
        ignore_case = true
    )]
    attach: Vec<Stream>,

    #[command(flatten)]
    container: ContainerArguments,

    #[command(flatten)]
    words: Words,
}

/// A stream that can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

impl Arguments {
    /// The image and the words of the program.
    pub(super) fn program(&self) -> &[String] {
        &self.words.words
    }

    /// What of the caller's is connected with the program. Its input is so where --interactive says it, with
    /// podman too.
    fn attachment(&self) -> Attach {
        let input = self.container.is_interactive();
        if self.attach.is_empty() {
            return Attach::fully(input);
        }
        Attach {
            input,
            output: self.attach.contains(&Stream::Stdout),
            error: self.attach.contains(&Stream::Stderr),
        }
    }
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct CreateArguments {
    #[command(flatten)]
    container: ContainerArguments,

    #[command(flatten)]
    words: Words,
}

// What is run.
#[derive(Debug, Args)]
struct Words {
    /// The image, or a folder of a Cargo package that is packed first (., ./DIR or /DIR; the
    /// present one if nothing is given); then another command than the image's, or arguments for
    /// its entry point.
    // One list and not two: everything after the image is the command's, flags too.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "IMAGE [COMMAND]"
    )]
    words: Vec<String>,
}

impl CreateArguments {
    /// The image and the words of the program.
    pub(super) fn program(&self) -> &[String] {
        &self.words.words
    }
}

impl Words {
    fn split(&self) -> anyhow::Result<(&str, &[String])> {
        Ok(split_words(&self.words)?.unwrap_or((".", &[])))
    }
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    let purpose = Purpose::Run {
        creator: monitor::own_id()?,
        detach: arguments.detach,
    };
    let parts = (&arguments.container, &arguments.words);
    let (container, begun) = make(parts, &purpose, context, &containers)?;
    if arguments.detach {
        let paths = &context.paths;
        let started = detached::start(&paths.graphroot, &paths.runroot, &container);
        containers.sweep_soon(Some(&container.record.id));
        match started {
            Ok(ports) => {
                tell_implied(&container, &ports);
                writeln!(stdout(), "{}", container.record.id)?;
                return Ok(ExitCode::SUCCESS);
            }
            Err(failure) => {
                // podman keeps a container that failed to start; a port that was taken changes
                // nothing at all here, and the name is free for the next try.
                let _ = containers.remove(&container);
                return Err(failure.into());
            }
        }
    }
    let attach = arguments.attachment();
    let started = monitor::open_ports(&container).and_then(|listeners| {
        monitor::start(
            &containers,
            &container,
            begun,
            &context.paths.runroot,
            listeners,
            attach,
        )
    });
    let watched = match started {
        Ok(watched) => watched,
        Err(failure) => {
            let _ = containers.remove(&container);
            return Err(failure.into());
        }
    };
    tell_implied(&container, watched.ports());
    if !(attach.output || attach.error) {
        // It is all that is said.
        writeln!(stdout(), "{}", container.record.id)?;
    }
    // Of what others left, while the program is at work.
    containers.sweep_soon(Some(&container.record.id));
    Ok(ExitCode::from(watched.wait()))
}

pub(super) fn create(arguments: &CreateArguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    let parts = (&arguments.container, &arguments.words);
    let (container, _) = make(parts, &Purpose::Keep, context, &containers)?;
    writeln!(stdout(), "{}", container.record.id)?;
    Ok(ExitCode::SUCCESS)
}

/// What a container is made for.
enum Purpose {
    /// To be started by this command.
    Run { creator: ProcessId, detach: bool },
    /// To be started later.
    Keep,
}

impl Purpose {
    fn is_foreground(&self) -> bool {
        matches!(self, Self::Run { detach: false, .. })
    }
}

/// Finds or packs the image and writes the container down. For one that is about to be started its
/// namespaces are begun meanwhile.
fn make(
    (arguments, words): (&ContainerArguments, &Words),
    purpose: &Purpose,
    context: &Context,
    containers: &Containers,
) -> anyhow::Result<(Container, Option<Begun>)> {
    // Read before anything is compiled: a mistake in the flags shows at once.
    let (what, command) = words.split()?;
    let mut options = arguments.options(command, context)?;
    ensure!(
        options.memory_upper.is_none() || context.storage.driver == Driver::Overlay,
        "--upper is a layer over the image, and the driver vfs that was chosen has none: leave one of the two away"
    );
    let store = context.store()?;
    let (name, image) = match as_folder(what) {
        Some(folder) => {
            options.publish_implied = true;
            // Nobody asked for a container that stays, and it has no name to find it by.
            options.remove |= purpose.is_foreground() && !arguments.has_name();
            pack::pack(&folder, context)?
        }
        None => {
            let found = pull::for_run(what, arguments.pull(), context, &store)?;
            let origins = store.origins(&found.image.id)?;
            Trust::load()?.check_stored(&found.image.digest, &origins)?;
            (name_of(&found, what), found.image)
        }
    };
    // Not before: an image may have to be compiled or pulled first, and that can be interrupted.
    let id = ContainerId::random().context("cannot make an id")?;
    let begun = if purpose.is_foreground() {
        let streams = (options.terminal, arguments.is_interactive());
        let (runroot, resources) = (&context.paths.runroot, &options.resources);
        // Why it can not be begun is said when it has to be.
        let walls = (options.isolation, options.network);
        monitor::begin(runroot, &id, resources, walls, streams).ok()
    } else {
        None
    };
    // Nobody removes the image until the container that uses it is written down.
    let _hold = store.hold()?;
    if store.image(&image.id)?.is_none() {
        return Err(StoreError::UnknownImage(name).into());
    }
    ensure!(
        options.isolation == Isolation::Chroot
            || image.owners != Owners::Host
            || UserNamespace::acquire(&context.paths.runroot).is_err(),
        "the files of {name} were placed where there were no user namespaces: runner system migrate places \
         them again"
    );
    let source = Source {
        name,
        id: image.id,
        config: &image.config,
        tree: &image.tree,
    };
    let mut record = create::create(id, &source, &options).map_err(|error| match error {
        // The runtime's error with podman, and so its code.
        create::CreateError::User(error) => Failure::not_startable(error.to_string()).into(),
        error => anyhow::Error::from(error),
    })?;
    if let Purpose::Run { creator, .. } = purpose {
        record.creator = Some(*creator);
    }
    hint_at_ports(&image.config, &record);
    let container = match containers.add(record.clone(), arguments.has_name()) {
        // Perhaps by one that should be gone already.
        Err(ContainerError::NameInUse { .. }) => {
            containers.sweep_soon(None);
            containers.add(record, arguments.has_name())?
        }
        added => added?,
    };
    if context.storage.driver == Driver::Vfs || options.isolation == Isolation::Chroot {
        container.copy_image()?;
    }
    Ok((container, begun))
}

/// What a container calls its image: by its name, by the digest that was asked for, or by its id.
fn name_of(found: &Resolved, what: &str) -> String {
    let by_digest = || {
        let asked: Reference = what.parse().ok()?;
        Some(asked.with_digest(asked.digest()?))
    };
    let name = found.name.clone().or_else(by_digest);
    name.map_or_else(|| found.image.id.hex(), |name| name.to_string())
}

/// The folder that `what` means, if it is one and no image: `.`, or a path with a slash at its
/// beginning or after the dots.
fn as_folder(what: &str) -> Option<PathBuf> {
    let begins = [".", "..", "./", "../", "/"];
    let is_path =
        matches!(what, "." | "..") || begins[2..].iter().any(|begin| what.starts_with(begin));
    is_path.then(|| Path::new(what).to_owned())
}

/// Prints the address of a port that nobody asked for by number.
fn tell_implied(container: &Container, ports: &[PortMapping]) {
    for &port in &container.record.implied_ports {
        let open = ports.iter().find(|mapping| mapping.container_port == port);
        if let Some(mapping) = open {
            tell(format_args!("http://localhost:{}", mapping.host_port));
            if mapping.host_port != port {
                tell(format_args!(
                    "(port {port} is taken on this machine; -p PORT:{port} asks for a certain one)"
                ));
            }
        }
    }
}

/// Says how to reach a program whose image exposes ports that are not published.
fn hint_at_ports(config: &packer::image::ImageConfig, record: &crate::container::Record) {
    let published = !record.ports.is_empty() || !record.implied_ports.is_empty();
    if published || record.network != Network::Private || !stderr().is_terminal() {
        return;
    }
    let exposed = config.config.exposed_ports.keys();
    if let Some(port) = exposed.filter_map(|text| publish::exposed(text)).next() {
        let host = if port < 1024 { 8000 + port } else { port };
        tell(format_args!(
            "(the image listens on port {port}, which is not published: -p {host}:{port} would)"
        ));
    }
}
