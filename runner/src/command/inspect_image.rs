//! `runner inspect --type image` and `runner image inspect`: everything about images, as podman
//! prints it.

use std::collections::{BTreeMap, BTreeSet};

use packer::Digest;
use packer::image::{History, RunConfig};
use serde::Serialize;
use serde_json::{Value, json};

use super::images::repo_digests;
use crate::store::{Resolved, Store, StoreError};

/// An image with podman's field names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    id: String,
    digest: Digest,
    repo_tags: Vec<String>,
    repo_digests: BTreeSet<String>,
    parent: &'static str,
    comment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    config: RunConfig,
    version: &'static str,
    author: String,
    architecture: String,
    os: String,
    size: u64,
    virtual_size: u64,
    graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    root_fs: RootFs,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    manifest_type: String,
    user: String,
    history: Vec<History>,
    names_history: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    name: String,
    data: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    #[serde(rename = "Type")]
    kind: &'static str,
    layers: Vec<Digest>,
}

/// Everything about the image that `text` names, for [`crate::template`] or as JSON. `driver` is how
/// its tree becomes a container's root: `overlay`, or another name that `info` prints.
///
/// # Errors
/// [`StoreError::UnknownImage`] and what reading the store gives.
pub fn inspect(text: &str, store: &Store, driver: &str) -> Result<Value, StoreError> {
    let Resolved { image, .. } = store.resolve(text)?;
    let config = store.config(&image)?;
    let manifest = store.manifest(&image)?;
    let names = store.names_of(&image.id)?;
    let all: Vec<_> = names.iter().map(ToString::to_string).collect();
    let tagged = names.iter().filter(|name| name.digest().is_none());
    let report = Report {
        id: image.id.hex(),
        digest: image.shown_digest(),
        repo_digests: repo_digests(&names, image.digests()),
        repo_tags: tagged.map(ToString::to_string).collect(),
        names_history: all,
        parent: "",
        comment: last_comment(&config.history),
        created: config.created,
        version: "",
        author: config.author.unwrap_or_default(),
        architecture: config.architecture,
        os: config.os,
        size: image.size,
        virtual_size: image.size,
        graph_driver: GraphDriver {
            name: driver.to_owned(),
            data: BTreeMap::from([("LowerDir", image.tree.display().to_string())]),
        },
        root_fs: RootFs {
            kind: "layers",
            layers: config.rootfs.diff_ids,
        },
        labels: config.config.labels.clone(),
        annotations: manifest.annotations,
        manifest_type: if manifest.media_type.is_empty() {
            packer::image::media_type::MANIFEST.to_owned()
        } else {
            manifest.media_type
        },
        user: config.config.user.clone(),
        history: config.history,
        config: config.config,
    };
    Ok(serde_json::to_value(report).unwrap_or_default())
}

/// Gives what an image leaves out of its config the empty value that a template finds there with
/// podman and docker; in JSON it is left out. A container stays as it is.
pub fn complete(found: &mut Value) {
    let is_image = found.get("RootFS").is_some();
    let Some(Value::Object(config)) = found.get_mut("Config").filter(|_| is_image) else {
        return;
    };
    let empty = [
        (json!(""), &["User", "WorkingDir", "StopSignal"][..]),
        (json!([]), &["Env", "Entrypoint", "Cmd", "OnBuild", "Shell"]),
        (json!({}), &["ExposedPorts", "Volumes", "Labels"]),
    ];
    for (value, names) in empty {
        for name in names {
            config.entry(*name).or_insert_with(|| value.clone());
        }
    }
}

/// What was said last about the making of the image.
fn last_comment(history: &[History]) -> String {
    let mut comments = history.iter().rev().filter_map(|made| made.comment.clone());
    comments.next().unwrap_or_default()
}
