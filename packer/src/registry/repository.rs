//! One repository of one registry, and what may be asked about it.

use hyper::{Method, Uri};
use serde::Deserialize;

use super::call::{Call, Place};
use super::client::Client;
use super::error::{Error, Problem};
use super::manifest::MOST_MANIFEST;
use crate::digest::Digest;
use crate::image::Descriptor;
use crate::reference::Reference;

/// Pages of a list of tags.
const MOST_PAGES: usize = 1000;

/// A repository in a registry.
#[derive(Debug)]
pub struct Repository {
    reference: Reference,
    pub(super) client: Client,
}

/// What came of asking for a mount.
#[derive(Debug)]
pub(super) enum Mounted {
    /// The blob is there.
    Done,
    /// It has to be uploaded, to this place.
    Upload(Uri),
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Repository {
    pub(super) fn new(reference: Reference, client: Client) -> Self {
        Self { reference, client }
    }

    /// What was asked for, where it is.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    pub(super) fn problem(&self, problem: Problem) -> Error {
        self.client.problem(problem)
    }

    pub(super) fn path(&self, rest: &str) -> Place {
        Place::Path(format!("/v2/{}/{rest}", self.reference.repository()))
    }

    pub(super) fn to_pull(&self) -> String {
        format!("repository:{}:pull", self.reference.repository())
    }

    pub(super) fn to_push(&self) -> String {
        format!("repository:{}:pull,push", self.reference.repository())
    }

    pub(super) fn blob(&self, method: Method, digest: &Digest) -> Call {
        let what = format!("blob {digest} in {}", self.reference.untagged());
        Call::new(method, self.path(&format!("blobs/{digest}")), &what)
    }

    /// Whether a blob is there, for somebody who is about to push.
    pub(super) fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        let call = self.blob(Method::HEAD, &blob.digest).scope(&self.to_push());
        let mut answer = self.client.exchange(&call)?;
        if answer.status() == 404 {
            answer.discard();
            return Ok(false);
        }
        answer.expect(&call, &[200])?;
        answer.discard();
        Ok(true)
    }

    /// Begins an upload; with `from`, another repository of this registry, the blob is taken from
    /// there if the registry can do that.
    pub(super) fn begin_upload(
        &self,
        digest: &Digest,
        from: Option<&str>,
    ) -> Result<Mounted, Error> {
        let (path, scope) = match from {
            Some(from) => (
                format!("blobs/uploads/?mount={digest}&from={from}"),
                format!("{} repository:{from}:pull", self.to_push()),
            ),
            None => ("blobs/uploads/".to_owned(), self.to_push()),
        };
        let what = format!("an upload to {}", self.reference.untagged());
        let call = Call::new(Method::POST, self.path(&path), &what).scope(&scope);
        let mut answer = self.client.exchange(&call)?;
        answer.expect(&call, &[201, 202])?;
        if answer.status() == 201 {
            answer.discard();
            return Ok(Mounted::Done);
        }
        let place = self.client.next_place(&answer)?;
        answer.discard();
        Ok(Mounted::Upload(place))
    }

    /// All tags, in the registry's order.
    ///
    /// # Errors
    /// [`Error`].
    pub fn tags(&self) -> Result<Vec<String>, Error> {
        let what = format!("list of the tags of {}", self.reference.untagged());
        let (mut place, mut tags) = (self.path("tags/list"), Vec::new());
        for _ in 0..MOST_PAGES {
            let call = Call::new(Method::GET, place, &what).scope(&self.to_pull());
            let mut answer = self.client.exchange(&call)?;
            answer.expect(&call, &[200])?;
            let bytes = answer.read_all(&what, MOST_MANIFEST)?;
            let page: Tags = serde_json::from_slice(&bytes)
                .map_err(|error| self.problem(Problem::Malformed(error.to_string())))?;
            tags.extend(page.tags.unwrap_or_default());
            match self.client.next_page(&answer)? {
                Some(next) => place = Place::At(next),
                None => break,
            }
        }
        Ok(tags)
    }
}
