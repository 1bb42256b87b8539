//! The flags that say how a container is made, for `run` and `create`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;

use super::Context;
use super::limit_arguments::ResourceArguments;
use super::process_arguments::ProcessArguments;
use super::remote::Policy;
use crate::config::containers::Defaults;
use crate::container::Options;
use crate::container::security::{self, Seccomp};
use crate::container::volume;
use crate::human;
use crate::network::publish;
use crate::sandbox::spec::{Isolation, Network};

/// The least that `--upper` takes, in bytes: a page for each directory and then some.
const LEAST_UPPER: u64 = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct ContainerArguments {
    /// Give the container a name.
    #[arg(long)]
    name: Option<String>,

    /// When a registry is asked for the image.
    #[arg(long, value_enum, default_value_t)]
    pull: Policy,

    /// Do not say how far the image is that is pulled.
    #[arg(short, long)]
    quiet: bool,

    /// Taken for docker's sake: nothing changes.
    #[arg(long, hide = true)]
    disable_content_trust: bool,

    /// Remove the container when it ends. A folder that is run in the foreground without a name is
    /// removed anyway.
    #[arg(long)]
    rm: bool,

    /// Publish a port: [[address:][host port]:]container port. Without an address it is
    /// reachable from other machines.
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,

    /// Publish every port that the image exposes, on free ports of the host.
    #[arg(short = 'P', long)]
    publish_all: bool,

    /// Set an environment variable; a NAME without a value takes the one of this shell.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Read environment variables from a file, one NAME=VALUE a line.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// Mount a folder or file of this machine, or a named volume: source:target[:ro]; a target alone
    /// is a directory of the container's own.
    #[arg(short, long, value_name = "VOLUME")]
    volume: Vec<String>,

    /// The same in long words: type=bind,source=/data,target=/data,readonly; types are bind, volume and tmpfs.
    #[arg(long, value_name = "KEY=VALUE,...")]
    mount: Vec<String>,

    /// Mount a file system in memory, with what the image has there: target[:size=64m,mode=1777].
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<String>,

    /// The working directory.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// The user, and the group: user[:group], names of the image or numbers.
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// Pass standard input on.
    #[arg(short, long)]
    interactive: bool,

    /// Give the container a terminal.
    #[arg(short, long)]
    tty: bool,

    /// Make the root file system read-only; /run, /tmp and /var/tmp are in memory then.
    #[arg(long)]
    read_only: bool,

    /// Keep what is written to the image's files in memory and not on the disk, this much at most;
    /// it is gone when the container stops.
    #[arg(long, value_name = "tmpfs:size=SIZE")]
    upper: Option<String>,

    /// Run a small init as the first process: it passes signals on and buries orphans.
    #[arg(long)]
    init: bool,

    /// Set a label.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,

    /// Add a capability; ALL for all of them.
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,

    /// Drop a capability; ALL for all of them.
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,

    /// Open or shut something: seccomp=FILE|unconfined|baked, no-new-privileges[=false],
    /// mask=PATHS, unmask=PATHS|ALL, apparmor=PROFILE|unconfined, label=disable,
    /// landlock=unconfined, proc-opts=OPTIONS.
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,

    /// Another entry point than the image's: one word, or words as a JSON list.
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,

    /// How the container is connected: private (published ports lead in, nothing leads out),
    /// none, or host (the network of this machine, without a border) [default: private; with
    /// --isolation chroot: host]
    #[arg(long, alias = "net", value_name = "MODE")]
    network: Option<String>,

    /// What the container is shut in with: namespaces; or, for root where no user namespaces can be
    /// had, as inside another container, a root directory of its own: a weaker wall.
    #[arg(long, value_enum, value_name = "KIND", default_value_t = IsolationArgument::Namespaces)]
    isolation: IsolationArgument,

    /// The host name inside.
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,

    /// The signal that `stop` sends first.
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,

    /// Kill the container after so many seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    timeout: u64,

    /// How many seconds `stop` waits before it kills.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    stop_timeout: u64,

    #[command(flatten)]
    resources: ResourceArguments,

    #[command(flatten)]
    process: ProcessArguments,

    /// Print this help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// The values of `--isolation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum IsolationArgument {
    Namespaces,
    Chroot,
}

impl From<IsolationArgument> for Isolation {
    fn from(argument: IsolationArgument) -> Self {
        match argument {
            IsolationArgument::Namespaces => Self::Namespaces,
            IsolationArgument::Chroot => Self::Chroot,
        }
    }
}

impl ContainerArguments {
    pub(super) fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// When a registry is asked for the image, and whether nothing is said of how far it is.
    pub(super) fn pull(&self) -> (Policy, bool) {
        (self.pull, self.quiet)
    }

    pub(super) fn has_name(&self) -> bool {
        self.name.is_some()
    }

    /// What was asked for, read.
    pub(super) fn options(&self, command: &[String], context: &Context) -> anyhow::Result<Options> {
        let mut ports = Vec::new();
        for text in &self.publish {
            ports.extend(publish::parse(text)?);
        }
        let volumes = context.paths.graphroot.join("volumes");
        let mut mounts = Vec::new();
        let is_nameless = |text: &&String| text.starts_with('/') && !text.contains(':');
        for text in self.volume.iter().filter(|text| !is_nameless(text)) {
            mounts.push(volume::parse(text, &volumes)?);
        }
        for text in &self.mount {
            mounts.push(volume::parse_mount(text, &volumes)?);
        }
        let nameless = self.volume.iter().filter(is_nameless);
        let nameless = nameless.map(|text| volume::check_target(text).map_err(anyhow::Error::msg));
        for text in &self.tmpfs {
            mounts.push(volume::parse_tmpfs(text)?);
        }
        mounts.extend(self.process.shared_memory()?);
        let mut targets: Vec<_> = mounts.iter().map(|mount| mount.target()).collect();
        targets.sort_unstable();
        if let Some(pair) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
            anyhow::bail!("{}: duplicate mount destination", pair[0]);
        }
        let defaults = Defaults::load()?;
        let network = match (&self.network, self.isolation) {
            (Some(mode), _) => read_network(mode)?,
            (None, IsolationArgument::Namespaces) => Network::Private,
            (None, IsolationArgument::Chroot) => Network::Host,
        };
        Ok(Options {
            name: self.name.as_deref().map(str::parse).transpose()?,
            command: command.to_vec(),
            entrypoint: self.entrypoint.as_deref().map(read_entrypoint),
            environment: environment(&self.env, &self.env_file)?,
            directory: self.workdir.clone(),
            user: self.user.clone(),
            // An empty one is none, as with podman.
            hostname: self.hostname.clone().filter(|name| !name.is_empty()),
            cap_add: split_lists(&self.cap_add),
            cap_drop: split_lists(&self.cap_drop),
            terminal: self.tty,
            interactive: self.interactive,
            init: self.init || defaults.init,
            resources: self.resources.read(&defaults)?,
            security: security::Request {
                seccomp: defaults
                    .seccomp_profile
                    .map_or(Seccomp::Baked, Seccomp::File),
                options: self.security_opt.clone(),
                cache: context.paths.graphroot.join("seccomp"),
            },
            time_limit: Some(self.timeout).filter(|seconds| *seconds > 0),
            default_capabilities: defaults.capabilities,
            read_only: self.read_only,
            memory_upper: self.upper.as_deref().map(read_upper).transpose()?,
            remove: self.rm,
            isolation: self.isolation.into(),
            network,
            surroundings: self.process.read(self.isolation.into(), network)?,
            ports,
            publish_all: self.publish_all,
            publish_implied: false,
            mounts,
            volumes: nameless.collect::<Result<_, _>>()?,
            labels: labels(&self.label)?,
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout,
        })
    }
}

/// `tmpfs:size=64m`. There is no size that suits everybody: too large takes the machine's memory, too small
/// is a program that fails.
fn read_upper(text: &str) -> anyhow::Result<u64> {
    let size = text.strip_prefix("tmpfs:size=").and_then(human::parse_size);
    size.filter(|size| *size >= LEAST_UPPER).with_context(|| {
        let shown = text.escape_debug();
        format!(
            "--upper {shown}: tmpfs with a size from 64k on is expected, such as tmpfs:size=64m"
        )
    })
}

fn read_network(mode: &str) -> anyhow::Result<Network> {
    Ok(match mode {
        "private" | "default" => Network::Private,
        "none" => Network::None,
        "host" => Network::Host,
        other => anyhow::bail!(
            "--network {}: the networks here are private, none and host",
            other.escape_debug()
        ),
    })
}

/// `--cap-add a,b --cap-add c`.
fn split_lists(lists: &[String]) -> Vec<String> {
    lists
        .iter()
        .flat_map(|list| list.split(','))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// One word, or a JSON list of words. Nothing at all takes the image's entry point away.
fn read_entrypoint(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| {
        let word = Some(text).filter(|text| !text.is_empty());
        word.map(str::to_owned).into_iter().collect()
    })
}

fn labels(texts: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    texts
        .iter()
        .map(|text| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            ensure!(
                !name.is_empty(),
                "the label \"{}\" has no name",
                text.escape_debug()
            );
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The variables of files and then those of the command line, as `NAME=value`.
pub(super) fn environment(variables: &[String], files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut environment = Vec::new();
    for path in files {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the variables in {}", path.display()))?;
        for line in text.lines().map(str::trim_start) {
            if !line.is_empty() && !line.starts_with('#') {
                environment.extend(variable(line)?);
            }
        }
    }
    for text in variables {
        environment.extend(variable(text)?);
    }
    Ok(environment)
}

/// `NAME=value`, also for a `NAME` alone, which takes the value of our own environment; nothing if
/// it has none there.
fn variable(text: &str) -> anyhow::Result<Option<String>> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, std::env::var(text).ok()),
    };
    ensure!(
        !name.is_empty() && !text.contains('\0'),
        "\"{}\" is no environment variable: NAME or NAME=VALUE is expected",
        text.escape_debug()
    );
    Ok(value.map(|value| format!("{name}={value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_point_is_a_word_or_a_list() {
        assert_eq!(read_entrypoint("/bin/sh"), ["/bin/sh"]);
        assert_eq!(read_entrypoint(r#"["/bin/sh","-c"]"#), ["/bin/sh", "-c"]);
        assert!(read_entrypoint("").is_empty());
    }

    #[test]
    fn an_upper_layer_in_memory_has_a_size() {
        assert_eq!(read_upper("tmpfs:size=64m").unwrap(), 64 << 20);
        for text in [
            "tmpfs",
            "tmpfs:",
            "tmpfs:size=",
            "tmpfs:size=0",
            "tmpfs:size=-1",
            "disk",
            "64m",
            "",
        ] {
            assert!(read_upper(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables_come_from_files_and_from_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        fs::write(
            &file,
            "# a comment\n\nA=1\n  B=two words\nNOT_SET_ANYWHERE\n",
        )
        .unwrap();
        let read = environment(&["A=3".to_owned()], &[file]).unwrap();
        assert_eq!(read, ["A=1", "B=two words", "A=3"]);
        assert!(environment(&["=x".to_owned()], &[]).is_err());
    }
}
