//! Manifests and indexes as a registry has them: bytes, with a media type and a digest.

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName};

use super::call::Call;
use super::error::{Error, Problem, quoted};
use super::repository::Repository;
use crate::digest::Digest;
use crate::image::{Index, Kind, Manifest, from_json, kind_of, media_type};

/// A manifest may be as big as registries promise to take (distribution specification, "Pushing
/// Manifests").
pub(super) const MOST_MANIFEST: u64 = 4 << 20;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A manifest or an index.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it is called.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they say.
    pub content: Content,
}

/// The two kinds of documents.
#[derive(Debug, Clone)]
pub enum Content {
    /// One image.
    Manifest(Manifest),
    /// One image a platform.
    Index(Index),
}

impl Document {
    /// Reads a document, whatever it is called.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn parse(media_type: &str, bytes: Vec<u8>) -> Result<Self, String> {
        let content = match kind_of(&bytes)? {
            Kind::Manifest => from_json("the manifest", &bytes).map(Content::Manifest),
            Kind::Index => from_json("the index", &bytes).map(Content::Index),
        };
        let content = content.map_err(|error| error.to_string())?;
        let (stated, usual) = match &content {
            Content::Manifest(manifest) => (&manifest.media_type, media_type::MANIFEST),
            Content::Index(index) => (&index.media_type, media_type::INDEX),
        };
        let media_type = match (stated.as_str(), media_type) {
            ("", "") => usual,
            ("", told) => told,
            (stated, _) => stated,
        };
        Ok(Self {
            media_type: media_type.to_owned(),
            bytes,
            content,
        })
    }

    /// The digest of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

/// Every kind of document that is understood.
fn accepted() -> String {
    use media_type::{DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST};
    [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX].join(", ")
}

impl Repository {
    fn manifest_call(&self, method: Method, selector: &str) -> Call {
        let reference = self.reference();
        let what = match selector.contains(':') {
            true => format!("image {}@{selector}", reference.untagged()),
            false => format!("image {}:{selector}", reference.untagged()),
        };
        Call::new(method, self.path(&format!("manifests/{selector}")), &what)
    }

    /// The document with a tag or a digest.
    ///
    /// # Errors
    /// [`Error`]; [`Problem::NotFound`] when there is none.
    pub fn document(&self, selector: &str) -> Result<Document, Error> {
        let call = self
            .manifest_call(Method::GET, selector)
            .scope(&self.to_pull())
            .accept(&accepted());
        let mut answer = self.client.exchange(&call)?;
        answer.expect(&call, &[200])?;
        let told = answer.field(&CONTENT_TYPE).unwrap_or_default().to_owned();
        let promised = answer
            .field(&CONTENT_DIGEST)
            .and_then(|digest| digest.parse().ok());
        let bytes = answer.read_all(&call.what, MOST_MANIFEST)?;
        let found = Digest::of(&bytes);
        if let Some(expected) = selector.parse().ok().or(promised)
            && expected != found
        {
            let what = call.what;
            return Err(self.problem(Problem::Digest {
                what,
                expected,
                found,
            }));
        }
        let told = told.split(';').next().unwrap_or_default().trim();
        let told = if told.ends_with("+json") { told } else { "" };
        Document::parse(told, bytes).map_err(|reason| {
            self.problem(Problem::Malformed(format!(
                "{}: {}",
                call.what,
                quoted(&reason)
            )))
        })
    }

    /// The digest of what a tag means now, without its content; nothing if there is no such tag.
    ///
    /// # Errors
    /// [`Error`].
    pub fn digest(&self, selector: &str) -> Result<Option<Digest>, Error> {
        let call = self
            .manifest_call(Method::HEAD, selector)
            .scope(&self.to_pull())
            .accept(&accepted());
        let mut answer = self.client.exchange(&call)?;
        if answer.status() == 404 {
            answer.discard();
            return Ok(None);
        }
        answer.expect(&call, &[200])?;
        let told = answer
            .field(&CONTENT_DIGEST)
            .and_then(|digest| digest.parse().ok());
        answer.discard();
        match told {
            Some(digest) => Ok(Some(digest)),
            None => Ok(Some(self.document(selector)?.digest())),
        }
    }

    /// Puts a document under a tag or its digest.
    ///
    /// # Errors
    /// [`Error`].
    pub fn put_document(
        &self,
        selector: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let call = self
            .manifest_call(Method::PUT, selector)
            .scope(&self.to_push())
            .content(media_type, bytes.to_vec().into());
        let mut answer = self.client.exchange(&call)?;
        answer.expect(&call, &[200, 201, 202])?;
        let told = answer
            .field(&CONTENT_DIGEST)
            .and_then(|digest| digest.parse().ok());
        answer.discard();
        let expected = Digest::of(bytes);
        match told {
            Some(found) if found != expected => {
                let what = call.what;
                Err(self.problem(Problem::Digest {
                    what,
                    expected,
                    found,
                }))
            }
            _ => Ok(()),
        }
    }
}
