//! Whole images in and out of a store.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use packer::ImageName;
use packer::image::{Descriptor, ImageConfig, Manifest, RootFs, media_type, to_json};
use packer::place::{Image, Sink, Source};

use super::*;

/// Images in memory.
#[derive(Default)]
struct Memory {
    images: Vec<Image>,
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

impl Memory {
    /// Adds an image of gzip'd layers.
    fn add(&mut self, names: &[&str], architecture: &str, layers: &[&[u8]]) -> Image {
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
            let blob = gzip(tar);
            let digest = Digest::of(&blob);
            let size = blob.len() as u64;
            self.blobs.insert(digest, blob);
            Descriptor::new(media_type::LAYER_GZIP, digest, size)
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

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
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

struct Home {
    folder: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&paths(folder.path())).unwrap();
        Self { folder, store }
    }

    fn load(&self, source: &Memory) -> Result<Vec<StoredImage>, StoreError> {
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
        ["blobs/sha256", "images", "trees", "names", "packed", "tmp"]
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

#[test]
fn a_loaded_image_has_its_tree_its_names_and_its_blobs() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(
        &["server", "server:1"],
        "amd64",
        &[&tar(&[("a", "1"), ("b", "1")]), &tar(&[("b", "2")])],
    );
    let stored = home.load(&source).unwrap().remove(0);
    assert_eq!(stored.id, image.id());
    assert_eq!(stored.digest, image.digest());
    assert_eq!(stored.platform().architecture, "amd64");
    assert_eq!(fs::read_to_string(stored.tree.join("a")).unwrap(), "1");
    assert_eq!(fs::read_to_string(stored.tree.join("b")).unwrap(), "2");
    let listed = home.store.images().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        listed[0].names,
        [name("server:1"), name("server")],
        "in order"
    );
    assert_eq!(home.store.config(&stored).unwrap(), image.config);
    assert_eq!(home.store.manifest(&stored).unwrap(), image.manifest);
    for layer in &image.manifest.layers {
        let blob = fs::read(home.store.blob(&layer.digest)).unwrap();
        assert_eq!(Digest::of(&blob), layer.digest);
    }
    assert!(home.files("tmp").is_empty());
}

#[test]
fn what_packer_writes_into_the_store_is_an_image_there() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&["server"], "amd64", &[&tar(&[("a", "1")])]);
    let mut writer = home.store.writer(Owners::Squashed).unwrap();
    let sink: &mut dyn Sink = &mut writer;
    let layer = &image.manifest.layers[0];
    assert!(!sink.has_blob(&layer.digest));
    let put = sink
        .put_blob(&mut |out| out.write_all(&source.blobs[&layer.digest]))
        .unwrap();
    assert_eq!(put, (layer.digest, layer.size));
    assert!(sink.has_blob(&layer.digest));
    sink.put_image(&image).unwrap();
    drop(writer);
    let stored = home.store.resolve("server").unwrap().image;
    assert_eq!(fs::read_to_string(stored.tree.join("a")).unwrap(), "1");
    assert!(home.files("tmp").is_empty());
}

#[test]
fn a_blob_whose_writing_fails_leaves_nothing() {
    let home = Home::new();
    let mut writer = home.store.writer(Owners::Squashed).unwrap();
    let failed = writer.put_blob(&mut |out| {
        out.write_all(b"begun")?;
        Err(io::Error::other("no more"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "no more");
    assert!(!writer.has_blob(&Digest::of(b"begun")));
    drop(writer);
    assert!(home.is_empty());
}

#[test]
fn what_is_there_is_not_read_again() {
    let home = Home::new();
    let mut source = Memory::default();
    let base = tar(&[("a", "1")]);
    let first = source.add(&["one"], "amd64", &[&base]);
    home.load(&source).unwrap();
    source.opened.take();
    home.load(&source).unwrap();
    assert!(source.opened.take().is_empty());
    let second = source.add(&["two"], "amd64", &[&base, &tar(&[("b", "2")])]);
    home.load(&source).unwrap();
    assert_eq!(source.opened.take(), [second.manifest.layers[1].digest]);
    let tree = home.store.resolve("two").unwrap().image.tree;
    assert_eq!(fs::read_to_string(tree.join("a")).unwrap(), "1");
    assert_eq!(fs::read_to_string(tree.join("b")).unwrap(), "2");
    // The same layers under another config: a second image and still one tree.
    let third = source.add(&["three"], "arm64", &[&base]);
    home.load(&source).unwrap();
    assert!(source.opened.take().is_empty());
    assert_ne!(third.id(), first.id());
    assert_eq!(home.files("trees").len(), 2);
}

#[test]
fn a_damaged_image_is_refused_and_leaves_nothing() {
    let whole = tar(&[("a", "content")]);
    type Spoil = (&'static str, fn(&mut Vec<u8>));
    let spoil: &[Spoil] = &[
        ("changed", |blob| *blob = gzip(&tar(&[("a", "CONTENT")]))),
        ("flipped", |blob| blob[20] ^= 0xff),
        ("cut", |blob| blob.truncate(blob.len() / 2)),
        ("longer", |blob| blob.push(0)),
        ("empty", Vec::clear),
    ];
    for (what, spoil) in spoil {
        let home = Home::new();
        let mut source = Memory::default();
        let image = source.add(&["x"], "amd64", &[&whole]);
        spoil(
            source
                .blobs
                .get_mut(&image.manifest.layers[0].digest)
                .unwrap(),
        );
        let error = home.load(&source).unwrap_err();
        assert!(
            matches!(error, StoreError::WrongDigest { .. }),
            "{what}: {error}"
        );
        assert!(home.is_empty(), "{what}");
    }
}

#[test]
fn a_layer_that_is_not_what_the_config_says_is_refused() {
    let home = Home::new();
    let mut source = Memory::default();
    let mut image = source.add(&["x"], "amd64", &[&tar(&[("a", "1")])]);
    image.config.rootfs.diff_ids = vec![Digest::of(b"other")];
    image.config_bytes = to_json(&image.config);
    image.manifest.config.digest = Digest::of(&image.config_bytes);
    source.images = vec![image.clone()];
    let error = home.load(&source).unwrap_err();
    assert!(matches!(error, StoreError::WrongDiffId { .. }), "{error}");
    image.config.rootfs.diff_ids.clear();
    image.config_bytes = to_json(&image.config);
    image.manifest.config.digest = Digest::of(&image.config_bytes);
    source.images = vec![image];
    let error = home.load(&source).unwrap_err();
    assert!(matches!(error, StoreError::LayerCount { .. }), "{error}");
    assert!(home.is_empty());
}

#[test]
fn another_compression_of_a_known_layer_must_have_its_content() {
    let home = Home::new();
    let mut source = Memory::default();
    let layer = tar(&[("a", "1")]);
    let mut image = source.add(&["x"], "amd64", &[&layer]);
    home.load(&source).unwrap();
    let mut with_blob = |blob: Vec<u8>| {
        let digest = Digest::of(&blob);
        image.manifest.layers[0] = Descriptor::new(media_type::LAYER, digest, blob.len() as u64);
        image.manifest_bytes = to_json(&image.manifest);
        source.blobs.insert(digest, blob);
        source.images = vec![image.clone()];
        home.load(&source)
    };
    let error = with_blob(tar(&[("a", "2")])).unwrap_err();
    assert!(matches!(error, StoreError::WrongDiffId { .. }), "{error}");
    let stored = with_blob(layer.clone()).unwrap().remove(0);
    assert_eq!(stored.layers[0].digest, Digest::of(&layer));
    assert_eq!(home.resolve("x"), stored.id);
    assert_eq!(home.files("images").len(), 1);
}

#[test]
fn a_hostile_layer_is_refused_with_its_entry_and_leaves_nothing() {
    let home = Home::new();
    let mut source = Memory::default();
    let mut hostile = tar(&[("aa/x", "1")]);
    hostile[..4].copy_from_slice(b"../x");
    let sum: u32 = hostile[..148]
        .iter()
        .chain(&hostile[156..512])
        .map(|&byte| u32::from(byte))
        .sum::<u32>()
        + 8 * u32::from(b' ');
    hostile[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    source.add(&["x"], "amd64", &[&tar(&[("a", "1")]), &hostile]);
    let error = home.load(&source).unwrap_err().to_string();
    assert!(error.contains("\"../x\""), "{error}");
    let layer = source.images[0].manifest.layers[1].digest;
    assert!(error.contains(&layer.to_string()), "{error}");
    assert!(home.is_empty());
}

#[test]
fn images_are_found_as_podman_finds_them() {
    let home = Home::new();
    let mut source = Memory::default();
    let local = source.add(&["server"], "amd64", &[&tar(&[("a", "1")])]);
    let hub = source.add(&["docker.io/alpine"], "amd64", &[&tar(&[("a", "2")])]);
    let far = source.add(&["quay.io/team/tool:2"], "amd64", &[&tar(&[("a", "3")])]);
    let bare = source.add(&[], "amd64", &[&tar(&[("a", "4")])]);
    home.load(&source).unwrap();
    for (text, image) in [
        ("server", &local),
        ("server:latest", &local),
        ("localhost/server", &local),
        ("alpine", &hub),
        ("library/alpine", &hub),
        ("docker.io/library/alpine:latest", &hub),
        ("tool:2", &far),
        ("team/tool:2", &far),
        (&bare.id().hex(), &bare),
        (&bare.id().hex()[..12], &bare),
        (&bare.id().to_string(), &bare),
        (&bare.digest().to_string(), &bare),
        (&format!("server@{}", local.digest()), &local),
    ] {
        assert_eq!(home.resolve(text), image.id(), "{text}");
    }
    for text in [
        "nix",
        "server:2",
        "localhost/alpine",
        "tool",
        "ool:2",
        "ff",
        &format!("alpine@{}", local.digest()),
        &Digest::of(b"none").to_string(),
    ] {
        let error = home.store.resolve(text).unwrap_err();
        assert!(
            matches!(error, StoreError::UnknownImage(_)),
            "{text}: {error}"
        );
    }
    assert!(matches!(
        home.store.resolve("a b"),
        Err(StoreError::InvalidName(_))
    ));
}

#[test]
fn what_fits_several_images_is_refused() {
    let home = Home::new();
    let mut source = Memory::default();
    source.add(&["quay.io/a/tool"], "amd64", &[&tar(&[("a", "1")])]);
    source.add(&["ghcr.io/b/tool"], "amd64", &[&tar(&[("a", "2")])]);
    for number in 0..30 {
        source.add(&[], "amd64", &[&tar(&[("n", &number.to_string())])]);
    }
    home.load(&source).unwrap();
    let error = home.store.resolve("tool").unwrap_err();
    assert!(matches!(error, StoreError::Ambiguous { .. }), "{error}");
    // A short id of two images: one that the file system shows twice.
    let id = source.images[0].id().hex();
    let twin = format!("{}{}", &id[..10], "0".repeat(54));
    fs::create_dir(home.store.images.join(twin)).unwrap();
    let error = home.store.resolve(&id[..10]).unwrap_err();
    assert!(matches!(error, StoreError::Ambiguous { .. }), "{error}");
}

#[test]
fn a_name_moves_to_the_image_that_was_loaded_last() {
    let home = Home::new();
    let mut source = Memory::default();
    let old = source.add(&["x"], "amd64", &[&tar(&[("a", "1")])]);
    let new = source.add(&["x"], "amd64", &[&tar(&[("a", "2")])]);
    home.load(&source).unwrap();
    assert_eq!(home.resolve("x"), new.id());
    assert!(home.store.names_of(&old.id()).unwrap().is_empty());
    assert_eq!(home.resolve(&old.id().to_string()), old.id());
}

#[test]
fn removing_the_last_name_removes_the_image_and_all_that_was_its_own() {
    let home = Home::new();
    let mut source = Memory::default();
    let base = tar(&[("a", "1")]);
    let one = source.add(&["one", "uno"], "amd64", &[&base]);
    source.add(&["two"], "amd64", &[&base, &tar(&[("b", "2")])]);
    home.load(&source).unwrap();
    home.store
        .remember_packed(&Digest::of(b"f"), &one.id())
        .unwrap();
    assert_eq!(
        home.remove("uno", false).unwrap(),
        Removed {
            untagged: vec![name("uno")],
            deleted: None
        }
    );
    assert_eq!(
        home.remove("one", false).unwrap(),
        Removed {
            untagged: vec![name("one")],
            deleted: Some(one.id())
        }
    );
    // The blob of the base is the other image's too.
    assert_eq!(home.files("blobs/sha256").len(), 2);
    assert_eq!(home.files("trees").len(), 1);
    assert!(home.store.packed(&Digest::of(b"f")).unwrap().is_none());
    home.remove("two", false).unwrap();
    assert!(home.is_empty());
}

#[test]
fn an_image_with_several_names_is_removed_by_its_id_only_by_force() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&["one", "two"], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    let id = image.id().hex();
    let error = home.remove(&id, false).unwrap_err();
    assert!(matches!(error, StoreError::SeveralNames { .. }), "{error}");
    assert_eq!(home.remove(&id, true).unwrap().untagged.len(), 2);
    assert!(home.is_empty());
}

#[test]
fn an_image_that_a_container_uses_stays_with_its_last_name() {
    let home = Home::new();
    let mut source = Memory::default();
    source.add(&["one", "two"], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    let remove = |text| {
        let resolved = home.store.resolve(text).unwrap();
        let users = |_: &Digest| vec!["c1".to_owned()];
        home.store.remove(&resolved, true, &users)
    };
    remove("one").unwrap();
    let error = remove("two").unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    home.resolve("two");
}

#[test]
fn what_a_crash_left_without_an_image_goes_with_the_next_removal() {
    let home = Home::new();
    let mut source = Memory::default();
    source.add(&["x"], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    let stray = Digest::of(b"stray");
    fs::write(home.store.blob(&stray), "stray").unwrap();
    fs::create_dir_all(home.store.trees.join(stray.hex()).join("root")).unwrap();
    fs::create_dir_all(home.store.tmp.join("99999-0/tree-1/root")).unwrap();
    home.remove("x", false).unwrap();
    assert!(home.is_empty());
}

#[test]
fn an_untagged_image_stays() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&["x"], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    assert!(home.store.untag(&name("x")).unwrap());
    assert!(!home.store.untag(&name("x")).unwrap());
    assert_eq!(home.resolve(&image.id().hex()), image.id());
}

#[test]
fn what_was_packed_is_found_by_its_fingerprint() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&[], "amd64", &[&tar(&[("a", "1")])]);
    home.load(&source).unwrap();
    let fingerprint = Digest::of(b"plan");
    assert!(home.store.packed(&fingerprint).unwrap().is_none());
    home.store
        .remember_packed(&fingerprint, &image.id())
        .unwrap();
    assert_eq!(
        home.store.packed(&fingerprint).unwrap().unwrap().id,
        image.id()
    );
}

#[test]
fn an_image_without_layers_is_an_empty_tree() {
    let home = Home::new();
    let mut source = Memory::default();
    source.add(&["x"], "amd64", &[]);
    let stored = home.load(&source).unwrap().remove(0);
    assert_eq!(stored.tree.read_dir().unwrap().count(), 0);
}

#[test]
fn owners_as_they_are_and_squashed_ones_are_two_trees() {
    let home = Home::new();
    let mut source = Memory::default();
    source.add(&["x"], "amd64", &[&tar(&[("a", "1")])]);
    let squashed = home.load(&source).unwrap().remove(0);
    // The layer's files are root's, so this works for root only.
    if rustix::process::geteuid().is_root() {
        let mut writer = home.store.writer(Owners::Mapped).unwrap();
        let mapped = writer
            .load(&source.images[0], &source, &mut |_| ())
            .unwrap();
        assert_ne!(mapped.tree, squashed.tree);
        assert_eq!(
            home.store.resolve("x").unwrap().image.owners,
            Owners::Mapped
        );
    }
}

#[test]
fn a_name_that_is_no_file_name_is_refused_before_anything_is_read() {
    let home = Home::new();
    let mut source = Memory::default();
    let long = format!("localhost/{}", "a".repeat(255));
    source.add(&[&long], "amd64", &[&tar(&[("a", "1")])]);
    let error = home.load(&source).unwrap_err();
    assert!(matches!(error, StoreError::LongName(_)), "{error}");
    assert!(source.opened.take().is_empty());
    assert!(home.is_empty());
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let home = Home::new();
    fs::write(home.store.root.join("version"), "2\n").unwrap();
    let error = Store::open(&paths(home.folder.path())).unwrap_err();
    assert!(
        matches!(error, StoreError::Newer { found: 2, .. }),
        "{error}"
    );
}

/// Loads the same image once more while it is read.
struct Rival<'a>(&'a Home, &'a Memory);

impl Source for Rival<'_> {
    fn images(&self) -> &[Image] {
        self.1.images()
    }

    fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        self.0.load(self.1)?;
        self.1.open_blob(digest)
    }
}

#[test]
fn two_loads_at_once_give_one_image() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&["x"], "amd64", &[&tar(&[("a", "1")])]);
    let rival = Rival(&home, &source);
    let mut writer = home.store.writer(Owners::Squashed).unwrap();
    writer.load(&image, &rival, &mut |_| ()).unwrap();
    drop(writer);
    assert_eq!(source.opened.take().len(), 2);
    for folder in ["images", "trees", "blobs/sha256", "names"] {
        assert_eq!(home.files(folder).len(), 1, "{folder}");
    }
    assert!(home.files("tmp").is_empty());
    let tree = home.store.resolve("x").unwrap().image.tree;
    assert_eq!(fs::read_to_string(tree.join("a")).unwrap(), "1");
}
