//! Places that images come from and go to: an archive, a layout, a store.
//!
//! One pair of traits carries an image from stretch to stretch. `packer build` writes into an
//! archive; `runner run` of a directory writes into the store with the same code and no archive
//! between; `runner load` copies from an archive to the store.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use crate::digest::Digest;
use crate::image::{
    Descriptor, Family, ImageConfig, Index, Manifest, Platform, media_type, to_json,
};
use crate::name::ImageName;

/// One complete image but for its blobs: names, manifest and config, with the exact bytes that
/// their digests are made of.
#[derive(Debug, Clone)]
pub struct Image {
    /// The names that point at this image; may be empty.
    pub names: Vec<ImageName>,
    /// The manifest.
    pub manifest: Manifest,
    /// The bytes of the manifest.
    pub manifest_bytes: Vec<u8>,
    /// The config.
    pub config: ImageConfig,
    /// The bytes of the config; their digest is the image id.
    pub config_bytes: Vec<u8>,
}

impl Image {
    /// The image id: the digest of the config.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.manifest.config.digest
    }

    /// The digest of the manifest, the image's name in a registry.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest_bytes)
    }

    /// The same image with a manifest of `family`; itself, with its digest, if it is of that one.
    #[must_use]
    pub fn in_family(&self, family: Family) -> Self {
        let manifest = family.translate(&self.manifest);
        if manifest == self.manifest {
            return self.clone();
        }
        Self {
            manifest_bytes: to_json(&manifest),
            manifest,
            ..self.clone()
        }
    }

    /// Points at the image, with its platform where that is known.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let config = &self.config;
        let media_type = match self.manifest.media_type.as_str() {
            "" => media_type::MANIFEST,
            stated => stated,
        };
        let size = self.manifest_bytes.len() as u64;
        let mut descriptor = Descriptor::new(media_type, self.digest(), size);
        descriptor.platform = (!config.architecture.is_empty()).then(|| Platform {
            architecture: config.architecture.clone(),
            os: config.os.clone(),
            variant: config.variant.clone(),
        });
        descriptor
    }

    /// Refuses an image whose layers were not all put into `sink` before.
    pub(crate) fn check_layers(&self, sink: &dyn Sink) -> io::Result<()> {
        let missing = |layer: &&Descriptor| !sink.has_blob(&layer.digest);
        match self.manifest.layers.iter().find(missing) {
            None => Ok(()),
            Some(Descriptor { digest, .. }) => {
                let message = format!("the layer {digest} was not put before its image");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }
}

/// Images with the same names for several platforms: what a client of each gets is its own.
#[derive(Debug, Clone)]
pub struct ImageIndex {
    /// The names that point at this index; may be empty.
    pub names: Vec<ImageName>,
    /// The images, themselves without names, each for another platform. What was said about one of
    /// them (an attestation) is among them, for the platform `unknown`.
    pub images: Vec<Image>,
    /// What the index is called; see [`media_type`].
    pub media_type: String,
    /// The bytes of the index.
    pub bytes: Vec<u8>,
}

impl ImageIndex {
    /// The index of `images`, of which each is for another platform.
    #[must_use]
    pub fn new(names: Vec<ImageName>, images: Vec<Image>) -> Self {
        let manifests = images.iter().map(Image::descriptor).collect();
        let index = Index {
            schema_version: 2,
            media_type: media_type::INDEX.to_owned(),
            manifests,
            annotations: BTreeMap::new(),
        };
        Self {
            names,
            images,
            media_type: index.media_type.clone(),
            bytes: to_json(&index),
        }
    }

    /// The digest of the index, its name in a registry.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

/// What stands under some names: an image, or one for each of several platforms.
#[derive(Debug, Clone)]
pub enum Held {
    /// An image.
    Image(Box<Image>),
    /// Images for several platforms.
    Index(ImageIndex),
}

impl Held {
    /// The names that point at it; may be none.
    #[must_use]
    pub fn names(&self) -> &[ImageName] {
        match self {
            Self::Image(image) => &image.names,
            Self::Index(index) => &index.names,
        }
    }

    /// The same under other names.
    #[must_use]
    pub fn renamed(mut self, names: Vec<ImageName>) -> Self {
        match &mut self {
            Self::Image(image) => image.names = names,
            Self::Index(index) => index.names = names,
        }
        self
    }

    /// The images in it.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        match self {
            Self::Image(image) => std::slice::from_ref(image),
            Self::Index(index) => &index.images,
        }
    }

    /// The image for those who know only one a name: of several the first that runs anywhere.
    #[must_use]
    pub fn first_image(&self) -> Option<&Image> {
        let mut images = self.images().iter();
        images.find(|image| image.config.os != "unknown")
    }

    /// The digest that a registry knows it by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Image(image) => image.digest(),
            Self::Index(index) => index.digest(),
        }
    }

    /// Points at it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        match self {
            Self::Image(image) => image.descriptor(),
            Self::Index(index) => {
                let size = index.bytes.len() as u64;
                Descriptor::new(&index.media_type, index.digest(), size)
            }
        }
    }
}

/// Writes the content of one blob into the writer that it is given.
pub type WriteBlob<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// A place that takes images. First every layer, then the image, which makes it visible.
pub trait Sink {
    /// Whether the blob is there already and need not be written again.
    fn has_blob(&self, digest: &Digest) -> bool;

    /// Takes a blob whose digest shows only when it was written; returns digest and size.
    ///
    /// # Errors
    /// What writing gives, or what `write` gives; nothing of the blob is left then.
    fn put_blob(&mut self, write: WriteBlob<'_>) -> io::Result<(Digest, u64)>;

    /// Takes the image whose layers were put before, and moves its names to it.
    ///
    /// # Errors
    /// What writing gives; the names point where they did before then.
    fn put_image(&mut self, image: &Image) -> io::Result<()>;

    /// Takes images for several platforms, whose layers were put before, and moves the names of the
    /// index to them.
    ///
    /// # Errors
    /// As [`Sink::put_image`]; `Unsupported` for a place that has one image a name.
    fn put_index(&mut self, index: &ImageIndex) -> io::Result<()> {
        let message = format!(
            "it takes an image for one platform, and not for {}",
            index.images.len()
        );
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }
}

/// A place that gives images.
pub trait Source {
    /// The images, each with its manifest and config read and their digests checked.
    fn images(&self) -> &[Image];

    /// Opens a layer by the digest that an image's manifest names.
    ///
    /// The bytes are as they were stored; the caller checks digest and diff id.
    ///
    /// # Errors
    /// What opening gives; `NotFound` for a digest that no image names.
    fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>>;

    /// Is told which layers will be opened next, each once, in this order. A place that is far away
    /// begins to fetch them, on threads of its own; every other place need not care.
    fn expect(&self, digests: &[Digest]) {
        let _ = digests;
    }
}

/// What [`copy`] is doing, for those who watch.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A layer comes next.
    Layer {
        /// The layer.
        layer: &'a Descriptor,
        /// Whether it is there already and nothing is read.
        present: bool,
    },
    /// So many bytes of the present layer were written.
    Bytes(u64),
    /// The config with this digest comes next.
    Config(&'a Digest),
    /// The image becomes visible.
    Manifest,
}

/// Copies an image from one place to another, blobs as they are: what has a digest keeps it.
///
/// # Errors
/// What reading and writing give; `InvalidData` for a layer that is not what the manifest says.
pub fn copy(
    image: &Image,
    source: &dyn Source,
    sink: &mut dyn Sink,
    watch: &mut dyn FnMut(Step<'_>),
) -> io::Result<()> {
    copy_layers(std::slice::from_ref(image), source, sink, watch)?;
    watch(Step::Config(&image.manifest.config.digest));
    watch(Step::Manifest);
    sink.put_image(image)
}

/// Copies an image, or an index with all its images, from one place to another.
///
/// # Errors
/// As [`copy`].
pub fn copy_held(
    held: &Held,
    source: &dyn Source,
    sink: &mut dyn Sink,
    watch: &mut dyn FnMut(Step<'_>),
) -> io::Result<()> {
    let index = match held {
        Held::Image(image) => return copy(image, source, sink, watch),
        Held::Index(index) => index,
    };
    copy_layers(&index.images, source, sink, watch)?;
    watch(Step::Manifest);
    sink.put_index(index)
}

/// Copies the layers of some images, each once.
pub(crate) fn copy_layers(
    images: &[Image],
    source: &dyn Source,
    sink: &mut dyn Sink,
    watch: &mut dyn FnMut(Step<'_>),
) -> io::Result<()> {
    let layers = || images.iter().flat_map(|image| &image.manifest.layers);
    let mut missing: Vec<Digest> = Vec::new();
    for layer in layers() {
        if !sink.has_blob(&layer.digest) && !missing.contains(&layer.digest) {
            missing.push(layer.digest);
        }
    }
    source.expect(&missing);
    for layer in layers() {
        let present = sink.has_blob(&layer.digest);
        watch(Step::Layer { layer, present });
        if present {
            continue;
        }
        let mut blob = source.open_blob(&layer.digest)?;
        let (found, _) = sink.put_blob(&mut |out| copy_bytes(&mut blob, out, watch))?;
        if found != layer.digest {
            let message = format!("the layer {} is damaged: it has {found}", layer.digest);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
    }
    Ok(())
}

/// What is read at once.
const BUFFER: usize = 256 << 10;

fn copy_bytes(
    blob: &mut dyn Read,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(Step<'_>),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match blob.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                out.write_all(&buffer[..count])?;
                watch(Step::Bytes(count as u64));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
