//! `runner logs`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;

use super::{Context, chosen};
use crate::container::Container;
use crate::container::log::{Entry, LogReader, Stream};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Go on until the container ends.
    #[arg(short, long)]
    follow: bool,

    /// Put the time in front of each line.
    #[arg(short, long)]
    timestamps: bool,

    /// Only so many lines of the end.
    #[arg(long, short = 'n', value_name = "LINES", allow_negative_numbers = true)]
    tail: Option<i64>,

    /// Only what was printed since then: a time (RFC 3339) or a duration, such as 10m.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only what was printed until then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// The container that was made last.
    #[arg(short, long)]
    latest: bool,

    /// The name or the id.
    container: Option<String>,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let name = chosen::one(arguments.container.as_deref(), arguments.latest, context)?;
    let container = context.containers().find(&name)?;
    let since = arguments.since.as_deref().map(read_time).transpose()?;
    let until = arguments.until.as_deref().map(read_time).transpose()?;
    let wanted = |entry: &Entry| {
        let time = entry.when();
        since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && until.is_none_or(|until| time.is_some_and(|time| time <= until))
    };
    let Some(mut reader) = open(&container, arguments.follow)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let mut printer = Printer {
        timestamps: arguments.timestamps,
        line_begins: [true; 2],
    };
    let tail = arguments.tail.and_then(|lines| usize::try_from(lines).ok());
    // Counted first and read again: the log may be larger than the memory.
    let mut skip = match tail {
        Some(lines) => count(&container, &wanted)?.saturating_sub(lines),
        None => 0,
    };
    loop {
        // Looked at before the log is: what is printed until then is in the log.
        let ended = !(arguments.follow && container.status().is_running());
        while let Some(entry) = reader.next_entry()? {
            if !wanted(&entry) {
                continue;
            }
            if skip > 0 {
                skip -= usize::from(entry.is_complete());
            } else {
                printer.print(&entry)?;
            }
        }
        if ended {
            return Ok(ExitCode::SUCCESS);
        }
        reader.pause();
    }
}

/// How many complete lines are in the log.
fn count(container: &Container, wanted: &impl Fn(&Entry) -> bool) -> io::Result<usize> {
    let mut reader = LogReader::open(&container.log_path())?;
    let mut lines = 0;
    while let Some(entry) = reader.next_entry()? {
        lines += usize::from(wanted(&entry) && entry.is_complete());
    }
    Ok(lines)
}

/// Opens the log; `None` for a container that never started, unless it may start yet.
fn open(container: &Container, follow: bool) -> anyhow::Result<Option<LogReader>> {
    loop {
        match LogReader::open(&container.log_path()) {
            Ok(reader) => return Ok(Some(reader)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !follow || !container.status().is_running() {
                    return Ok(None);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error).context("cannot read the container's log"),
        }
    }
}

struct Printer {
    timestamps: bool,
    /// Whether the next text of a stream begins a line.
    line_begins: [bool; 2],
}

impl Printer {
    fn print(&mut self, entry: &Entry) -> io::Result<()> {
        let mut text = Vec::new();
        let begins = &mut self.line_begins[usize::from(entry.stream == Stream::Stderr)];
        if self.timestamps && *begins {
            text.extend_from_slice(entry.time.as_bytes());
            text.push(b' ');
        }
        *begins = entry.is_complete();
        text.extend_from_slice(&entry.text);
        match entry.stream {
            Stream::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&text)?;
                out.flush()
            }
            Stream::Stderr => io::stderr().lock().write_all(&text),
        }
    }
}

/// Reads a time: `2026-01-02T03:04:05Z`, seconds since 1970, or a duration before now.
fn read_time(text: &str) -> anyhow::Result<SystemTime> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(time);
    }
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    }
    let before = humantime::parse_duration(text).with_context(|| {
        format!(
            "\"{}\" is no time: 2026-01-02T03:04:05Z or 10m are",
            text.escape_debug()
        )
    })?;
    Ok(SystemTime::now()
        .checked_sub(before)
        .unwrap_or(SystemTime::UNIX_EPOCH))
}
