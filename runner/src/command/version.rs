//! `runner version`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::template::Template;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print with a Go template, or `json`.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

/// What podman's `info` says about versions.
pub(super) fn fields() -> Value {
    let platform = packer::image::Platform::host();
    json!({
        "APIVersion": env!("CARGO_PKG_VERSION"),
        "Version": env!("CARGO_PKG_VERSION"),
        // Nothing of this is known of a program that anybody compiles.
        "GoVersion": "",
        "GitCommit": "",
        "BuiltTime": "Thu Jan  1 00:00:00 1970",
        "Built": 0,
        "OsArch": format!("{}/{}", platform.os, platform.architecture),
        "Os": platform.os,
    })
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let all = json!({ "Client": fields() });
    let mut out = stdout().lock();
    match arguments.format.as_deref() {
        None => {
            writeln!(out, "Client:  Runner Engine")?;
            let text = |key: &str| all["Client"][key].as_str().unwrap_or_default();
            writeln!(out, "Version: {}", text("Version"))?;
            writeln!(out, "OS/Arch: {}", text("OsArch"))?;
        }
        Some("json") => writeln!(out, "{all:#}")?,
        Some(format) => writeln!(out, "{}", Template::parse(format)?.render(&all)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
