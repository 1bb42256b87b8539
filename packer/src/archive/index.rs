//! The index of an OCI layout, as our writers write it.

use std::collections::BTreeMap;

use crate::ImageName;
use crate::image::{Descriptor, Index, Platform, media_type};
use crate::place::Image;

/// The content of the file `oci-layout`.
pub(super) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The index of a layout that holds `images`.
pub(super) fn of(images: &[Image]) -> Index {
    Index {
        schema_version: 2,
        media_type: media_type::INDEX.to_owned(),
        manifests: images.iter().flat_map(entries).collect(),
        annotations: BTreeMap::new(),
    }
}

/// One entry of the index for each name, because a name is an annotation of the entry; one entry
/// for an image without names.
fn entries(image: &Image) -> Vec<Descriptor> {
    let config = &image.config;
    let media_type = match image.manifest.media_type.as_str() {
        "" => media_type::MANIFEST,
        stated => stated,
    };
    let size = image.manifest_bytes.len() as u64;
    let mut nameless = Descriptor::new(media_type, image.digest(), size);
    nameless.platform = (!config.architecture.is_empty()).then(|| Platform {
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        variant: config.variant.clone(),
    });
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
    match image.names.as_slice() {
        [] => vec![nameless],
        names => names.iter().map(named).collect(),
    }
}
