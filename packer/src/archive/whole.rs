//! Reading everything that an archive holds, with the images for all platforms, so that it can be
//! copied as it is.

use std::collections::BTreeMap;

use super::Problem;
use super::backing::Backing;
use super::directory::{self, Document};
use super::read::Found;
use super::{docker, oci};
use crate::digest::Digest;
use crate::image::{Descriptor, Index, media_type};
use crate::name::ImageName;
use crate::place::{Held, ImageIndex};

/// What an archive holds, and the paths of its layers.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) held: Vec<Held>,
    pub(super) layers: BTreeMap<Digest, String>,
}

impl Whole {
    /// Everything in an archive; nothing if it is none.
    pub(super) fn of(backing: &Backing) -> Result<Option<Self>, Problem> {
        let mut whole = Self::default();
        if let Some(index) = oci::layout_index(backing)? {
            for entry in &index.manifests {
                whole.entry(backing, entry)?;
            }
            return Ok(Some(whole));
        }
        match directory::document(backing)? {
            Some(Document::Manifest(bytes)) => {
                let found = directory::image(backing, bytes)?;
                whole.image(found);
            }
            Some(Document::Index(bytes, index)) => {
                let member = |entry: &Descriptor| {
                    let manifest = directory::manifest_blob(backing, &entry.digest)?;
                    directory::image(backing, manifest)
                };
                whole.index(bytes, &index, Vec::new(), member)?;
            }
            None => match docker::images(backing)? {
                Some(images) => images.into_iter().for_each(|found| whole.image(found)),
                None => return Ok(None),
            },
        }
        Ok(Some(whole))
    }

    /// One entry of an `index.json`; several entries with one digest are names of one thing.
    fn entry(&mut self, backing: &Backing, entry: &Descriptor) -> Result<(), Problem> {
        let mut names = oci::names(entry)?;
        let known = |held: &Held| held.digest() == entry.digest;
        if let Some(place) = self.held.iter().position(known) {
            let held = self.held.remove(place);
            let names = [held.names(), names.as_slice()].concat();
            self.held.insert(place, held.renamed(names));
        } else if oci::is_index(&entry.media_type) {
            let (bytes, index) = oci::index_blob(backing, &entry.digest)?;
            let member = |entry: &Descriptor| match oci::is_index(&entry.media_type) {
                true => Err(Problem::Invalid("it has an index in an index".to_owned())),
                false => oci::image(backing, entry, Vec::new()),
            };
            self.index(bytes, &index, names, member)?;
        } else if !oci::is_attestation(entry) {
            let mut found = oci::image(backing, entry, Vec::new())?;
            if names.is_empty() {
                names = docker::names(backing, &found.image.id())?;
            }
            found.image.names = names;
            self.image(found);
        }
        Ok(())
    }

    fn image(&mut self, found: Found) {
        self.layers.extend(found.layers);
        self.held.push(Held::Image(Box::new(found.image)));
    }

    fn index(
        &mut self,
        bytes: Vec<u8>,
        index: &Index,
        names: Vec<ImageName>,
        member: impl Fn(&Descriptor) -> Result<Found, Problem>,
    ) -> Result<(), Problem> {
        let mut images = Vec::new();
        for entry in &index.manifests {
            let found = member(entry)?;
            self.layers.extend(found.layers);
            images.push(found.image);
        }
        if images.is_empty() {
            return Err(Problem::NotAnArchive("an index in it is empty".to_owned()));
        }
        let media_type = match index.media_type.as_str() {
            "" => media_type::INDEX,
            stated => stated,
        };
        self.held.push(Held::Index(ImageIndex {
            names,
            images,
            media_type: media_type.to_owned(),
            bytes,
        }));
        Ok(())
    }
}
