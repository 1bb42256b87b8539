//! `runner stats`.

use std::fs;
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use super::{Context, chosen};
use crate::container::Container;
use crate::human;
use crate::sandbox::cgroup::Usage;
use crate::template::Template;

/// How long processor time is watched for a first figure.
const FIRST_LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Every container, also those that do not run.
    #[arg(short, long)]
    all: bool,

    /// Print once and end.
    #[arg(long)]
    no_stream: bool,

    /// Do not clear the screen between two prints.
    #[arg(long)]
    no_reset: bool,

    /// Whole ids.
    #[arg(long)]
    no_trunc: bool,

    /// How many seconds lie between two prints.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5)]
    interval: u64,

    /// Print with a Go template, or `json`.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,

    /// The container that was made last.
    #[arg(short, long)]
    latest: bool,

    /// Names or ids; every container that runs if there are none.
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

const TABLE: &str = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t\
                     {{.BlockIO}}\t{{.PIDS}}\t{{.CPU}}\t{{.AvgCPU}}";

/// What one container used at one moment.
struct Sample {
    container: Container,
    usage: Usage,
    network: (u64, u64),
    at: Instant,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.containers();
    let ways = [
        arguments.all,
        arguments.latest,
        !arguments.containers.is_empty(),
    ];
    ensure!(
        ways.into_iter().filter(|&way| way).count() < 2,
        "--all, --latest and containers cannot be used together"
    );
    let latest = arguments
        .latest
        .then(|| chosen::latest(context))
        .transpose()?;
    let names: Vec<_> = latest.iter().chain(&arguments.containers).collect();
    let chosen = || -> anyhow::Result<Vec<Container>> {
        if !names.is_empty() {
            return Ok(names
                .iter()
                .map(|name| containers.find(name))
                .collect::<Result<_, _>>()?);
        }
        let mut all = containers.all()?;
        all.retain(|container| arguments.all || container.status().is_running());
        Ok(all)
    };
    let sample =
        || -> anyhow::Result<Vec<Sample>> { Ok(chosen()?.into_iter().map(Sample::take).collect()) };
    let mut before = sample()?;
    std::thread::sleep(FIRST_LOOK);
    loop {
        let now = sample()?;
        print(arguments, &before, &now)?;
        if arguments.no_stream {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
        std::thread::sleep(Duration::from_secs(arguments.interval.max(1)));
    }
}

fn print(arguments: &Arguments, before: &[Sample], now: &[Sample]) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    let earlier = |sample: &Sample| {
        let id = &sample.container.record.id;
        before.iter().find(|one| one.container.record.id == *id)
    };
    let rows: Vec<Value> = now
        .iter()
        .map(|sample| sample.row(earlier(sample), arguments.no_trunc))
        .collect();
    if !arguments.no_stream && !arguments.no_reset && out.is_terminal() {
        // Clear the screen, and begin at its first line (ECMA-48).
        write!(out, "\x1b[2J\x1b[H")?;
    }
    match arguments.format.as_deref() {
        Some("json") => {
            let list: Vec<Value> = rows.iter().map(as_json).collect();
            writeln!(out, "{:#}", Value::Array(list))?;
        }
        format => {
            let template = Template::parse(format.unwrap_or(TABLE))?;
            write!(out, "{}", template.render_rows(&rows, &headings())?)?;
        }
    }
    Ok(out.flush()?)
}

impl Sample {
    fn take(container: Container) -> Self {
        let state = container
            .state()
            .filter(|_| container.status().is_running());
        let (usage, network) = state.map_or_else(Default::default, |state| {
            (
                Usage::of(state.cgroup.as_ref(), state.process),
                network(state.process.pid),
            )
        });
        Self {
            container,
            usage,
            network,
            at: Instant::now(),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "two digits of a percentage are printed"
    )]
    fn row(&self, before: Option<&Self>, whole: bool) -> Value {
        let record = &self.container.record;
        let usage = &self.usage;
        let percent = |part: f64, all: f64| if all > 0.0 { part / all * 100.0 } else { 0.0 };
        let lately = before.map_or(0.0, |before| {
            let passed = self.at.duration_since(before.at).as_micros() as f64;
            percent(usage.cpu.saturating_sub(before.usage.cpu) as f64, passed)
        });
        let lifetime = self.container.state().map_or(0.0, |state| {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let lived = now.saturating_sub(Duration::from_nanos(state.started));
            percent(usage.cpu as f64, lived.as_micros() as f64)
        });
        let memory = percent(usage.memory as f64, usage.memory_limit as f64);
        let pair = |one, other| {
            let text = |bytes| human::size(bytes).replace(' ', "");
            format!("{} / {}", text(one), text(other))
        };
        json!({
            "ID": if whole { record.id.as_str() } else { record.id.short() },
            "ContainerID": record.id,
            "Name": record.name,
            "CPUPerc": format!("{lately:.2}%"),
            "AvgCPU": format!("{lifetime:.2}%"),
            "CPU": format!("{:.6}s", usage.cpu as f64 / 1e6),
            "CPUNano": usage.cpu.saturating_mul(1000),
            "MemUsage": pair(usage.memory, usage.memory_limit),
            "MemUsageBytes": format!("{} / {}", usage.memory, usage.memory_limit),
            "MemLimit": usage.memory_limit,
            "MemPerc": format!("{memory:.2}%"),
            "NetIO": pair(self.network.0, self.network.1),
            "BlockIO": pair(usage.read, usage.written),
            "PIDS": usage.pids,
        })
    }
}

/// A row under the names of podman's JSON.
fn as_json(row: &Value) -> Value {
    json!({
        "id": row["ID"], "name": row["Name"], "cpu_time": row["CPU"], "cpu_percent": row["CPUPerc"],
        "avg_cpu": row["AvgCPU"], "mem_usage": row["MemUsage"], "mem_percent": row["MemPerc"],
        "net_io": row["NetIO"], "block_io": row["BlockIO"], "pids": row["PIDS"].to_string(),
    })
}

fn headings() -> Value {
    json!({
        "ID": "ID", "ContainerID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %",
        "AvgCPU": "AVG CPU %", "CPU": "CPU TIME", "MemUsage": "MEM USAGE / LIMIT",
        "MemUsageBytes": "MEM USAGE / LIMIT", "MemLimit": "MEM LIMIT", "MemPerc": "MEM %",
        "NetIO": "NET IO", "BlockIO": "BLOCK IO", "PIDS": "PIDS", "CPUNano": "CPU NANOSECONDS",
    })
}

/// Bytes received and sent, without those between processes of the container (proc(5), `net/dev`).
fn network(pid: i32) -> (u64, u64) {
    let table = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let mut sums = (0, 0);
    for line in table.lines().skip(2) {
        let Some((name, counters)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let numbers: Vec<u64> = counters
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        sums.0 += numbers.first().copied().unwrap_or(0);
        sums.1 += numbers.get(8).copied().unwrap_or(0);
    }
    sums
}
