//! What a registry asks for when it answers 401: `WWW-Authenticate`.
//!
//! Source: RFC 9110, section 11.6.1; the token authentication of the distribution project.

/// How a registry wants to know who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with each request (RFC 7617).
    Basic,
    /// A token that the server at `realm` gives.
    Bearer {
        /// An absolute address.
        realm: String,
        /// What the token is for.
        service: Option<String>,
        /// What the registry thinks that was asked for.
        scope: Option<String>,
    },
}

/// The challenge that suits best of those in the fields: tokens go before passwords.
pub(super) fn parse<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let challenges: Vec<_> = fields.flat_map(challenges).collect();
    let bearer = |challenge: &&Challenge| matches!(challenge, Challenge::Bearer { .. });
    let best = challenges
        .iter()
        .find(bearer)
        .or_else(|| challenges.first());
    best.cloned()
}

/// The challenges of one field that we know.
fn challenges(field: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for item in items(field) {
        // `Scheme`, `Scheme name=value` or `name=value`.
        let (name, value) = item
            .split_once('=')
            .map_or((item, None), |(name, value)| (name, Some(value)));
        let (scheme, name) = match (name.trim().split_once(char::is_whitespace), value) {
            (Some((scheme, name)), _) => (Some(scheme), name.trim()),
            (None, None) => (Some(name.trim()), ""),
            (None, Some(_)) => (None, name.trim()),
        };
        if let Some(scheme) = scheme {
            found.push((scheme.to_lowercase(), Vec::new()));
        }
        if let (Some((_, parameters)), Some(value)) = (found.last_mut(), value) {
            parameters.push((name.to_lowercase(), unquoted(value.trim())));
        }
    }
    found
        .into_iter()
        .filter_map(|(scheme, parameters)| known(&scheme, &parameters))
        .collect()
}

fn known(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |name: &str| {
        let found = parameters.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: get("realm")?,
            service: get("service"),
            scope: get("scope"),
        }),
        _ => None,
    }
}

/// The parts between commas that are not inside quotation marks.
fn items(field: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (place, character) in field.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                items.push(&field[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    items.push(&field[start..]);
    items.retain(|item| !item.trim().is_empty());
    items
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
    else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(field: &str) -> Option<Challenge> {
        parse([field].into_iter())
    }

    #[test]
    fn challenges_are_read_as_the_specification_writes_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(ToOwned::to_owned),
                scope: scope.map(ToOwned::to_owned),
            })
        };
        assert_eq!(
            parsed(
                r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push""#
            ),
            bearer(
                "https://auth.example/token",
                Some("r"),
                Some("repository:a/b:pull,push")
            )
        );
        assert_eq!(
            parsed(r#"bearer  REALM = "a\"b" "#),
            bearer("a\"b", None, None)
        );
        assert_eq!(parsed(r#"Basic realm="x, y""#), Some(Challenge::Basic));
        assert_eq!(parsed("Basic"), Some(Challenge::Basic));
        assert_eq!(
            parsed(r#"Basic realm="b", Bearer realm="t""#),
            bearer("t", None, None)
        );
        assert_eq!(
            parsed(r#"Newauth realm="x", q=1, Basic realm="y""#),
            Some(Challenge::Basic)
        );
    }

    #[test]
    fn what_is_not_known_is_nothing() {
        for field in [
            "",
            ",,,",
            "Negotiate",
            "Bearer",
            r#"Bearer realm="""#,
            "realm=\"x\"",
        ] {
            assert_eq!(parsed(field), None, "{field}");
        }
    }
}
