//! `runner system check`: whether everything is as its digests say.

use std::io::{Write, stdout};
use std::process::ExitCode;

use super::super::rmi::ImageUsers;
use super::super::{Context, image};
use crate::store::Finding;

#[derive(Debug, clap::Args)]
pub(in crate::command) struct Arguments {
    /// Mend what can be mended: files of an image from its layers, names that point at nothing; an
    /// image whose layers are damaged is removed if no container uses it
    #[arg(short, long)]
    repair: bool,
}

pub(in crate::command) fn run(
    arguments: &Arguments,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let (store, users) = image::for_removal(context)?;
    let found = store.check(arguments.repair, &|id| users.of(id))?;
    let mut out = stdout().lock();
    for Finding { what, mended } in &found {
        let end = match mended {
            true => " (mended)",
            false => "",
        };
        writeln!(out, "{what}{end}")?;
    }
    Ok(match found.iter().all(|finding| finding.mended) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}
