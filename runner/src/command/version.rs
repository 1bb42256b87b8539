//! `runner version`.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::template::Template;

/// Flags of `version`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print with a Go template, or `json`.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    let platform = packer::image::Platform::host();
    let target = format!("{}/{}", platform.os, platform.architecture);
    let all = json!({"Client": {"Version": version, "OsArch": target, "Os": platform.os}});
    let mut out = stdout().lock();
    match arguments.format.as_deref() {
        None => {
            writeln!(out, "Client:  Runner Engine")?;
            writeln!(out, "Version: {version}")?;
            writeln!(out, "OS/Arch: {target}")?;
        }
        Some("json") => writeln!(out, "{all:#}")?,
        Some(format) => writeln!(out, "{}", Template::parse(format)?.render(&all)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
