//! Archives of every shape, traps and damage.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::archive::Writer;
use crate::image::{Descriptor, ImageConfig, Manifest, Platform, media_type, to_json};
use crate::place::Sink;

pub(in crate::archive) const LAYER: &[u8] = b"stands for the tar of a layer";

fn config() -> Value {
    json!({"architecture": Platform::host().architecture, "os": "linux",
           "rootfs": {"type": "layers", "diff_ids": [Digest::of(LAYER)]}})
}

pub(in crate::archive) fn image(names: &[&str]) -> Image {
    let config_bytes = config().to_string().into_bytes();
    let described = Descriptor::new(
        media_type::CONFIG,
        Digest::of(&config_bytes),
        config_bytes.len() as u64,
    );
    let layer = Descriptor::new(media_type::LAYER, Digest::of(LAYER), LAYER.len() as u64);
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::MANIFEST.to_owned(),
        config: described,
        layers: vec![layer],
        annotations: BTreeMap::new(),
    };
    Image {
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        manifest_bytes: to_json(&manifest),
        manifest,
        config: serde_json::from_value::<ImageConfig>(config()).unwrap(),
        config_bytes,
    }
}

/// What our own writer makes of `image`.
fn written(image: &Image) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::in_folder(folder.path()).unwrap();
    writer.put_blob(&mut |out| out.write_all(LAYER)).unwrap();
    writer.put_image(image).unwrap();
    let mut bytes = Vec::new();
    writer.finish().unwrap().copy_to(&mut bytes).unwrap();
    bytes
}

/// A tar of files and, where the content begins with `->`, symbolic links.
fn tar(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        match content.strip_prefix(b"->") {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name_literal(target).unwrap();
                header.set_size(0);
                builder.append_data(&mut header, path, io::empty()).unwrap();
            }
            None => {
                header.set_size(content.len() as u64);
                builder
                    .append_data(&mut header, path, content.as_slice())
                    .unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn opened(bytes: &[u8]) -> Result<Archive, String> {
    let mut stream = bytes;
    Archive::from_reader("it", &mut stream, &std::env::temp_dir())
        .map_err(|error| error.to_string())
}

fn layer_of(archive: &Archive) -> Vec<u8> {
    let digest = archive.images()[0].manifest.layers[0].digest;
    let mut content = Vec::new();
    archive
        .open_blob(&digest)
        .unwrap()
        .read_to_end(&mut content)
        .unwrap();
    content
}

fn json_bytes(value: Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn docker(config_path: &str, layer_path: &str) -> Vec<u8> {
    json_bytes(json!([
        {"Config": config_path, "RepoTags": ["hello:1"], "Layers": [layer_path]}
    ]))
}

#[test]
fn what_our_writer_wrote_comes_back() {
    let image = image(&["hello:1", "host.example/other:2"]);
    let archive = opened(&written(&image)).unwrap();
    let [read] = archive.images() else {
        panic!("one image: {:?}", archive.images());
    };
    assert_eq!(read.names, image.names);
    assert_eq!(read.manifest_bytes, image.manifest_bytes);
    assert_eq!(read.config_bytes, image.config_bytes);
    assert_eq!(layer_of(&archive), LAYER);
    let unknown = archive.open_blob(&Digest::of(b"unknown")).err().unwrap();
    assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
}

#[test]
fn compressed_archives_and_folders_are_read() {
    let bytes = written(&image(&["hello"]));
    let mut gzip = crate::layer::gzip::writer(Vec::new(), 6);
    gzip.write_all(&bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("archive.tar.gz");
    fs::write(&file, gzip.finish().unwrap()).unwrap();
    assert_eq!(layer_of(&Archive::open(&file).unwrap()), LAYER);
    let layout: PathBuf = folder.path().join("layout");
    tar::Archive::new(bytes.as_slice()).unpack(&layout).unwrap();
    assert_eq!(layer_of(&Archive::open(&layout).unwrap()), LAYER);
    let error = Archive::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("neither manifest.json"), "{error}");
}

/// Writes `files` into a new folder.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

#[test]
fn a_folder_of_one_manifest_and_its_blobs_is_read() {
    let image = image(&[]);
    let blob = Digest::of(LAYER).hex();
    let config = image.id().hex();
    let mut files = vec![
        ("version", &b"Directory Transport Version: 1.1\n"[..]),
        ("manifest.json", &image.manifest_bytes),
        (&config, &image.config_bytes),
        (&blob, LAYER),
    ];
    let whole = folder(&files);
    let archive = Archive::open(whole.path()).unwrap();
    assert_eq!(archive.images()[0].digest(), image.digest());
    assert!(archive.images()[0].names.is_empty());
    assert_eq!(layer_of(&archive), LAYER);
    files[2].1 = b"{}";
    let error = Archive::open(folder(&files).path()).unwrap_err();
    assert!(
        error.to_string().contains("should have the digest"),
        "{error}"
    );
}

#[test]
fn an_unpacked_docker_archive_is_read_and_nothing_outside_of_it() {
    let config = json_bytes(config());
    let manifest = docker("config.json", "a/layer.tar");
    let files = [
        ("manifest.json", &manifest[..]),
        ("config.json", &config),
        ("b/layer.tar", LAYER),
    ];
    let folder = folder(&files);
    fs::create_dir(folder.path().join("a")).unwrap();
    let link = folder.path().join("a/layer.tar");
    std::os::unix::fs::symlink("../b/layer.tar", &link).unwrap();
    assert_eq!(layer_of(&Archive::open(folder.path()).unwrap()), LAYER);
    for target in ["/etc/passwd", "../../../../../../../../etc/passwd"] {
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(target, &link).unwrap();
        let error = Archive::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("leads out"), "{error}");
    }
}

#[test]
fn a_docker_archive_gets_a_manifest_of_its_layers_as_they_are_stored() {
    let mut gzip = crate::layer::gzip::writer(Vec::new(), 6);
    gzip.write_all(LAYER).unwrap();
    let zipped = gzip.finish().unwrap();
    for (stored, media_type) in [
        (LAYER.to_vec(), media_type::LAYER),
        (zipped, media_type::LAYER_GZIP),
    ] {
        let archive = opened(&tar(&[
            ("manifest.json", docker("config.json", "new/layer.tar")),
            ("config.json", json_bytes(config())),
            ("old/layer.tar", stored.clone()),
            ("new/layer.tar", b"->../old/layer.tar".to_vec()),
        ]))
        .unwrap();
        let image = &archive.images()[0];
        let layer = &image.manifest.layers[0];
        assert_eq!(layer.media_type, media_type);
        assert_eq!(
            (layer.digest, layer.size),
            (Digest::of(&stored), stored.len() as u64)
        );
        assert_eq!(image.names[0].to_string(), "localhost/hello:1");
        assert_eq!(image.id(), Digest::of(&json_bytes(config())));
        assert_eq!(layer_of(&archive), stored);
    }
}

#[test]
fn a_docker_archive_that_leads_out_is_refused() {
    let config = || ("config.json", json_bytes(config()));
    for (config_path, layer_path) in [
        ("../config.json", "layer.tar"),
        ("config.json", "../layer.tar"),
        ("config.json", "/etc/passwd"),
    ] {
        let manifest = ("manifest.json", docker(config_path, layer_path));
        let layer = ("layer.tar", LAYER.to_vec());
        let error = opened(&tar(&[manifest, config(), layer])).unwrap_err();
        assert!(error.contains("leads out of the archive"), "{error}");
    }
}

#[test]
fn an_archive_that_is_incomplete_or_wrong_is_told_in_one_line() {
    let wrong = format!("{}.json", Digest::of(b"another config").hex());
    let twice = json!({"rootfs": {"diff_ids": [Digest::of(b""), Digest::of(LAYER)]}});
    let layer = || ("l", LAYER.to_vec());
    for (entries, words) in [
        (vec![layer()], "neither manifest.json nor index.json"),
        (vec![("manifest.json", b"[]".to_vec())], "holds no image"),
        (
            vec![("manifest.json", b"{".to_vec())],
            "manifest.json is no JSON",
        ),
        (
            vec![("index.json", b"{}".to_vec())],
            "index.json is not readable",
        ),
        (
            vec![("manifest.json", docker("c", "l")), layer()],
            "does not hold the config \"c\"",
        ),
        (
            vec![
                ("manifest.json", docker("c", "l")),
                ("c", json_bytes(config())),
            ],
            "does not hold the layer \"l\"",
        ),
        (
            vec![
                ("manifest.json", docker("c", "l")),
                ("c", json_bytes(twice)),
                layer(),
            ],
            "names 2 layers, and its manifest 1",
        ),
        (
            vec![
                ("manifest.json", docker(&wrong, "l")),
                (&wrong, json_bytes(config())),
                layer(),
            ],
            "a config should have the digest",
        ),
        (
            vec![("manifest.json", vec![b' '; 5 << 20])],
            "more than 4 MiB",
        ),
    ] {
        let error = opened(&tar(&entries)).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert!(error.starts_with("it ") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn an_index_of_platforms_gives_the_image_of_this_one() {
    let image = image(&[]);
    let entry = |architecture: &str, digest: Digest, size: usize| {
        json!({"mediaType": media_type::MANIFEST, "digest": digest, "size": size,
               "platform": {"os": "linux", "architecture": architecture}})
    };
    let host = Platform::host().architecture;
    let ours = entry(&host, image.digest(), image.manifest_bytes.len());
    let other = entry("other", Digest::of(b"other"), 5);
    let with = |entries: Vec<&Value>| {
        let inner = json_bytes(json!({"schemaVersion": 2, "manifests": entries}));
        let index = json!({"schemaVersion": 2, "manifests": [
            {"mediaType": media_type::INDEX, "digest": Digest::of(&inner), "size": inner.len(),
             "annotations": {"io.containerd.image.name": "host.example/hello:1"}}]});
        let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
        let files = [
            ("index.json".to_owned(), json_bytes(index)),
            (blob(&inner), inner),
            (blob(&image.manifest_bytes), image.manifest_bytes.clone()),
            (blob(&image.config_bytes), image.config_bytes.clone()),
            (blob(LAYER), LAYER.to_vec()),
        ];
        let files = files
            .each_ref()
            .map(|(path, bytes)| (path.as_str(), bytes.clone()));
        opened(&tar(&files))
    };
    let archive = with(vec![&other, &ours]).unwrap();
    assert_eq!(archive.images()[0].digest(), image.digest());
    assert_eq!(
        archive.images()[0].names[0].to_string(),
        "host.example/hello:1"
    );
    let error = with(vec![&other, &other]).unwrap_err();
    assert!(
        error.contains("only for linux/other, linux/other"),
        "{error}"
    );
}

#[test]
fn no_damage_makes_the_reader_panic_or_an_image_change() {
    let image = image(&["hello"]);
    let whole = written(&image);
    let mut state = 7_u64;
    for _ in 0..500 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let position = usize::try_from(state >> 33).unwrap() % whole.len();
        let mut damaged = whole.clone();
        damaged[position] ^= 1 << (state >> 20 & 7);
        for bytes in [&damaged, &whole[..position]] {
            if let Ok(archive) = opened(bytes) {
                assert_eq!(archive.images()[0].manifest_bytes, image.manifest_bytes);
                assert_eq!(archive.images()[0].config_bytes, image.config_bytes);
            }
        }
    }
}
