//! Reading what skopeo and podman call `dir:` and `docker-dir`: a `manifest.json` that is one
//! manifest as a registry has it, and beside it each blob in a file named after its digest.
//!
//! Such a folder has no name for its image.

use serde_json::Value;

use super::Problem;
use super::backing::Backing;
use super::oci::{choose_for_host, image_of};
use super::read::Found;
use crate::digest::Digest;
use crate::image::{Index, from_json};

/// The only image of such a folder; nothing if it is none: `manifest.json` is a list in a
/// docker-archive.
pub(super) fn images(backing: &Backing) -> Result<Option<Vec<Found>>, Problem> {
    let Some(bytes) = backing.read_json("manifest.json", "manifest.json")? else {
        return Ok(None);
    };
    let invalid = |error| Problem::Invalid(format!("manifest.json is no JSON: {error}"));
    let value: Value = serde_json::from_slice(&bytes).map_err(invalid)?;
    let Value::Object(fields) = value else {
        return Ok(None);
    };
    let bytes = match fields.contains_key("manifests") {
        true => instance(backing, &bytes)?,
        false => bytes,
    };
    let found = image_of(backing, bytes, Vec::new(), |digest| digest.hex())?;
    Ok(Some(vec![found]))
}

/// The manifest for the host, where `manifest.json` is an index (`skopeo copy --all`).
fn instance(backing: &Backing, index: &[u8]) -> Result<Vec<u8>, Problem> {
    let index: Index = from_json("manifest.json", index)?;
    let path = |digest: &Digest| format!("{}.manifest.json", digest.hex());
    let entry = choose_for_host(backing, &index, path)?;
    backing.read_json_blob(&path(&entry.digest), &entry.digest, "a manifest")
}
