//! Choosing the image for a platform among those of an index.

use crate::image::{Descriptor, Index, Platform};

/// The entries of an index that are images, and not what was said about them (attestations).
pub(super) fn images(index: &Index) -> impl Iterator<Item = &Descriptor> {
    index.manifests.iter().filter(|entry| {
        let platform = entry.platform.as_ref();
        platform.is_none_or(|platform| platform.os != "unknown")
            && !entry.annotations.contains_key("vnd.docker.reference.type")
    })
}

/// The entry for `wanted`: the same variant if there is one, else one without; the only entry if it
/// says nothing about platforms.
pub(super) fn choose<'a>(index: &'a Index, wanted: &Platform) -> Option<&'a Descriptor> {
    let is_same = |entry: &&&Descriptor, variant: Option<&String>| {
        entry.platform.as_ref().is_some_and(|platform| {
            (&platform.os, &platform.architecture) == (&wanted.os, &wanted.architecture)
                && (variant.is_none() || platform.variant.as_ref() == variant)
        })
    };
    let entries: Vec<&Descriptor> = images(index).collect();
    let exact = entries
        .iter()
        .find(|entry| is_same(entry, wanted.variant.as_ref()));
    let nearly = || {
        let without = |entry: &&&Descriptor| {
            is_same(entry, None)
                && entry
                    .platform
                    .as_ref()
                    .is_some_and(|platform| platform.variant.is_none())
        };
        entries.iter().find(without)
    };
    let only = || match entries.as_slice() {
        [entry] if entry.platform.is_none() => Some(entry),
        _ => None,
    };
    exact.or_else(nearly).or_else(only).copied()
}

/// `os/architecture/variant`, as `--platform` has it.
pub(super) fn shown(platform: &Platform) -> String {
    let Platform {
        architecture,
        os,
        variant,
    } = platform;
    match variant {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    }
}

/// The platforms of an index, for a message.
pub(super) fn list(index: &Index) -> String {
    let platforms = images(index).map(|entry| {
        entry
            .platform
            .as_ref()
            .map_or("an unnamed one".to_owned(), shown)
    });
    let list = platforms.take(20).collect::<Vec<_>>().join(", ");
    super::error::quoted(&list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::image::media_type;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(ToOwned::to_owned);
        Platform {
            os: parts.next().unwrap(),
            architecture: parts.next().unwrap(),
            variant: parts.next(),
        }
    }

    fn index(platforms: &[&str]) -> Index {
        let entry = |text: &&str| {
            let mut entry = Descriptor::new(media_type::MANIFEST, Digest::of(text.as_bytes()), 1);
            entry.platform = (!text.is_empty()).then(|| platform(text));
            entry
        };
        Index {
            schema_version: 2,
            media_type: String::new(),
            manifests: platforms.iter().map(entry).collect(),
            annotations: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn the_image_of_the_platform_is_chosen() {
        let index = index(&[
            "linux/arm/v6",
            "linux/arm/v7",
            "linux/amd64",
            "unknown/unknown",
        ]);
        let chosen = |wanted: &str| {
            let entry = choose(&index, &platform(wanted))?;
            entry.platform.as_ref().map(shown)
        };
        assert_eq!(chosen("linux/amd64").unwrap(), "linux/amd64");
        assert_eq!(chosen("linux/amd64/v3").unwrap(), "linux/amd64");
        assert_eq!(chosen("linux/arm/v7").unwrap(), "linux/arm/v7");
        assert_eq!(chosen("linux/arm").unwrap(), "linux/arm/v6");
        assert_eq!(chosen("linux/arm/v5"), None);
        assert_eq!(chosen("windows/amd64"), None);
    }

    #[test]
    fn an_only_image_may_have_no_platform() {
        assert!(choose(&index(&[""]), &Platform::host()).is_some());
        assert!(choose(&index(&["", ""]), &Platform::host()).is_none());
    }
}
