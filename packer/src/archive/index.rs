//! The index of an OCI layout, as our writers write it.

use std::collections::BTreeMap;

use crate::ImageName;
use crate::image::{Descriptor, Index, media_type};
use crate::place::Held;

pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The content of the file `oci-layout`.
pub(super) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The name of an image that skopeo, umoci and podman look for in an index
/// (`org.opencontainers.image.ref.name`). containerd and docker have a name of their own beside it,
/// which is always the whole one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RefName {
    /// The tag, as the standard has it in mind.
    #[default]
    Tag,
    /// The whole name, as podman saves it.
    Whole,
    /// What was typed, whatever it is.
    Typed(String),
}

impl RefName {
    fn of(&self, name: &ImageName) -> String {
        match self {
            Self::Tag => name.tag().to_owned(),
            Self::Whole => name.to_string(),
            Self::Typed(text) => text.clone(),
        }
    }
}

/// The index of a layout that holds this.
pub(super) fn of(held: &[Held], ref_name: &RefName) -> Index {
    Index {
        schema_version: 2,
        media_type: media_type::INDEX.to_owned(),
        manifests: held.iter().flat_map(|one| entries(one, ref_name)).collect(),
        annotations: BTreeMap::new(),
    }
}

/// One entry of the index for each name, because a name is an annotation of the entry; one entry
/// for what has no name.
fn entries(held: &Held, ref_name: &RefName) -> Vec<Descriptor> {
    let nameless = held.descriptor();
    let named = |name: &ImageName| {
        let mut entry = nameless.clone();
        let annotations = [
            (CONTAINERD_NAME, name.to_string()),
            (REF_NAME, ref_name.of(name)),
        ];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value));
        entry.annotations = annotations.into();
        entry
    };
    match held.names() {
        [] => vec![nameless],
        names => names.iter().map(named).collect(),
    }
}
