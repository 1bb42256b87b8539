//! The verbs about what a container uses: `ps`, `pause`, `resume`, `update`, `events`.

use std::io::{Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::Context;
use super::query::{Name, print};
use crate::oci::config::{BlockIo, Cpu, Memory, Pids, Resources};
use crate::oci::state::{Container, Status};
use crate::oci::{container, resources};
use crate::sandbox::cgroup::Usage;

#[derive(Debug, Args)]
pub(super) struct Ps {
    /// How to print.
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    format: String,

    /// The container's name.
    #[arg(value_name = "CONTAINER")]
    id: String,

    /// What is passed on to ps(1) [default: -ef].
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// A file with the resources of a configuration, or - for standard input.
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,

    /// The weight of reading and writing, 10 to 1000.
    #[arg(long, value_name = "NUMBER")]
    blkio_weight: Option<u64>,

    /// Processor time in each period, in microseconds.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,

    /// That period, in microseconds.
    #[arg(long, value_name = "NUMBER")]
    cpu_period: Option<u64>,

    /// Its part of the time when that is scarce.
    #[arg(long, value_name = "NUMBER")]
    cpu_share: Option<u64>,

    /// Microseconds by which the quota may be exceeded now and then.
    #[arg(long, value_name = "NUMBER")]
    cpu_burst: Option<u64>,

    /// The period of real-time scheduling, in microseconds.
    #[arg(long, value_name = "NUMBER")]
    cpu_rt_period: Option<u64>,

    /// Real-time scheduling in each period, in microseconds.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,

    /// 1 for only the time that nobody else wants.
    #[arg(long, value_name = "NUMBER")]
    cpu_idle: Option<i64>,

    /// Which processors.
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// Which memory nodes.
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// Memory, in bytes.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    memory: Option<i64>,

    /// Memory that is left to it, in bytes.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    memory_reservation: Option<i64>,

    /// Memory and swap, in bytes.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    memory_swap: Option<i64>,

    /// Memory that the kernel takes for it, in bytes.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    kernel_memory: Option<i64>,

    /// The part of that for TCP, in bytes.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    kernel_memory_tcp: Option<i64>,

    /// The number of processes.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,

    /// The container's name.
    #[arg(value_name = "CONTAINER")]
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct Events {
    /// How often.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    interval: String,

    /// Print once and end.
    #[arg(long)]
    stats: bool,

    /// The container's name.
    #[arg(value_name = "CONTAINER")]
    id: String,
}

pub(super) fn ps(arguments: &Ps, context: &Context) -> anyhow::Result<ExitCode> {
    let container = context.root.find(&arguments.id)?;
    let pids: Vec<_> = container::processes(&container)
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect();
    if arguments.format == "json" {
        return print(&json!(pids));
    }
    let words = if arguments.options.is_empty() {
        vec!["-ef".to_owned()]
    } else {
        arguments.options.clone()
    };
    let listed = Command::new("ps")
        .args(&words)
        .output()
        .context("cannot run ps (its package is called procps)")?;
    let text = String::from_utf8_lossy(&listed.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| anyhow!("ps prints no column PID with these options"))?;
    writeln!(stdout(), "{head}")?;
    for line in lines {
        let pid = line.split_whitespace().nth(column);
        let pid = pid.and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            writeln!(stdout(), "{line}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn freeze(
    arguments: &Name,
    context: &Context,
    frozen: bool,
) -> anyhow::Result<ExitCode> {
    container::freeze(&context.root.find(&arguments.id)?, frozen)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn update(arguments: &Update, context: &Context) -> anyhow::Result<ExitCode> {
    let container = running(context, &arguments.id)?;
    let group = container.saved.cgroup.as_ref();
    let group = group.ok_or_else(|| anyhow!("the container has no cgroup"))?;
    let mut limits = resources::limits(&arguments.read()?)?;
    // Which devices are open was decided for good.
    limits.devices = None;
    group.set(&limits)?;
    Ok(ExitCode::SUCCESS)
}

impl Update {
    fn read(&self) -> anyhow::Result<Resources> {
        if let Some(path) = &self.resources {
            let mut text = Vec::new();
            if path == Path::new("-") {
                stdin().read_to_end(&mut text)?;
            } else {
                text = std::fs::read(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
            }
            return serde_json::from_slice(&text)
                .map_err(|error| anyhow!("{} holds no resources: {error}", path.display()));
        }
        Ok(Resources {
            memory: Some(Memory {
                limit: self.memory,
                reservation: self.memory_reservation,
                swap: self.memory_swap,
                kernel: self.kernel_memory,
                kernel_tcp: self.kernel_memory_tcp,
                ..Memory::default()
            }),
            cpu: Some(Cpu {
                shares: self.cpu_share,
                quota: self.cpu_quota,
                period: self.cpu_period,
                cpus: self.cpuset_cpus.clone(),
                mems: self.cpuset_mems.clone(),
                burst: self.cpu_burst,
                realtime_runtime: self.cpu_rt_runtime,
                realtime_period: self.cpu_rt_period,
                idle: self.cpu_idle,
            }),
            pids: Some(Pids {
                limit: self.pids_limit,
            }),
            block_io: Some(BlockIo {
                weight: self.blkio_weight,
                ..BlockIo::default()
            }),
            ..Resources::default()
        })
    }
}

pub(super) fn events(arguments: &Events, context: &Context) -> anyhow::Result<ExitCode> {
    let interval = humantime::parse_duration(&arguments.interval)
        .map_err(|error| anyhow!("--interval: {error}"))?;
    ensure!(
        interval >= Duration::from_millis(1),
        "--interval is too short"
    );
    let container = running(context, &arguments.id)?;
    loop {
        writeln!(stdout(), "{}", stats(&container))?;
        if arguments.stats {
            return Ok(ExitCode::SUCCESS);
        }
        let ended = container
            .process()
            .is_none_or(|process| process.wait(Some(interval)));
        if ended {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn running(context: &Context, id: &str) -> anyhow::Result<Container> {
    let container = context.root.find(id)?;
    if container.status() == Status::Stopped {
        bail!("container with id {id} is not running");
    }
    Ok(container)
}

/// An event as runc prints it, with what we measure.
fn stats(container: &Container) -> Value {
    let usage = Usage::of(container.saved.cgroup.as_ref(), container.saved.process);
    // Nanoseconds there.
    let mut cpu = json!({"total": usage.cpu.saturating_mul(1000)});
    if let Some((user, kernel)) = usage.cpu_split {
        cpu["user"] = user.saturating_mul(1000).into();
        cpu["kernel"] = kernel.saturating_mul(1000).into();
    }
    let mut memory = json!({"usage": usage.memory, "limit": usage.memory_limit});
    if let Some(peak) = usage.memory_peak {
        memory["max"] = peak.into();
    }
    let mut pids = json!({"current": usage.pids});
    if let Some(limit) = usage.pids_limit {
        pids["limit"] = limit.into();
    }
    json!({
        "type": "stats",
        "id": container.saved.id,
        "data": {
            "cpu": {"usage": cpu},
            "memory": {"usage": memory},
            "pids": pids,
            "blkio": {"ioServiceBytesRecursive": [
                {"op": "Read", "value": usage.read},
                {"op": "Write", "value": usage.written}
            ]}
        }
    })
}
