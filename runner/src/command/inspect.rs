//! `runner inspect`: everything about containers, and images, as JSON with podman's field names.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::sizes::Sizes;
use super::{Context, ExitWith, chosen, port, time};
use crate::container::folder::ContainerError;
use crate::container::record::{Volume, VolumeOptions};
use crate::container::state::Status;
use crate::container::{Container, Record};
use crate::sandbox::cgroup::{Ceiling, Cgroup};
use crate::sandbox::spec::{Network, Propagation, Rlimit};
use crate::signal;
use crate::template::{Shape, Template};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print with a Go template, or `json`.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,

    /// What the names mean.
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE",
        value_enum,
        default_value_t
    )]
    kind: Kind,

    /// Print how much a container wrote and how large its image is, in bytes.
    #[arg(short, long)]
    size: bool,

    /// The container that was made last.
    #[arg(short, long)]
    latest: bool,

    /// Names or ids.
    #[arg(required_unless_present = "latest", value_name = "NAME")]
    names: Vec<String>,
}

impl Arguments {
    /// Refuses what podman refuses, in its words.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.latest || self.names.is_empty(),
            "--latest and arguments cannot be used together"
        );
        if let Kind::Image = self.kind {
            ensure!(!self.size, "size is not supported for type \"image\"");
            ensure!(!self.latest, "latest is not supported for type \"image\"");
        }
        Ok(())
    }
}

/// What a name may be one of.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Kind {
    Container,
    Image,
    #[default]
    All,
}

#[derive(Debug, Args)]
pub(super) struct ImageArguments {
    /// Print with a Go template, or `json`.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,

    /// Names or ids.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

pub(super) fn image(arguments: &ImageArguments, context: &Context) -> anyhow::Result<ExitCode> {
    let arguments = Arguments {
        format: arguments.format.clone(),
        kind: Kind::Image,
        size: false,
        latest: false,
        names: arguments.images.clone(),
    };
    run(&arguments, context)
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    arguments.check()?;
    if arguments.size {
        // What containers wrote may be closed to everybody but their own root.
        super::image::enter(context)?;
    }
    let last = match arguments.latest {
        true => {
            let last = chosen::last(context)?;
            let last = last.context("no containers to inspect: no such container")?;
            Some(last.record.id.to_string())
        }
        false => None,
    };
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in last.iter().chain(&arguments.names) {
        match inspect(arguments, name, context) {
            Ok(value) => found.push(value),
            Err(error) => errors.push(error),
        }
    }
    let mut out = stdout().lock();
    match arguments.format.as_deref() {
        None | Some("json") => writeln!(out, "{:#}", Value::Array(found))?,
        Some(format) => {
            let template = Template::parse(format)?;
            for value in &found {
                let shape = match value.get("RootFS") {
                    Some(_) => super::inspect_image::SHAPE,
                    None => Shape::default(),
                };
                writeln!(out, "{}", template.render_as(value, &shape)?)?;
            }
        }
    }
    match errors.into_iter().next() {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(error),
    }
}

fn inspect(arguments: &Arguments, name: &str, context: &Context) -> anyhow::Result<Value> {
    let described = |container: &Container| {
        let mut value = describe(container);
        if arguments.size {
            add_sizes(&mut value, container, context)?;
        }
        anyhow::Ok(value)
    };
    let container = || context.containers().find(name);
    let image = || {
        context
            .store()
            .map(|store| super::inspect_image::inspect(name, &store, "overlay"))
    };
    match arguments.kind {
        Kind::Container => described(&container()?),
        Kind::Image => Ok(image()??),
        Kind::All => match container() {
            Ok(container) => described(&container),
            Err(ContainerError::NotFound(_)) => image()?.map_err(|_| {
                let message = format!("no such object: \"{}\"", name.escape_debug());
                ExitWith { message, code: 125 }.into()
            }),
            Err(error) => Err(error.into()),
        },
    }
}

/// Adds the bytes that the container wrote, and those of its image.
fn add_sizes(value: &mut Value, container: &Container, context: &Context) -> anyhow::Result<()> {
    let sizes = Sizes::of(container, &context.store()?)?;
    value["SizeRw"] = json!(sizes.written);
    value["SizeRootFs"] = json!(sizes.image);
    Ok(())
}

fn describe(container: &Container) -> Value {
    let record = &container.record;
    let status = container.status();
    json!({
        "Id": record.id,
        "Created": time::rfc3339(record.created),
        "Path": record.arguments.first(),
        "Args": record.arguments.get(1..).unwrap_or_default(),
        "State": state(container, &status),
        "Image": record.image_id.hex(),
        "ImageName": record.image,
        "Name": record.name,
        "Driver": if container.is_copied() { "vfs" } else { "overlay" },
        "LogPath": container.log_path(),
        "BoundingCaps": record.bounding.names(),
        "EffectiveCaps": if record.uid == 0 { record.bounding.names() } else { record.ambient.names() },
        "Mounts": record.mounts.iter().map(mount).collect::<Vec<_>>(),
        "NetworkSettings": {"Ports": ports(container, &status)},
        "Config": config(record),
        "HostConfig": host_config(record),
    })
}

fn state(container: &Container, status: &Status) -> Value {
    let state = container.state();
    let zero = "0001-01-01T00:00:00Z";
    let (code, finished) = match status {
        Status::Exited(exit) if exit.finished == 0 => (exit.code, zero.to_owned()),
        Status::Exited(exit) => (exit.code, time::rfc3339(exit.finished)),
        _ => (0, zero.to_owned()),
    };
    let pid = match status {
        Status::Running(handle) => handle.pid().as_raw_nonzero().get(),
        _ => 0,
    };
    json!({
        "Status": container.word(status),
        "Running": status.is_running(),
        "Paused": status.is_running() && container.is_paused(),
        "Restarting": false,
        "OOMKilled": false,
        "Dead": false,
        "Pid": pid,
        "CgroupPath": state.as_ref().and_then(|state| state.cgroup.as_ref()).map(Cgroup::main),
        "ConmonPid": state.as_ref().filter(|_| status.is_running()).map_or(0, |state| state.monitor.pid),
        "ExitCode": code,
        "Error": "",
        "StartedAt": state.map_or(zero.to_owned(), |state| time::rfc3339(state.started)),
        "FinishedAt": finished,
    })
}

fn mount(volume: &Volume) -> Value {
    match volume {
        Volume::Bind {
            source,
            target,
            read_only,
            options,
        } => json!({
            "Type": "bind", "Source": source, "Destination": target, "Driver": "", "Mode": "",
            "Options": words(options), "RW": !read_only, "Propagation": propagation(options),
        }),
        Volume::Named {
            name,
            source,
            target,
            read_only,
            options,
        } => json!({
            "Type": "volume", "Name": name, "Source": source, "Destination": target,
            "Driver": "local", "Mode": "", "Options": words(options),
            "RW": !read_only, "Propagation": propagation(options),
        }),
        Volume::Tmpfs { target, options } => json!({
            "Type": "tmpfs", "Source": "tmpfs", "Destination": target, "Driver": "", "Mode": "",
            "Options": options, "RW": true, "Propagation": "",
        }),
    }
}

/// The options of a volume as mount(8) calls them.
fn words(options: &VolumeOptions) -> Vec<&'static str> {
    let all = [
        (!options.suid, "nosuid"),
        (!options.dev, "nodev"),
        (options.no_exec, "noexec"),
        (true, "rbind"),
    ];
    let set = all.into_iter().filter(|(is_set, _)| *is_set);
    set.map(|(_, word)| word).collect()
}

fn propagation(options: &VolumeOptions) -> &'static str {
    match options.propagation {
        None | Some((Propagation::Private, true)) => "rprivate",
        Some((Propagation::Private | Propagation::Unbindable, _)) => "private",
        Some((Propagation::Shared, true)) => "rshared",
        Some((Propagation::Shared, false)) => "shared",
        Some((Propagation::Slave, true)) => "rslave",
        Some((Propagation::Slave, false)) => "slave",
    }
}

fn ports(container: &Container, status: &Status) -> Value {
    let mut ports = Map::new();
    let open = match status {
        Status::Running(_) => port::open_ports(container),
        _ => container.record.ports.clone(),
    };
    for mapping in open {
        let key = format!("{}/{}", mapping.container_port, mapping.protocol);
        let host = json!({
            "HostIp": mapping.address.map_or(String::new(), |address| address.to_string()),
            "HostPort": mapping.host_port.to_string(),
        });
        match ports.entry(key).or_insert_with(|| json!([])) {
            Value::Array(list) => list.push(host),
            _ => unreachable!("every entry is a list"),
        }
    }
    Value::Object(ports)
}

fn config(record: &Record) -> Value {
    json!({
        "Hostname": record.hostname,
        "User": record.user,
        "Tty": record.terminal,
        "OpenStdin": record.interactive,
        "Env": record.environment,
        "Entrypoint": record.arguments[..record.entrypoint].to_vec(),
        "Cmd": record.arguments[record.entrypoint..].to_vec(),
        "Image": record.image,
        "WorkingDir": record.directory,
        "Labels": record.labels,
        "StopSignal": record.stop_signal,
        "StopSignalName": signal::name(record.stop_signal),
        "StopTimeout": record.stop_timeout,
        "Timeout": record.time_limit.unwrap_or(0),
    })
}

fn host_config(record: &Record) -> Value {
    let network = match record.network {
        Network::Private => "private",
        Network::None => "none",
        Network::Host => "host",
    };
    let resources = &record.resources;
    let limits = &resources.limits;
    let at = |ceiling: Option<Ceiling>, none: i64| match ceiling {
        Some(Ceiling::At(number)) => i64::try_from(number).unwrap_or(i64::MAX),
        Some(Ceiling::Unlimited) => -1,
        None => none,
    };
    json!({
        "Memory": at(limits.memory, 0),
        "MemorySwap": at(limits.memory_and_swap, 0),
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "CpuQuota": at(limits.cpu_quota, 0),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpusetCpus": limits.cpus.as_deref().unwrap_or(""),
        "CpusetMems": limits.mems.as_deref().unwrap_or(""),
        "PidsLimit": at(limits.pids, 0),
        "BlkioWeight": limits.io_weight.unwrap_or(0),
        "CgroupMode": if resources.own_cgroups { "private" } else { "host" },
        "CgroupParent": resources.parent.as_deref().unwrap_or(""),
        "Ulimits": resources.rlimits.iter().map(ulimit).collect::<Vec<_>>(),
        "AutoRemove": record.remove,
        "Isolation": record.isolation.name(),
        "NetworkMode": network,
        "ReadonlyRootfs": record.read_only,
        "StorageOpt": record.memory_upper.map(|size| json!({"upper": format!("tmpfs:size={size}")})),
        "Init": record.init,
        "Privileged": false,
        "SecurityOpt": security_options(record),
        "CapDrop": crate::sandbox::capability::CapabilitySet::container_default().minus(record.bounding).names(),
        "CapAdd": record.bounding.minus(crate::sandbox::capability::CapabilitySet::container_default()).names(),
        "Binds": record.mounts.iter().filter_map(bind).collect::<Vec<_>>(),
    })
}

fn security_options(record: &Record) -> Vec<String> {
    let mut options = record.security.asked.clone();
    let named = |text: &String| text.starts_with("no-new-privileges");
    if record.security.no_new_privileges && !options.iter().any(named) {
        options.push("no-new-privileges".to_owned());
    }
    options
}

fn ulimit(limit: &Rlimit) -> Value {
    let number = |limit: Option<u64>| limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(-1));
    json!({
        "Name": format!("RLIMIT_{}", limit.resource.name().to_ascii_uppercase()),
        "Soft": number(limit.soft),
        "Hard": number(limit.hard),
    })
}

fn bind(volume: &Volume) -> Option<String> {
    match volume {
        Volume::Bind {
            source,
            target,
            read_only,
            ..
        } => Some(format!(
            "{}:{target}:{}",
            source.display(),
            if *read_only { "ro" } else { "rw" }
        )),
        Volume::Named { name, target, .. } => Some(format!("{name}:{target}")),
        Volume::Tmpfs { .. } => None,
    }
}
