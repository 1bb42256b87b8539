//! The two kinds of documents that everybody reads.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// How a bill of materials is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// SPDX 2.3 (ISO/IEC 5962), as JSON.
    Spdx,
    /// CycloneDX 1.5 (ECMA-424), as JSON.
    CycloneDx,
}

/// A word that is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no format of a bill of materials: spdx and cyclonedx are", .0.escape_debug())]
pub struct InvalidFormat(String);

impl Format {
    /// Its media type, as it is registered.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Spdx => "application/spdx+json",
            Self::CycloneDx => "application/vnd.cyclonedx+json",
        }
    }

    /// How the names of such files end, by the conventions of both projects.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Spdx => "spdx.json",
            Self::CycloneDx => "cdx.json",
        }
    }

    /// What a document is.
    #[must_use]
    pub fn of_document(document: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(document).ok()?;
        match (value.get("spdxVersion"), value.get("bomFormat")) {
            (Some(_), None) => Some(Self::Spdx),
            (None, Some(name)) if name == "CycloneDX" => Some(Self::CycloneDx),
            _ => None,
        }
    }
}

impl FromStr for Format {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, InvalidFormat> {
        match text {
            "spdx" => Ok(Self::Spdx),
            "cyclonedx" => Ok(Self::CycloneDx),
            _ => Err(InvalidFormat(text.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Spdx => "spdx",
            Self::CycloneDx => "cyclonedx",
        })
    }
}
