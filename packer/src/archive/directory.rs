//! Reading what skopeo and podman call `dir:` and `docker-dir`: a `manifest.json` that is one
//! manifest as a registry has it, and beside it each blob in a file named after its digest.
//!
//! Such a folder has no name for its image.

use serde_json::Value;

use super::Problem;
use super::backing::Backing;
use super::oci::{choose_for, image_of};
use super::read::Found;
use crate::digest::Digest;
use crate::image::{Index, Platform, from_json};

/// What `manifest.json` is.
pub(super) enum Document {
    Manifest(Vec<u8>),
    /// As `skopeo copy --all` writes it: the manifests lie in files beside it.
    Index(Vec<u8>, Index),
}

/// The manifest of such a folder; nothing if it is none: `manifest.json` is a list in a
/// docker-archive.
pub(super) fn document(backing: &Backing) -> Result<Option<Document>, Problem> {
    let Some(bytes) = backing.read_json("manifest.json", "manifest.json")? else {
        return Ok(None);
    };
    let invalid = |error| Problem::Invalid(format!("manifest.json is no JSON: {error}"));
    let value: Value = serde_json::from_slice(&bytes).map_err(invalid)?;
    let Value::Object(fields) = value else {
        return Ok(None);
    };
    Ok(Some(match fields.contains_key("manifests") {
        true => {
            let index = from_json("manifest.json", &bytes)?;
            Document::Index(bytes, index)
        }
        false => Document::Manifest(bytes),
    }))
}

/// The image of such a folder for this platform; nothing if it is none.
pub(super) fn images(
    backing: &Backing,
    platform: &Platform,
) -> Result<Option<Vec<Found>>, Problem> {
    let manifest = match document(backing)? {
        None => return Ok(None),
        Some(Document::Manifest(bytes)) => bytes,
        Some(Document::Index(_, index)) => {
            let entry = choose_for(backing, &index, platform, manifest_path)?;
            manifest_blob(backing, &entry.digest)?
        }
    };
    Ok(Some(vec![image(backing, manifest)?]))
}

/// The image with this manifest.
pub(super) fn image(backing: &Backing, manifest: Vec<u8>) -> Result<Found, Problem> {
    image_of(backing, manifest, Vec::new(), |digest| digest.hex())
}

/// One manifest of an index.
pub(super) fn manifest_blob(backing: &Backing, digest: &Digest) -> Result<Vec<u8>, Problem> {
    backing.read_json_blob(&manifest_path(digest), digest, "a manifest")
}

fn manifest_path(digest: &Digest) -> String {
    format!("{}.manifest.json", digest.hex())
}
