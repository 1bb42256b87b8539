//! An answer: its head, and its body as it comes.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::call::Call;
use super::client::Client;
use super::connection::Connection;
use super::error::{Error, Problem, quoted};
use super::target::Target;

/// What is read of an error.
const MOST_WORDS: u64 = 64 << 10;

/// An answer. At the end of its body the connection is kept for the next request.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    client: &'a Client,
    target: Target,
    /// Gone when the body is.
    connection: Option<Connection>,
    status: StatusCode,
    fields: HeaderMap,
    body: Incoming,
}

impl<'a> Answer<'a> {
    pub(super) fn new(
        client: &'a Client,
        target: Target,
        connection: Connection,
        response: Response<Incoming>,
    ) -> Self {
        let (head, body) = response.into_parts();
        Self {
            client,
            target,
            connection: Some(connection),
            status: head.status,
            fields: head.headers,
            body,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The server that answered.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn field(&self, name: &HeaderName) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn fields(&self, name: &HeaderName) -> Vec<String> {
        let values = self.fields.get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok().map(ToOwned::to_owned))
            .collect()
    }

    /// The next piece of the body; nothing at its end.
    pub(super) fn receive(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(connection) = &mut self.connection else {
            return Ok(None);
        };
        let piece = connection.receive(&mut self.body);
        match piece {
            Ok(Some(piece)) => Ok(Some(piece)),
            Ok(None) => {
                if let Some(connection) = self.connection.take() {
                    self.client.keep(&self.target, connection);
                }
                Ok(None)
            }
            Err(problem) => {
                self.connection = None;
                Err(problem)
            }
        }
    }

    /// The whole body, which may have `limit` bytes.
    pub(super) fn read_all(&mut self, what: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(piece) = self
            .receive()
            .map_err(|problem| self.client.problem(problem))?
        {
            if (bytes.len() + piece.len()) as u64 > limit {
                return Err(self.client.problem(Problem::TooBig {
                    what: what.to_owned(),
                    limit: limit >> 20,
                }));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Reads a short body to its end, so that the connection can be used again.
    pub(super) fn discard(mut self) {
        let mut read = 0;
        while let Ok(Some(piece)) = self.receive() {
            read += piece.len() as u64;
            if read > MOST_WORDS {
                return;
            }
        }
    }

    /// Whether the status is one of `statuses`; for any other, the error that it stands for.
    pub(super) fn expect(&mut self, call: &Call, statuses: &[u16]) -> Result<(), Error> {
        if statuses.contains(&self.status.as_u16()) {
            return Ok(());
        }
        let what = call.what.clone();
        let said = self.words();
        Err(self.client.problem(match self.status.as_u16() {
            403 => Problem::Forbidden { what, said },
            404 => Problem::NotFound(what),
            _ => Problem::Status {
                status: self.status.to_string(),
                what,
                said,
            },
        }))
    }

    /// What the registry says about an error, in brackets (distribution specification, "Errors").
    fn words(&mut self) -> String {
        let bytes = self.read_all("an error", MOST_WORDS).unwrap_or_default();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let first = &value["errors"][0];
        let text = |key: &str| first[key].as_str().filter(|text| !text.is_empty());
        match (text("code"), text("message")) {
            (Some(code), Some(message)) => format!(" ({}: {})", quoted(code), quoted(message)),
            (Some(word), None) | (None, Some(word)) => format!(" ({})", quoted(word)),
            (None, None) => String::new(),
        }
    }
}
