//! Images that are loaded or written.

use super::*;

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
        [reference("server:1"), reference("server")],
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
    // The same, not compressed: its digest is computed elsewhere.
    let plain = tar(&[("a", "1")]);
    let (digest, size) = (Digest::of(&plain), plain.len() as u64);
    image.manifest.layers[0] = Descriptor::new(media_type::LAYER, digest, size);
    image.manifest_bytes = to_json(&image.manifest);
    source.blobs.insert(digest, plain);
    source.images = vec![image.clone()];
    let error = home.load(&source).unwrap_err();
    assert!(matches!(error, StoreError::WrongDiffId { .. }), "{error}");
    assert!(home.is_empty());
    image.config.rootfs.diff_ids.clear();
    image.config_bytes = to_json(&image.config);
    image.manifest.config.digest = Digest::of(&image.config_bytes);
    source.images = vec![image];
    let error = home.load(&source).unwrap_err();
    assert!(matches!(error, StoreError::LayerCount { .. }), "{error}");
    assert!(home.is_empty());
}

/// Such a layer is kept by another thread than the one that reads it, also when it comes again.
#[test]
fn a_layer_that_is_not_compressed_is_kept_as_it_came() {
    const PLAIN: Form = (media_type::LAYER, <[u8]>::to_vec);
    let home = Home::new();
    let large = "0123456789abcde\n".repeat(300_000);
    let layers = [
        tar(&[("a", &large)]),
        tar(&[("b", "1")]),
        tar(&[]),
        tar(&[("b", "2"), ("c", &large)]),
    ];
    let [large_layer, one, empty, two] = layers.each_ref().map(|layer| &layer[..]);
    let mut source = Memory::default();
    let order = [large_layer, large_layer, one, empty, two, one, large_layer];
    let image = source.add_as(PLAIN, &["x"], "amd64", &order);
    let stored = home.load(&source).unwrap().remove(0);
    assert_eq!(source.opened.take().len(), layers.len());
    for layer in &image.manifest.layers {
        let blob = fs::read(home.store.blob(&layer.digest)).unwrap();
        assert_eq!(Digest::of(&blob), layer.digest);
    }
    assert_eq!(fs::read_to_string(stored.tree.join("b")).unwrap(), "1");
    for name in ["a", "c"] {
        assert_eq!(fs::read_to_string(stored.tree.join(name)).unwrap(), large);
    }
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
    fs::write(home.store.root.join("version"), "x").unwrap();
    let error = Store::open(&paths(home.folder.path())).unwrap_err();
    assert!(matches!(error, StoreError::NoStore(_)), "{error}");
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

#[test]
fn what_was_loaded_is_given_out_with_the_same_bytes() {
    let home = Home::new();
    let mut source = Memory::default();
    let image = source.add(&["server"], "amd64", &[&tar(&[("a", "1")])]);
    let stored = home.load(&source).unwrap().remove(0);
    let given = home.store.source(&[(stored.clone(), image.names.clone())]);
    let given = given.unwrap();
    assert_eq!(given.images()[0].names, image.names);
    assert_eq!(given.images()[0].manifest_bytes, image.manifest_bytes);
    assert_eq!(given.images()[0].config_bytes, image.config_bytes);
    let layer = &image.manifest.layers[0].digest;
    let mut blob = given.open_blob(layer).unwrap();
    assert_eq!(Digest::of_reader(&mut blob).unwrap().0, *layer);
    let config = home.store.images.join(stored.id.hex()).join(CONFIG);
    fs::write(&config, "{}").unwrap();
    assert!(matches!(
        home.store.source(&[(stored, Vec::new())]),
        Err(StoreError::Damaged { .. })
    ));
}
