//! One request as it is meant, before it is known how often it has to be sent.

use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, RANGE};
use hyper::{Method, Uri};

use super::auth::Scope;

/// Where a request goes.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// To the registry, with this path.
    Path(String),
    /// To an address that somebody named.
    At(Uri),
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) place: Place,
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    pub(super) content: Bytes,
    pub(super) scope: Scope,
    /// What is asked for, in words for an error: `manifest latest of team/x`.
    pub(super) what: String,
    /// For a token server only: a registry gets what it asks for.
    pub(super) authorization: Option<HeaderValue>,
}

impl Call {
    pub(super) fn new(method: Method, place: Place, what: &str) -> Self {
        Self {
            method,
            place,
            fields: Vec::new(),
            content: Bytes::new(),
            scope: Scope::new(),
            what: what.to_owned(),
            authorization: None,
        }
    }

    /// What the registry has to allow for it.
    pub(super) fn scope(mut self, scope: &str) -> Self {
        scope.clone_into(&mut self.scope);
        self
    }

    pub(super) fn content(self, media_type: &str, content: Bytes) -> Self {
        Self {
            content,
            ..self.field(CONTENT_TYPE, media_type)
        }
    }

    pub(super) fn accept(self, media_types: &str) -> Self {
        self.field(ACCEPT, media_types)
    }

    /// From this byte to the end.
    pub(super) fn starting_at(self, first: u64) -> Self {
        self.field(RANGE, &format!("bytes={first}-"))
    }

    pub(super) fn authorization(self, value: HeaderValue) -> Self {
        Self {
            authorization: Some(value),
            ..self
        }
    }

    fn field(mut self, name: HeaderName, value: &str) -> Self {
        // A media type that no field can have is one that nobody can ask for either.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.fields.push((name, value));
        }
        self
    }
}
