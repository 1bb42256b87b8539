//! `[package.metadata.packer]`: read strictly, because a misspelt key that is ignored shows only
//! when the image runs.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{InvalidPort, InvalidUser, Port, User};

/// What can be packed for by default: rust's own linker makes static programs for both.
const SYSTEMS: [&str; 2] = ["x86_64-linux", "aarch64-linux"];

/// The keys of the table.
const KEYS: [&str; 9] = [
    "args",
    "bin",
    "description",
    "env",
    "labels",
    "ports",
    "synopsis",
    "systems",
    "user",
];

/// The table, its values understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) args: Vec<String>,
    pub(super) bin: Option<String>,
    pub(super) description: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) ports: Vec<Port>,
    pub(super) synopsis: Option<String>,
    pub(super) systems: Vec<String>,
    pub(super) user: User,
}

/// What is wrong in a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDefinition {
    /// No such key.
    #[error("metadata.packer has no key \"{}\"; did you mean \"{nearest}\"?", .key.escape_debug())]
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that looks most like it.
        nearest: &'static str,
    },
    /// A value of another kind.
    #[error("metadata.packer.{key} must be {expected}")]
    WrongValue {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Not a port.
    #[error("metadata.packer.ports: {0}")]
    Port(#[from] InvalidPort),
    /// Not a user.
    #[error("metadata.packer.user: {0}")]
    User(#[from] InvalidUser),
    /// Not a variable.
    #[error("metadata.packer.env: \"{}\" cannot be the name of a variable", .0.escape_debug())]
    Variable(String),
}

impl Definition {
    /// Reads the table; no table is one without keys.
    pub(super) fn read(table: &Value) -> Result<Self, InvalidDefinition> {
        let empty = Map::new();
        let table = match table {
            Value::Null => &empty,
            Value::Object(table) => table,
            _ => return Err(wrong("", "a table")),
        };
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(InvalidDefinition::UnknownKey {
                key: key.clone(),
                nearest: nearest(key),
            });
        }
        let get = |key| table.get(key).unwrap_or(&Value::Null);
        Ok(Self {
            args: strings("args", get("args"))?.unwrap_or_default(),
            bin: string("bin", get("bin"))?,
            description: string("description", get("description"))?,
            env: variables(get("env"))?,
            labels: string_map("labels", get("labels"))?,
            ports: ports(get("ports"))?,
            synopsis: string("synopsis", get("synopsis"))?,
            systems: strings("systems", get("systems"))?
                .unwrap_or_else(|| SYSTEMS.map(str::to_owned).to_vec()),
            user: user(get("user"))?,
        })
    }
}

fn wrong(key: &'static str, expected: &'static str) -> InvalidDefinition {
    InvalidDefinition::WrongValue { key, expected }
}

fn string(key: &'static str, value: &Value) -> Result<Option<String>, InvalidDefinition> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.trim().to_owned())),
        _ => Err(wrong(key, "a string")),
    }
}

fn strings(key: &'static str, value: &Value) -> Result<Option<Vec<String>>, InvalidDefinition> {
    let refuse = || wrong(key, "a list of strings");
    match value {
        Value::Null => Ok(None),
        Value::Array(items) => {
            let text = |item: &Value| item.as_str().map(ToOwned::to_owned).ok_or_else(refuse);
            items.iter().map(text).collect::<Result<_, _>>().map(Some)
        }
        _ => Err(refuse()),
    }
}

fn string_map(
    key: &'static str,
    value: &Value,
) -> Result<BTreeMap<String, String>, InvalidDefinition> {
    let refuse = || wrong(key, "a table of strings");
    match value {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(table) => {
            let pair = |(name, value): (&String, &Value)| {
                let value = value.as_str().ok_or_else(refuse)?;
                Ok((name.clone(), value.to_owned()))
            };
            table.iter().map(pair).collect()
        }
        _ => Err(refuse()),
    }
}

fn variables(value: &Value) -> Result<BTreeMap<String, String>, InvalidDefinition> {
    let variables = string_map("env", value)?;
    for (name, value) in &variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(InvalidDefinition::Variable(name.clone()));
        }
    }
    Ok(variables)
}

fn ports(value: &Value) -> Result<Vec<Port>, InvalidDefinition> {
    let refuse = || wrong("ports", "a list of ports: [8080, \"53/udp\"]");
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        _ => return Err(refuse()),
    };
    let mut ports: Vec<Port> = items
        .iter()
        .map(|item| match item {
            Value::Number(number) => Ok(number.to_string().parse()?),
            Value::String(text) => Ok(text.parse()?),
            _ => Err(refuse()),
        })
        .collect::<Result<_, InvalidDefinition>>()?;
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

fn user(value: &Value) -> Result<User, InvalidDefinition> {
    match value {
        Value::Null => Ok(User::default()),
        Value::Number(number) => Ok(number.to_string().parse()?),
        Value::String(text) => Ok(text.parse()?),
        _ => Err(wrong("user", "UID or \"UID:GID\"")),
    }
}

/// The known key that `key` was probably meant to be.
fn nearest(key: &str) -> &'static str {
    KEYS.into_iter()
        .min_by_key(|known| distance(key, known))
        .expect("there are known keys")
}

/// How many letters have to be put in, taken out or changed to turn `from` into `to` (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for column in 0..to.len() {
            let change = diagonal + usize::from(letter != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_is_read() {
        let definition = Definition::read(&json!({
            "args": ["-v"], "bin": "b", "description": "Long. Text.", "env": {"A": "1"},
            "labels": {"l": "x"}, "ports": [8080, "53/udp", 8080], "synopsis": "Short",
            "systems": ["x86_64-linux"], "user": "5:6",
        }));
        let expected = Definition {
            args: vec!["-v".into()],
            bin: Some("b".into()),
            description: Some("Long. Text.".into()),
            env: [("A".into(), "1".into())].into(),
            labels: [("l".into(), "x".into())].into(),
            ports: vec!["53/udp".parse().unwrap(), "8080".parse().unwrap()],
            synopsis: Some("Short".into()),
            systems: vec!["x86_64-linux".into()],
            user: User { uid: 5, gid: 6 },
        };
        assert_eq!(definition, Ok(expected));
    }

    #[test]
    fn no_table_is_a_table_without_keys() {
        assert_eq!(Definition::read(&Value::Null), Definition::read(&json!({})));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_nearest_one() {
        for (typed, meant) in [("port", "ports"), ("Env", "env"), ("label", "labels")] {
            let error = Definition::read(&json!({typed: []}))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(&format!("did you mean \"{meant}\"")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_an_error() {
        for table in [
            json!({"ports": 8080}),
            json!({"ports": [0]}),
            json!({"ports": [80.5]}),
            json!({"user": "root"}),
            json!({"env": ["A=b"]}),
            json!({"env": {"A=B": "c"}}),
            json!({"labels": {"a": 1}}),
            json!({"args": "-v"}),
            json!("ports"),
        ] {
            assert!(Definition::read(&table).is_err(), "{table}");
        }
    }
}
