//! What JSON does not say of podman's structures: fields that it leaves out when they are empty,
//! names that are others in Go, and which texts are times.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::time;

/// What is known of the values that a template gets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape {
    /// Names in Go and the other ones in JSON.
    pub names: &'static [(&'static str, &'static str)],
    /// Fields that may be missing, and what they are then, as JSON.
    pub defaults: &'static [(&'static str, &'static str)],
    /// Fields that are times.
    pub times: &'static [&'static str],
    /// Whether there are no maps of the user's own keys: a name that is not there is a mistake
    /// wherever it stands, but for what is empty.
    pub is_closed: bool,
}

impl Shape {
    /// The field of a structure, if it has one of this name.
    pub(super) fn field<'a>(
        &self,
        structure: &'a Map<String, Value>,
        name: &str,
    ) -> Option<Cow<'a, Value>> {
        let others = self.names.iter().filter(|(go, _)| *go == name);
        let mut names = [name].into_iter().chain(others.map(|(_, json)| *json));
        let Some(found) = names.find_map(|name| structure.get(name)) else {
            let default = self.defaults.iter().find(|(known, _)| *known == name);
            return default.and_then(|(_, json)| serde_json::from_str(json).ok());
        };
        let is_time = self.times.contains(&name);
        Some(match time::marked(found).filter(|_| is_time) {
            Some(time) => Cow::Owned(time),
            None => Cow::Borrowed(found),
        })
    }
}
