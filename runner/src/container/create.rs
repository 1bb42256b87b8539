//! From an image and what the user asked for to a container's record.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use packer::Digest;
use packer::image::{ImageConfig, Platform};

use super::accounts;
use super::id::ContainerId;
use super::isolation::{self, Walls};
use super::name::ContainerName;
use super::record::{Record, Volume};
use super::resources::Resources;
use super::security::{self, BadSecurity};
use super::user;
use crate::network::{PortMapping, publish};
use crate::sandbox::capability::CapabilitySet;
use crate::sandbox::spec::{Isolation, Network};
use crate::signal;

/// What a container is made of: an image that is in the store.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// Its name as the user gave it, completed; or its id.
    pub name: String,
    /// Its id.
    pub id: Digest,
    /// Its config.
    pub config: &'a ImageConfig,
    /// Its files.
    pub tree: &'a std::path::Path,
}

/// What surrounds the processes of a container, where somebody asks for something else than usual.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `--umask`.
    pub umask: Option<u32>,
    /// `--oom-score-adj`.
    pub oom_score_adjustment: Option<i32>,
    /// `--group-add`: names of the image or numbers.
    pub groups: Vec<String>,
    /// `--sysctl`: paths below `/proc/sys`, and values.
    pub parameters: Vec<(String, String)>,
    /// `--add-host`: lines of `/etc/hosts`.
    pub hosts: Vec<String>,
    /// `--unsetenv`: names of variables of the image.
    pub unset: Vec<String>,
    /// `--unsetenv-all`.
    pub unset_all: bool,
}

/// What the user asked for; everything that was left out comes from the image.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `-v` without a source: paths inside that are directories.
    pub volumes: Vec<String>,
    /// What few ask for.
    pub surroundings: Surroundings,
    /// `--name`.
    pub name: Option<ContainerName>,
    /// The words after the image.
    pub command: Vec<String>,
    /// `--entrypoint`, split into words; an empty list for `--entrypoint ""`.
    pub entrypoint: Option<Vec<String>>,
    /// `-e` and `--env-file`, as `NAME=value`, the last of a name wins.
    pub environment: Vec<String>,
    /// `-w`.
    pub directory: Option<String>,
    /// `-u`.
    pub user: Option<String>,
    /// `-h`.
    pub hostname: Option<String>,
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `-t`.
    pub terminal: bool,
    /// `-i`.
    pub interactive: bool,
    /// `--init`.
    pub init: bool,
    /// `--read-only`.
    pub read_only: bool,
    /// `--upper`: the most bytes in memory.
    pub memory_upper: Option<u64>,
    /// `--rm`.
    pub remove: bool,
    /// The limits, and what concerns cgroups.
    pub resources: Resources,
    /// `--security-opt`.
    pub security: security::Request,
    /// `--timeout`, in seconds.
    pub time_limit: Option<u64>,
    /// `default_capabilities` of the configuration.
    pub default_capabilities: Option<Vec<String>>,
    /// `--isolation`.
    pub isolation: Isolation,
    /// `--network`.
    pub network: Network,
    /// `-p`.
    pub ports: Vec<PortMapping>,
    /// `-P`.
    pub publish_all: bool,
    /// Whether the image was made of the directory that the user stands in, so that its ports
    /// are meant to be seen.
    pub publish_implied: bool,
    /// `-v` and `--tmpfs`.
    pub mounts: Vec<Volume>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--stop-signal`.
    pub stop_signal: Option<String>,
    /// `--stop-timeout`, in seconds.
    pub stop_timeout: u64,
}

/// Something that was asked for and can not be.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is nothing to run.
    #[error("no command to run: the image names none; give one after its name")]
    NoCommand,
    /// The image is for other processors.
    #[error(
        "the image is for {image} and this machine is {machine}: take an image for {machine}, or \
         install qemu-user-static, which runs the other one through binfmt_misc"
    )]
    OtherArchitecture {
        /// What the image is for.
        image: String,
        /// What this machine is.
        machine: String,
    },
    /// A user that the image does not have.
    #[error(transparent)]
    User(#[from] user::UnknownUser),
    /// A capability that there is not.
    #[error("\"{}\" is no capability: see capabilities(7) for their names", .0.escape_debug())]
    Capability(String),
    /// Every one is to be had and none.
    #[error("adding all caps and removing all caps not allowed: leave --cap-add or --cap-drop out")]
    AllCapabilities,
    /// One is to be had and not.
    #[error("capability \"{0}\" cannot be dropped and added: leave --cap-add or --cap-drop out")]
    AddedAndDropped(CapabilitySet),
    /// A `--security-opt` that can not be.
    #[error(transparent)]
    Security(#[from] BadSecurity),
    /// A directory that is no path.
    #[error("the working directory \"{}\" is no absolute path", .0.escape_debug())]
    Directory(String),
    /// A signal that there is not.
    #[error("\"{}\" is no signal: give a name such as TERM or a number", .0.escape_debug())]
    Signal(String),
    /// A host name that is none.
    #[error(
        "\"{}\" is no host name: letters, digits, '-' and '.', at most 64", .0.escape_debug()
    )]
    Hostname(String),
    /// Something that can not be had with it.
    #[error("--isolation chroot {0}")]
    Isolation(String),
    /// An option that makes no sense with the host's network.
    #[error("--network {0} has no ports of its own to publish: leave out -p and -P, or --network")]
    PortsWithoutNetwork(&'static str),
}

/// Decides everything about a new container, which is to have this id.
///
/// # Errors
/// [`CreateError`] for the first thing that can not be.
pub fn create(
    id: ContainerId,
    source: &Source<'_>,
    options: &Options,
) -> Result<Record, CreateError> {
    check_platform(source.config)?;
    isolation::check(options)?;
    let image = &source.config.config;
    let (entrypoint, arguments) = arguments(source.config, options)?;
    let user_text = options.user.clone().unwrap_or_else(|| image.user.clone());
    let mut user = user::find(source.tree, &user_text)?;
    let around = &options.surroundings;
    user.groups
        .extend(user::groups(source.tree, &around.groups)?);
    let (bounding, ambient) = capabilities(options, user.uid)?;
    let hostname = hostname(&id, options)?;
    let (ports, implied_ports) = ports(source.config, options)?;
    let stop_signal = options.stop_signal.as_deref().unwrap_or(&image.stop_signal);
    let stop_signal = match stop_signal {
        "" => libc::SIGTERM,
        text => signal::parse(text).ok_or_else(|| CreateError::Signal(text.to_owned()))?,
    };
    Ok(Record {
        name: options
            .name
            .clone()
            .unwrap_or_else(|| ContainerName::for_id(&id, 0)),
        created: now(),
        creator: None,
        image: source.name.clone(),
        image_id: source.id,
        tree: source.tree.to_owned(),
        entrypoint,
        arguments,
        environment: environment(image, options, &user.home, hostname.as_deref()),
        directory: directory(image, options)?,
        accounts: accounts::files(source.tree, &user, &user_text),
        hosts: around.hosts.clone(),
        parameters: around.parameters.clone(),
        umask: around.umask,
        oom_score_adjustment: around.oom_score_adjustment,
        make_directory: options.directory.is_none(),
        user: user_text,
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        hostname,
        bounding,
        ambient,
        terminal: options.terminal,
        interactive: options.interactive,
        init: options.init,
        read_only: options.read_only,
        memory_upper: options.memory_upper,
        remove: options.remove,
        resources: options.resources.clone(),
        security: options.security.decide(bounding)?,
        time_limit: options.time_limit,
        isolation: options.isolation,
        network: options.network,
        ports,
        implied_ports,
        volumes: volumes(image)
            .into_iter()
            .chain(options.volumes.clone())
            .collect(),
        mounts: options.mounts.clone(),
        labels: image
            .labels
            .clone()
            .into_iter()
            .chain(options.labels.clone())
            .collect(),
        stop_signal,
        stop_timeout: options.stop_timeout,
        id,
    })
}

/// Nanoseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Refuses an image for other processors, unless the kernel was told how to run its programs.
fn check_platform(config: &ImageConfig) -> Result<(), CreateError> {
    let machine = Platform::host().architecture;
    let image = config.architecture.as_str();
    if image.is_empty() || image == machine || binfmt_runs(image) {
        return Ok(());
    }
    Err(CreateError::OtherArchitecture {
        image: image.escape_debug().to_string(),
        machine,
    })
}

/// Whether binfmt_misc has an interpreter for programs of `architecture`.
fn binfmt_runs(architecture: &str) -> bool {
    let emulator = match architecture {
        "amd64" => "qemu-x86_64",
        "arm64" => "qemu-aarch64",
        "arm" => "qemu-arm",
        "386" => "qemu-i386",
        "riscv64" => "qemu-riscv64",
        "ppc64le" => "qemu-ppc64le",
        "s390x" => "qemu-s390x",
        _ => return false,
    };
    let path = format!("/proc/sys/fs/binfmt_misc/{emulator}");
    std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("enabled"))
}

/// How many words are the entry point, and all words.
fn arguments(config: &ImageConfig, options: &Options) -> Result<(usize, Vec<String>), CreateError> {
    let image = &config.config;
    let entrypoint = options.entrypoint.as_ref().unwrap_or(&image.entrypoint);
    // An entry point from the command line makes the image's arguments meaningless.
    let command = if options.command.is_empty() && options.entrypoint.is_none() {
        &image.cmd
    } else {
        &options.command
    };
    let arguments: Vec<_> = entrypoint.iter().chain(command).cloned().collect();
    if arguments.first().is_none_or(String::is_empty) {
        return Err(CreateError::NoCommand);
    }
    Ok((entrypoint.len(), arguments))
}

/// The environment: the image's, what every container has, and what the user asked for.
fn environment(
    image: &packer::image::RunConfig,
    options: &Options,
    home: &str,
    hostname: Option<&str>,
) -> Vec<String> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut set =
        |name: &str, value: &str| match variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => variables.push((name.to_owned(), value.to_owned())),
        };
    set(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    set("TERM", "xterm");
    set("container", "runner");
    // Only what has a name and a value: "NAME" alone or "*" would take the host's (CVE-2026-57231).
    let image = image
        .env
        .iter()
        .filter_map(|variable| variable.split_once('='));
    let around = &options.surroundings;
    let is_unset = |name: &str| around.unset_all || around.unset.iter().any(|unset| unset == name);
    for (name, value) in image.filter(|(name, _)| !name.is_empty() && !is_unset(name)) {
        set(name, value);
    }
    if let Some(hostname) = hostname {
        set("HOSTNAME", hostname);
    }
    set("HOME", home);
    for (name, value) in options
        .environment
        .iter()
        .filter_map(|variable| variable.split_once('='))
    {
        set(name, value);
    }
    variables
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn directory(image: &packer::image::RunConfig, options: &Options) -> Result<String, CreateError> {
    let directory = options.directory.as_ref().unwrap_or(&image.working_dir);
    match directory.as_str() {
        "" => Ok("/".to_owned()),
        path if path.starts_with('/') => Ok(path.to_owned()),
        other => Err(CreateError::Directory(other.to_owned())),
    }
}

/// What the image calls volumes; what is no path inside is passed over.
fn volumes(image: &packer::image::RunConfig) -> Vec<String> {
    let paths = image.volumes.keys();
    paths
        .filter_map(|path| super::volume::check_target(path).ok())
        .collect()
}

/// The bounding and the ambient set of a process of `uid`.
///
/// # Errors
/// [`CreateError::Capability`] for a name that is none.
fn capabilities(
    options: &Options,
    uid: u32,
) -> Result<(CapabilitySet, CapabilitySet), CreateError> {
    let parse = |name: &String| {
        CapabilitySet::parse(name).ok_or_else(|| CreateError::Capability(name.clone()))
    };
    let mut bounding = CapabilitySet::container_default();
    if let Some(names) = &options.default_capabilities {
        let sets = names.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        bounding = sets
            .into_iter()
            .fold(CapabilitySet::EMPTY, CapabilitySet::union);
    }
    let dropped = options
        .cap_drop
        .iter()
        .map(parse)
        .collect::<Result<Vec<_>, _>>()?;
    let added = options
        .cap_add
        .iter()
        .map(parse)
        .collect::<Result<Vec<_>, _>>()?;
    let all = CapabilitySet::all();
    if added.contains(&all) && dropped.contains(&all) {
        return Err(CreateError::AllCapabilities);
    }
    let is_named = |set: &&CapabilitySet| **set != all;
    if let Some(both) = added
        .iter()
        .filter(is_named)
        .find(|set| dropped.contains(set))
    {
        return Err(CreateError::AddedAndDropped(*both));
    }
    // "ALL" first, so that "drop all, add one" and "add all, drop one" both mean what they say.
    let mut wanted = CapabilitySet::EMPTY;
    if dropped.contains(&all) {
        bounding = CapabilitySet::EMPTY;
    }
    for set in added {
        bounding = bounding.union(set);
        wanted = wanted.union(set);
    }
    for set in dropped.into_iter().filter(|set| *set != all) {
        bounding = bounding.minus(set);
        wanted = wanted.minus(set);
    }
    if options.isolation == Isolation::Chroot {
        bounding = bounding.intersection(Walls::find().capabilities());
    }
    let ambient = if uid == 0 {
        CapabilitySet::EMPTY
    } else {
        wanted.intersection(bounding)
    };
    Ok((bounding, ambient))
}

fn hostname(id: &ContainerId, options: &Options) -> Result<Option<String>, CreateError> {
    let Some(name) = &options.hostname else {
        return Ok((options.network != Network::Host).then(|| id.short().to_owned()));
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) {
        return Err(CreateError::Hostname(name.clone()));
    }
    Ok(Some(name.clone()))
}

/// Ports that were asked for, and ports that are published without having been asked for.
fn ports(
    config: &ImageConfig,
    options: &Options,
) -> Result<(Vec<PortMapping>, Vec<u16>), CreateError> {
    let exposed: Vec<u16> = config
        .config
        .exposed_ports
        .keys()
        .filter_map(|text| publish::exposed(text))
        .collect();
    let mut ports = options.ports.clone();
    if options.publish_all {
        let named = |port: &u16| {
            options
                .ports
                .iter()
                .any(|mapping| mapping.container_port == *port)
        };
        ports.extend(
            exposed
                .iter()
                .filter(|port| !named(port))
                .map(|&port| PortMapping {
                    address: None,
                    host_port: 0,
                    container_port: port,
                    protocol: crate::network::Protocol::Tcp,
                }),
        );
    }
    if options.network != Network::Private {
        let name = if options.network == Network::Host {
            "host"
        } else {
            "none"
        };
        // With the host's network the ports are the host's own already, as with podman.
        return match (ports.is_empty(), options.network) {
            (true, _) | (false, Network::Host) => Ok((Vec::new(), Vec::new())),
            _ => Err(CreateError::PortsWithoutNetwork(name)),
        };
    }
    let meant = options.publish_implied
        || config
            .config
            .labels
            .contains_key(packer::image::PUBLISH_LABEL);
    let implied = if ports.is_empty() && meant {
        exposed
    } else {
        Vec::new()
    };
    Ok((ports, implied))
}

#[cfg(test)]
mod tests;
