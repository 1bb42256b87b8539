//! The verbs that are one call: `start`, `state`, `kill`, `delete`, `list`, `spec`, `features`.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{anyhow, ensure};
use clap::Args;
use serde_json::Value;

use super::Context;
use crate::container::user;
use crate::oci::{container, features, state, template};
use crate::signal;

#[derive(Debug, Args)]
pub(super) struct Name {
    /// The container's name.
    #[arg(value_name = "CONTAINER")]
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct Kill {
    /// Send it to all processes of the container.
    #[arg(short, long)]
    all: bool,

    /// The container's name.
    #[arg(value_name = "CONTAINER")]
    id: String,

    /// The signal, by name or number.
    #[arg(default_value = "SIGTERM")]
    signal: String,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Kill it if it runs; that there is none is no error.
    #[arg(short, long)]
    force: bool,

    /// The container's name.
    #[arg(value_name = "CONTAINER")]
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Print names only.
    #[arg(short, long)]
    quiet: bool,

    /// How to print.
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

#[derive(Debug, Args)]
pub(super) struct Spec {
    /// The folder that it is written into.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,

    /// Write one for a user without privileges.
    #[arg(long)]
    rootless: bool,
}

pub(super) fn start(arguments: &Name, context: &Context) -> anyhow::Result<ExitCode> {
    container::start(&context.root.find(&arguments.id)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn state(arguments: &Name, context: &Context) -> anyhow::Result<ExitCode> {
    let container = context.root.find(&arguments.id)?;
    let state = container.state(container.status());
    print(&Value::Object(state))
}

pub(super) fn kill(arguments: &Kill, context: &Context) -> anyhow::Result<ExitCode> {
    let signal = match arguments.signal.as_str() {
        // None: whether it runs (kill(2)).
        "0" => 0,
        text => signal::parse(text)
            .ok_or_else(|| anyhow!("unknown signal \"{}\"", text.escape_debug()))?,
    };
    let container = context.root.find(&arguments.id)?;
    container::kill(&container, signal, arguments.all)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn delete(arguments: &Delete, context: &Context) -> anyhow::Result<ExitCode> {
    container::delete(&context.root, &arguments.id, arguments.force)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(arguments: &List, context: &Context) -> anyhow::Result<ExitCode> {
    let containers = context.root.all()?;
    if arguments.quiet {
        for container in &containers {
            writeln!(stdout(), "{}", container.saved.id)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let states: Vec<_> = containers
        .iter()
        .map(|container| Value::Object(container.state(container.status())))
        .collect();
    if arguments.format == "json" {
        return print(&Value::Array(states));
    }
    let columns = ["id", "pid", "status", "bundle", "created"];
    let head = |name: &str| name.to_uppercase();
    let mut rows = vec![[columns.map(head).to_vec(), vec![head("owner")]].concat()];
    rows.extend(containers.iter().zip(&states).map(|(container, state)| {
        let cell = |name| match &state[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        [
            columns.map(cell).to_vec(),
            vec![owner(container.saved.owner)],
        ]
        .concat()
    }));
    for row in &rows {
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let cells = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        let line = cells.collect::<Vec<_>>().join("   ");
        writeln!(stdout(), "{}", line.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A user's name, or the number as runc writes it.
fn owner(uid: u32) -> String {
    user::name(Path::new("/"), uid).unwrap_or_else(|| format!("#{uid}"))
}

pub(super) fn spec(arguments: &Spec) -> anyhow::Result<ExitCode> {
    let path = arguments.bundle.join(Path::new("config.json"));
    ensure!(
        !path.exists(),
        "file {} exists: remove it first",
        path.display()
    );
    let config = template::config(arguments.rootless);
    let mut text = serde_json::to_string_pretty(&config)?;
    text.push('\n');
    state::write_whole(&path, text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn features() -> anyhow::Result<ExitCode> {
    print(&features::document())
}

pub(super) fn print(value: &Value) -> anyhow::Result<ExitCode> {
    writeln!(stdout(), "{}", serde_json::to_string_pretty(value)?)?;
    Ok(ExitCode::SUCCESS)
}
