//! `runner security report`: what is open to a container and what is shut.
//!
//! For a container it tells what was decided when it was made, and of a running one which namespaces
//! it really has; without one, what every container gets by default.

use std::fs;
use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::Context;
use crate::container::isolation::{self, Walls};
use crate::container::record::Volume;
use crate::container::security::Security;
use crate::container::{Container, Record};
use crate::human;
use crate::sandbox::capability::CapabilitySet;
use crate::sandbox::cgroup::Limits;
use crate::sandbox::landlock;
use crate::sandbox::seccomp::{self, Verdict};
use crate::sandbox::spec::{Filter, Isolation, Network};

/// The verbs of `runner security`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum Verb {
    /// Print what is open and what is shut: capabilities, system calls, mounts, namespaces.
    Report(Arguments),
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The name or the id; without one, what a container has by default.
    container: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// What there is to tell.
struct Subject {
    name: Option<String>,
    bounding: CapabilitySet,
    /// What its program starts with.
    effective: CapabilitySet,
    security: Security,
    limits: Limits,
    read_only: bool,
    isolation: Isolation,
    network: Network,
    /// Whether it has namespaces at all.
    namespaces: bool,
    own_cgroups: bool,
    volumes: Vec<Volume>,
    /// The process id of a running container.
    pid: Option<i32>,
}

pub(super) fn run(verb: &Verb, context: &Context) -> anyhow::Result<ExitCode> {
    let Verb::Report(arguments) = verb;
    let subject = match &arguments.container {
        Some(name) => Subject::of(&context.containers().find(name)?),
        None => Subject::default(),
    };
    let report = subject.report();
    let mut out = stdout().lock();
    match arguments.format {
        Format::Json => writeln!(out, "{report:#}")?,
        Format::Table => write!(out, "{}", table(&report))?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Default for Subject {
    fn default() -> Self {
        let resources = crate::container::resources::Resources::default();
        Self {
            name: None,
            bounding: CapabilitySet::container_default(),
            effective: CapabilitySet::container_default(),
            security: Security::default(),
            limits: resources.limits,
            read_only: false,
            isolation: Isolation::Namespaces,
            network: Network::Private,
            namespaces: true,
            own_cgroups: resources.own_cgroups,
            volumes: Vec::new(),
            pid: None,
        }
    }
}

impl Subject {
    fn of(container: &Container) -> Self {
        let record: &Record = &container.record;
        let bounding = isolation::bounding(record);
        let is_running = container.status().is_running();
        let mut limits = record.resources.limits.clone();
        let has_group = || {
            container
                .state()
                .is_some_and(|state| state.cgroup.is_some())
        };
        if record.isolation == Isolation::Chroot && !has_group() {
            // Nothing but a group counts its processes.
            limits.pids = None;
        }
        Self {
            name: Some(record.name.to_string()),
            bounding,
            effective: match record.uid {
                0 => bounding,
                _ => record.ambient.intersection(bounding),
            },
            security: record.security.clone(),
            limits,
            read_only: record.read_only,
            isolation: record.isolation,
            network: record.network,
            namespaces: record.isolation == Isolation::Namespaces || Walls::find().namespaces,
            own_cgroups: record.resources.own_cgroups,
            volumes: record.mounts.clone(),
            pid: container
                .process()
                .filter(|_| is_running)
                .map(|process| process.pid),
        }
    }

    fn report(&self) -> Value {
        json!({
            "container": self.name,
            "isolation": self.isolation(),
            "capabilities": {
                "effective": self.effective.names(),
                "bounding": self.bounding.names(),
                "shut": CapabilitySet::all().minus(self.bounding).names(),
            },
            "systemCalls": self.system_calls(),
            "process": {
                "noNewPrivileges": self.security.no_new_privileges,
                "appArmor": self.security.apparmor.as_deref().unwrap_or("unconfined"),
                "hostAbstractSockets": self.abstract_sockets(),
                "nestedUserNamespaces": false,
                "pidsLimit": self.limits.pids.map_or("unlimited".to_owned(), |pids| pids.to_string()),
            },
            "mounts": self.mounts(),
            "masked": self.security.masked,
            "readOnly": self.security.protected,
            "namespaces": self.namespaces(),
        })
    }

    /// What it is shut in with, and what of a container's walls is not there.
    fn isolation(&self) -> Value {
        let missing = match self.isolation {
            Isolation::Namespaces => Vec::new(),
            Isolation::Chroot => Walls::find().missing(),
        };
        json!({"kind": self.isolation.name(), "missing": missing})
    }

    fn system_calls(&self) -> Value {
        let verdicts = seccomp::verdicts(&self.security.filter, self.bounding);
        let with = |wanted| -> Vec<&str> {
            let found = verdicts.iter().filter(|(_, verdict)| *verdict == wanted);
            found.map(|(name, _)| *name).collect()
        };
        json!({
            "filter": match self.security.filter {
                Filter::Baked => "baked",
                Filter::Open => "unconfined",
                Filter::Program(_) | Filter::Special(_) => "custom",
            },
            "decider": self.security.filter.listener().map(|listener| &listener.path),
            "open": with(Verdict::Open),
            "examined": with(Verdict::Examined),
            "shut": with(Verdict::Shut),
        })
    }

    /// Whether its processes reach the abstract unix sockets of the host, and what keeps them from it.
    fn abstract_sockets(&self) -> &'static str {
        match (self.network, self.security.landlock) {
            (Network::Private | Network::None, _) => "shut by its own network",
            (Network::Host, true) if landlock::has_scopes() => "shut by Landlock",
            (Network::Host, true) => "open: this kernel has no scopes of Landlock (Linux 6.12)",
            (Network::Host, false) => "open",
        }
    }

    fn mounts(&self) -> Vec<Value> {
        let mount = |path: &str, kind: &str, writable: bool| json!({"path": path, "kind": kind, "writable": writable});
        if !self.namespaces {
            return vec![mount("/", "copy", true)];
        }
        let mut mounts = vec![
            mount("/", "image", !self.read_only),
            mount("/dev", "tmpfs", true),
            mount("/proc", "proc", true),
            mount("/sys", "sysfs", false),
            mount("/sys/fs/cgroup", "cgroup2", false),
        ];
        mounts.extend(self.volumes.iter().map(|volume| match volume {
            Volume::Bind {
                target, read_only, ..
            } => mount(target, "bind", !read_only),
            Volume::Named {
                target, read_only, ..
            } => mount(target, "volume", !read_only),
            Volume::Tmpfs { target, options } => {
                let is_read_only = options.iter().any(|option| option == "ro");
                mount(target, "tmpfs", !is_read_only)
            }
        }));
        mounts
    }

    /// The namespaces, and whether each is the container's own: what the kernel says of a running one.
    fn namespaces(&self) -> Vec<Value> {
        let decided = [
            ("user", self.isolation == Isolation::Namespaces),
            ("mnt", self.namespaces),
            ("pid", self.namespaces),
            ("net", self.network != Network::Host),
            ("ipc", self.namespaces),
            ("uts", self.namespaces),
            ("cgroup", self.namespaces && self.own_cgroups),
            ("time", false),
        ];
        let link = |process: &str, kind: &str| fs::read_link(format!("/proc/{process}/ns/{kind}"));
        let seen = |kind: &str| {
            let pid = self.pid?.to_string();
            let (own, theirs) = (link("self", kind).ok()?, link(&pid, kind).ok()?);
            Some(own != theirs)
        };
        decided
            .into_iter()
            .map(|(kind, own)| json!({"kind": kind, "own": seen(kind).unwrap_or(own)}))
            .collect()
    }
}

/// The widest line of the table, in characters.
const WIDTH: usize = 100;

fn table(report: &Value) -> String {
    let mut text = String::new();
    let name = report["container"].as_str();
    row(
        &mut text,
        "CONTAINER",
        name.unwrap_or("(every one, by default)"),
    );
    let isolation = &report["isolation"];
    row(
        &mut text,
        "ISOLATION",
        isolation["kind"].as_str().unwrap_or_default(),
    );
    for missing in isolation["missing"].as_array().into_iter().flatten() {
        row(
            &mut text,
            "  not there",
            missing.as_str().unwrap_or_default(),
        );
    }
    let words = |value: &Value| -> String {
        let list = value.as_array().into_iter().flatten();
        let words: Vec<&str> = list.filter_map(Value::as_str).collect();
        match words.is_empty() {
            true => "none".to_owned(),
            false => words.join(" "),
        }
    };
    let capabilities = &report["capabilities"];
    row(
        &mut text,
        "CAPABILITIES",
        &words(&capabilities["effective"]),
    );
    row(&mut text, "  at most", &words(&capabilities["bounding"]));
    row(&mut text, "  shut", &words(&capabilities["shut"]));
    let calls = &report["systemCalls"];
    let count = |key: &str| calls[key].as_array().map_or(0, Vec::len);
    let summary = format!(
        "{}: {} open, {} by their arguments, {} shut",
        calls["filter"].as_str().unwrap_or_default(),
        count("open"),
        count("examined"),
        count("shut")
    );
    row(&mut text, "SYSTEM CALLS", &summary);
    if let Some(path) = calls["decider"].as_str() {
        let decider = format!("who listens at {}", human::escaped(path));
        row(&mut text, "  about some decides", &decider);
    }
    row(&mut text, "  by arguments", &words(&calls["examined"]));
    row(&mut text, "  shut", &words(&calls["shut"]));
    let process = &report["process"];
    let yes_or_no = |value: &Value| {
        if value.as_bool() == Some(true) {
            "yes"
        } else {
            "no"
        }
    };
    row(&mut text, "PROCESS", "");
    row(
        &mut text,
        "  no new privileges",
        yes_or_no(&process["noNewPrivileges"]),
    );
    row(
        &mut text,
        "  AppArmor",
        process["appArmor"].as_str().unwrap_or_default(),
    );
    row(
        &mut text,
        "  host's abstract sockets",
        process["hostAbstractSockets"].as_str().unwrap_or_default(),
    );
    row(
        &mut text,
        "  nested user namespaces",
        yes_or_no(&process["nestedUserNamespaces"]),
    );
    row(
        &mut text,
        "  processes at most",
        process["pidsLimit"].as_str().unwrap_or_default(),
    );
    row(&mut text, "MOUNTS", "");
    for mount in report["mounts"].as_array().into_iter().flatten() {
        let path = human::escaped(mount["path"].as_str().unwrap_or_default());
        let access = if mount["writable"] == true {
            "writable"
        } else {
            "read-only"
        };
        let kind = mount["kind"].as_str().unwrap_or_default();
        row(
            &mut text,
            &format!("  {path}"),
            &format!("{kind}, {access}"),
        );
    }
    row(
        &mut text,
        "  hidden",
        &human::escaped(&words(&report["masked"])),
    );
    row(&mut text, "  read-only", &words(&report["readOnly"]));
    let namespaces = |own: bool| -> String {
        let list = report["namespaces"].as_array().into_iter().flatten();
        let kinds = list.filter(|one| one["own"] == own);
        kinds
            .filter_map(|one| one["kind"].as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    row(
        &mut text,
        "NAMESPACES",
        &format!("its own: {}", namespaces(true)),
    );
    row(
        &mut text,
        "",
        &format!("the machine's: {}", namespaces(false)),
    );
    text
}

/// A heading and words beside it, on as many lines as they need.
fn row(text: &mut String, heading: &str, words: &str) {
    const INDENT: usize = 26;
    let mut line = format!("{heading:<width$}", width = INDENT - 1);
    for word in words.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(INDENT - 1);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_every_capability_and_call_once() {
        let report = Subject::default().report();
        let count = |value: &Value| value.as_array().map_or(0, Vec::len);
        let capabilities = &report["capabilities"];
        assert_eq!(
            count(&capabilities["bounding"]) + count(&capabilities["shut"]),
            41
        );
        let calls = &report["systemCalls"];
        let sum = count(&calls["open"]) + count(&calls["examined"]) + count(&calls["shut"]);
        assert!(sum > 290, "{sum}");
        let shut: Vec<&str> = calls["shut"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        for call in ["mount", "keyctl", "io_uring_setup", "bpf", "userfaultfd"] {
            assert!(shut.contains(&call), "{call}");
        }
        let text = table(&report);
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(text.contains("the machine's: time"), "{text}");
    }
}
