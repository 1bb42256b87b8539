//! An image in a registry, as a place that gives it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::Access;
use super::copy::Extent;
use super::error::{Error, Problem, quoted};
use super::manifest::{Content, Document, MOST_MANIFEST};
use super::platform;
use super::prefetch::Prefetch;
use super::repository::Repository;
use crate::digest::Digest;
use crate::image::{Descriptor, ImageConfig, Manifest, Platform, from_json, media_type};
use crate::place::{Held, Image, ImageIndex, Source};
use crate::reference::Reference;

/// Indexes in indexes.
const MOST_DEPTH: usize = 4;

/// An image that was found in a registry: manifest and config are read and checked, the layers are
/// fetched when they are opened.
#[derive(Debug)]
pub struct Pull {
    asked: Reference,
    digest: Digest,
    repository: Arc<Repository>,
    held: Held,
    layers: BTreeMap<Digest, Descriptor>,
    prefetch: Prefetch,
}

impl Pull {
    /// Finds what a user typed: a reference, or a short name, for which the configured registries
    /// are asked one after the other. Layers that are fetched ahead lie in `temporary`, in files
    /// without names.
    ///
    /// No thread is started before [`Source::expect`].
    ///
    /// # Errors
    /// [`Error`]; [`Error::Nowhere`] when several places were asked and none has it.
    pub fn find(
        access: &Access,
        typed: &str,
        platform: &Platform,
        temporary: &Path,
    ) -> Result<Self, Error> {
        Self::find_telling(access, typed, platform, temporary, &|_| ())
    }

    /// The same; `tell` hears of each reference before it is asked for.
    ///
    /// # Errors
    /// As [`Pull::find`].
    pub fn find_telling(
        access: &Access,
        typed: &str,
        platform: &Platform,
        temporary: &Path,
        tell: &dyn Fn(&Reference),
    ) -> Result<Self, Error> {
        let extent = Extent::One(platform.clone());
        Self::search(access, typed, &extent, temporary, tell)
    }

    /// The same for all that it means: of an index every image.
    ///
    /// # Errors
    /// As [`Pull::find`].
    pub fn find_whole(access: &Access, typed: &str, temporary: &Path) -> Result<Self, Error> {
        Self::search(access, typed, &Extent::All, temporary, &|_| ())
    }

    fn search(
        access: &Access,
        typed: &str,
        extent: &Extent,
        temporary: &Path,
        tell: &dyn Fn(&Reference),
    ) -> Result<Self, Error> {
        let candidates = access.registries().candidates(typed)?;
        let mut tried = Vec::new();
        for candidate in &candidates {
            tell(candidate);
            match Self::open(access, candidate, extent, temporary) {
                Ok(pull) => return Ok(pull),
                Err(error) if candidates.len() == 1 => return Err(error),
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(Error::Nowhere {
            typed: typed.to_owned(),
            tried: tried.join("; "),
        })
    }

    /// Opens what one reference means: at the first mirror that has it, else at the registry, whose
    /// errors are told.
    fn open(
        access: &Access,
        reference: &Reference,
        extent: &Extent,
        temporary: &Path,
    ) -> Result<Self, Error> {
        let mut repositories = access.repositories(reference)?;
        let registry = repositories.pop();
        for mirror in repositories {
            if let Ok(pull) = Self::at(mirror, reference, extent, temporary) {
                return Ok(pull);
            }
        }
        match registry {
            Some(registry) => Self::at(registry, reference, extent, temporary),
            None => Err(Problem::NotFound(reference.to_string()).of(reference.registry())),
        }
    }

    /// Opens it at one place. It is called by the name under which it was asked for.
    fn at(
        repository: Repository,
        reference: &Reference,
        extent: &Extent,
        temporary: &Path,
    ) -> Result<Self, Error> {
        let document = repository.document(&reference.selector())?;
        let digest = Digest::of(&document.bytes);
        let held = match extent {
            Extent::One(platform) => {
                let (document, manifest) = repository.image(document, platform)?;
                Held::Image(Box::new(repository.complete(document, manifest)?))
            }
            Extent::All => repository.whole(document)?,
        };
        let layers = held
            .images()
            .iter()
            .flat_map(|image| &image.manifest.layers);
        let layers = layers.map(|layer| (layer.digest, layer.clone())).collect();
        Ok(Self {
            asked: reference.clone(),
            digest,
            repository: Arc::new(repository),
            held: held.renamed(reference.name().into_iter().collect()),
            layers,
            prefetch: Prefetch::new(temporary),
        })
    }

    /// What was asked for, as a complete reference; not the place of a mirror.
    #[must_use]
    pub fn asked(&self) -> &Reference {
        &self.asked
    }

    /// The digest of what the registry has there: of the manifest, or of the index that lists it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where the image is, which may be a mirror.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What was found.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The name of that repository.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        self.repository.reference()
    }
}

impl Repository {
    /// The manifest that a document means for a platform: itself, or the one of an index.
    pub(super) fn image(
        &self,
        mut document: Document,
        platform: &Platform,
    ) -> Result<(Document, Manifest), Error> {
        for _ in 0..MOST_DEPTH {
            let index = match document.content {
                Content::Manifest(ref manifest) => {
                    let manifest = manifest.clone();
                    return Ok((document, manifest));
                }
                Content::Index(index) => index,
            };
            let entry = platform::choose(&index, platform).ok_or_else(|| {
                self.problem(Problem::Platform {
                    wanted: platform::shown(platform),
                    there: platform::list(&index),
                })
            })?;
            document = self.document(&entry.digest.to_string())?;
            if document.bytes.len() as u64 != entry.size {
                return Err(self.problem(Problem::Length {
                    what: format!("the manifest {}", entry.digest),
                    expected: entry.size,
                }));
            }
        }
        let reason = "indexes in indexes in indexes".to_owned();
        Err(self.problem(Problem::Malformed(reason)))
    }

    /// The image that a manifest describes, without a name.
    fn complete(&self, document: Document, manifest: Manifest) -> Result<Image, Error> {
        let (config_bytes, config) = self.config(&manifest)?;
        Ok(Image {
            names: Vec::new(),
            manifest,
            manifest_bytes: document.bytes,
            config,
            config_bytes,
        })
    }

    /// Everything that a document means: one image, or every image of an index.
    fn whole(&self, document: Document) -> Result<Held, Error> {
        let index = match document.content {
            Content::Manifest(ref manifest) => {
                let manifest = manifest.clone();
                return Ok(Held::Image(Box::new(self.complete(document, manifest)?)));
            }
            Content::Index(index) => index,
        };
        let mut images = Vec::new();
        for entry in &index.manifests {
            let member = self.document(&entry.digest.to_string())?;
            let Content::Manifest(ref manifest) = member.content else {
                let reason = "an index in an index, which no archive takes".to_owned();
                return Err(self.problem(Problem::Malformed(reason)));
            };
            let manifest = manifest.clone();
            images.push(self.complete(member, manifest)?);
        }
        if images.is_empty() {
            let reason = "an index of nothing".to_owned();
            return Err(self.problem(Problem::Malformed(reason)));
        }
        Ok(Held::Index(ImageIndex {
            names: Vec::new(),
            images,
            media_type: document.media_type,
            bytes: document.bytes,
        }))
    }

    /// The config of an image, checked against its manifest.
    pub(super) fn config(&self, manifest: &Manifest) -> Result<(Vec<u8>, ImageConfig), Error> {
        let malformed = |reason: String| self.problem(Problem::Malformed(reason));
        let kind = manifest.config.media_type.as_str();
        if ![media_type::CONFIG, media_type::DOCKER_CONFIG].contains(&kind) {
            return Err(malformed(format!("no image but \"{}\"", quoted(kind))));
        }
        let bytes = self.small_blob("the config", &manifest.config, MOST_MANIFEST)?;
        let config: ImageConfig = from_json("the config", &bytes)
            .map_err(|error| malformed(quoted(&error.to_string())))?;
        let (said, there) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        if said != there {
            return Err(malformed(format!(
                "the config has {said} layers, and the manifest {there}"
            )));
        }
        Ok((bytes, config))
    }
}

impl Source for Pull {
    fn images(&self) -> &[Image] {
        self.held.images()
    }

    fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        if let Some(reader) = self.prefetch.take(digest) {
            return Ok(Box::new(reader));
        }
        let layer = self.layers.get(digest).ok_or_else(|| {
            let message = format!("the image has no layer {digest}");
            io::Error::new(io::ErrorKind::NotFound, message)
        })?;
        Ok(Box::new(self.repository.download(layer)?))
    }

    fn expect(&self, digests: &[Digest]) {
        let layers = digests.iter().filter_map(|digest| self.layers.get(digest));
        self.prefetch
            .begin(&self.repository, layers.cloned().collect());
    }
}
