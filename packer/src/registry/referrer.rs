//! What is attached to an image without being part of it, such as its bill of materials: a manifest
//! that names the image as its subject.
//!
//! A registry that knows of such things lists them itself. For every other one, whoever attaches
//! keeps the list, under a tag that is made of the subject's digest.
//!
//! Source: OCI distribution specification 1.1, "Pushing Manifests with Subject", "Listing Referrers",
//! "Referrers Tag Schema"; OCI image specification 1.1, `manifest.md`, "Guidelines for Artifact Usage".

use std::collections::BTreeMap;
use std::io::{self, Read};

use hyper::Method;
use hyper::header::HeaderName;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::error::{Error, Problem};
use super::manifest::MOST_MANIFEST;
use super::push::Push;
use super::repository::Repository;
use crate::digest::Digest;
use crate::image::{Descriptor, media_type, to_json};

/// A registry that has noticed the subject says so with this field.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// What stands for a config where there is none, with the content `{}`.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

const EMPTY_CONTENT: &[u8] = b"{}";

/// The name of a file, for clients that write what is attached to disk.
const TITLE: &str = "org.opencontainers.image.title";

/// Something small that belongs to an image, in bytes.
const MOST_ARTIFACT: u64 = 64 << 20;

/// A document that is attached to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is, and its media type.
    pub media_type: String,
    /// The name that a file of it should have.
    pub title: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// The manifest of an artifact.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: String,
    artifact_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
    subject: Descriptor,
}

/// The list of what is attached to one image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referrers {
    schema_version: u32,
    media_type: String,
    #[serde(default)]
    manifests: Vec<Referrer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referrer {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    artifact_type: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Push {
    /// Attaches an artifact to an image of this repository. What is attached already is not
    /// attached again.
    ///
    /// # Errors
    /// [`Error`].
    pub fn refer(&self, subject: &Descriptor, artifact: &Artifact) -> Result<Digest, Error> {
        let blob = |media_type: &str, content: &[u8]| {
            Descriptor::new(media_type, Digest::of(content), content.len() as u64)
        };
        let mut layer = blob(&artifact.media_type, &artifact.content);
        layer
            .annotations
            .insert(TITLE.to_owned(), artifact.title.clone());
        let config = blob(EMPTY, EMPTY_CONTENT);
        for (blob, content) in [
            (&layer, artifact.content.as_slice()),
            (&config, EMPTY_CONTENT),
        ] {
            let open = || -> io::Result<Box<dyn Read + '_>> { Ok(Box::new(content)) };
            self.blob(blob, &open, &|_| {})?;
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.to_owned(),
            artifact_type: artifact.media_type.clone(),
            config,
            layers: vec![layer],
            subject: Descriptor::new(&subject.media_type, subject.digest, subject.size),
        };
        let bytes = to_json(&manifest);
        let referrer = Referrer {
            media_type: manifest.media_type,
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            artifact_type: manifest.artifact_type,
            annotations: BTreeMap::new(),
        };
        let repository = self.repository();
        if !repository.put_with_subject(&referrer.digest, &bytes)? {
            repository.list_under_tag(&subject.digest, &referrer)?;
        }
        Ok(referrer.digest)
    }
}

impl Repository {
    /// The artifacts of one type that are attached to an image, each with its content checked.
    ///
    /// # Errors
    /// [`Error`].
    pub fn referring(&self, subject: &Digest, media_type: &str) -> Result<Vec<Artifact>, Error> {
        let referrers = match self.referrers(&format!("referrers/{subject}"))? {
            Some(referrers) => referrers,
            None => self
                .referrers(&format!("manifests/{}", tag(subject)))?
                .unwrap_or_default(),
        };
        let is_wanted = |referrer: &&Referrer| referrer.artifact_type == media_type;
        let found = referrers.iter().filter(is_wanted);
        found.map(|referrer| self.artifact(referrer)).collect()
    }

    fn artifact(&self, referrer: &Referrer) -> Result<Artifact, Error> {
        let selector = referrer.digest.to_string();
        let malformed = |reason: &str| {
            self.problem(Problem::Malformed(format!(
                "the artifact {selector}: {reason}"
            )))
        };
        let document = self.document(&selector)?;
        let manifest: Manifest = serde_json::from_slice(&document.bytes)
            .map_err(|error| malformed(&error.to_string()))?;
        let [layer] = manifest.layers.as_slice() else {
            return Err(malformed("it is not one file"));
        };
        let content = self.small_blob(&format!("artifact {selector}"), layer, MOST_ARTIFACT)?;
        Ok(Artifact {
            media_type: manifest.artifact_type,
            title: layer.annotations.get(TITLE).cloned().unwrap_or_default(),
            content,
        })
    }

    /// The list at a path; nothing if there is none.
    fn referrers(&self, path: &str) -> Result<Option<Vec<Referrer>>, Error> {
        let what = format!(
            "list of what is attached in {}",
            self.reference().untagged()
        );
        let call = Call::new(Method::GET, self.path(path), &what)
            .scope(&self.to_pull())
            .accept(media_type::INDEX);
        let mut answer = self.client.exchange(&call)?;
        if answer.status() == 404 {
            answer.discard();
            return Ok(None);
        }
        answer.expect(&call, &[200])?;
        let bytes = answer.read_all(&what, MOST_MANIFEST)?;
        let list: Referrers = serde_json::from_slice(&bytes)
            .map_err(|error| self.problem(Problem::Malformed(format!("{what}: {error}"))))?;
        Ok(Some(list.manifests))
    }

    /// Puts a manifest that names a subject; says whether the registry has noticed it.
    fn put_with_subject(&self, digest: &Digest, bytes: &[u8]) -> Result<bool, Error> {
        let what = format!("artifact {}@{digest}", self.reference().untagged());
        let call = Call::new(
            Method::PUT,
            self.path(&format!("manifests/{digest}")),
            &what,
        )
        .scope(&self.to_push())
        .content(media_type::MANIFEST, bytes.to_vec().into());
        let mut answer = self.client.exchange(&call)?;
        answer.expect(&call, &[200, 201, 202])?;
        let noticed = answer.field(&SUBJECT).is_some();
        answer.discard();
        Ok(noticed)
    }

    /// Adds a referrer to the list that stands under the subject's tag.
    fn list_under_tag(&self, subject: &Digest, referrer: &Referrer) -> Result<(), Error> {
        let tag = tag(subject);
        let there = self.referrers(&format!("manifests/{tag}"))?;
        let mut manifests = there.unwrap_or_default();
        if manifests.iter().any(|one| one.digest == referrer.digest) {
            return Ok(());
        }
        manifests.push(referrer.clone());
        let list = Referrers {
            schema_version: 2,
            media_type: media_type::INDEX.to_owned(),
            manifests,
        };
        self.put_document(&tag, media_type::INDEX, &to_json(&list))
    }
}

/// The tag of the list of what is attached to `subject`.
fn tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}
