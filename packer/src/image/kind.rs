//! Telling a manifest from an index, by what is in it and not by what it is called.

use serde_json::Value;

/// The two kinds of documents that a digest or a tag may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One image.
    Manifest,
    /// One image a platform.
    Index,
}

/// What `bytes` are. A document that is index and manifest at once is a trap: what one reader
/// checks, another one runs (CVE-2021-41190).
///
/// # Errors
/// A sentence about what is wrong with it.
pub fn kind_of(bytes: &[u8]) -> Result<Kind, String> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("a manifest is no JSON: {error}"))?;
    let has = |name: &str| {
        let fields = value.as_object();
        fields.is_some_and(|fields| fields.keys().any(|key| key.eq_ignore_ascii_case(name)))
    };
    match (has("manifests"), has("layers") || has("config")) {
        (true, true) => Err("a manifest is index and image at once".to_owned()),
        (true, false) => Ok(Kind::Index),
        (false, true) => Ok(Kind::Manifest),
        (false, false) if has("fsLayers") => {
            Err("it is a manifest of schema 1, which nobody should use any more".to_owned())
        }
        (false, false) => Err("it is neither a manifest nor an index".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_one_of_two_kinds() {
        assert_eq!(kind_of(br#"{"manifests":[]}"#), Ok(Kind::Index));
        assert_eq!(kind_of(br#"{"Layers":[]}"#), Ok(Kind::Manifest));
        for text in [
            r#"{"manifests":[],"Layers":[]}"#,
            "{}",
            "[]",
            "",
            r#"{"fsLayers":[]}"#,
        ] {
            assert!(kind_of(text.as_bytes()).is_err(), "{text}");
        }
    }
}
