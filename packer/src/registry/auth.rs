//! Proving who we are: passwords and tokens.
//!
//! Nothing is sent before a registry asks for it. What it asks for once is then sent with every
//! request, so that each costs one.
//!
//! Source: RFC 7617; distribution specification, "Token Authentication" and "OAuth 2".

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::Method;
use hyper::header::HeaderValue;
use serde::Deserialize;

use super::call::{Call, Place};
use super::challenge::Challenge;
use super::client::Client;
use super::error::{Error, Problem, quoted};
use super::target::Target;
use crate::credentials::{Credentials, encode};

/// What a token server may say.
const MOST_TOKEN: u64 = 1 << 20;

/// What a request is allowed to do: `repository:NAME:pull`, several with spaces between.
pub(super) type Scope = String;

/// What is known about how a registry wants to be asked.
#[derive(Debug, Default)]
pub(super) struct Auth {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    challenge: Option<Challenge>,
    /// Tokens by what they are for.
    tokens: BTreeMap<Scope, String>,
}

/// The answer of a token server.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Auth {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `Authorization` field for a request; nothing before the registry has asked.
    pub(super) fn header(
        &self,
        client: &Client,
        scope: &Scope,
    ) -> Result<Option<HeaderValue>, Error> {
        let challenge = match self.state().challenge.clone() {
            None => return Ok(None),
            Some(challenge) => challenge,
        };
        match challenge {
            Challenge::Basic => Ok(match client.credentials()? {
                Some(Credentials::Password { user, password }) => {
                    Some(secret(&basic(&user, &password)))
                }
                _ => None,
            }),
            Challenge::Bearer {
                realm,
                service,
                scope: asked,
            } => {
                if let Some(token) = self.state().tokens.get(scope) {
                    return Ok(Some(secret(&format!("Bearer {token}"))));
                }
                let wanted = if scope.is_empty() {
                    asked.unwrap_or_default()
                } else {
                    scope.clone()
                };
                let token = fetch(client, &realm, service.as_deref(), &wanted)?;
                let header = secret(&format!("Bearer {token}"));
                self.state().tokens.insert(scope.clone(), token);
                Ok(Some(header))
            }
        }
    }

    /// Learns from a 401 what the registry wants; a token that it refused is forgotten.
    pub(super) fn learn(&self, challenge: Challenge, scope: &Scope) {
        let mut state = self.state();
        state.tokens.remove(scope);
        state.challenge = Some(challenge);
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", encode(format!("{user}:{password}").as_bytes()))
}

/// A field that no log shows.
fn secret(text: &str) -> HeaderValue {
    // A token with other bytes than a field may have is one that the registry will refuse.
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Asks the token server for a token. Credentials are for the registry, so they are given to a
/// token server of the same domain only.
fn fetch(
    client: &Client,
    realm: &str,
    service: Option<&str>,
    scope: &str,
) -> Result<String, Error> {
    let refuse = |why| {
        client.problem(Problem::Redirect {
            to: quoted(realm),
            why,
        })
    };
    let uri: hyper::Uri = realm.parse().map_err(|_| refuse("which is no address"))?;
    let target = Target::of_uri(&uri).ok_or_else(|| refuse("which is no HTTP address"))?;
    let credentials = client.credentials()?;
    let trusted = client.origin()?.trusts(&target);
    if credentials.is_some() && !trusted {
        return Err(refuse(
            "a token server of another domain, which must not see the password",
        ));
    }
    let what = "a token";
    let mut parameters = vec![("service", service.unwrap_or_default())];
    parameters.extend(scope.split(' ').map(|scope| ("scope", scope)));
    let call = match &credentials {
        Some(Credentials::IdentityToken(token)) => {
            parameters.extend([
                ("grant_type", "refresh_token"),
                ("refresh_token", token),
                ("client_id", "packer"),
            ]);
            Call::new(Method::POST, Place::At(uri), what).content(
                "application/x-www-form-urlencoded",
                query(&parameters).into(),
            )
        }
        Some(Credentials::Password { user, password }) => {
            parameters.push(("account", user));
            let uri = with_query(&uri, &query(&parameters)).map_err(refuse)?;
            Call::new(Method::GET, Place::At(uri), what)
                .authorization(secret(&basic(user, password)))
        }
        None => {
            let uri = with_query(&uri, &query(&parameters)).map_err(refuse)?;
            Call::new(Method::GET, Place::At(uri), what)
        }
    };
    let mut answer = client.exchange_without_auth(&call)?;
    answer.expect(&call, &[200])?;
    let bytes = answer.read_all(what, MOST_TOKEN)?;
    let token: Result<Token, _> = serde_json::from_slice(&bytes);
    let token = token
        .ok()
        .and_then(|token| token.token.or(token.access_token));
    token.filter(|token| !token.is_empty()).ok_or_else(|| {
        client.problem(Problem::Malformed(format!(
            "{} gave no token",
            quoted(realm)
        )))
    })
}

/// Parameters as a form or a query has them; empty ones are left out.
fn query(parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter().filter(|(_, value)| !value.is_empty());
    let pairs = pairs.map(|(name, value)| format!("{name}={}", escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Percent-encoded (RFC 3986, section 2.1).
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// `uri` with more parameters than it has.
pub(super) fn with_query(uri: &hyper::Uri, more: &str) -> Result<hyper::Uri, &'static str> {
    let text = uri.to_string();
    let joint = match (more.is_empty(), text.contains('?')) {
        (true, _) => "",
        (false, true) => "&",
        (false, false) => "?",
    };
    format!("{text}{joint}{more}")
        .parse()
        .map_err(|_| "which is no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_added_to_an_address() {
        let query = query(&[
            ("service", "a b"),
            ("scope", "repository:x/y:pull"),
            ("account", ""),
        ]);
        assert_eq!(query, "service=a%20b&scope=repository%3Ax%2Fy%3Apull");
        let added = |uri: &str| {
            with_query(&uri.parse().unwrap(), "a=b")
                .unwrap()
                .to_string()
        };
        assert_eq!(
            added("https://x.example/token"),
            "https://x.example/token?a=b"
        );
        assert_eq!(
            added("https://x.example/token?c=d"),
            "https://x.example/token?c=d&a=b"
        );
    }
}
