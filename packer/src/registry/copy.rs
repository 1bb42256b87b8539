//! From one registry to another: documents and blobs as they are, also those of an index, and also
//! such as are no images (signatures, bills of materials).

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::Access;
use super::error::{Error, Problem};
use super::manifest::{Content, Document};
use super::push::{Push, Pushing, Watch, in_parallel};
use super::repository::Repository;
use crate::digest::Digest;
use crate::image::{Descriptor, Platform};
use crate::reference::Reference;

/// Indexes in indexes.
const MOST_DEPTH: usize = 4;

/// What is copied of an index.
#[derive(Debug, Clone)]
pub enum Extent {
    /// The image for one platform.
    One(Platform),
    /// The index and everything that it names.
    All,
}

/// A registry and the way to it.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// The way.
    pub access: &'a Access,
    /// The image there.
    pub reference: &'a Reference,
}

/// Copies from one registry to another, or inside one, where blobs are not sent but mounted.
///
/// # Errors
/// [`Error`]; the tag means what it meant before then.
pub fn copy(
    from: End<'_>,
    to: End<'_>,
    extent: &Extent,
    watch: Watch<'_>,
) -> Result<Digest, Error> {
    let mut repositories = from.access.repositories(from.reference)?;
    let registry = repositories.pop();
    let selector = from.reference.selector();
    let ask = |repository: Repository| {
        let document = repository.document(&selector)?;
        Ok::<_, Error>((repository, document))
    };
    let mirror = repositories.into_iter().find_map(|mirror| ask(mirror).ok());
    let (source, mut document) = match (mirror, registry) {
        (Some(found), _) => found,
        (None, Some(registry)) => ask(registry)?,
        (None, None) => {
            let what = from.reference.to_string();
            return Err(Problem::NotFound(what).of(from.reference.registry()));
        }
    };
    if let Extent::One(platform) = extent {
        (document, _) = source.image(document, platform)?;
    }
    let push = Push::open(to.access, to.reference)?.coming_from(source.reference());
    let copying = Copying {
        source: &source,
        push: &push,
        watch,
    };
    copying.needed_by(&document, 0)?;
    watch(Pushing::Manifest);
    push.document(
        &to.reference.selector(),
        &document.media_type,
        &document.bytes,
    )
}

struct Copying<'a> {
    source: &'a Repository,
    push: &'a Push,
    watch: Watch<'a>,
}

impl Copying<'_> {
    /// Copies everything that a document names, so that it may be put itself.
    fn needed_by(&self, document: &Document, depth: usize) -> Result<(), Error> {
        match &document.content {
            Content::Manifest(manifest) => {
                let blobs = manifest.layers.iter().chain([&manifest.config]);
                let blobs: BTreeMap<_, _> = blobs.map(|blob| (blob.digest, blob)).collect();
                let blobs: Vec<&Descriptor> = blobs.into_values().collect();
                in_parallel(&blobs, |blob| {
                    let open = || -> io::Result<Box<dyn Read + '_>> {
                        Ok(Box::new(self.source.download(blob)?))
                    };
                    self.push.blob(blob, &open, self.watch)
                })
            }
            Content::Index(_) if depth == MOST_DEPTH => {
                let reason = "indexes in indexes in indexes".to_owned();
                Err(self.source.problem(Problem::Malformed(reason)))
            }
            Content::Index(index) => {
                for entry in &index.manifests {
                    let selector = entry.digest.to_string();
                    let document = self.source.document(&selector)?;
                    self.needed_by(&document, depth + 1)?;
                    self.push
                        .document(&selector, &document.media_type, &document.bytes)?;
                }
                Ok(())
            }
        }
    }
}
