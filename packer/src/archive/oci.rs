//! Reading OCI layouts, in a tar or in a folder: an `index.json` that names manifests by digest.
//!
//! An index may hold an index with one image for each platform; the one for the wanted platform is
//! taken (`whole` takes all of them). What is no image (build attestations) is left out.

use std::collections::BTreeMap;

use super::Problem;
use super::backing::{Backing, blob_path};
use super::docker::{self, check_layer_count};
use super::index::{CONTAINERD_NAME, REF_NAME};
use super::read::Found;
use crate::digest::Digest;
use crate::image::{
    Descriptor, ImageConfig, Index, Kind, Manifest, Platform, from_json, kind_of, media_type,
};
use crate::name::ImageName;
use crate::place::Image;

/// Indexes in indexes.
const MOST_DEPTH: usize = 4;

/// The images of an OCI layout; nothing if it is none.
pub(super) fn images(
    backing: &Backing,
    platform: &Platform,
) -> Result<Option<Vec<Found>>, Problem> {
    let Some(index) = layout_index(backing)? else {
        return Ok(None);
    };
    let mut images: Vec<Found> = Vec::new();
    let has_documents = backing.open("manifest.json")?.is_some();
    for entry in for_platform(&index.manifests, platform) {
        let manifest = choose(backing, entry, platform, 0)?;
        let mut names = names(entry)?;
        if names.is_empty() && !has_documents {
            names.extend(name_from_tag(entry, backing));
        }
        let known = images
            .iter_mut()
            .find(|found| found.image.digest() == manifest.digest);
        match known {
            Some(found) => found.image.names.extend(names),
            None => images.push(image(backing, &manifest, names)?),
        }
    }
    for found in &mut images {
        if found.image.names.is_empty() {
            found.image.names = docker::names(backing, &found.image.id())?;
        }
        found.image.names.dedup();
    }
    Ok(Some(images))
}

/// The `index.json` of an OCI layout; nothing if it is none.
pub(super) fn layout_index(backing: &Backing) -> Result<Option<Index>, Problem> {
    let bytes = backing.read_json("index.json", "index.json")?;
    let index = bytes.map(|bytes| from_json("index.json", &bytes));
    Ok(index.transpose()?)
}

/// The entries that matter on a platform: an entry for another one does not when one of the same
/// name is for this.
fn for_platform<'a>(entries: &'a [Descriptor], platform: &Platform) -> Vec<&'a Descriptor> {
    let label = |entry: &Descriptor| {
        let key = |key| entry.annotations.get(key).cloned();
        (key(CONTAINERD_NAME), key(REF_NAME))
    };
    let ours: Vec<_> = entries
        .iter()
        .filter(|entry| is_for(entry, platform))
        .map(label)
        .collect();
    entries
        .iter()
        .filter(|entry| !is_attestation(entry))
        .filter(|entry| {
            entry.platform.is_none() || is_for(entry, platform) || !ours.contains(&label(entry))
        })
        .collect()
}

fn is_for(entry: &Descriptor, wanted: &Platform) -> bool {
    entry.platform.as_ref().is_some_and(|platform| {
        let same_variant = [&wanted.variant, &platform.variant].contains(&&None)
            || platform.variant == wanted.variant;
        same_variant && (&platform.os, &platform.architecture) == (&wanted.os, &wanted.architecture)
    })
}

pub(super) fn is_attestation(entry: &Descriptor) -> bool {
    let platform = entry.platform.as_ref();
    platform.is_some_and(|platform| platform.os == "unknown")
        || entry.annotations.contains_key("vnd.docker.reference.type")
}

pub(super) fn is_index(media_type: &str) -> bool {
    [media_type::INDEX, media_type::DOCKER_INDEX].contains(&media_type)
}

/// The manifest that an entry means: itself, or the platform's of an index.
fn choose(
    backing: &Backing,
    entry: &Descriptor,
    platform: &Platform,
    depth: usize,
) -> Result<Descriptor, Problem> {
    if !is_index(&entry.media_type) {
        return Ok(entry.clone());
    }
    if depth == MOST_DEPTH {
        return Err(Problem::Invalid(
            "it has indexes in indexes in indexes".to_owned(),
        ));
    }
    let (_, index) = index_blob(backing, &entry.digest)?;
    let entry = choose_for(backing, &index, platform, blob_path)?;
    choose(backing, &entry, platform, depth + 1)
}

/// The index with this digest, and its bytes.
pub(super) fn index_blob(backing: &Backing, digest: &Digest) -> Result<(Vec<u8>, Index), Problem> {
    let bytes = backing.read_json_blob(&blob_path(digest), digest, "an index")?;
    check_kind(&bytes, true)?;
    let index = from_json("an index", &bytes)?;
    Ok((bytes, index))
}

/// The entry of an index that is for this platform and is there, as a file where `path` says.
pub(super) fn choose_for(
    backing: &Backing,
    index: &Index,
    platform: &Platform,
    path: fn(&Digest) -> String,
) -> Result<Descriptor, Problem> {
    let images: Vec<&Descriptor> = index
        .manifests
        .iter()
        .filter(|entry| !is_attestation(entry))
        .collect();
    let ours = images
        .iter()
        .filter(|entry| is_for(entry, platform) || is_index(&entry.media_type));
    let mut present = Vec::new();
    for entry in ours {
        if backing.open(&path(&entry.digest))?.is_some() {
            present.push(*entry);
        }
    }
    match (present.first(), images.as_slice()) {
        (Some(entry), _) | (None, [entry]) => Ok(Descriptor::clone(entry)),
        (None, images) => Err(Problem::Platform {
            wanted: shown(platform),
            there: images
                .iter()
                .map(|entry| {
                    entry
                        .platform
                        .as_ref()
                        .map_or("an unnamed one".to_owned(), shown)
                })
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

fn shown(platform: &Platform) -> String {
    let Platform {
        architecture,
        os,
        variant,
    } = platform;
    let variant = variant
        .as_ref()
        .map(|variant| format!("/{variant}"))
        .unwrap_or_default();
    format!("{os}/{architecture}{variant}")
        .escape_debug()
        .to_string()
}

/// The names of an entry: the whole one that containerd and docker write, or the reference if it is
/// a name and not only a tag.
pub(super) fn names(entry: &Descriptor) -> Result<Vec<ImageName>, Problem> {
    let annotation = |key| {
        entry
            .annotations
            .get(key)
            .filter(|name| !name.contains('@'))
    };
    let is_name = |name: &&String| name.contains(['/', ':']);
    let whole = annotation(CONTAINERD_NAME);
    let name = whole.or_else(|| annotation(REF_NAME).filter(is_name));
    let parse = |name: &String| {
        name.parse()
            .map_err(|error| Problem::Name(format!("{error}")))
    };
    name.map(parse)
        .transpose()
        .map(|name| name.into_iter().collect())
}

/// What an image is called of whose name the layout has the tag alone, or nothing: as its folder, and
/// in an archive as its tag, which is how podman calls it.
fn name_from_tag(entry: &Descriptor, backing: &Backing) -> Option<ImageName> {
    let tag = entry.annotations.get(REF_NAME);
    match (backing.folder_name(), tag) {
        (Some(folder), Some(tag)) => format!("localhost/{folder}:{tag}").parse().ok(),
        (Some(folder), None) => format!("localhost/{folder}").parse().ok(),
        (None, Some(tag)) => format!("localhost/{tag}").parse().ok(),
        (None, None) => None,
    }
}

pub(super) fn image(
    backing: &Backing,
    entry: &Descriptor,
    names: Vec<ImageName>,
) -> Result<Found, Problem> {
    let path = blob_path(&entry.digest);
    let manifest_bytes = backing.read_json_blob(&path, &entry.digest, "a manifest")?;
    check_size("a manifest", entry, manifest_bytes.len() as u64)?;
    image_of(backing, manifest_bytes, names, blob_path)
}

/// The image with this manifest, whose blobs lie where `path` says.
pub(super) fn image_of(
    backing: &Backing,
    manifest_bytes: Vec<u8>,
    names: Vec<ImageName>,
    path: fn(&Digest) -> String,
) -> Result<Found, Problem> {
    check_kind(&manifest_bytes, false)?;
    let manifest: Manifest = from_json("the manifest", &manifest_bytes)?;
    let config_type = manifest.config.media_type.as_str();
    if ![media_type::CONFIG, media_type::DOCKER_CONFIG].contains(&config_type) {
        let problem = format!("it holds no image but \"{}\"", config_type.escape_debug());
        return Err(Problem::Invalid(problem));
    }
    let digest = &manifest.config.digest;
    let config_bytes = backing.read_json_blob(&path(digest), digest, "a config")?;
    check_size("a config", &manifest.config, config_bytes.len() as u64)?;
    let config: ImageConfig = from_json("the config", &config_bytes)?;
    check_layer_count(config.rootfs.diff_ids.len(), manifest.layers.len())?;
    let mut layers = BTreeMap::new();
    for layer in &manifest.layers {
        let path = path(&layer.digest);
        let content = backing.open(&path)?;
        let content =
            content.ok_or_else(|| Problem::Missing(format!("the layer {}", layer.digest)))?;
        check_size("a layer", layer, content.size)?;
        layers.insert(layer.digest, path);
    }
    let image = Image {
        names,
        manifest,
        manifest_bytes,
        config,
        config_bytes,
    };
    Ok(Found { image, layers })
}

fn check_size(what: &str, entry: &Descriptor, found: u64) -> Result<(), Problem> {
    if entry.size == found {
        return Ok(());
    }
    let Descriptor { digest, size, .. } = entry;
    Err(Problem::Damaged(format!(
        "{what}, {digest}, should have {size} bytes and has {found}"
    )))
}

/// A document that is index and manifest at once is a trap: what one reader checks, another one
/// runs (CVE-2021-41190).
fn check_kind(bytes: &[u8], index_is_meant: bool) -> Result<(), Problem> {
    let invalid = |reason: &str| Err(Problem::Invalid(reason.to_owned()));
    match (kind_of(bytes).map_err(Problem::Invalid)?, index_is_meant) {
        (Kind::Index, false) => invalid("an index is called a manifest"),
        (Kind::Manifest, true) => invalid("a manifest is called an index"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(annotations: &[(&str, &str)]) -> Descriptor {
        let mut entry = Descriptor::new(media_type::MANIFEST, Digest::of(b""), 0);
        let pairs = annotations.iter();
        entry.annotations = pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        entry
    }

    #[test]
    fn a_reference_is_a_name_only_when_it_is_more_than_a_tag() {
        let name = |annotations: &[(&str, &str)]| {
            let names = names(&entry(annotations)).unwrap();
            names.first().map(ToString::to_string)
        };
        assert_eq!(name(&[(REF_NAME, "1")]), None);
        assert_eq!(name(&[(REF_NAME, "a:1")]).unwrap(), "localhost/a:1");
        let both = [(CONTAINERD_NAME, "host.example/a:1"), (REF_NAME, "1")];
        assert_eq!(name(&both).unwrap(), "host.example/a:1");
        let digest = format!("a/b@{}", Digest::of(b""));
        assert_eq!(name(&[(CONTAINERD_NAME, &digest)]), None);
        assert!(names(&entry(&[(CONTAINERD_NAME, "A//b")])).is_err());
    }

    #[test]
    fn other_platforms_of_the_same_name_are_left_out() {
        let with_platform = |architecture: &str, name: &str| {
            let mut entry = entry(&[(REF_NAME, name)]);
            let architecture = architecture.to_owned();
            entry.platform = Some(Platform {
                architecture,
                ..Platform::host()
            });
            entry
        };
        let host = Platform::host().architecture;
        let entries = [
            with_platform("other", "a"),
            with_platform(&host, "a"),
            with_platform("other", "b"),
        ];
        let found = for_platform(&entries, &Platform::host());
        assert_eq!(found, [&entries[1], &entries[2]]);
    }

    #[test]
    fn a_manifest_that_is_also_an_index_is_refused() {
        let both = br#"{"manifests":[],"Layers":[]}"#;
        assert!(check_kind(both, true).is_err());
        assert!(check_kind(both, false).is_err());
        assert!(check_kind(br#"{"manifests":[]}"#, false).is_err());
        assert!(check_kind(br#"{"config":{}}"#, true).is_err());
        assert!(check_kind(br#"{"manifests":[]}"#, true).is_ok());
    }
}
