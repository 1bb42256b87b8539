//! The images of one request for each of its targets, and what became of them.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Error, Packages, Plan, Request, Targets};
use crate::digest::Digest;
use crate::layer::Compression;
use crate::name::ImageName;
use crate::place::{Image, ImageIndex, Sink};
use crate::progress::Progress;
use crate::reference::Reference;

/// One image, or one for each of several platforms under the same names.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// At least one.
    pub(super) plans: Vec<Plan>,
}

/// What was packed under some names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// The names.
    pub names: Vec<String>,
    /// The digest that a registry knows it by: that of the manifest, or of the index of several.
    pub digest: Digest,
    /// The image for each platform.
    pub platforms: Vec<PackedImage>,
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedImage {
    /// `linux/amd64`.
    pub platform: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The image id: the digest of its config.
    pub id: Digest,
    /// The bytes of its compressed layers together.
    pub size: u64,
}

impl Bundle {
    /// Finds what `request` means, compiles it for each target, and plans the images.
    ///
    /// # Errors
    /// [`Error`]; nothing was written then, but for cargo's own target folder.
    pub fn prepare(request: &Request, progress: &dyn Progress) -> Result<Self, Error> {
        let packages = Packages::find(request)?;
        let mut systems = match &request.targets {
            Targets::Host => vec![None],
            Targets::All => packages.main.systems.iter().copied().map(Some).collect(),
            Targets::Listed(systems) => systems.iter().copied().map(Some).collect(),
        };
        let mut seen = Vec::new();
        systems.retain(|system| {
            let is_new = !seen.contains(system);
            seen.push(*system);
            is_new
        });
        if systems.is_empty() {
            // A definition that names no system has what its program runs on.
            systems.push(None);
        }
        let plans = systems
            .into_iter()
            .map(|system| packages.plan(request, system, progress));
        Ok(Self {
            plans: plans.collect::<Result<_, _>>()?,
        })
    }

    /// What the image is called when nobody names it: as the package is.
    #[must_use]
    pub fn title(&self) -> &str {
        self.plans[0].title()
    }

    /// The repository of the base image, if that comes from a registry.
    #[must_use]
    pub fn base_repository(&self) -> Option<&Reference> {
        self.plans[0].base.as_ref()?.repository()
    }

    /// The image for each platform; at least one.
    #[must_use]
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// The names of the image; at least one.
    #[must_use]
    pub fn names(&self) -> &[ImageName] {
        self.plans[0].names()
    }

    /// How the layers are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.plans[0].compression
    }

    /// A digest of everything that determines the bytes, but for the names; see
    /// [`Plan::fingerprint`].
    ///
    /// # Errors
    /// As [`Plan::fingerprint`].
    pub fn fingerprint(&self) -> io::Result<Digest> {
        if let [plan] = self.plans.as_slice() {
            return plan.fingerprint();
        }
        let lines = self.plans.iter().map(|plan| {
            let digest = plan.fingerprint()?;
            Ok(format!("{digest}\n"))
        });
        let text = lines.collect::<io::Result<String>>()?;
        Ok(Digest::of(text.as_bytes()))
    }

    /// Packs into `place`: first the layers, then the image or the index with its names.
    ///
    /// # Errors
    /// As [`Plan::write`].
    pub fn write(&self, place: &mut dyn Sink, progress: &dyn Progress) -> Result<Packed, Error> {
        let written = match self.plans.as_slice() {
            [plan] => plan
                .write_into(place, progress)
                .map(|image| Packed::of(self.names(), image.digest(), &[image])),
            plans => self.write_index(plans, place, progress),
        };
        written.map_err(|cause| Error::Write {
            name: self.title().to_owned(),
            cause,
        })
    }

    fn write_index(
        &self,
        plans: &[Plan],
        place: &mut dyn Sink,
        progress: &dyn Progress,
    ) -> io::Result<Packed> {
        let images = plans
            .iter()
            .map(|plan| plan.write_layers(place, progress))
            .collect::<io::Result<Vec<Image>>>()?;
        let index = ImageIndex::new(self.names().to_vec(), images);
        place.put_index(&index)?;
        Ok(Packed::of(self.names(), index.digest(), &index.images))
    }
}

impl Packed {
    fn of(names: &[ImageName], digest: Digest, images: &[Image]) -> Self {
        let platform = |image: &Image| PackedImage {
            platform: format!("{}/{}", image.config.os, image.config.architecture),
            digest: image.digest(),
            id: image.id(),
            size: image.manifest.layers.iter().map(|layer| layer.size).sum(),
        };
        Self {
            names: names.iter().map(ToString::to_string).collect(),
            digest,
            platforms: images.iter().map(platform).collect(),
        }
    }
}
