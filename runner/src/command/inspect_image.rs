//! `runner inspect --type image` and `runner image inspect`: everything about images, as podman
//! prints it.

use std::collections::{BTreeMap, BTreeSet};

use packer::Digest;
use packer::image::{Healthcheck, History, RunConfig};
use serde::Serialize;
use serde_json::Value;

use super::images::repo_digests;
use crate::store::{Resolved, Store, StoreError};
use crate::template::Shape;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
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
        comment: first_comment(&config.history),
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
        healthcheck: config.config.healthcheck.clone(),
        config: config.config,
    };
    Ok(serde_json::to_value(report).unwrap_or_default())
}

/// The image for a template: what JSON leaves out is the empty value there with podman and docker, and
/// the history has the names of Go.
pub const SHAPE: Shape = Shape {
    names: &[
        ("ID", "Id"),
        ("HealthCheck", "Healthcheck"),
        ("Created", "created"),
        ("CreatedBy", "created_by"),
        ("Author", "author"),
        ("Comment", "comment"),
        ("EmptyLayer", "empty_layer"),
    ],
    defaults: &[
        ("HealthCheck", "null"),
        ("Healthcheck", "null"),
        ("Created", "\"\""),
        ("CreatedBy", "\"\""),
        ("Author", "\"\""),
        ("Comment", "\"\""),
        ("EmptyLayer", "false"),
        ("User", "\"\""),
        ("WorkingDir", "\"\""),
        ("StopSignal", "\"\""),
        ("Env", "[]"),
        ("Entrypoint", "[]"),
        ("Cmd", "[]"),
        ("OnBuild", "[]"),
        ("Shell", "[]"),
        ("ExposedPorts", "{}"),
        ("Volumes", "{}"),
        ("Labels", "{}"),
    ],
    times: &["Created"],
    is_closed: false,
};

/// What was said first about the making of the image, as podman has it.
fn first_comment(history: &[History]) -> String {
    let first = history.first();
    first
        .and_then(|made| made.comment.clone())
        .unwrap_or_default()
}
