//! Images in memory and a store in a temporary folder, to try what goes in and out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use packer::ImageName;
use packer::image::{Descriptor, ImageConfig, Manifest, RootFs, media_type, to_json};
use packer::place::{Image, Sink, Source};
use packer::reference::Reference;

use super::*;

mod find;
mod generations;
mod list;
mod load;
mod remove;

/// Images in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) images: Vec<Image>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// The blobs that were opened.
    opened: RefCell<Vec<Digest>>,
}

impl Source for Memory {
    fn images(&self) -> &[Image] {
        &self.images
    }

    fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        self.opened.borrow_mut().push(*digest);
        match self.blobs.get(digest) {
            Some(blob) => Ok(Box::new(&blob[..])),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The media type of a layer, and what makes it of a tar.
type Form = (&'static str, fn(&[u8]) -> Vec<u8>);

impl Memory {
    /// Adds an image of gzip'd layers.
    pub(crate) fn add(&mut self, names: &[&str], architecture: &str, layers: &[&[u8]]) -> Image {
        self.add_as((media_type::LAYER_GZIP, gzip), names, architecture, layers)
    }

    /// Adds an image of layers that are encoded so.
    fn add_as(
        &mut self,
        (media_type, encode): Form,
        names: &[&str],
        architecture: &str,
        layers: &[&[u8]],
    ) -> Image {
        let mut config = ImageConfig {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: layers.iter().map(|tar| Digest::of(tar)).collect(),
            },
            ..ImageConfig::default()
        };
        config.config.cmd = vec!["/x".to_owned()];
        let descriptors = layers.iter().map(|tar| {
            let blob = encode(tar);
            let digest = Digest::of(&blob);
            let size = blob.len() as u64;
            self.blobs.insert(digest, blob);
            Descriptor::new(media_type, digest, size)
        });
        let layers = descriptors.collect();
        let config_bytes = to_json(&config);
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.to_owned(),
            config: Descriptor::new(
                media_type::CONFIG,
                Digest::of(&config_bytes),
                config_bytes.len() as u64,
            ),
            layers,
            annotations: BTreeMap::new(),
        };
        let image = Image {
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            manifest_bytes: to_json(&manifest),
            manifest,
            config,
            config_bytes,
        };
        self.images.push(image.clone());
        image
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        builder
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) struct Home {
    folder: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&paths(folder.path())).unwrap();
        Self { folder, store }
    }

    pub(crate) fn load(&self, source: &Memory) -> Result<Vec<StoredImage>, StoreError> {
        let mut writer = self.store.writer(Owners::Squashed)?;
        source
            .images
            .iter()
            .map(|image| writer.load(image, source, &mut |_| ()))
            .collect()
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let mut names = list(&self.folder.path().join("graph").join(folder)).unwrap();
        names.sort();
        names
    }

    /// Whether the store has nothing: no image, no blob, no leftover.
    fn is_empty(&self) -> bool {
        let generations = self.store.generations.read_dir();
        generations.map_or(0, Iterator::count) == 0
            && ["blobs/sha256", "images", "trees", "names", "packed", "tmp"]
                .iter()
                .all(|folder| self.files(folder).is_empty())
    }

    fn resolve(&self, text: &str) -> Digest {
        self.store.resolve(text).unwrap().image.id
    }

    fn remove(&self, text: &str, force: bool) -> Result<Removed, StoreError> {
        let resolved = self.store.resolve(text)?;
        self.store.remove(&resolved, force, &|_| Vec::new())
    }
}

fn paths(folder: &Path) -> Paths {
    Paths {
        graphroot: folder.join("graph"),
        runroot: folder.join("run"),
    }
}

fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

fn reference(text: &str) -> Reference {
    Reference::from(&name(text))
}
