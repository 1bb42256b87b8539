//! An image with its layers compressed in another way: new blobs and a new manifest, the same config and
//! so the same image id.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::digest::{Digest, DigestWriter};
use crate::image::{Descriptor, Family, to_json};
use crate::layer::{self, Compression, Encoding, decompress};
use crate::place::{Image, Source};
use crate::slice::Slice;

/// The image, and the layers that are new. A layer that is compressed in the wanted way already stays
/// as it is.
pub struct Recompressed<'a> {
    images: [Image; 1],
    /// With their lengths in bytes.
    layers: BTreeMap<Digest, (File, u64)>,
    source: &'a (dyn Source + Sync),
}

impl std::fmt::Debug for Recompressed<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Recompressed")
            .field("image", &self.images[0].digest())
            .field("new", &self.layers.keys())
            .finish_non_exhaustive()
    }
}

impl<'a> Recompressed<'a> {
    /// Compresses the layers of `image`, which are in `source`, into files without names below `folder`.
    ///
    /// # Errors
    /// What reading and writing give; `InvalidData` for a layer that is not what the config says.
    pub fn new(
        image: &Image,
        source: &'a (dyn Source + Sync),
        compression: Compression,
        folder: &Path,
    ) -> io::Result<Self> {
        let mut manifest = image.manifest.clone();
        let family = Family::of(&manifest);
        let mut layers = BTreeMap::new();
        let diff_ids = &image.config.rootfs.diff_ids;
        for (layer, diff_id) in manifest.layers.iter_mut().zip(diff_ids) {
            if Encoding::read(source.open_blob(&layer.digest)?)? == compression.encoding() {
                continue;
            }
            let (descriptor, file) = compress(layer, diff_id, source, compression, folder)?;
            *layer = Descriptor {
                media_type: family.name(&descriptor.media_type).to_owned(),
                ..descriptor
            };
            layers.insert(layer.digest, (file, layer.size));
        }
        let image = Image {
            manifest_bytes: match layers.is_empty() {
                true => image.manifest_bytes.clone(),
                false => to_json(&manifest),
            },
            manifest,
            ..image.clone()
        };
        Ok(Self {
            images: [image],
            layers,
            source,
        })
    }

    /// The image as it is now.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.images[0]
    }
}

impl Source for Recompressed<'_> {
    fn images(&self) -> &[Image] {
        &self.images
    }

    fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
        match self.layers.get(digest) {
            Some(&(ref file, size)) => Ok(Box::new(Slice {
                file,
                offset: 0,
                size,
            })),
            None => self.source.open_blob(digest),
        }
    }
}

fn compress(
    layer: &Descriptor,
    diff_id: &Digest,
    source: &dyn Source,
    compression: Compression,
    folder: &Path,
) -> io::Result<(Descriptor, File)> {
    let file = tempfile::tempfile_in(folder)?;
    let mut out = DigestWriter::new(&file);
    let mut tar = decompress(source.open_blob(&layer.digest)?)?;
    let found = layer::compress(compression, &mut out, |out| {
        let mut hashed = DigestWriter::new(out);
        io::copy(&mut tar, &mut hashed)?;
        let (_, found, _) = hashed.finish();
        Ok(found)
    })?;
    if found != *diff_id {
        let message = format!(
            "the layer {} is damaged: its tar has {found}, and the config says {diff_id}",
            layer.digest
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let (_, digest, size) = out.finish();
    // Annotations of the old one may be about its bytes, as the tables of seekable layers are.
    let descriptor = Descriptor::new(compression.media_type(), digest, size);
    Ok((descriptor, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageConfig, Manifest, media_type};

    /// An image of one layer, which is the tar of nothing but a text.
    struct One {
        image: Image,
        layer: Vec<u8>,
    }

    impl Source for One {
        fn images(&self) -> &[Image] {
            std::slice::from_ref(&self.image)
        }

        fn open_blob(&self, digest: &Digest) -> io::Result<Box<dyn Read + '_>> {
            assert_eq!(*digest, Digest::of(&self.layer));
            Ok(Box::new(self.layer.as_slice()))
        }
    }

    fn one(diff_id: Digest) -> One {
        let layer = content();
        let mut config = ImageConfig::default();
        config.rootfs.diff_ids = vec![diff_id];
        let config_bytes = to_json(&config);
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::DOCKER_MANIFEST.to_owned(),
            config: Descriptor::new(
                media_type::DOCKER_CONFIG,
                Digest::of(&config_bytes),
                config_bytes.len() as u64,
            ),
            layers: vec![Descriptor::new(
                media_type::DOCKER_LAYER,
                Digest::of(&layer),
                layer.len() as u64,
            )],
            annotations: BTreeMap::new(),
        };
        let image = Image {
            names: Vec::new(),
            manifest_bytes: to_json(&manifest),
            manifest,
            config_bytes,
            config,
        };
        One { image, layer }
    }

    fn content() -> Vec<u8> {
        b"no tar, but nobody looks".repeat(1000)
    }

    #[test]
    fn layers_are_compressed_and_the_image_keeps_its_id_and_its_words() {
        let source = one(Digest::of(&content()));
        let folder = tempfile::tempdir().unwrap();
        for (compression, name) in [
            (Compression::GZIP, media_type::DOCKER_LAYER_GZIP),
            (Compression::ZSTD, media_type::DOCKER_LAYER_ZSTD),
        ] {
            let new =
                Recompressed::new(&source.image, &source, compression, folder.path()).unwrap();
            let layer = &new.image().manifest.layers[0];
            assert_eq!(new.image().id(), source.image.id());
            assert_eq!(layer.media_type, name);
            let mut stored = Vec::new();
            new.open_blob(&layer.digest)
                .unwrap()
                .read_to_end(&mut stored)
                .unwrap();
            assert_eq!(Digest::of(&stored), layer.digest);
            assert_eq!(stored.len() as u64, layer.size);
            let mut tar = Vec::new();
            decompress(Box::new(stored.as_slice()))
                .unwrap()
                .read_to_end(&mut tar)
                .unwrap();
            assert_eq!(tar, content());
            // Once more changes nothing, not even a byte.
            let again = Recompressed::new(new.image(), &new, compression, folder.path()).unwrap();
            assert_eq!(again.image().manifest_bytes, new.image().manifest_bytes);
        }
        let same = Recompressed::new(&source.image, &source, Compression::None, folder.path());
        assert_eq!(same.unwrap().image().digest(), source.image.digest());
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_layer_that_is_not_what_the_config_says_is_refused() {
        let source = one(Digest::of(b"another"));
        let folder = tempfile::tempdir().unwrap();
        let new = Recompressed::new(&source.image, &source, Compression::GZIP, folder.path());
        assert!(new.unwrap_err().to_string().contains("is damaged"));
    }
}
