//! The OCI image model: descriptor, manifest, index and config.
//!
//! Small structs of our own and not a crate of types: the order of the fields is the order of the
//! bytes, and the bytes are the image's identity. Maps are `BTreeMap`s for the same reason. Reading
//! accepts keys in any case, because Guix writes lower-case ones.
//!
//! Source: OCI image specification 1.1, `descriptor.md`, `manifest.md`, `image-index.md`,
//! `config.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

mod describe;
mod family;
mod json;
mod kind;

pub(crate) use describe::{PATH, annotation, healthcheck, set_variable};
pub use describe::{add_layer, annotations, config, manifest};
pub use family::{Family, InvalidFamily};
pub use json::{InvalidJson, from_json, to_json};
pub use kind::{Kind, kind_of};

/// Media types of the OCI image specification and docker's own names for the same things.
pub mod media_type {
    /// An OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image config.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// An uncompressed layer.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A gzip'd layer.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A zstd'd layer.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's image manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's manifest list.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker's uncompressed layer.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker's zstd'd layer.
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    /// Docker's gzip'd layer.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}

/// Points at a blob: what it is, its digest and its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is; see [`media_type`].
    pub media_type: String,
    /// The digest of the blob as it is stored (compressed, for a compressed layer).
    pub digest: Digest,
    /// The blob's size in bytes.
    pub size: u64,
    /// Free text by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What the image runs on; only in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A descriptor without annotations and platform.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
        }
    }

    /// Whether it points at the config of an image.
    #[must_use]
    pub fn is_config(&self) -> bool {
        [media_type::CONFIG, media_type::DOCKER_CONFIG].contains(&self.media_type.as_str())
    }
}

/// What an image runs on, in Go's names: `amd64`, `arm64`; `linux`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `GOARCH`.
    pub architecture: String,
    /// `GOOS`, here always `linux`.
    pub os: String,
    /// Such as `v7` for 32-bit ARM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on the architecture that this program was compiled for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: None,
        }
    }
}

impl Platform {
    /// Reads `OS/ARCHITECTURE[/VARIANT]`, or an architecture alone.
    ///
    /// # Errors
    /// A sentence about what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [architecture] => ("linux", *architecture, None),
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some(*variant)),
            _ => return Err("OS/ARCHITECTURE/VARIANT is expected, such as linux/arm64".to_owned()),
        };
        Ok(Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: variant.map(ToOwned::to_owned),
        })
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(formatter, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// An image manifest: one config and the layers from the lowest to the highest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::MANIFEST`], or empty where the writer left it out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The image config.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// Free text by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index: one manifest a platform or a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::INDEX`], or empty where the writer left it out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// Free text by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image config: what the image runs on, how it is run, and what its layers are.
///
/// The digest of its bytes is the image id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// RFC 3339; left out unless `SOURCE_DATE_EPOCH` asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// `GOARCH`.
    #[serde(default)]
    pub architecture: String,
    /// `GOOS`.
    #[serde(default)]
    pub os: String,
    /// Such as `v7` for 32-bit ARM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How a container of this image runs.
    #[serde(default, deserialize_with = "json::null_is_default")]
    pub config: RunConfig,
    /// The layers' diff ids.
    #[serde(default)]
    pub rootfs: RootFs,
    /// How the layers came to be, the lowest first.
    #[serde(
        default,
        deserialize_with = "json::null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
}

/// How a container of an image runs, unless the command line says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// `user[:group]`, names or numbers; empty is root.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "json::null_is_default"
    )]
    pub user: String,
    /// Ports that the program listens on, as `8080/tcp`; the values are empty objects.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "json::null_is_default"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::null_is_default"
    )]
    pub env: Vec<String>,
    /// The program and its fixed arguments.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::string_or_list"
    )]
    pub entrypoint: Vec<String>,
    /// The arguments that a command line replaces.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::string_or_list"
    )]
    pub cmd: Vec<String>,
    /// Directories that hold data which outlives the container.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "json::null_is_default"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Where the program starts; empty is `/`.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "json::null_is_default"
    )]
    pub working_dir: String,
    /// Free text by key.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "json::null_is_default"
    )]
    pub labels: BTreeMap<String, String>,
    /// The signal that `stop` sends first: `SIGTERM`, `15`.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "json::null_is_default"
    )]
    pub stop_signal: String,
    /// What the shell forms of commands in a Containerfile are given to. Docker's own.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::null_is_default"
    )]
    pub shell: Vec<String>,
    /// Instructions for whoever puts an image on this one. Docker's own.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::null_is_default"
    )]
    pub on_build: Vec<String>,
    /// How an engine asks the program how it is. Docker's own; podman reads it in docker's images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
}

/// A health check as docker writes it (moby, `image/spec`): times in nanoseconds, 0 is the engine's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["CMD", words…]`, `["CMD-SHELL", line]` or `["NONE"]`.
    #[serde(deserialize_with = "json::null_is_default")]
    pub test: Vec<String>,
    /// The time between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: u64,
    /// How long one check may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: u64,
    /// How long the program may take to start.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: u64,
    /// The time between two checks while it starts.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: u64,
    /// After how many failures it counts as unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u64,
}

/// serde asks by reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// `{}`: the value of a set that is written as a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// The layers of an image by the digests of their uncompressed tars.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The lowest layer first.
    #[serde(default, deserialize_with = "json::null_is_default")]
    pub diff_ids: Vec<Digest>,
}

/// How one layer came to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command that made the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether this step changed no file and so has no layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_layer: Option<bool>,
}

/// The label that our packer sets on an image whose exposed ports are meant to be published on
/// the loopback addresses when `runner run` names no port (design, decision 18).
pub const PUBLISH_LABEL: &str = "packer.publish";
