//! All images as lists show them, remembered in one file.
//!
//! Reading a thousand records takes longer than all else that a list does. `list.json` is a copy of
//! what they say, and of the times at which the folders of images and names last changed: every
//! image and name that comes, goes or moves changes these. The copy may be lost or damaged at any
//! time; it is made anew then.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use packer::Digest;
use packer::reference::Reference;
use serde::{Deserialize, Serialize};

use super::record::ImageRecord;
use super::{Store, StoreError};

const LIST: &str = "list.json";

/// A change is only told from the one before if the clock of the file system went on between the
/// two: some clocks do so every second.
const SETTLED: Duration = Duration::from_secs(2);

/// An image with its names, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// The image id: the digest of its config.
    pub id: Digest,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digests of the indexes that listed it where it was pulled, the last one last.
    pub indexes: Vec<Digest>,
    /// Bytes of the uncompressed layers.
    pub size: u64,
    /// When it was loaded, in seconds since 1970.
    pub loaded: u64,
    /// When it was made, as its config says it.
    pub created: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The names that point at it, in order; may be empty.
    pub names: Vec<Reference>,
}

impl ListedImage {
    /// All digests by which it is known, the one first that was pulled last.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.indexes.iter().rev().chain([&self.digest])
    }

    /// The digest that lists show, as podman has it: of the index, where it was pulled from one.
    #[must_use]
    pub fn shown_digest(&self) -> Digest {
        *self.indexes.last().unwrap_or(&self.digest)
    }

    /// The first twelve digits of the id, as lists show it.
    #[must_use]
    pub fn short_id(&self) -> String {
        self.id.hex()[..12].to_owned()
    }
}

/// When the folders changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    images: (i64, i64),
    names: (i64, i64),
}

/// What is written into [`LIST`].
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    state: State,
    images: Vec<Row>,
}

/// A [`ListedImage`] in the file: its fields in their order, without their names, which would take as
/// long to read as all that they stand for.
#[derive(Debug, Serialize, Deserialize)]
struct Row(
    Digest,
    Digest,
    u64,
    u64,
    Option<String>,
    BTreeMap<String, String>,
    Vec<String>,
    Vec<Digest>,
);

impl Store {
    /// All images with their names, the newest first.
    ///
    /// # Errors
    /// What reading the store gives.
    pub fn images(&self) -> Result<Vec<ListedImage>, StoreError> {
        let _hold = self.hold()?;
        let state = self.state()?;
        if let Some(images) = self.remembered(state) {
            return Ok(images);
        }
        let images = self.read_images()?;
        if is_settled(state) {
            // Whoever cannot write it reads the records the next time too.
            let _ = self.remember_list(state, &images);
        }
        Ok(images)
    }

    fn read_images(&self) -> Result<Vec<ListedImage>, StoreError> {
        let mut names: BTreeMap<Digest, Vec<Reference>> = BTreeMap::new();
        for (name, id) in self.all_names()? {
            names.entry(id).or_default().push(name);
        }
        let mut images = Vec::new();
        for folder in super::list(&self.images)? {
            if let Some(record) = ImageRecord::read(&self.images.join(folder))? {
                images.push(ListedImage {
                    id: record.id,
                    digest: record.digest,
                    indexes: record.indexes,
                    size: record.size,
                    loaded: record.loaded,
                    created: record.config.created,
                    labels: record.config.config.labels,
                    names: names.remove(&record.id).unwrap_or_default(),
                });
            }
        }
        images.sort_by_key(|image| (std::cmp::Reverse(image.loaded), image.id));
        Ok(images)
    }

    fn state(&self) -> Result<State, StoreError> {
        let changed = |folder: &Path| {
            let metadata = folder.metadata().map_err(StoreError::file(folder))?;
            Ok::<_, StoreError>(change_time(&metadata))
        };
        Ok(State {
            images: changed(&self.images)?,
            names: changed(&self.names)?,
        })
    }

    /// What was remembered, if nothing has changed since.
    fn remembered(&self, state: State) -> Option<Vec<ListedImage>> {
        let bytes = fs::read(self.root.join(LIST)).ok()?;
        let known: Remembered = serde_json::from_slice(&bytes).ok()?;
        if known.state != state {
            return None;
        }
        known.images.into_iter().map(Row::into_image).collect()
    }

    fn remember_list(&self, state: State, images: &[ListedImage]) -> Result<(), StoreError> {
        let temporary = self.temporary()?;
        let new = temporary.path().join(LIST);
        let images = images.iter().cloned().map(Row::from).collect();
        let bytes =
            serde_json::to_vec(&Remembered { state, images }).map_err(StoreError::damaged(&new))?;
        fs::write(&new, bytes).map_err(StoreError::file(&new))?;
        let place = self.root.join(LIST);
        fs::rename(&new, &place).map_err(StoreError::file(&place))
    }
}

impl Row {
    fn into_image(self) -> Option<ListedImage> {
        let Self(id, digest, size, loaded, created, labels, names, indexes) = self;
        let names = names.iter().map(|name| name.parse());
        Some(ListedImage {
            id,
            digest,
            indexes,
            size,
            loaded,
            created,
            labels,
            names: names.collect::<Result<_, _>>().ok()?,
        })
    }
}

impl From<ListedImage> for Row {
    fn from(image: ListedImage) -> Self {
        let names = image.names.iter().map(ToString::to_string).collect();
        Self(
            image.id,
            image.digest,
            image.size,
            image.loaded,
            image.created,
            image.labels,
            names,
            image.indexes,
        )
    }
}

/// The time of the last change of any kind, which no program can set.
fn change_time(metadata: &Metadata) -> (i64, i64) {
    (metadata.ctime(), metadata.ctime_nsec())
}

/// Whether whatever changes from now on gets another time.
fn is_settled(state: State) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let latest = state.images.0.max(state.names.0);
    u64::try_from(latest)
        .is_ok_and(|latest| now.is_ok_and(|now| now >= Duration::from_secs(latest) + SETTLED))
}
