//! `runner top`: the processes of a container, seen from outside, so that no program in it can lie.

use std::fs;
use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use rustix::process::Pid;

use super::{Context, ExitWith, chosen};
use crate::human;
use crate::sandbox::cgroup::processes_of;
use crate::template;

/// Clock ticks of proc(5) in a second (`USER_HZ`, the same on every machine).
const TICKS: u64 = 100;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The container that was made last.
    #[arg(short, long)]
    latest: bool,

    /// The name or the id, unless --latest says which; then the columns, as of ps(1): user, group, pid, ppid, pgid, hpid, pcpu, etime, tty, time, vsz, rss,
    /// nice, state, comm, args.
    #[arg(value_name = "CONTAINER COLUMN")]
    words: Vec<String>,
}

/// podman's columns.
const DEFAULT: [&str; 8] = [
    "user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args",
];

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let (name, columns) = chosen::first(&arguments.words, arguments.latest, context)?;
    let container = context.containers().find(&name)?;
    let processes = container.process().map(processes_of).unwrap_or_default();
    if processes.is_empty() {
        bail!(ExitWith {
            message: format!(
                "top can only be used on running containers: {} does not run",
                container.record.name
            ),
            code: 125,
        });
    }
    let words = columns.iter().flat_map(|words| words.split([',', ' ']));
    let mut columns: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    if columns.is_empty() {
        columns = DEFAULT.to_vec();
    }
    let headings = columns
        .iter()
        .map(|column| heading(column))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut lines = headings.join("\t") + "\n";
    // One that has ended meanwhile is left out.
    for process in processes.into_iter().filter_map(Process::read) {
        let cells: Vec<String> = columns.iter().map(|column| process.cell(column)).collect();
        lines += &(cells.join("\t") + "\n");
    }
    write!(stdout(), "{}", template::align(&lines))?;
    Ok(ExitCode::SUCCESS)
}

fn heading(column: &str) -> anyhow::Result<&'static str> {
    Ok(match column {
        "user" | "uid" => "USER",
        "group" | "gid" => "GROUP",
        "pid" => "PID",
        "ppid" => "PPID",
        "pgid" => "PGID",
        "hpid" => "HPID",
        "pcpu" | "%C" => "%CPU",
        "etime" => "ELAPSED",
        "tty" => "TTY",
        "time" => "TIME",
        "vsz" => "VSZ",
        "rss" => "RSS",
        "nice" => "NI",
        "state" | "stat" => "STATE",
        "comm" => "COMMAND",
        "args" => "COMMAND",
        other => bail!(
            "\"{}\" is no column: see runner top --help",
            other.escape_debug()
        ),
    })
}

/// What /proc says of a process.
struct Process {
    pid: i32,
    status: String,
    /// The fields of `/proc/PID/stat` from the third on.
    stat: Vec<String>,
    arguments: String,
}

impl Process {
    fn read(pid: Pid) -> Option<Self> {
        let pid = pid.as_raw_nonzero().get();
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
        let text = |file: &str| Some(String::from_utf8_lossy(&read(file)?).into_owned());
        let stat = text("stat")?;
        let (_, fields) = stat.rsplit_once(')')?;
        Some(Self {
            pid,
            status: text("status")?,
            stat: fields.split_whitespace().map(str::to_owned).collect(),
            arguments: text("cmdline")?.trim_end_matches('\0').replace('\0', " "),
        })
    }

    /// A line of `/proc/PID/status`.
    fn status(&self, key: &str) -> &str {
        let found = self.status.lines().find_map(|line| line.strip_prefix(key));
        found.unwrap_or_default().trim_start_matches(':').trim()
    }

    /// A field of `/proc/PID/stat` by its number in proc(5).
    fn number(&self, field: usize) -> u64 {
        let text = self.stat.get(field - 3).map_or("0", String::as_str);
        text.parse().unwrap_or(0)
    }

    /// What it is called in its own namespace: the last of the line.
    fn inside(&self, key: &str) -> String {
        let last = self.status(key).split_whitespace().next_back();
        last.unwrap_or("0").to_owned()
    }

    fn cell(&self, column: &str) -> String {
        let cpu = self.number(14) + self.number(15);
        match column {
            "user" | "uid" => self.id("uid_map", "Uid"),
            "group" | "gid" => self.id("gid_map", "Gid"),
            "pid" => self.inside("NSpid"),
            "ppid" => self.parent(),
            "pgid" => self.inside("NSpgid"),
            "hpid" => self.pid.to_string(),
            "pcpu" | "%C" => {
                let lived = self.lived().max(1);
                let tenths = cpu * 10_000 / TICKS / lived;
                format!("{}.{:03}", tenths / 1000, tenths % 1000)
            }
            "etime" => elapsed(self.lived()),
            "tty" => match self.number(7) {
                0 => "?".to_owned(),
                device => format!("pts/{}", device & 0xff),
            },
            "time" => elapsed(cpu / TICKS),
            "vsz" => self.status("VmSize").trim_end_matches(" kB").to_owned(),
            "rss" => self.status("VmRSS").trim_end_matches(" kB").to_owned(),
            "nice" => self.stat.get(16).cloned().unwrap_or_default(),
            "state" | "stat" => self.stat.first().cloned().unwrap_or_default(),
            "args" if !self.arguments.is_empty() => human::escaped(&self.arguments),
            _ => human::escaped(self.status("Name")),
        }
    }

    /// The parent's id inside; 0 if that is outside.
    fn parent(&self) -> String {
        let parent = self.status("PPid").parse().ok().and_then(Pid::from_raw);
        let namespaces = |process: &Self| process.status("NSpid").split_whitespace().count();
        match parent.and_then(Self::read) {
            Some(parent) if namespaces(&parent) == namespaces(self) => parent.inside("NSpid"),
            _ => "0".to_owned(),
        }
    }

    /// The effective id as the container has it.
    fn id(&self, map: &str, key: &str) -> String {
        let outside = self.status(key).split_whitespace().nth(1).unwrap_or("0");
        let outside: u64 = outside.parse().unwrap_or(0);
        let map = fs::read_to_string(format!("/proc/{}/{map}", self.pid)).unwrap_or_default();
        let inside = map.lines().find_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u64>);
            let mut next = || numbers.next()?.ok();
            let (first, from, count) = (next()?, next()?, next()?);
            (from..from + count)
                .contains(&outside)
                .then(|| first + outside - from)
        });
        match inside {
            Some(0) => "root".to_owned(),
            inside => inside.unwrap_or(outside).to_string(),
        }
    }

    /// For how many seconds it has lived.
    fn lived(&self) -> u64 {
        let uptime = fs::read_to_string("/proc/uptime").context("/proc/uptime");
        let uptime = uptime.unwrap_or_default();
        let seconds = uptime
            .split('.')
            .next()
            .and_then(|text| text.parse::<u64>().ok());
        seconds.unwrap_or(0).saturating_sub(self.number(22) / TICKS)
    }
}

/// As ps(1) and podman print a time: `1h2m3s`.
fn elapsed(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}
