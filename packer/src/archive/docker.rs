//! Reading docker-archives: a `manifest.json` that names configs, layers and tags by paths.
//!
//! They have no manifests in the sense of a registry, so one is made up for each image. Their layers
//! are usually plain tars, and the digest of a plain layer is its diff id, which the config names:
//! so nothing big has to be read to know the digests. Whoever reads a layer checks it.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::Problem;
use super::backing::{Backing, check_digest};
use super::path::clean;
use super::read::Found;
use crate::digest::Digest;
use crate::image::{Descriptor, ImageConfig, Manifest, from_json, media_type, to_json};
use crate::layer::Encoding;
use crate::name::ImageName;
use crate::place::Image;

/// One image in `manifest.json`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// The names that `manifest.json` gives to the config with this digest.
pub(super) fn names(backing: &Backing, config: &Digest) -> Result<Vec<ImageName>, Problem> {
    let mut names = Vec::new();
    for entry in entries(backing)?.unwrap_or_default() {
        if digest_of_path(&entry.config) == Some(*config) {
            names.extend(parse_names(&entry.repo_tags)?);
        }
    }
    Ok(names)
}

/// The images of a docker-archive; nothing if it is none.
pub(super) fn images(backing: &Backing) -> Result<Option<Vec<Found>>, Problem> {
    let Some(entries) = entries(backing)? else {
        return Ok(None);
    };
    let mut digests = HashMap::new();
    let images = entries
        .iter()
        .map(|entry| image(backing, entry, &mut digests));
    images.collect::<Result<_, _>>().map(Some)
}

fn image(
    backing: &Backing,
    entry: &Entry,
    digests: &mut HashMap<String, Digest>,
) -> Result<Found, Problem> {
    let path = &entry.config;
    let config_bytes = backing
        .read_json(path, "a config")?
        .ok_or_else(|| Problem::Missing(format!("the config \"{}\"", path.escape_debug())))?;
    if let Some(expected) = digest_of_path(path) {
        check_digest("a config", expected, &config_bytes)?;
    }
    let config: ImageConfig = from_json("the config", &config_bytes)?;
    let diff_ids = &config.rootfs.diff_ids;
    check_layer_count(diff_ids.len(), entry.layers.len())?;
    let mut layers = Vec::new();
    for (path, diff_id) in entry.layers.iter().zip(diff_ids) {
        let path = clean(path)?;
        layers.push((layer(backing, &path, *diff_id, digests)?, path));
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::MANIFEST.to_owned(),
        config: Descriptor::new(
            media_type::CONFIG,
            Digest::of(&config_bytes),
            config_bytes.len() as u64,
        ),
        layers: layers.iter().map(|(layer, _)| layer.clone()).collect(),
        annotations: BTreeMap::new(),
    };
    Ok(Found {
        layers: layers
            .into_iter()
            .map(|(layer, path)| (layer.digest, path))
            .collect(),
        image: Image {
            names: parse_names(&entry.repo_tags)?,
            manifest_bytes: to_json(&manifest),
            manifest,
            config,
            config_bytes,
        },
    })
}

/// The descriptor of a layer as it is stored.
fn layer(
    backing: &Backing,
    path: &str,
    diff_id: Digest,
    digests: &mut HashMap<String, Digest>,
) -> Result<Descriptor, Problem> {
    let missing = || Problem::Missing(format!("the layer \"{}\"", path.escape_debug()));
    let (encoding, size) = backing.encoding(path)?.ok_or_else(missing)?;
    let digest = match (encoding, digest_of_path(path), digests.get(path)) {
        (Encoding::Plain, ..) => diff_id,
        (_, Some(digest), _) => digest,
        (_, None, Some(&known)) => known,
        (_, None, None) => {
            let mut content = backing.open(path)?.ok_or_else(missing)?;
            let (digest, _) = Digest::of_reader(&mut content.reader)?;
            digests.insert(path.to_owned(), digest);
            digest
        }
    };
    Ok(Descriptor::new(encoding.media_type(), digest, size))
}

/// Every layer has its diff id, or nobody can say what is what.
pub(super) fn check_layer_count(diff_ids: usize, layers: usize) -> Result<(), Problem> {
    if diff_ids == layers {
        return Ok(());
    }
    Err(Problem::Invalid(format!(
        "a config names {diff_ids} layers, and its manifest {layers}"
    )))
}

fn parse_names(tags: &[String]) -> Result<Vec<ImageName>, Problem> {
    tags.iter()
        // docker writes a name without a tag as `<none>:<none>`, or with a digest behind an `@`.
        .filter(|tag| !tag.contains('@') && !tag.contains("<none>"))
        .map(|tag| {
            tag.parse()
                .map_err(|error| Problem::Name(format!("{error}")))
        })
        .collect()
}

/// The digest that a file is named after, as `…/HEX` or `HEX.json`.
fn digest_of_path(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next()?;
    Digest::from_hex(name.strip_suffix(".json").unwrap_or(name)).ok()
}

fn entries(backing: &Backing) -> Result<Option<Vec<Entry>>, Problem> {
    let Some(bytes) = backing.read_json("manifest.json", "manifest.json")? else {
        return Ok(None);
    };
    let invalid = |reason: String| Problem::Invalid(format!("manifest.json {reason}"));
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| invalid(format!("is no JSON: {error}")))?;
    let items = value
        .as_array()
        .ok_or_else(|| invalid("is no list".to_owned()))?;
    let entries = items.iter().map(|item| entry(item).map_err(invalid));
    entries.collect::<Result<_, _>>().map(Some)
}

/// Reads an entry, whatever the case of its keys: Guix writes lower-case ones.
fn entry(item: &Value) -> Result<Entry, String> {
    let empty = Map::new();
    let fields = item.as_object().unwrap_or(&empty);
    let field = |name: &str| {
        let mut found = fields
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(format!("has the key \"{name}\" twice")),
            (Some((_, value)), None) => Ok(value),
            (None, _) => Ok(&Value::Null),
        }
    };
    let strings = |name: &str| match field(name)? {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(ToOwned::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| format!("has something else than strings in \"{name}\"")),
        _ => Err(format!("has something else than a list as \"{name}\"")),
    };
    let config = field("Config")?.as_str();
    Ok(Entry {
        config: config.ok_or("has an entry without \"Config\"")?.to_owned(),
        repo_tags: strings("RepoTags")?,
        layers: strings("Layers")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_read_in_any_case() {
        let expected = Entry {
            config: "c".to_owned(),
            repo_tags: vec!["a:b".to_owned()],
            layers: vec!["l".to_owned()],
        };
        let upper = json!({"Config": "c", "RepoTags": ["a:b"], "Layers": ["l"]});
        let lower = json!({"config": "c", "repotags": ["a:b"], "layers": ["l"]});
        assert_eq!(entry(&upper).unwrap(), expected);
        assert_eq!(entry(&lower).unwrap(), expected);
        assert!(entry(&json!({"config": "c", "Config": "d"})).is_err());
    }

    #[test]
    fn no_tags_are_no_names() {
        assert_eq!(
            entry(&json!({"Config": "c", "RepoTags": null}))
                .unwrap()
                .repo_tags
                .len(),
            0
        );
        assert!(entry(&json!({"RepoTags": ["a"]})).is_err());
        assert!(entry(&json!({"Config": "c", "Layers": [1]})).is_err());
        assert!(entry(&json!("text")).is_err());
    }

    #[test]
    fn an_illegal_name_is_an_error_that_names_it() {
        let error = parse_names(&["localhost/UPPER:x".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("localhost/UPPER:x"), "{error}");
    }
}
