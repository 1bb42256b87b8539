//! `runner logs`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;

use super::Context;
use super::chosen::Chosen;
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

    /// Put the name and not the id in front of each line, where several containers are shown.
    #[arg(short, long)]
    names: bool,

    /// Only so many lines of the end.
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    tail: Option<i64>,

    /// Only what was printed since then: a time (RFC 3339) or a duration, such as 10m.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only what was printed until then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    #[command(flatten)]
    chosen: Chosen,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let names = arguments.chosen.names(None, context)?;
    let span = Span {
        since: arguments.since.as_deref().map(read_time).transpose()?,
        until: arguments.until.as_deref().map(read_time).transpose()?,
    };
    let containers = context.containers();
    let mut shown = Vec::new();
    for name in &names {
        let container = containers.find(name)?;
        let record = &container.record;
        let prefix = match (names.len() > 1, arguments.names) {
            (false, _) => String::new(),
            (true, false) => format!("{} ", record.id.short()),
            (true, true) => format!("{} ", record.name),
        };
        shown.push(Shown::open(container, prefix, span, arguments)?);
    }
    loop {
        let mut goes_on = false;
        for shown in &mut shown {
            // Looked at before the log is: what is printed until then is in the log.
            goes_on |= arguments.follow && shown.container.status().is_running();
            shown.print_new()?;
        }
        if !goes_on {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(PAUSE);
    }
}

/// How long nothing is looked at while a container goes on.
const PAUSE: Duration = Duration::from_millis(50);

/// The time of which something is shown.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Span {
    fn has(&self, entry: &Entry) -> bool {
        let time = entry.when();
        let is_after = |since| time.is_some_and(|time| time >= since);
        let is_before = |until| time.is_some_and(|time| time <= until);
        self.since.is_none_or(is_after) && self.until.is_none_or(is_before)
    }
}

/// A container whose log is shown.
pub(super) struct Shown {
    container: Container,
    span: Span,
    /// `None` while it has never started.
    reader: Option<LogReader>,
    /// How many lines are passed over.
    skip: usize,
    printer: Printer,
}

impl Shown {
    /// What is printed from now on.
    ///
    /// # Errors
    /// When the log can not be read.
    pub(super) fn from_now(container: &Container) -> anyhow::Result<Self> {
        let mut reader = open(container)?;
        if let Some(reader) = &mut reader {
            while reader.next_entry()?.is_some() {}
        }
        Ok(Self {
            container: container.clone(),
            span: Span::default(),
            reader,
            skip: 0,
            printer: Printer {
                prefix: String::new(),
                timestamps: false,
                line_begins: [true; 2],
            },
        })
    }

    fn open(
        container: Container,
        prefix: String,
        span: Span,
        arguments: &Arguments,
    ) -> anyhow::Result<Self> {
        // Counted first and read again: the log may be larger than the memory.
        let tail = arguments.tail.and_then(|lines| usize::try_from(lines).ok());
        let skip = match tail {
            Some(lines) => count(&container, span)?.saturating_sub(lines),
            None => 0,
        };
        Ok(Self {
            reader: open(&container)?,
            container,
            span,
            skip,
            printer: Printer {
                prefix,
                timestamps: arguments.timestamps,
                line_begins: [true; 2],
            },
        })
    }

    /// Prints what is new.
    ///
    /// # Errors
    /// When the log can not be read, or nobody reads the output.
    pub(super) fn print_new(&mut self) -> anyhow::Result<()> {
        if self.reader.is_none() {
            self.reader = open(&self.container)?;
        }
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        while let Some(entry) = reader.next_entry()? {
            if !self.span.has(&entry) {
                continue;
            }
            if self.skip > 0 {
                self.skip -= usize::from(entry.is_complete());
            } else {
                self.printer.print(&entry)?;
            }
        }
        Ok(())
    }
}

/// How many complete lines are in the log.
fn count(container: &Container, span: Span) -> anyhow::Result<usize> {
    let Some(mut reader) = open(container)? else {
        return Ok(0);
    };
    let mut lines = 0;
    while let Some(entry) = reader.next_entry()? {
        lines += usize::from(span.has(&entry) && entry.is_complete());
    }
    Ok(lines)
}

/// Opens the log; `None` for a container that never started.
fn open(container: &Container) -> anyhow::Result<Option<LogReader>> {
    match LogReader::open(&container.log_path()) {
        Ok(reader) => Ok(Some(reader)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("cannot read the container's log"),
    }
}

struct Printer {
    /// What says whose line it is.
    prefix: String,
    timestamps: bool,
    /// Whether the next text of a stream begins a line.
    line_begins: [bool; 2],
}

impl Printer {
    fn print(&mut self, entry: &Entry) -> io::Result<()> {
        let mut text = Vec::new();
        let begins = &mut self.line_begins[usize::from(entry.stream == Stream::Stderr)];
        if *begins {
            text.extend_from_slice(self.prefix.as_bytes());
            if self.timestamps {
                text.extend_from_slice(entry.time.as_bytes());
                text.push(b' ');
            }
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
