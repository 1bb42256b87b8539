//! `runner info`: what this engine found on this machine, in the shape of podman's.

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use rustix::process::geteuid;
use serde_json::{Value, json};

use super::{Context, version};
use crate::config::storage::Driver;
use crate::container::isolation::Walls;
use crate::sandbox::cgroup::Parent;
use crate::sandbox::spec::Extent;
use crate::sandbox::userns::UserNamespace;
use crate::sandbox::{self, Failure};
use crate::template::{Shape, Template};

mod host;

/// What this program calls itself where podman has the versions of others.
const VERSION: &str = concat!("runner ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print with a Go template, or `json`.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let info = gather(context)?;
    let mut out = stdout().lock();
    match arguments.format.as_deref() {
        None => write!(
            out,
            "{}",
            serde_saphyr::to_string(&info).context("cannot print")?
        )?,
        Some("json") => writeln!(out, "{info:#}")?,
        Some(format) => {
            let info = host::with_go_names(&info);
            let shape = Shape {
                is_closed: true,
                ..Shape::default()
            };
            let template = Template::parse(format)?;
            writeln!(out, "{}", template.render_as(&info, &shape)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn gather(context: &Context) -> anyhow::Result<Value> {
    let store = context.store()?;
    let containers = context.containers().all()?;
    let running = containers
        .iter()
        .filter(|one| one.status().is_running())
        .count();
    let namespace = UserNamespace::acquire(&context.paths.runroot);
    let overlay = namespace
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|namespace| sandbox::overlay_works(namespace, &context.paths.graphroot));
    Ok(json!({
        "host": host(context, &namespace, &overlay),
        "store": {
            "configFile": context.storage.file.as_deref().unwrap_or(Path::new("")),
            "graphDriverName": driver(context, &overlay),
            "graphOptions": {},
            "graphRoot": context.paths.graphroot,
            "graphRootAllocated": allocated(context).0,
            "graphRootUsed": allocated(context).1,
            "graphStatus": {},
            "imageCopyTmpDir": store.temporary_folder(),
            "imageStore": {"number": store.images()?.len()},
            "containerStore": {
                "number": containers.len(),
                "running": running,
                "paused": 0,
                "stopped": containers.len() - running,
            },
            "runRoot": context.paths.runroot,
            "volumePath": context.paths.graphroot.join("volumes"),
        },
        "registries": registries()?,
        "plugins": {
            "volume": ["local"],
            "network": ["none", "host", "private"],
            "log": ["k8s-file"],
            "authorization": null,
        },
        "version": version::fields(),
    }))
}

fn host(
    context: &Context,
    namespace: &Result<UserNamespace, Failure>,
    overlay: &Result<(), Failure>,
) -> Value {
    let platform = packer::image::Platform::host();
    let groups = cgroups(context, namespace);
    let program = std::env::current_exe().unwrap_or_default();
    let mut host = json!({
        "arch": platform.architecture,
        // What builds images here has the same version.
        "buildahVersion": env!("CARGO_PKG_VERSION"),
        "cgroupManager": if groups.is_ok() { "cgroupfs" } else { "none" },
        "cgroupVersion": host::cgroup_version(),
        "cgroupControllers": groups.as_ref().map_or_else(
            |_| Vec::new(),
            |parent| parent.controllers().iter().map(ToString::to_string).collect(),
        ),
        // Who watches a container is this program too.
        "conmon": {"package": "", "path": program, "version": VERSION},
        "cpuUtilization": host::cpu_utilization(),
        "cpus": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "distribution": host::distribution(),
        "eventLogger": "none",
        "hostname": rustix::system::uname().nodename().to_string_lossy(),
        "idMappings": id_mappings(namespace),
        "kernel": rustix::system::uname().release().to_string_lossy(),
        "linkmode": if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" },
        "logDriver": "k8s-file",
        "network": {
            "publishedPorts": "own proxy",
            "outbound": "none: a container reaches nothing outside; --network host does",
        },
        "networkBackend": "own",
        "notes": notes(context, namespace, overlay, &groups),
        "ociRuntime": {
            "name": "runner",
            "package": "",
            "path": program,
            "version": VERSION,
        },
        "os": platform.os,
        "security": {
            "apparmorEnabled": false,
            "landlockVersion": sandbox::landlock::version(),
            "capabilities": sandbox::capability::CapabilitySet::container_default().to_string(),
            "noNewPrivileges": true,
            "rootless": geteuid().as_raw() != 0,
            "seccompEnabled": true,
            "seccompProfilePath": "",
            "selinuxEnabled": false,
            "userNamespacePerContainer": namespace.is_ok(),
        },
        "remoteSocket": {"path": "", "exists": false},
        "serviceIsRemote": false,
        "slirp4netns": {"executable": "", "package": "", "version": ""},
        "uptime": host::uptime(),
    });
    for (key, value) in host::memory() {
        host[key] = value.into();
    }
    host
}

/// Where control groups can be made, if anywhere.
fn cgroups(
    context: &Context,
    namespace: &Result<UserNamespace, Failure>,
) -> Result<Parent, Failure> {
    let keeper = namespace.as_ref().ok().map(UserNamespace::holder);
    Parent::find(&context.paths.runroot, keeper)
}

/// How containers get their files, by podman's name for it.
fn driver(context: &Context, overlay: &Result<(), Failure>) -> &'static str {
    match (context.storage.driver, overlay) {
        (Driver::Overlay, Ok(())) => "overlay",
        (Driver::Vfs, _) | (_, Err(_)) => "vfs",
    }
}

/// The bytes of the file system that images are on, and how many of them are in use.
fn allocated(context: &Context) -> (u64, u64) {
    let found = rustix::fs::statvfs(&context.paths.graphroot);
    found.map_or((0, 0), |found| {
        let size = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        (
            size(found.f_blocks),
            size(found.f_blocks.saturating_sub(found.f_bfree)),
        )
    })
}

/// Where short names are looked for.
fn registries() -> anyhow::Result<Value> {
    let search = packer::registries::Registries::load()?.search().to_vec();
    Ok(match search.is_empty() {
        true => json!({}),
        false => json!({ "search": search }),
    })
}

fn id_mappings(namespace: &Result<UserNamespace, Failure>) -> Value {
    let list = |extents: &[Extent]| -> Vec<Value> {
        extents
            .iter()
            .map(|extent| json!({"container_id": extent.inside, "host_id": extent.outside, "size": extent.count}))
            .collect()
    };
    match namespace {
        Ok(namespace) => {
            let shown = namespace.ids().shown();
            json!({"uidmap": list(&shown.users), "gidmap": list(&shown.groups)})
        }
        Err(_) => json!({"uidmap": [], "gidmap": []}),
    }
}

/// What a user should know about this machine, one sentence each.
fn notes(
    context: &Context,
    namespace: &Result<UserNamespace, Failure>,
    overlay: &Result<(), Failure>,
    groups: &Result<Parent, Failure>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Ok(_), Err(failure)) = (namespace, groups) {
        notes.push(format!(
            "memory, processors and devices can not be limited: {}",
            failure.message
        ));
    }
    match namespace {
        Err(failure) if failure.no_namespaces && geteuid().is_root() => notes.push(format!(
            "containers can run with --isolation chroot alone: {}. Such a container does not have {}",
            failure.message,
            Walls::find().missing().join("; nor ")
        )),
        Err(failure) => notes.push(format!("no container can run: {}", failure.message)),
        Ok(namespace) if namespace.ids().is_single() => notes.push(
            "one id is mapped (no subordinate ids in /etc/subuid and /etc/subgid, or no newuidmap): it is \
             given to the image's user, every file of an image belongs to it, and the supplementary \
             groups of the user stay"
                .to_owned(),
        ),
        Ok(_) => {}
    }
    if !sandbox::landlock::has_scopes() {
        notes.push(
            "a container with --network host reaches the abstract unix sockets of this machine: its kernel \
             has no scopes of Landlock (Linux 6.12)"
                .to_owned(),
        );
    }
    let storage = &context.storage;
    if storage.driver == Driver::Vfs {
        notes.push(
            "the image's files are copied for each container, which is slow: the driver is vfs by \
             storage.conf or STORAGE_DRIVER"
                .to_owned(),
        );
    }
    if let (false, Some(file)) = (storage.ignored.is_empty(), &storage.file) {
        notes.push(format!(
            "these options of {} mean nothing here: {}",
            file.display(),
            storage.ignored.join(", ")
        ));
    }
    if let (Ok(_), Err(failure)) = (namespace, overlay) {
        notes.push(format!(
            "{}: the image's files are copied for each container, which is slow",
            failure.message
        ));
    }
    notes
}
