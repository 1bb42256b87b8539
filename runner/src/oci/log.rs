//! The log that a caller reads to learn why something failed: lines of text, or of JSON as runc
//! writes them.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde_json::json;

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// `time="…" level=error msg="…"`.
    #[default]
    Text,
    /// One object a line with `level`, `msg` and `time`.
    Json,
}

/// Appends the error `message` to the log at `path`.
///
/// # Errors
/// When the file can not be written.
pub fn error(path: &Path, format: Format, message: &str) -> std::io::Result<()> {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let line = match format {
        Format::Json => json!({"level": "error", "msg": message, "time": time}).to_string(),
        Format::Text => format!("time=\"{time}\" level=error msg={message:?}"),
    };
    let mut log = File::options().append(true).create(true).open(path)?;
    writeln!(log, "{line}")
}
