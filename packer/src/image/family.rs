//! The two families of media types: those of the OCI specification and docker's own, which mean the
//! same things.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Descriptor, Manifest, media_type};

/// Whose names a manifest uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The OCI specification's.
    Oci,
    /// Docker's, schema 2.
    Docker,
}

/// A text that is no family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no format of a manifest: oci and v2s2 are", .0.escape_debug())]
pub struct InvalidFamily(String);

impl FromStr for Family {
    type Err = InvalidFamily;

    /// Reads podman's words.
    fn from_str(text: &str) -> Result<Self, InvalidFamily> {
        match text {
            "oci" => Ok(Self::Oci),
            "v2s2" | "docker" => Ok(Self::Docker),
            _ => Err(InvalidFamily(text.to_owned())),
        }
    }
}

/// Each thing's name in both families.
const NAMES: [(&str, &str); 5] = [
    (media_type::MANIFEST, media_type::DOCKER_MANIFEST),
    (media_type::CONFIG, media_type::DOCKER_CONFIG),
    (media_type::LAYER, media_type::DOCKER_LAYER),
    (media_type::LAYER_GZIP, media_type::DOCKER_LAYER_GZIP),
    (media_type::LAYER_ZSTD, media_type::DOCKER_LAYER_ZSTD),
];

impl Family {
    /// The family whose words a manifest is written in.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        match manifest.media_type == media_type::DOCKER_MANIFEST {
            true => Self::Docker,
            false => Self::Oci,
        }
    }

    /// What a thing is called in this family, whichever the name is from. A name of neither stays.
    #[must_use]
    pub fn name(self, name: &str) -> &str {
        let known = NAMES
            .iter()
            .find(|(oci, docker)| [*oci, *docker].contains(&name));
        known.map_or(name, |(oci, docker)| match self {
            Self::Oci => oci,
            Self::Docker => docker,
        })
    }

    /// The same image in words of this family. Docker's manifests have no annotations; the config
    /// stays as it is, byte for byte, and so does the image id.
    #[must_use]
    pub fn translate(self, manifest: &Manifest) -> Manifest {
        let descriptor = |one: &Descriptor| Descriptor {
            media_type: self.name(&one.media_type).to_owned(),
            annotations: self.annotations(&one.annotations),
            ..one.clone()
        };
        Manifest {
            schema_version: manifest.schema_version,
            media_type: match (self, manifest.media_type.as_str()) {
                // It need not say what it is, and has another digest if it does.
                (Self::Oci, "") => String::new(),
                _ => self.name(media_type::MANIFEST).to_owned(),
            },
            config: descriptor(&manifest.config),
            layers: manifest.layers.iter().map(descriptor).collect(),
            annotations: self.annotations(&manifest.annotations),
        }
    }

    fn annotations(self, annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        match self {
            Self::Oci => annotations.clone(),
            Self::Docker => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_in_the_other_family() {
        for (oci, docker) in NAMES {
            for name in [oci, docker] {
                assert_eq!(Family::Oci.name(name), oci);
                assert_eq!(Family::Docker.name(name), docker);
            }
        }
        assert_eq!(Family::Docker.name("text/plain"), "text/plain");
        let config = Descriptor::new(media_type::CONFIG, crate::Digest::of(b""), 0);
        let bare = Manifest {
            schema_version: 2,
            media_type: String::new(),
            config,
            layers: Vec::new(),
            annotations: BTreeMap::new(),
        };
        assert_eq!(Family::Oci.translate(&bare), bare, "it is of this family");
        assert!("v2s1".parse::<Family>().is_err());
    }
}
