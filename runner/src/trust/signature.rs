//! A signature of an image, in the form of the files `signature-1`, `signature-2`, …
//!
//! One of simple signing is the OpenPGP message itself; others begin with a zero and the name of
//! their format. The same text in base64 stands in what the store remembers.

use std::collections::BTreeMap;

use packer::credentials::base64;
use packer::registry::Attachment;
use serde::{Deserialize, Serialize};

/// The annotation of a layer that holds its signature.
pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// What a payload of sigstore is called.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// How a file begins that holds no OpenPGP message.
const PREFIX: &[u8] = b"\0sigstore-json\n";

/// A signature of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Signature {
    /// An OpenPGP message with the claim in it (container-signature(5)).
    Simple(Vec<u8>),
    /// A claim with a signature beside it.
    Sigstore(Attachment),
}

/// [`Signature::Sigstore`] in a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    mime_type: String,
    payload: String,
    annotations: BTreeMap<String, String>,
}

impl Signature {
    /// Reads a file; nothing for a format that is not known.
    #[must_use]
    pub fn from_file(bytes: &[u8]) -> Option<Self> {
        if bytes.first() != Some(&0) {
            return Some(Self::Simple(bytes.to_owned()));
        }
        let file: File = serde_json::from_slice(bytes.strip_prefix(PREFIX)?).ok()?;
        Some(Self::Sigstore(Attachment {
            media_type: file.mime_type,
            payload: base64::decode(&file.payload)?,
            annotations: file.annotations,
        }))
    }

    /// The content of a file.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        match self {
            Self::Simple(message) => message.clone(),
            Self::Sigstore(attachment) => {
                let file = File {
                    mime_type: attachment.media_type.clone(),
                    payload: base64::encode(&attachment.payload),
                    annotations: attachment.annotations.clone(),
                };
                let mut bytes = PREFIX.to_vec();
                bytes.extend(packer::image::to_json(&file));
                bytes
            }
        }
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        base64::encode(&signature.to_file())
    }
}

impl TryFrom<String> for Signature {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        base64::decode(&text)
            .and_then(|bytes| Self::from_file(&bytes))
            .ok_or("a signature is damaged")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let attachment = Attachment {
            media_type: MEDIA_TYPE.to_owned(),
            payload: b"{}".to_vec(),
            annotations: BTreeMap::from([(SIGNATURE.to_owned(), "AA==".to_owned())]),
        };
        for signature in [
            Signature::Simple(vec![0x90, 1, 2]),
            Signature::Sigstore(attachment),
        ] {
            assert_eq!(
                Signature::from_file(&signature.to_file()),
                Some(signature.clone())
            );
            let text = String::from(signature.clone());
            assert_eq!(Signature::try_from(text), Ok(signature));
        }
        assert_eq!(Signature::from_file(b"\0other\nx"), None);
    }
}
