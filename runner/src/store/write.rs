//! Putting images into the store: `load` copies them from an archive, `packer` writes them.
//!
//! Everything that is new gathers in a temporary folder: blobs, the tree, the image's files. When
//! it is complete, all of it is brought to disk together. Then it is renamed into place, in the
//! order in which one thing needs the other: blobs and tree, image, names. A process that is killed
//! in between leaves what the next writer removes, or blobs and trees that no image needs, which
//! the next removal takes along.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use packer::Digest;
use packer::digest::DigestWriter;
use packer::image::Descriptor;
use packer::place::{Image, Sink, Source, Step, WriteBlob};
use packer::reference::Reference;

mod publish;

use super::layer::{Blob, Placing, Stopped, place};
use super::record::{ImageRecord, TREE_RECORD, TREE_ROOT, TreeRecord, write_new};
use super::temporary::Temporary;
use super::tree::{LayerError, Owners};
use super::{Hold, Store, StoreError, StoredImage};
use crate::trust::Provenance;

/// Somebody who puts images into the store. As long as it lives, nothing is removed from there.
#[derive(Debug)]
pub struct Writer<'a> {
    store: &'a Store,
    owners: Owners,
    temporary: Temporary,
    /// Blobs that no image needs yet, in the temporary folder.
    blobs: BTreeMap<Digest, PathBuf>,
    /// How the next images come here; nothing for those that are made here.
    origins: Vec<Provenance>,
    /// What a registry calls the next images.
    digests: Digests,
    /// Makes names in the temporary folder.
    count: u64,
    _hold: Hold,
}

/// What a registry calls an image, beside its tag.
#[derive(Debug, Clone, Default)]
pub struct Digests {
    /// The index that lists it.
    pub index: Option<Digest>,
    /// The repository with the digest that was asked for.
    pub pinned: Option<Reference>,
}

impl Store {
    /// Begins to put images into the store; their files get owners as `owners` says.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn writer(&self, owners: Owners) -> Result<Writer<'_>, StoreError> {
        Ok(Writer {
            store: self,
            owners,
            temporary: self.temporary()?,
            blobs: BTreeMap::new(),
            origins: Vec::new(),
            digests: Digests::default(),
            count: 0,
            _hold: self.hold()?,
        })
    }
}

/// What was made of the layers of an image, not yet in its place.
struct Flattened {
    /// The name of the tree's folder.
    tree: String,
    /// The temporary folder of the tree, if it is new.
    new_tree: Option<PathBuf>,
    /// Bytes of the uncompressed layers.
    size: u64,
    /// How many entries were placed.
    placed: u64,
}

impl Writer<'_> {
    /// Remembers with the images that follow how they came here.
    #[must_use]
    pub fn coming_from(self, origins: Vec<Provenance>) -> Self {
        Self { origins, ..self }
    }

    /// Remembers with the images that follow by which digests a registry knows them.
    #[must_use]
    pub fn known_by(self, digests: Digests) -> Self {
        Self { digests, ..self }
    }

    /// Copies `image` from `source`: the layers that are not there yet are read once, checked
    /// against their digests and diff ids, kept and placed.
    ///
    /// # Errors
    /// [`StoreError`]; the store is as it was then.
    pub fn load(
        &mut self,
        image: &Image,
        source: &dyn Source,
        progress: &mut dyn FnMut(Step<'_>),
    ) -> Result<StoredImage, StoreError> {
        check_parts(image)?;
        let names = image.names.iter().map(Reference::from);
        let names: Vec<_> = names.chain(self.digests.pinned.clone()).collect();
        for name in &names {
            self.store.pointer(name)?;
        }
        self.announce(image, source);
        let flattened = self.flatten(image, Some(source), progress)?;
        progress(Step::Config(&image.manifest.config.digest));
        let place = self.store.images.join(image.id().hex());
        let before = ImageRecord::read(&place)?.filter(|before| before.digest == image.digest());
        let indexes = self.indexes(before.as_ref());
        let known = before.filter(|before| before.tree == flattened.tree);
        let is_known = known.is_some();
        let record = match known {
            Some(known) => {
                self.add_origin(&place)?;
                self.set_indexes(&place, known, indexes)?
            }
            None => self.write_image(image, &flattened, indexes)?,
        };
        progress(Step::Manifest);
        let temporary = self.temporary.path();
        let names = self.store.prepare_names(&names, &record.id, temporary)?;
        let barrier = self.bring_to_disk(image, &flattened, !is_known)?;
        self.publish_content(image, &flattened)?;
        if !is_known {
            self.publish_image(&place)?;
        }
        names.publish()?;
        self.store.sync_places(&barrier)?;
        Ok(record.into_image(&self.store.trees))
    }

    /// Tells a source that is far away which layers will be opened.
    fn announce(&self, image: &Image, source: &dyn Source) {
        let mut missing: Vec<Digest> = Vec::new();
        for layer in &image.manifest.layers {
            if !self.has_blob(&layer.digest) && !missing.contains(&layer.digest) {
                missing.push(layer.digest);
            }
        }
        source.expect(&missing);
    }

    fn flatten(
        &mut self,
        image: &Image,
        source: Option<&dyn Source>,
        progress: &mut dyn FnMut(Step<'_>),
    ) -> Result<Flattened, StoreError> {
        let tree = tree_name(image, self.owners);
        let known = self.read_tree_record(&tree)?;
        let mut flattened = Flattened {
            new_tree: None,
            size: known.as_ref().map_or(0, |record| record.size),
            tree,
            placed: 0,
        };
        if known.is_some() {
            for (layer, diff_id) in layers(image) {
                let present = self.store.blob(&layer.digest).exists();
                progress(Step::Layer { layer, present });
                if !present {
                    self.read_layer(layer, diff_id, source, None, progress)?;
                }
            }
            return Ok(flattened);
        }
        self.place_tree(image, source, progress, &mut flattened)?;
        Ok(flattened)
    }

    /// Places the tree of an image of the store once more; its folder, which goes with the writer.
    pub(super) fn place_anew(&mut self, image: &Image) -> Result<PathBuf, StoreError> {
        let mut flattened = Flattened {
            new_tree: None,
            size: 0,
            tree: String::new(),
            placed: 0,
        };
        self.place_tree(image, None, &mut |_| (), &mut flattened)
    }

    /// Places the layers of an image, one after the other, in a new folder.
    fn place_tree(
        &mut self,
        image: &Image,
        source: Option<&dyn Source>,
        progress: &mut dyn FnMut(Step<'_>),
        flattened: &mut Flattened,
    ) -> Result<PathBuf, StoreError> {
        let folder = self.new_path("tree");
        let root = make_root(&folder)?;
        let count = image.manifest.layers.len();
        let mut sizes = Vec::with_capacity(count);
        let (fed, placed) = place(root, self.owners, count, |placing| {
            for (layer, diff_id) in layers(image) {
                let present = self.store.blob(&layer.digest).exists();
                progress(Step::Layer { layer, present });
                let Some(size) =
                    self.read_layer(layer, diff_id, source, Some(placing), progress)?
                else {
                    break;
                };
                flattened.size += size;
                sizes.push(size);
            }
            Ok::<(), StoreError>(())
        });
        fed?;
        let placed =
            placed.map_err(|(at, cause)| match (image.manifest.layers.get(at), cause) {
                (_, LayerError::Keep(error)) => StoreError::file(&self.store.root)(error),
                (Some(layer), cause) => StoreError::Layer {
                    layer: layer.digest,
                    cause,
                },
                (None, cause) => StoreError::file(&folder)(io::Error::other(cause)),
            })?;
        for ((layer, expected), found) in layers(image).zip(placed.diff_ids) {
            check_diff_id(layer, *expected, found)?;
        }
        flattened.placed = placed.entries;
        let record = TreeRecord {
            size: flattened.size,
            layers: sizes,
        };
        let bytes = serde_json::to_vec(&record).map_err(StoreError::damaged(&folder))?;
        write_new(&folder.join(TREE_RECORD), &bytes)?;
        flattened.new_tree = Some(folder.clone());
        Ok(folder)
    }

    /// Reads one layer, from the store if it is there and from `source` if not. Gives the bytes of
    /// its tar; `None` when the placing thread gave up.
    fn read_layer(
        &mut self,
        layer: &Descriptor,
        diff_id: &Digest,
        source: Option<&dyn Source>,
        mut placing: Option<&mut Placing>,
        progress: &mut dyn FnMut(Step<'_>),
    ) -> Result<Option<u64>, StoreError> {
        let unreadable = |cause| StoreError::ReadLayer {
            layer: layer.digest,
            cause,
        };
        let mut observe = |bytes| progress(Step::Bytes(bytes));
        if let Some(placing) = placing.as_deref_mut()
            && self.blobs.contains_key(&layer.digest)
        {
            // The same layer once more.
            placing.settle();
        }
        let stored = self.open_stored(&layer.digest)?;
        let (outcome, new) = match stored {
            Some(mut stored) => (
                Blob::new(&mut stored, None, &mut observe).read_layer(placing),
                None,
            ),
            None => {
                let mut reader = source
                    .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
                    .and_then(|source| source.open_blob(&layer.digest))
                    .map_err(unreadable)?;
                let path = self.new_path("blob");
                let file = File::create_new(&path).map_err(StoreError::file(&path))?;
                let outcome = Blob::new(&mut reader, Some(&file), &mut observe).read_layer(placing);
                if let Some(found) = outcome.blob
                    && found != layer.digest
                {
                    return Err(StoreError::WrongDigest {
                        expected: layer.digest,
                        found,
                    });
                }
                (outcome, Some((layer.digest, path)))
            }
        };
        let contents = match outcome.tar {
            Ok(contents) => contents,
            Err(Stopped::Placing) => return Ok(None),
            Err(Stopped::Reading(error)) => return Err(unreadable(error)),
            Err(Stopped::Keeping(error)) => {
                return Err(StoreError::file(&self.store.root)(error));
            }
        };
        check_diff_id(layer, *diff_id, contents.diff_id)?;
        self.blobs.extend(new);
        Ok(Some(contents.size))
    }

    fn read_tree_record(&self, tree: &str) -> Result<Option<TreeRecord>, StoreError> {
        let path = self.store.trees.join(tree).join(TREE_RECORD);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => {
                let bytes = read.map_err(StoreError::file(&path))?;
                serde_json::from_slice(&bytes)
                    .map(Some)
                    .map_err(StoreError::damaged(&path))
            }
        }
    }

    /// Opens a blob that is in the store or was put here before.
    fn open_stored(&self, digest: &Digest) -> Result<Option<File>, StoreError> {
        let place = self.store.blob(digest);
        let path = self.blobs.get(digest).unwrap_or(&place);
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).map_err(StoreError::file(path)),
        }
    }

    fn new_path(&mut self, kind: &str) -> PathBuf {
        self.count += 1;
        self.temporary.path().join(format!("{kind}-{}", self.count))
    }
}

impl Sink for Writer<'_> {
    fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest) || self.store.blob(digest).exists()
    }

    fn put_blob(&mut self, write: WriteBlob<'_>) -> io::Result<(Digest, u64)> {
        let path = self.new_path("blob");
        let file = File::create_new(&path).map_err(StoreError::file(&path))?;
        let mut writer = DigestWriter::new(&file);
        let written = write(&mut writer);
        let (_, digest, size) = writer.finish();
        if written.is_err() || self.has_blob(&digest) {
            fs::remove_file(&path)?;
        } else {
            self.blobs.insert(digest, path);
        }
        written.map(|()| (digest, size))
    }

    fn put_image(&mut self, image: &Image) -> io::Result<()> {
        struct Nothing;
        impl Source for Nothing {
            fn images(&self) -> &[Image] {
                &[]
            }
            fn open_blob(&self, _: &Digest) -> io::Result<Box<dyn Read + '_>> {
                Err(io::ErrorKind::NotFound.into())
            }
        }
        self.load(image, &Nothing, &mut |_| ())?;
        Ok(())
    }
}

/// Checks that the parts of an image belong together.
fn check_parts(image: &Image) -> Result<(), StoreError> {
    let found = Digest::of(&image.config_bytes);
    if found != image.id() {
        return Err(StoreError::WrongDigest {
            expected: image.id(),
            found,
        });
    }
    let layers = image.manifest.layers.len();
    let diff_ids = image.config.rootfs.diff_ids.len();
    if layers != diff_ids {
        return Err(StoreError::LayerCount { layers, diff_ids });
    }
    Ok(())
}

/// Checks the digest of a layer's tar, where it is known.
fn check_diff_id(
    layer: &Descriptor,
    expected: Digest,
    found: Option<Digest>,
) -> Result<(), StoreError> {
    match found {
        Some(found) if found != expected => Err(StoreError::WrongDiffId {
            layer: layer.digest,
            expected,
            found,
        }),
        _ => Ok(()),
    }
}

fn layers(image: &Image) -> impl Iterator<Item = (&Descriptor, &Digest)> {
    let diff_ids = &image.config.rootfs.diff_ids;
    image.manifest.layers.iter().zip(diff_ids)
}

/// The name of a tree's folder: the chain id of its layers, and what became of the owners.
///
/// Source: OCI image specification 1.1, `config.md`, "Layer ChainID".
fn tree_name(image: &Image, owners: Owners) -> String {
    let diff_ids = image.config.rootfs.diff_ids.iter().copied();
    let chain =
        diff_ids.reduce(|chain, diff_id| Digest::of(format!("{chain} {diff_id}").as_bytes()));
    let hex = chain.unwrap_or_else(|| Digest::of(b"")).hex();
    match owners {
        Owners::Mapped => hex,
        Owners::Squashed => hex + ".squashed",
        Owners::Host => hex + ".host",
    }
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(StoreError::file(path))
}

fn make_root(folder: &Path) -> Result<std::os::fd::OwnedFd, StoreError> {
    make_folder(folder)?;
    let root = folder.join(TREE_ROOT);
    make_folder(&root)?;
    let opened = File::open(&root).map_err(StoreError::file(&root))?;
    Ok(opened.into())
}
