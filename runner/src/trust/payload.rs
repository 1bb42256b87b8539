//! What is signed: a claim that the manifest with a digest is the image with a name.
//!
//! It is read only after its signature was found to be good, and strictly: an unknown key in what is
//! critical may change the meaning of all the others.
//!
//! Source: container-signature(5), "JSON data format".

use packer::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The type of a claim of simple signing.
const SIMPLE: &str = "atomic container signature";

/// The type of a claim of cosign.
const SIGSTORE: &str = "cosign container image signature";

/// Which of the two kinds of claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Signed with OpenPGP.
    Simple,
    /// Signed for sigstore.
    Sigstore,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    critical: Critical,
    optional: Option<Optional>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// More may stand here; what is known must be right.
#[derive(Serialize, Deserialize)]
struct Optional {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    creator: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
}

impl Claim {
    fn kind(self) -> &'static str {
        match self {
            Self::Simple => SIMPLE,
            Self::Sigstore => SIGSTORE,
        }
    }

    /// The claim that `reference` is the manifest `image`, made at `timestamp` (seconds since 1970).
    #[must_use]
    pub fn write(self, image: &Digest, reference: &str, timestamp: i64) -> Vec<u8> {
        let document = Document {
            critical: Critical {
                identity: Identity {
                    docker_reference: reference.to_owned(),
                },
                image: Image {
                    digest: image.to_string(),
                },
                kind: self.kind().to_owned(),
            },
            optional: Some(Optional {
                creator: Some(concat!("runner ", env!("CARGO_PKG_VERSION")).to_owned()),
                timestamp: Some(timestamp),
            }),
        };
        packer::image::to_json(&document)
    }

    /// Reads a claim about `image`; the reference in it.
    pub(super) fn read(self, payload: &[u8], image: &Digest) -> Result<String, String> {
        let malformed =
            |reason: String| format!("what it signs is no claim about an image: {reason}");
        // Keys that stand twice are found by the type, but those of what is optional.
        let whole: Value =
            serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))?;
        if self == Self::Simple && !whole["optional"].is_object() {
            return Err(malformed("\"optional\" is no object".to_owned()));
        }
        let document: Document =
            serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))?;
        let critical = document.critical;
        if critical.kind != self.kind() {
            return Err(malformed(format!(
                "its type is \"{}\"",
                critical.kind.escape_debug()
            )));
        }
        if critical.image.digest != image.to_string() {
            return Err(format!(
                "it is for {}",
                critical.image.digest.escape_debug()
            ));
        }
        Ok(critical.identity.docker_reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Digest {
        Digest::of(b"")
    }

    #[test]
    fn a_claim_is_read_as_it_was_written() {
        for claim in [Claim::Simple, Claim::Sigstore] {
            let payload = claim.write(&image(), "r.example/a:1", 7);
            assert_eq!(claim.read(&payload, &image()).unwrap(), "r.example/a:1");
            assert!(claim.read(&payload, &Digest::of(b"other")).is_err());
        }
        let payload = Claim::Simple.write(&image(), "r.example/a:1", 7);
        assert!(Claim::Sigstore.read(&payload, &image()).is_err());
    }

    #[test]
    fn a_claim_that_could_mean_something_else_is_refused() {
        let good = String::from_utf8(Claim::Simple.write(&image(), "r.example/a:1", 7)).unwrap();
        for (from, to) in [
            ("\"critical\":{", "\"critical\":{\"more\":1,"),
            ("\"identity\":{", "\"identity\":{\"more\":1,"),
            (
                "\"image\":{",
                "\"image\":{\"docker-manifest-digest\":\"x\",",
            ),
            ("{\"critical\"", "{\"more\":1,\"critical\""),
            ("{\"critical\"", "{\"optional\":{},\"critical\""),
            ("\"timestamp\":7", "\"timestamp\":\"7\""),
            ("\"timestamp\":7", "\"timestamp\":7.5"),
            ("atomic", "atomar"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(
                Claim::Simple.read(bad.as_bytes(), &image()).is_err(),
                "{bad}"
            );
        }
        let more = good.replace("\"creator\"", "\"more\":[],\"creator\"");
        assert!(Claim::Simple.read(more.as_bytes(), &image()).is_ok());
    }
}
