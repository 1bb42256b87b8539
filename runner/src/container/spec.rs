//! From a container's record to what the sandbox has to know.

use std::fs;
use std::path::Path;

use super::isolation;
use super::record::{Record, Volume, VolumeOptions};
use crate::sandbox::Failure;
use crate::sandbox::address;
use crate::sandbox::cgroup::Ceiling;
use crate::sandbox::spec::{
    Access, Begin, Capabilities, Carried, ConfigFile, Driver, Extent, ImageTree, Mount, Namespace,
    Namespaces, Network, Process, Rootfs, Spec, System,
};
use crate::sandbox::userns::IdMap;

/// Directories that get a temporary file system when `/` is read-only, as podman gives them.
const WRITABLE: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// The specification of the container `record`, whose folder is `folder`.
///
/// `terminal` is the size of its terminal in rows and columns, if it has one; `ids` are those of the
/// user's own namespace, which a container with `--isolation chroot` does without.
///
/// # Errors
/// A [`Failure`] when the user is none of the ids that are mapped here, or when something takes a
/// namespace that can not be had.
pub fn of(
    record: &Record,
    folder: &Path,
    ids: Option<&IdMap>,
    driver: Driver,
    terminal: Option<(u16, u16)>,
) -> Result<Spec, Failure> {
    let (namespaces, users, groups) = namespaces(record, ids)?;
    Ok(Spec {
        isolation: record.isolation,
        // Nobody but the host has one without.
        own_cgroups: record.resources.own_cgroups && namespaces.has_new(Namespace::Cgroup),
        process: process(record, terminal, namespaces.new.is_empty()),
        namespaces,
        hostname: record.hostname.clone(),
        domainname: None,
        users,
        groups,
        rootfs: Rootfs::Image(ImageTree {
            tree: record.tree.clone(),
            folder: folder.to_owned(),
            driver,
            temporary: record.remove,
        }),
        parameters: record.parameters.clone(),
        files: files(record),
        directories: record.volumes.clone(),
        mounts: mounts(record),
        read_only: record.read_only,
        masked: record.security.masked.clone(),
        protected: record.security.protected.clone(),
        proc_options: record.security.proc_options.clone(),
        system: System::Standard,
        network: record.network,
        highest_pid: highest_pid(record),
        init: record.init,
        begin: Begin::AtOnce,
        carried: Carried::default(),
    })
}

/// The namespaces that are made for the container, and the ids of its own users and groups.
fn namespaces(
    record: &Record,
    ids: Option<&IdMap>,
) -> Result<(Namespaces, Vec<Extent>, Vec<Extent>), Failure> {
    let Some(ids) = ids else {
        return Ok((isolation::namespaces(record)?, Vec::new(), Vec::new()));
    };
    let highest = ids.container_ids();
    if !ids.is_single() && u64::from(record.uid.max(record.gid)) >= highest {
        return Err(Failure::engine(format!(
            "user {}:{} is beyond the {highest} ids that are mapped here: see /etc/subuid",
            record.uid, record.gid
        )));
    }
    let (users, groups) = ids.nested(record.uid, record.gid);
    Ok((Namespaces::private(), users, groups))
}

/// Numbers below this are given only once in a pid namespace (`RESERVED_PIDS`, kernel/pid.c).
const RESERVED_PIDS: u64 = 300;

/// Beside the limit of each user's processes, one for all users of the container together. It is
/// coarse, because process ids are what it really counts; a cgroup is exact.
fn highest_pid(record: &Record) -> Option<u64> {
    match record.resources.limits.pids {
        Some(Ceiling::At(pids)) => Some(pids.saturating_add(RESERVED_PIDS)),
        _ => None,
    }
}

/// The container's own process.
fn process(record: &Record, terminal: Option<(u16, u16)>, beside_host: bool) -> Process {
    let bounding = isolation::bounding(record);
    Process {
        arguments: record.arguments.clone(),
        environment: record.environment.clone(),
        directory: record.directory.clone(),
        make_directory: record.make_directory,
        uid: record.uid,
        gid: record.gid,
        groups: record.groups.clone(),
        capabilities: Capabilities::of_user(
            record.uid,
            bounding,
            record.ambient.intersection(bounding),
        ),
        most_descriptors: true,
        traits: record.traits(),
        terminal,
        rlimits: record.resources.rlimits(record.isolation),
        filter: record.security.filter.clone(),
        scopes: record.security.scopes(record.network),
        beside_host,
        no_new_privileges: record.security.no_new_privileges,
        apparmor: record.security.apparmor.clone(),
    }
}

/// The files that every container finds.
fn files(record: &Record) -> Vec<ConfigFile> {
    let host = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let hosts = match record.network {
        Network::Host => host("/etc/hosts"),
        Network::Private | Network::None => hosts(record),
    };
    let added = record.hosts.iter().map(|line| format!("{line}\n"));
    let hosts = added.collect::<String>() + &hosts;
    let hostname = match &record.hostname {
        Some(name) => format!("{name}\n"),
        None => host("/etc/hostname"),
    };
    let file = |path: &str, content: String| ConfigFile {
        path: path.to_owned(),
        mode: 0o644,
        content,
    };
    let mut files = vec![
        file("etc/hosts", hosts),
        file("etc/hostname", hostname),
        file("etc/resolv.conf", host("/etc/resolv.conf")),
        file("run/.containerenv", String::new()),
    ];
    files.extend_from_slice(&record.accounts);
    files
}

fn hosts(record: &Record) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    let names = format!(
        "{} {}",
        record.hostname.as_deref().unwrap_or(""),
        record.name
    );
    match record.network {
        Network::Private => text += &format!("{}\t{}\n", address::CONTAINER_V4, names.trim()),
        _ => text += &format!("127.0.0.1\t{}\n", names.trim()),
    }
    text
}

fn mounts(record: &Record) -> Vec<Mount> {
    let mut mounts = Vec::new();
    if record.read_only {
        mounts.extend(WRITABLE.iter().map(|target| temporary(target, &[])));
    }
    mounts.extend(record.mounts.iter().map(|volume| match volume {
        Volume::Bind {
            source,
            target,
            read_only,
            options,
        } => bind(source, target, *read_only, options, false),
        Volume::Named {
            source,
            target,
            read_only,
            options,
            ..
        } => bind(source, target, *read_only, options, true),
        Volume::Tmpfs { target, options } => temporary(target, options),
    }));
    mounts
}

fn bind(
    source: &Path,
    target: &str,
    read_only: bool,
    options: &VolumeOptions,
    named: bool,
) -> Mount {
    Mount::Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        access: Access {
            read_only,
            no_exec: options.no_exec,
            suid: options.suid,
            dev: options.dev,
        },
        propagation: options.propagation,
        own: options.own,
        prepared: None,
        named,
        no_copy: options.no_copy,
    }
}

/// A temporary file system with the options that the file system itself knows; the others are
/// attributes of its mount, or what every mount here is anyway.
fn temporary(target: &str, options: &[String]) -> Mount {
    let key = |option: &String| option.split('=').next().unwrap_or("").to_owned();
    let own = ["size", "mode", "nr_inodes", "uid", "gid"];
    let mut known: Vec<_> = options
        .iter()
        .filter(|option| own.contains(&key(option).as_str()))
        .cloned()
        .collect();
    if !known.iter().any(|option| option.starts_with("mode=")) {
        known.push("mode=1777".to_owned());
    }
    let has = |word: &str| options.iter().any(|option| option == word);
    Mount::Tmpfs {
        target: target.to_owned(),
        options: known,
        access: Access {
            read_only: has("ro"),
            no_exec: !has("exec"),
            suid: has("suid"),
            dev: has("dev"),
        },
        copy_up: !has("notmpcopyup"),
    }
}
