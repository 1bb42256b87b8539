//! `runner info`: what this engine found on this machine, in the shape of podman's.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use rustix::process::geteuid;
use serde_json::{Value, json};

use super::Context;
use crate::sandbox::spec::Extent;
use crate::sandbox::userns::UserNamespace;
use crate::sandbox::{self, Failure};
use crate::template::Template;

/// Flags of `info`.
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
        Some(format) => writeln!(out, "{}", Template::parse(format)?.render(&info)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn gather(context: &Context) -> anyhow::Result<Value> {
    let store = context.store()?;
    let containers = context.containers()?.all()?;
    let running = containers
        .iter()
        .filter(|one| one.status().is_running())
        .count();
    let namespace = UserNamespace::acquire(&context.paths.runroot);
    let overlay = namespace
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|namespace| sandbox::overlay_works(namespace, &context.paths.graphroot));
    let platform = packer::image::Platform::host();
    Ok(json!({
        "host": {
            "arch": platform.architecture,
            "os": platform.os,
            "kernel": rustix::system::uname().release().to_string_lossy(),
            "hostname": rustix::system::uname().nodename().to_string_lossy(),
            "cpus": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "idMappings": id_mappings(&namespace),
            "security": {
                "rootless": geteuid().as_raw() != 0,
                "seccompEnabled": true,
                "noNewPrivileges": true,
                "userNamespacePerContainer": true,
                "capabilities": sandbox::capability::CapabilitySet::container_default().to_string(),
            },
            "network": {
                "publishedPorts": "own proxy",
                "outbound": "none: a container reaches nothing outside; --network host does",
            },
            "notes": notes(&namespace, &overlay),
        },
        "store": {
            "graphDriverName": if overlay.is_ok() { "overlay" } else { "copy" },
            "graphRoot": context.paths.graphroot,
            "runRoot": context.paths.runroot,
            "imageStore": {"number": store.images()?.len()},
            "containerStore": {
                "number": containers.len(),
                "running": running,
                "paused": 0,
                "stopped": containers.len() - running,
            },
        },
        "version": {
            "Version": env!("CARGO_PKG_VERSION"),
            "OsArch": format!("{}/{}", platform.os, platform.architecture),
        },
    }))
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
fn notes(namespace: &Result<UserNamespace, Failure>, overlay: &Result<(), Failure>) -> Vec<String> {
    let mut notes = Vec::new();
    match namespace {
        Err(failure) => notes.push(format!("no container can run: {}", failure.message)),
        Ok(namespace) if namespace.ids().is_single() => notes.push(
            "one id is mapped (no subordinate ids in /etc/subuid and /etc/subgid, or no newuidmap): it is \
             given to the image's user, every file of an image belongs to it, and the supplementary \
             groups of the user stay"
                .to_owned(),
        ),
        Ok(_) => {}
    }
    if let (Ok(_), Err(failure)) = (namespace, overlay) {
        notes.push(format!(
            "{}: the image's files are copied for each container, which is slow",
            failure.message
        ));
    }
    notes
}
