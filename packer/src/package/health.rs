//! How an engine asks a running program how it is.

use std::time::Duration;

use super::document::{Table, Value};
use super::invalid::{Fault, InvalidDefinition};

const KEYS: [&str; 6] = [
    "command",
    "interval",
    "retries",
    "start-interval",
    "start-period",
    "timeout",
];

/// A health check, as docker runs it. A time that is not said is the engine's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The command, to be run in the container: words, or one line for a shell.
    pub command: Command,
    /// How long to wait between two checks.
    pub interval: Option<Duration>,
    /// How long one check may take.
    pub timeout: Option<Duration>,
    /// How long the program may take to start.
    pub start_period: Option<Duration>,
    /// How long to wait between two checks while it starts.
    pub start_interval: Option<Duration>,
    /// After how many failures it counts as unhealthy.
    pub retries: Option<u32>,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments.
    Words(Vec<String>),
    /// A line for the shell of the image.
    Line(String),
}

impl HealthCheck {
    pub(super) fn read(table: &Table<'_>) -> Result<Self, InvalidDefinition> {
        table.allow(&KEYS)?;
        let missing = "a health check needs a command: [\"/bin/program\", \"--check\"]";
        let command = table
            .get("command")
            .ok_or_else(|| table.refuse(Fault::Missing(missing)))?;
        let duration = |key| table.get(key).map(|value| duration(&value)).transpose();
        Ok(Self {
            command: read_command(&command)?,
            interval: duration("interval")?,
            timeout: duration("timeout")?,
            start_period: duration("start-period")?,
            start_interval: duration("start-interval")?,
            retries: table.parsed("retries")?,
        })
    }
}

fn read_command(value: &Value<'_>) -> Result<Command, InvalidDefinition> {
    if value.is_text() {
        return value.text().map(Command::Line);
    }
    let words: Vec<String> = value
        .list()?
        .iter()
        .map(Value::text)
        .collect::<Result<_, _>>()?;
    match words.is_empty() {
        true => Err(value.wrong("a command with at least one word")),
        false => Ok(Command::Words(words)),
    }
}

fn duration(value: &Value<'_>) -> Result<Duration, InvalidDefinition> {
    let text = value.text()?;
    humantime::parse_duration(&text).map_err(|_| {
        value.bad(format!(
            "\"{text}\" is no time: 30s, 500ms or 1m 30s is one"
        ))
    })
}
