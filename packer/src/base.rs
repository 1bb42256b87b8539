//! The image that another one is put on: found in a registry, an archive or a folder, its layers
//! untouched, and what is in it known, because a file belongs where the links of the base lead.
//!
//! Layers from a registry are kept in the cache, under their digests, so that the next build fetches
//! no more than the manifest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::NewFile;
use crate::cache;
use crate::contents::{self, Contents};
use crate::digest::Digest;
use crate::image::{Descriptor, Family, Platform};
use crate::layer::decompress;
use crate::place::{Image, Source};
use crate::progress::Progress;
use crate::reference::Reference;
use crate::registry::{self, Access};
use crate::transport::{self, Found, Transport};

/// A base image as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseName {
    /// What was written.
    pub text: String,
    /// What it means.
    pub place: Transport,
}

impl BaseName {
    /// An image as `FROM` names it: a path has a transport, or begins with `/`, `./` or `../`, so that
    /// no folder that happens to be there is taken for an image.
    ///
    /// # Errors
    /// [`transport::Error::Invalid`].
    pub fn of_from(text: &str, folder: &Path) -> Result<Self, transport::Error> {
        let typed = Self::parse(text, folder)?;
        let is_path = [
            "/",
            "./",
            "../",
            "docker-archive:",
            "oci-archive:",
            "oci:",
            "dir:",
        ]
        .iter()
        .any(|start| text.starts_with(start));
        Ok(match is_path {
            true => typed,
            false => Self {
                place: Transport::Registry(text.trim_start_matches("docker://").to_owned()),
                ..typed
            },
        })
    }

    /// Reads what was written; relative paths lie below `folder`.
    ///
    /// # Errors
    /// [`transport::Error::Invalid`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, transport::Error> {
        Ok(Self {
            text: text.to_owned(),
            place: Transport::parse_name_below(text, folder)?,
        })
    }
}

/// Why there is no base.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// It was not found.
    #[error("the base {text}: {cause}")]
    Place {
        /// What was written.
        text: String,
        /// Why not.
        cause: Box<transport::Error>,
    },
    /// The configuration of registries.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// It is for another platform.
    #[error("the base {text} is for {there}, and {wanted} is wanted")]
    Platform {
        /// What was written.
        text: String,
        /// The platform that it is for.
        there: String,
        /// The platform of the program.
        wanted: String,
    },
    /// It cannot be read.
    #[error("the base {text} cannot be read: {cause}")]
    Read {
        /// What was written.
        text: String,
        /// Why not.
        cause: io::Error,
    },
}

/// A base image.
#[derive(Debug)]
pub struct Base {
    found: Found,
    /// The folder in which its layers are.
    kept: Option<PathBuf>,
    contents: Arc<Contents>,
}

impl Base {
    /// Finds the image for `platform` and reads what is in it.
    ///
    /// # Errors
    /// [`BaseError`].
    pub fn find(
        name: &BaseName,
        platform: &Platform,
        access: &Access,
        progress: &dyn Progress,
    ) -> Result<Self, BaseError> {
        let text = || name.text.clone();
        let unreadable = |cause| BaseError::Read {
            text: text(),
            cause,
        };
        let found = name
            .place
            .find(access, platform, &std::env::temp_dir())
            .map_err(|cause| BaseError::Place {
                text: text(),
                cause: Box::new(cause),
            })?;
        let config = &found.image().config;
        let is_same = config.os == platform.os && config.architecture == platform.architecture;
        if !is_same && !config.architecture.is_empty() {
            return Err(BaseError::Platform {
                text: text(),
                there: format!("{}/{}", config.os, config.architecture),
                wanted: format!("{}/{}", platform.os, platform.architecture),
            });
        }
        let kept = match found.pull() {
            None => None,
            Some(_) => Some(keep(&found, &name.text, progress).map_err(unreadable)?),
        };
        let mut base = Self {
            found,
            kept,
            contents: Arc::default(),
        };
        base.contents = Arc::new(contents::read(base.image(), &base).map_err(unreadable)?);
        Ok(base)
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &Image {
        self.found.image()
    }

    /// What is in it.
    #[must_use]
    pub fn contents(&self) -> &Arc<Contents> {
        &self.contents
    }

    /// The repository that it comes from, if it comes from a registry.
    #[must_use]
    pub fn repository(&self) -> Option<&Reference> {
        self.found.pull().map(registry::Pull::reference)
    }

    /// Its name, for whoever wants to know what an image is made of; an archive need not have one.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let named = self.image().names.first().map(ToString::to_string);
        named.or_else(|| {
            let repository = self.repository()?.untagged();
            Some(format!("{repository}@{}", self.image().digest()))
        })
    }

    /// Writes files of the image into `folder`, each under the hexadecimal digits of its digest.
    /// `wanted` are layers and the numbers of entries in them.
    ///
    /// # Errors
    /// What reading and writing give.
    pub(crate) fn extract(
        &self,
        wanted: &BTreeMap<usize, BTreeMap<usize, Digest>>,
        folder: &Path,
    ) -> io::Result<()> {
        for (layer, files) in wanted {
            let layer = &self.image().manifest.layers[*layer].digest;
            let mut tar = decompress(self.open_blob(layer)?)?;
            contents::each(&mut tar, &mut |_, order, entry, _| {
                let Some(digest) = files.get(&order) else {
                    return Ok(());
                };
                let new = NewFile::in_folder(folder)?;
                io::copy(entry, &mut new.file())?;
                new.place(&folder.join(digest.hex()))
            })?;
        }
        Ok(())
    }

    /// Its layers, under the names that the OCI specification has for what docker calls otherwise.
    #[must_use]
    pub fn layers(&self) -> Vec<Descriptor> {
        let layers = self.image().manifest.layers.iter();
        let renamed = |layer: &Descriptor| Descriptor {
            media_type: Family::Oci.name(&layer.media_type).to_owned(),
            ..layer.clone()
        };
        layers.map(renamed).collect()
    }
}

impl Source for Base {
    fn images(&self) -> &[Image] {
        std::slice::from_ref(self.image())
    }

    fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        match &self.kept {
            Some(folder) => Ok(Box::new(File::open(folder.join(digest.hex()))?)),
            None => self.found.source().open_blob(digest),
        }
    }
}

/// Fetches the layers that the cache does not have; the folder where they are.
fn keep(found: &Found, text: &str, progress: &dyn Progress) -> io::Result<PathBuf> {
    let folder = cache::folder().map_err(io::Error::other)?.join("layers");
    fs::create_dir_all(&folder)?;
    let is_whole = |layer: &&Descriptor| {
        let file = File::open(folder.join(layer.digest.hex()));
        let digest = file.and_then(|mut file| Digest::of_reader(&mut file));
        digest.is_ok_and(|(digest, _)| digest == layer.digest)
    };
    let layers = found.image().manifest.layers.iter();
    let mut missing: Vec<Digest> = Vec::new();
    for layer in layers.filter(|layer| !is_whole(layer)) {
        if !missing.contains(&layer.digest) {
            missing.push(layer.digest);
        }
    }
    if !missing.is_empty() {
        progress.note(&format!("fetching {} layers of {text}", missing.len()));
    }
    found.source().expect(&missing);
    for digest in missing {
        let new = NewFile::in_folder(&folder)?;
        // The registry's end checks the digest.
        io::copy(&mut found.source().open_blob(&digest)?, &mut new.file())?;
        new.place(&folder.join(digest.hex()))?;
    }
    Ok(folder)
}
