//! Reading JSON that others wrote: keys in any case, `null` for an empty list, one string for a
//! list of one. Writing is compact and in the order of the fields.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// JSON that could not be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not readable: {reason}")]
pub struct InvalidJson {
    what: &'static str,
    reason: String,
}

/// The keys that the structs of this module have, in the spelling of the specification.
const KEYS: &[&str] = &[
    "mediaType",
    "digest",
    "size",
    "annotations",
    "platform",
    "architecture",
    "os",
    "variant",
    "schemaVersion",
    "config",
    "layers",
    "manifests",
    "created",
    "author",
    "rootfs",
    "history",
    "type",
    "diff_ids",
    "created_by",
    "comment",
    "empty_layer",
];

/// The keys inside an image config's `config`, in the spelling of the specification.
const RUN_KEYS: &[&str] = &[
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "Test",
    "Interval",
    "Timeout",
    "StartPeriod",
    "StartInterval",
    "Retries",
];

/// Reads `bytes` as a `T`, whatever the case of its keys.
///
/// `what` names the thing in the error: "the manifest". Two keys of one object that differ only in
/// case are an error, because two readers could choose differently.
///
/// # Errors
/// [`InvalidJson`] when `bytes` is not JSON, or not that of a `T`.
pub fn from_json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, InvalidJson> {
    let refuse = |reason: String| InvalidJson { what, reason };
    let mut value: Value =
        serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
    fold(&mut value, KEYS, 0).map_err(refuse)?;
    if let Some(config) = value.get_mut("config") {
        fold(config, RUN_KEYS, 0).map_err(refuse)?;
    }
    serde_json::from_value(value).map_err(|error| refuse(error.to_string()))
}

/// Writes `value` as compact JSON, its fields in the order of the struct.
///
/// # Panics
/// Never for the types of this module: they have only string keys.
#[must_use]
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("our own types have only string keys")
}

/// Renames the keys of `value` that are one of `known` but for case, two levels of objects deep:
/// the free-form maps (labels, annotations) that lie deeper keep their keys.
fn fold(value: &mut Value, known: &[&str], depth: usize) -> Result<(), String> {
    match value {
        Value::Object(map) if depth < 3 => {
            let mut folded = Map::new();
            for (key, mut value) in std::mem::take(map) {
                let name = known
                    .iter()
                    .find(|name| name.eq_ignore_ascii_case(&key))
                    .map_or(key, |name| (*name).to_owned());
                if !is_free_form(&name) {
                    fold(&mut value, known, depth + 1)?;
                }
                if folded.insert(name.clone(), value).is_some() {
                    return Err(format!("the key \"{name}\" is there twice"));
                }
            }
            *map = folded;
        }
        Value::Array(items) => {
            for item in items {
                fold(item, known, depth)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether the keys below `name` are the user's own words.
fn is_free_form(name: &str) -> bool {
    [
        "annotations",
        "Labels",
        "labels",
        "config",
        "Volumes",
        "ExposedPorts",
    ]
    .contains(&name)
}

pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

pub(super) fn string_or_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Form::One(text)) => vec![text],
        Some(Form::Many(list)) => list,
    })
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    #[test]
    fn the_lower_case_keys_of_guix_are_read() {
        let config: ImageConfig = from_json(
            "the config",
            br#"{"architecture":"amd64","config":{"entrypoint":["/bin/x"],"env":["A=b"]},
                "os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
        )
        .unwrap();
        assert_eq!(config.config.entrypoint, ["/bin/x"]);
        assert_eq!(config.config.env, ["A=b"]);
    }

    #[test]
    fn the_keys_of_labels_keep_their_case() {
        let config: ImageConfig = from_json(
            "the config",
            br#"{"config":{"labels":{"User":"1","user":"2","Cmd":"3"}}}"#,
        )
        .unwrap();
        assert_eq!(config.config.labels.len(), 3);
    }

    #[test]
    fn two_keys_that_differ_in_case_are_refused() {
        let read =
            from_json::<ImageConfig>("the config", br#"{"config":{"env":[],"Env":["A=b"]}}"#);
        assert!(read.is_err());
    }

    #[test]
    fn null_and_a_single_string_are_lists() {
        let config: ImageConfig =
            from_json("the config", br#"{"config":{"Env":null,"Cmd":"/bin/x"}}"#).unwrap();
        assert_eq!(config.config.cmd, ["/bin/x"]);
    }
}
