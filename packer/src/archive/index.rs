//! The index of an OCI layout, as our writers write it.

use std::collections::BTreeMap;

use crate::ImageName;
use crate::image::{Descriptor, Index, media_type};
use crate::place::Held;

/// The content of the file `oci-layout`.
pub(super) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The index of a layout that holds this.
pub(super) fn of(held: &[Held]) -> Index {
    Index {
        schema_version: 2,
        media_type: media_type::INDEX.to_owned(),
        manifests: held.iter().flat_map(entries).collect(),
        annotations: BTreeMap::new(),
    }
}

/// One entry of the index for each name, because a name is an annotation of the entry; one entry
/// for what has no name.
fn entries(held: &Held) -> Vec<Descriptor> {
    let nameless = held.descriptor();
    let named = |name: &ImageName| {
        let mut entry = nameless.clone();
        // containerd and docker read the first, which is the whole name; skopeo and umoci the
        // second, which is the tag.
        let annotations = [
            ("io.containerd.image.name", name.to_string()),
            ("org.opencontainers.image.ref.name", name.tag().to_owned()),
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
