//! A repository as a place that takes images: first the blobs, several at once, then the manifest,
//! which makes them visible.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Access;
use super::error::Error;
use super::repository::{Mounted, Repository};
use super::upload::Open;
use crate::digest::Digest;
use crate::image::Descriptor;
use crate::place::{Held, Image, Source};
use crate::reference::Reference;

/// Blobs that are on their way at once.
const MOST_AT_ONCE: usize = 4;

/// What a push is doing, for those who watch. Told from several threads.
#[derive(Debug, Clone, Copy)]
pub enum Pushing<'a> {
    /// This blob is sent next.
    Blob(&'a Descriptor),
    /// It is there already, or was taken from another repository of the registry.
    Present(&'a Descriptor),
    /// So many of its bytes were sent.
    Bytes(&'a Descriptor, u64),
    /// The manifest is written.
    Manifest,
}

/// Who watches a push.
pub type Watch<'a> = &'a (dyn Fn(Pushing<'_>) + Sync);

/// A repository that takes images.
#[derive(Debug)]
pub struct Push {
    pub(super) repository: Repository,
    /// Another repository of the same registry, where the blobs may be.
    from: Option<String>,
}

impl Push {
    /// The repository of `reference`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Registries`] when it is blocked.
    pub fn open(access: &Access, reference: &Reference) -> Result<Self, Error> {
        let repository = access.repository(reference)?;
        Ok(Self {
            repository,
            from: None,
        })
    }

    /// The same, for what comes from `source`: blobs of another repository of the same registry are
    /// not sent but mounted.
    #[must_use]
    pub fn coming_from(self, source: &Reference) -> Self {
        let here = self.repository.reference();
        let is_neighbour =
            source.registry() == here.registry() && source.repository() != here.repository();
        let from = is_neighbour.then(|| source.repository().to_owned());
        Self { from, ..self }
    }

    /// Where it goes.
    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Puts an image with all its blobs under the tag of the reference. Blobs that are there are
    /// not sent again.
    ///
    /// # Errors
    /// [`Error`]; the tag means what it meant before then.
    pub fn image(
        &self,
        image: &Image,
        source: &(dyn Source + Sync),
        watch: Watch<'_>,
    ) -> Result<Digest, Error> {
        self.blobs(std::slice::from_ref(image), source, watch)?;
        watch(Pushing::Manifest);
        self.tag(&image.descriptor().media_type, &image.manifest_bytes)
    }

    /// Puts an image, or an index with all its images, under the tag of the reference.
    ///
    /// # Errors
    /// As [`Push::image`].
    pub fn held(
        &self,
        held: &Held,
        source: &(dyn Source + Sync),
        watch: Watch<'_>,
    ) -> Result<Digest, Error> {
        let index = match held {
            Held::Image(image) => return self.image(image, source, watch),
            Held::Index(index) => index,
        };
        self.blobs(&index.images, source, watch)?;
        watch(Pushing::Manifest);
        in_parallel(&index.images, |image| {
            let media_type = image.descriptor().media_type;
            let selector = image.digest().to_string();
            self.document(&selector, &media_type, &image.manifest_bytes)?;
            Ok(())
        })?;
        self.tag(&index.media_type, &index.bytes)
    }

    /// Puts a document under the tag of the reference.
    fn tag(&self, media_type: &str, bytes: &[u8]) -> Result<Digest, Error> {
        let selector = self.repository.reference().selector();
        self.document(&selector, media_type, bytes)
    }

    /// Puts the blobs of some images, each once.
    fn blobs(
        &self,
        images: &[Image],
        source: &(dyn Source + Sync),
        watch: Watch<'_>,
    ) -> Result<(), Error> {
        // Connected to once, before several threads need it.
        self.repository.client.origin()?;
        let layers = images.iter().flat_map(|image| &image.manifest.layers);
        let layers = layers.map(|layer| (layer, None));
        let configs = images.iter().map(|image| {
            let bytes: &[u8] = &image.config_bytes;
            (&image.manifest.config, Some(bytes))
        });
        let mut seen = BTreeSet::new();
        // Configs are the last ones, as with podman.
        let all = layers.chain(configs);
        let blobs: Vec<_> = all.filter(|(blob, _)| seen.insert(blob.digest)).collect();
        in_parallel(&blobs, |(blob, known)| {
            let open = || -> io::Result<Box<dyn Read + '_>> {
                match known {
                    Some(bytes) => Ok(Box::new(*bytes)),
                    None => source.open_blob(&blob.digest),
                }
            };
            self.blob(blob, &open, watch)
        })
    }

    pub(super) fn blob(
        &self,
        blob: &Descriptor,
        open: Open<'_>,
        watch: Watch<'_>,
    ) -> Result<(), Error> {
        if self.repository.has_blob(blob)? {
            watch(Pushing::Present(blob));
            return Ok(());
        }
        match self
            .repository
            .begin_upload(&blob.digest, self.from.as_deref())?
        {
            Mounted::Done => {
                watch(Pushing::Present(blob));
                Ok(())
            }
            Mounted::Upload(place) => {
                watch(Pushing::Blob(blob));
                let sent = |bytes| watch(Pushing::Bytes(blob, bytes));
                self.repository.upload(blob, place, open, &sent)
            }
        }
    }

    /// Puts a manifest or an index under a tag or its digest.
    ///
    /// # Errors
    /// [`Error`].
    pub fn document(
        &self,
        selector: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest, Error> {
        self.repository.put_document(selector, media_type, bytes)?;
        Ok(Digest::of(bytes))
    }
}

/// Does `work` on every item, on a few threads. After an error nothing new is begun; the first
/// error is returned.
pub(super) fn in_parallel<T: Sync>(
    items: &[T],
    work: impl Fn(&T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let (failed, first) = (AtomicBool::new(false), Mutex::new(None));
    let queue = Mutex::new(items.iter());
    let worker = || {
        while !failed.load(Ordering::Relaxed) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next else { return };
            if let Err(error) = work(item) {
                failed.store(true, Ordering::Relaxed);
                first
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..items.len().min(MOST_AT_ONCE) {
            scope.spawn(worker);
        }
        worker();
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
