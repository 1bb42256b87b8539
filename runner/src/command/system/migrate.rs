//! `runner system migrate`: other ids than before.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use packer::reference::Reference;

use super::super::{Context, pack, stop};
use crate::sandbox::userns::{self, FileIds};
use crate::store::{Owners, Store};

pub(in crate::command) fn run(context: &Context) -> anyhow::Result<ExitCode> {
    for container in context.containers().all()? {
        if container.status().is_running() {
            stop::stop(
                &container,
                Duration::from_secs(container.record.stop_timeout),
            )?;
            writeln!(stdout(), "stopped {}", container.record.name)?;
        }
    }
    userns::dismiss(&context.paths.runroot)?;
    userns::forget_ahead(&context.paths.graphroot)?;
    // The new one has the ids that there are now.
    let ids = FileIds::acquire(&context.paths.runroot)?;
    let owners = pack::owners(&ids);
    let store = context.store()?;
    ids.run_inside(|| place_again(&store, owners).map_err(|error| format!("{error:#}")))?
        .map_err(|message| anyhow!(message))?;
    Ok(ExitCode::SUCCESS)
}

/// Places the files of every image whose owners are others now, from the layers that are kept.
fn place_again(store: &Store, owners: Owners) -> anyhow::Result<()> {
    for listed in store.images()? {
        let stored = store.image(&listed.id)?;
        let Some(stored) = stored.filter(|stored| stored.owners != owners) else {
            continue;
        };
        let origins = store.origins(&listed.id)?;
        let names = listed.names.iter().filter_map(Reference::name).collect();
        let source = store.source(&[(stored, names)])?;
        let [image] = packer::place::Source::images(&source) else {
            continue;
        };
        let mut writer = store.writer(owners)?.coming_from(origins);
        writer.load(image, &source, &mut |_| ())?;
        writeln!(stdout(), "placed {}", listed.short_id())?;
    }
    Ok(())
}
