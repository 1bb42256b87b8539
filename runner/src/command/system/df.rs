//! `runner system df`: how much room everything takes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use packer::reference::Reference;
use serde_json::{Value, json};

use super::super::{Context, image, time};
use crate::container::Container;
use crate::container::record::Volume;
use crate::human;
use crate::store::{Store, StoreError, StoredImage};
use crate::template::{Template, align};

#[derive(Debug, clap::Args)]
pub(in crate::command) struct Arguments {
    /// Show every image, container and volume
    #[arg(short, long)]
    verbose: bool,

    /// Print json, a table … or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const USUAL: &str = "table {{.Type}}\t{{.Total}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";

/// A size as docker and podman print it here: `3.97MB`.
fn size(bytes: u64) -> String {
    human::size(bytes).replace(' ', "")
}

/// One kind of things: how many there are, how many are in use, and the bytes of both.
struct Kind {
    name: &'static str,
    total: usize,
    active: usize,
    bytes: u64,
    reclaimable: u64,
}

/// Everything that takes room.
struct Everything {
    /// With their names.
    images: Vec<(StoredImage, Vec<Reference>)>,
    containers: Vec<(Container, u64)>,
    /// By name: bytes and the containers that use it.
    volumes: BTreeMap<String, (u64, usize)>,
}

pub(in crate::command) fn run(
    arguments: &Arguments,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let containers = context.containers().all()?;
    let store = context.store()?;
    // What containers wrote may be closed to everybody but their own root.
    image::enter(context)?;
    let everything = Everything {
        images: images(&store)?,
        volumes: volumes(&containers, &context.paths.graphroot.join("volumes")),
        containers: containers
            .into_iter()
            .map(|container| {
                let bytes = room(&container.folder().join("upper"));
                (container, bytes)
            })
            .collect(),
    };
    let text = match arguments.format.as_deref() {
        _ if arguments.verbose => everything.verbose(),
        Some("json") => format!("{:#}\n", Value::Array(everything.rows())),
        format => {
            let template = Template::parse(format.unwrap_or(USUAL))?;
            template.render_rows(&everything.rows(), &headers())?
        }
    };
    stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn headers() -> Value {
    json!({
        "Type": "TYPE", "Total": "TOTAL", "Active": "ACTIVE", "Size": "SIZE",
        "Reclaimable": "RECLAIMABLE", "RawSize": "RAW SIZE", "RawReclaimable": "RAW RECLAIMABLE",
        "TotalCount": "TOTAL COUNT",
    })
}

/// The bytes of the regular files in a folder, each once.
pub(in crate::command) fn room(folder: &Path) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.len();
            }
        }
    }
    bytes
}

fn images(store: &Store) -> Result<Vec<(StoredImage, Vec<Reference>)>, StoreError> {
    let mut images = Vec::new();
    for listed in store.images()? {
        images.extend(store.image(&listed.id)?.map(|image| (image, listed.names)));
    }
    Ok(images)
}

fn volumes(containers: &[Container], folder: &Path) -> BTreeMap<String, (u64, usize)> {
    let users = |wanted: &str| {
        let uses = |container: &&Container| {
            let mut mounts = container.record.mounts.iter();
            mounts.any(|mount| matches!(mount, Volume::Named { name, .. } if name == wanted))
        };
        containers.iter().filter(uses).count()
    };
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    found
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let users = users(&name);
            (name, (room(&entry.path()), users))
        })
        .collect()
}

impl Everything {
    /// What each image needs, with its bytes: its tree and its layers as they came.
    fn parts(image: &StoredImage) -> BTreeMap<String, u64> {
        let layers = image
            .layers
            .iter()
            .map(|layer| (layer.digest.to_string(), layer.size));
        layers
            .chain([(image.tree.display().to_string(), image.size)])
            .collect()
    }

    fn users(&self, image: &StoredImage) -> usize {
        let uses = |(container, _): &&(Container, u64)| container.record.image_id == image.id;
        self.containers.iter().filter(uses).count()
    }

    /// By part: its bytes, how many images need it, and whether one of them is in use.
    fn all_parts(&self) -> BTreeMap<String, (u64, usize, bool)> {
        let mut parts = BTreeMap::new();
        for (image, _) in &self.images {
            let is_used = self.users(image) > 0;
            for (part, bytes) in Self::parts(image) {
                let known = parts.entry(part).or_insert((bytes, 0, false));
                known.1 += 1;
                known.2 |= is_used;
            }
        }
        parts
    }

    fn kinds(&self) -> [Kind; 3] {
        let parts = self.all_parts();
        let stopped = |(container, _): &&(Container, u64)| !container.status().is_running();
        let idle: Vec<u64> = self
            .containers
            .iter()
            .filter(stopped)
            .map(|(_, bytes)| *bytes)
            .collect();
        let unused = self.volumes.values().filter(|(_, users)| *users == 0);
        let unused: Vec<u64> = unused.map(|(bytes, _)| *bytes).collect();
        [
            Kind {
                name: "Images",
                total: self.images.len(),
                active: self
                    .images
                    .iter()
                    .filter(|(image, _)| self.users(image) > 0)
                    .count(),
                bytes: parts.values().map(|(bytes, ..)| bytes).sum(),
                reclaimable: parts
                    .values()
                    .filter(|part| !part.2)
                    .map(|part| part.0)
                    .sum(),
            },
            Kind {
                name: "Containers",
                total: self.containers.len(),
                active: self.containers.len() - idle.len(),
                bytes: self.containers.iter().map(|(_, bytes)| bytes).sum(),
                reclaimable: idle.iter().sum(),
            },
            Kind {
                name: "Local Volumes",
                total: self.volumes.len(),
                active: self.volumes.len() - unused.len(),
                bytes: self.volumes.values().map(|(bytes, _)| bytes).sum(),
                reclaimable: unused.iter().sum(),
            },
        ]
    }

    fn rows(&self) -> Vec<Value> {
        let row = |kind: &Kind| {
            let percent = (kind.reclaimable * 100)
                .checked_div(kind.bytes)
                .unwrap_or(0);
            json!({
                "Type": kind.name,
                "Total": kind.total,
                "TotalCount": kind.total,
                "Active": kind.active,
                "Size": size(kind.bytes),
                "RawSize": kind.bytes,
                "Reclaimable": format!("{} ({percent}%)", size(kind.reclaimable)),
                "RawReclaimable": kind.reclaimable,
            })
        };
        self.kinds().iter().map(row).collect()
    }

    fn verbose(&self) -> String {
        format!(
            "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}",
            align(&self.image_lines()),
            align(&self.container_lines()),
            align(&self.volume_lines())
        )
    }

    fn image_lines(&self) -> String {
        let parts = self.all_parts();
        let mut lines =
            "REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\tSHARED SIZE\tUNIQUE SIZE\tCONTAINERS\n"
                .to_owned();
        for (image, names) in &self.images {
            let own = Self::parts(image);
            let total: u64 = own.values().sum();
            let shared = own.iter().filter(|(part, _)| parts[*part].1 > 1);
            let shared: u64 = shared.map(|(_, bytes)| bytes).sum();
            let name = names.first();
            let created = image.config.created.as_deref();
            lines += &format!(
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
                name.map_or_else(|| "<none>".to_owned(), Reference::untagged),
                name.and_then(Reference::tag).unwrap_or("<none>"),
                image.short_id(),
                created
                    .and_then(human::parse_time)
                    .map_or("N/A".to_owned(), age),
                size(total),
                size(shared),
                size(total - shared),
                self.users(image),
            );
        }
        lines
    }

    fn container_lines(&self) -> String {
        let mut lines =
            "CONTAINER ID\tIMAGE\tCOMMAND\tLOCAL VOLUMES\tSIZE\tCREATED\tSTATUS\tNAMES\n"
                .to_owned();
        for (container, bytes) in &self.containers {
            let record = &container.record;
            let mounts = record.mounts.iter();
            let volumes = mounts.filter(|mount| matches!(mount, Volume::Named { .. }));
            lines += &format!(
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
                record.id.short(),
                &record.image_id.hex()[..12],
                human::escaped(&record.arguments.join(" ")),
                volumes.count(),
                size(*bytes),
                time::since(record.created),
                container.word(&container.status()),
                record.name
            );
        }
        lines
    }

    fn volume_lines(&self) -> String {
        let mut lines = "VOLUME NAME\tLINKS\tSIZE\n".to_owned();
        for (name, (bytes, users)) in &self.volumes {
            lines += &format!("{name}\t{users}\t{}\n", size(*bytes));
        }
        lines
    }
}

/// How old something is, which podman says here without the word "ago".
fn age(time: SystemTime) -> String {
    human::duration(SystemTime::now().duration_since(time).unwrap_or_default())
}
