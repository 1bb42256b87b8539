//! What differs between two images: in manifest and config field by field, in the files one by one,
//! and where those are equal, in how they were written down.

use std::fmt;

use serde_json::Value;

use crate::contents::{Contents, Entry, Kind};
use crate::place::Image;

/// One difference between two images, A and B. Prints as a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A file that one of them does not have.
    Only {
        /// `A` or `B`.
        side: char,
        /// The path.
        path: String,
    },
    /// A field of the manifest or the config, or a property of a file.
    Changed {
        /// Where: `config: config.Env[0]`, `file bin/a: mode`.
        place: String,
        /// In A.
        before: String,
        /// In B.
        after: String,
    },
    /// Files stand in another order in a layer.
    Order {
        /// The layer, the lowest being 0.
        layer: usize,
        /// The first that differs, in A.
        before: String,
        /// What stands there in B.
        after: String,
    },
    /// A layer with the same content and other bytes.
    Compression {
        /// The layer, the lowest being 0.
        layer: usize,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only { side, path } => write!(formatter, "only in {side}: {path}"),
            Self::Changed {
                place,
                before,
                after,
            } => {
                write!(formatter, "{place}: {before} -> {after}")
            }
            Self::Order {
                layer,
                before,
                after,
            } => write!(
                formatter,
                "layer {layer}: another order, first where A has {before} and B has {after}"
            ),
            Self::Compression { layer } => {
                write!(
                    formatter,
                    "layer {layer}: the same content, compressed differently"
                )
            }
        }
    }
}

/// An image with what is in it.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The image.
    pub image: &'a Image,
    /// Its files.
    pub contents: &'a Contents,
}

/// Everything in which B differs from A, the files first; nothing if their digests are equal.
#[must_use]
pub fn compare(a: Side<'_>, b: Side<'_>) -> Vec<Difference> {
    let mut found = Vec::new();
    if a.image.digest() == b.image.digest() {
        return found;
    }
    files(a.contents, b.contents, &mut found);
    order(a.contents, b.contents, &mut found);
    compression(a.image, b.image, &mut found);
    let documents = [
        ("config", &a.image.config_bytes, &b.image.config_bytes),
        ("manifest", &a.image.manifest_bytes, &b.image.manifest_bytes),
    ];
    for (name, before, after) in documents {
        let [before, after] =
            [before, after].map(|bytes| serde_json::from_slice(bytes).unwrap_or_default());
        fields(&format!("{name}: "), "", &before, &after, &mut found);
    }
    if found.is_empty() {
        found.push(Difference::Changed {
            place: "manifest".to_owned(),
            before: "the same fields".to_owned(),
            after: "written in another way".to_owned(),
        });
    }
    found
}

fn files(a: &Contents, b: &Contents, found: &mut Vec<Difference>) {
    let mut paths: Vec<&Vec<u8>> = a.keys().chain(b.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let shown = path.escape_ascii().to_string();
        match (a.get(path), b.get(path)) {
            (Some(before), Some(after)) => properties(&shown, before, after, found),
            (Some(_), None) => found.push(Difference::Only {
                side: 'A',
                path: shown,
            }),
            (None, _) => found.push(Difference::Only {
                side: 'B',
                path: shown,
            }),
        }
    }
}

fn properties(path: &str, a: &Entry, b: &Entry, found: &mut Vec<Difference>) {
    let mut compared = |what: &str, before: String, after: String| {
        if before != after {
            let place = format!("file {path}: {what}");
            found.push(Difference::Changed {
                place,
                before,
                after,
            });
        }
    };
    compared("content", content(&a.kind), content(&b.kind));
    compared("mode", format!("{:04o}", a.mode), format!("{:04o}", b.mode));
    let owner = |entry: &Entry| format!("{}:{}", entry.uid, entry.gid);
    compared("owner", owner(a), owner(b));
    compared("time", a.time.clone(), b.time.clone());
    compared("layer", a.layer.to_string(), b.layer.to_string());
    let attributes = |entry: &Entry| {
        let pairs = entry.attributes.iter();
        let pairs =
            pairs.map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()));
        pairs.collect::<Vec<_>>().join(",")
    };
    compared("attributes", attributes(a), attributes(b));
}

/// What an entry is, with everything that can differ.
#[must_use]
pub fn content(kind: &Kind) -> String {
    match kind {
        Kind::File { size, digest } => format!("{size} bytes, {digest}"),
        Kind::Directory => "a folder".to_owned(),
        Kind::Symlink(target) => format!("a link to {}", target.escape_ascii()),
        Kind::HardLink(target) => format!("a hard link to {}", target.escape_ascii()),
        Kind::Special(name) => format!("a {name}"),
    }
}

/// The first place in each layer where the files that both have stand in another order.
fn order(a: &Contents, b: &Contents, found: &mut Vec<Difference>) {
    let last = a.values().chain(b.values()).map(|entry| entry.layer).max();
    for layer in 0..=last.unwrap_or(0) {
        let in_order = |ours: &Contents, theirs: &Contents| {
            let is_common =
                |path: &Vec<u8>| theirs.get(path).is_some_and(|entry| entry.layer == layer);
            let common = ours
                .iter()
                .filter(|(path, entry)| entry.layer == layer && is_common(path));
            let mut common: Vec<_> = common
                .map(|(path, entry)| (entry.order, path.clone()))
                .collect();
            common.sort();
            common.into_iter().map(|(_, path)| path)
        };
        let mut pairs = in_order(a, b).zip(in_order(b, a));
        if let Some((before, after)) = pairs.find(|(before, after)| before != after) {
            found.push(Difference::Order {
                layer,
                before: before.escape_ascii().to_string(),
                after: after.escape_ascii().to_string(),
            });
        }
    }
}

fn compression(a: &Image, b: &Image, found: &mut Vec<Difference>) {
    let layers = |image: &Image| {
        let ids = image.config.rootfs.diff_ids.clone().into_iter();
        ids.zip(image.manifest.layers.clone()).collect::<Vec<_>>()
    };
    for (layer, (a, b)) in layers(a).into_iter().zip(layers(b)).enumerate() {
        if a.0 == b.0 && a.1.digest != b.1.digest {
            found.push(Difference::Compression { layer });
        }
    }
}

/// The fields in which two documents differ.
fn fields(document: &str, place: &str, a: &Value, b: &Value, found: &mut Vec<Difference>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let below = if place.is_empty() {
                    key.clone()
                } else {
                    format!("{place}.{key}")
                };
                let [a, b] = [a, b].map(|map| map.get(key).unwrap_or(&Value::Null));
                fields(document, &below, a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for number in 0..a.len().max(b.len()) {
                let [a, b] = [a, b].map(|list| list.get(number).unwrap_or(&Value::Null));
                fields(document, &format!("{place}[{number}]"), a, b, found);
            }
        }
        (a, b) if a != b => {
            let shown = |value: &Value| match value {
                Value::Null => "nothing".to_owned(),
                value => value.to_string(),
            };
            found.push(Difference::Changed {
                place: format!("{document}{}", place.escape_debug()),
                before: shown(a),
                after: shown(b),
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn entry(content: &str, order: usize) -> Entry {
        Entry {
            kind: Kind::File {
                size: content.len() as u64,
                digest: Digest::of(content.as_bytes()),
            },
            mode: 0o644,
            uid: 0,
            gid: 0,
            time: "0".to_owned(),
            attributes: std::collections::BTreeMap::new(),
            layer: 0,
            order,
        }
    }

    fn contents(entries: &[(&str, Entry)]) -> Contents {
        let entries = entries.iter();
        entries
            .map(|(path, entry)| (path.as_bytes().to_vec(), entry.clone()))
            .collect()
    }

    fn lines(a: &Contents, b: &Contents) -> Vec<String> {
        let mut found = Vec::new();
        files(a, b, &mut found);
        order(a, b, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_are_compared_in_every_property() {
        let a = contents(&[("a", entry("x", 0)), ("gone", entry("x", 1))]);
        let mut other = entry("y", 0);
        (other.mode, other.uid, other.time) = (0o4755, 1, "7".to_owned());
        let b = contents(&[("a", other), ("new\n", entry("x", 1))]);
        let lines = lines(&a, &b);
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert!(lines[0].starts_with("file a: content: 1 bytes, sha256:"));
        assert_eq!(lines[1], "file a: mode: 0644 -> 4755");
        assert_eq!(lines[2], "file a: owner: 0:0 -> 1:0");
        assert_eq!(lines[3], "file a: time: 0 -> 7");
        assert_eq!(lines[4], "only in A: gone");
        assert_eq!(lines[5], "only in B: new\\n");
    }

    #[test]
    fn another_order_of_the_same_files_is_seen() {
        let a = contents(&[
            ("a", entry("x", 0)),
            ("b", entry("x", 1)),
            ("c", entry("x", 2)),
        ]);
        let b = contents(&[
            ("a", entry("x", 0)),
            ("b", entry("x", 2)),
            ("c", entry("x", 1)),
        ]);
        assert_eq!(
            lines(&a, &b),
            ["layer 0: another order, first where A has b and B has c"]
        );
        // A file more is no other order.
        let c = contents(&[
            ("0", entry("x", 0)),
            ("a", entry("x", 1)),
            ("b", entry("x", 2)),
            ("c", entry("x", 3)),
        ]);
        assert_eq!(lines(&a, &c), ["only in B: 0"]);
    }

    #[test]
    fn fields_are_named_by_where_they_are() {
        let (a, b) = (
            serde_json::json!({"config": {"Env": ["A=1"]}, "os": "linux"}),
            serde_json::json!({"config": {"Env": ["A=1", "B=2"]}, "os": "windows"}),
        );
        let mut found = Vec::new();
        fields("config: ", "", &a, &b, &mut found);
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "config: config.Env[1]: nothing -> \"B=2\"",
                "config: os: \"linux\" -> \"windows\""
            ]
        );
    }
}
