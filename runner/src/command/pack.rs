//! Packing the package of a folder straight into the store.

use std::io::{IsTerminal, stderr};
use std::path::Path;

use anyhow::anyhow;
use packer::plan::{self, Plan, Request};
use packer::progress::Progress;

use super::Context;
use crate::human::tell;
use crate::sandbox::userns::FileIds;
use crate::store::{Owners, Store, StoredImage};

/// Tells on standard error what is being done.
struct Notes;

impl Progress for Notes {
    fn note(&self, line: &str) {
        tell(line);
    }
}

/// Compiles the package of `folder` and packs it into the store; the image and its name. When
/// nothing has changed since the last time, nothing is packed.
pub(super) fn pack(folder: &Path, context: &Context) -> anyhow::Result<(String, StoredImage)> {
    let mut request = Request::folder(folder);
    request.epoch = packer::epoch::Epoch::from_environment()?;
    let plan = plan::prepare(&request, &Notes)?;
    let store = context.store()?;
    let fingerprint = plan.fingerprint()?;
    let name = plan.name().to_string();
    if let Some(image) = store.packed(&fingerprint)?
        && store.names_of(&image.id)?.contains(&plan.name().into())
    {
        return Ok((name, image));
    }
    let ids = FileIds::acquire(&context.paths.runroot)?;
    let owners = owners(&ids);
    ids.run_inside(|| write(&plan, &store, owners).map_err(|error| format!("{error:#}")))?
        .map_err(|message| anyhow!(message))?;
    let image = store
        .packed(&fingerprint)?
        .ok_or_else(|| anyhow!("the image {name} was removed while it was packed"))?;
    if stderr().is_terminal() {
        tell(format_args!("packed {name} ({})", image.short_id()));
    }
    Ok((name, image))
}

/// Who owns the files of an image here.
pub(super) fn owners(ids: &FileIds) -> Owners {
    match ids {
        _ if ids.is_single() => Owners::Squashed,
        FileIds::Namespace(_) => Owners::Mapped,
        FileIds::Host => Owners::Host,
    }
}

fn write(plan: &Plan, store: &Store, owners: Owners) -> anyhow::Result<()> {
    let image = plan.write(&mut store.writer(owners)?, &Notes)?;
    Ok(store.remember_packed(&plan.fingerprint()?, &image.id())?)
}
