//! How a layer is compressed, and how that is written: `gzip`, `gzip:9`, `zstd`, `none`.

use std::fmt;
use std::str::FromStr;

use super::Encoding;
use crate::image::media_type;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip, which every client reads, with a level from 1 to 9.
    Gzip(u8),
    /// Zstandard, with a level from 1 to 19: quick and small, but not every client reads it.
    Zstd(u8),
    /// Not at all: quickest to pack and to load.
    None,
}

/// A text that is no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no compression: gzip, gzip:1 to gzip:9, zstd, zstd:1 to zstd:19 and none are", .0.escape_debug())]
pub struct InvalidCompression(String);

impl Compression {
    /// gzip a level below its own default: a tenth less time for less than a fifth of a percent more
    /// bytes (193 MB of documentation and libraries; 1.2 MB of a static program).
    pub const GZIP: Self = Self::Gzip(5);
    /// Zstandard with its own default level.
    pub const ZSTD: Self = Self::Zstd(3);

    /// The media type of a layer that is compressed so.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gzip(_) => media_type::LAYER_GZIP,
            Self::Zstd(_) => media_type::LAYER_ZSTD,
            Self::None => media_type::LAYER,
        }
    }

    /// How the first bytes of a layer show it.
    #[must_use]
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Gzip(_) => Encoding::Gzip,
            Self::Zstd(_) => Encoding::Zstd,
            Self::None => Encoding::Plain,
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::GZIP
    }
}

impl FromStr for Compression {
    type Err = InvalidCompression;

    fn from_str(text: &str) -> Result<Self, InvalidCompression> {
        let (kind, level) = match text.split_once(':') {
            Some((kind, level)) => (kind, Some(level.parse::<u8>().ok())),
            None => (text, None),
        };
        match (kind, level) {
            ("none", None) => Ok(Self::None),
            ("gzip", None) => Ok(Self::GZIP),
            ("gzip", Some(Some(level @ 1..=9))) => Ok(Self::Gzip(level)),
            ("zstd", None) => Ok(Self::ZSTD),
            ("zstd", Some(Some(level @ 1..=19))) => Ok(Self::Zstd(level)),
            _ => Err(InvalidCompression(text.to_owned())),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gzip(level) => write!(formatter, "gzip:{level}"),
            Self::Zstd(level) => write!(formatter, "zstd:{level}"),
            Self::None => formatter.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compression_is_a_name_with_or_without_a_level() {
        for (text, written) in [
            ("gzip", "gzip:5"),
            ("gzip:9", "gzip:9"),
            ("zstd", "zstd:3"),
            ("zstd:19", "zstd:19"),
            ("none", "none"),
        ] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), written);
        }
        for text in [
            "",
            "zip",
            "gzip:0",
            "gzip:10",
            "gzip:",
            "none:1",
            "gzip:fast",
        ] {
            assert!(text.parse::<Compression>().is_err(), "{text}");
        }
    }
}
