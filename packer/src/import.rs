//! An image of one layer from the tar of a root file system, as `docker import` makes it.
//!
//! The tar is the layer as it came, compressed or not. The config says what the [`Change`]s say.
//! As in every image that we make there is no date unless somebody asked for one.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use crate::ImageName;
use crate::digest::Digest;
use crate::epoch::Epoch;
use crate::image::{
    Descriptor, History, ImageConfig, Manifest, Platform, RootFs, RunConfig, media_type, to_json,
};
use crate::layer::{Encoding, decompress};
use crate::place::{Image, Sink};

mod change;

pub use change::{Change, InvalidChange};

/// What docker and podman say when nobody gives a message.
const MESSAGE: &str = "imported from tarball";

/// What the image is to be beside its layer.
#[derive(Debug, Clone)]
pub struct Import {
    /// The image's name, if it gets one.
    pub name: Option<ImageName>,
    /// What it runs on.
    pub platform: Platform,
    /// The comment in its history.
    pub message: Option<String>,
    /// What its config says; the later goes before the earlier.
    pub changes: Vec<Change>,
    /// When it was made, if that is to be said.
    pub epoch: Option<Epoch>,
}

impl Import {
    /// Reads the tar and puts the image into `sink`. The tar is first copied to a file without a
    /// name in the folder `temporary`, because it has to be read twice.
    ///
    /// # Errors
    /// What reading, decompressing and putting give.
    pub fn run(
        &self,
        tar: &mut dyn Read,
        temporary: &Path,
        sink: &mut dyn Sink,
    ) -> io::Result<Image> {
        let mut file = tempfile::tempfile_in(temporary)?;
        io::copy(tar, &mut file)?;
        let encoding = Encoding::read(from_start(&mut file)?)?;
        let (diff_id, _) = Digest::of_reader(&mut decompress(Box::new(from_start(&mut file)?))?)?;
        let (digest, size) = sink.put_blob(&mut |out| {
            io::copy(from_start(&mut file)?, out)?;
            Ok(())
        })?;
        let image = self.image(
            diff_id,
            Descriptor::new(encoding.media_type(), digest, size),
        );
        sink.put_image(&image)?;
        Ok(image)
    }

    fn image(&self, diff_id: Digest, layer: Descriptor) -> Image {
        let mut run = RunConfig::default();
        for change in &self.changes {
            change.apply(&mut run);
        }
        let created = self.epoch.map(|epoch| epoch.to_string());
        let config = ImageConfig {
            created: created.clone(),
            architecture: self.platform.architecture.clone(),
            os: self.platform.os.clone(),
            variant: self.platform.variant.clone(),
            config: run,
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: vec![diff_id],
            },
            history: vec![History {
                created,
                created_by: Some(format!("/bin/sh -c #(nop) ADD file:{} in /", diff_id.hex())),
                comment: Some(self.message.clone().unwrap_or_else(|| MESSAGE.to_owned())),
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        let config_bytes = to_json(&config);
        let size = config_bytes.len() as u64;
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.to_owned(),
            config: Descriptor::new(media_type::CONFIG, Digest::of(&config_bytes), size),
            layers: vec![layer],
            annotations: std::collections::BTreeMap::new(),
        };
        Image {
            names: self.name.iter().cloned().collect(),
            manifest_bytes: to_json(&manifest),
            manifest,
            config,
            config_bytes,
        }
    }
}

fn from_start(file: &mut File) -> io::Result<&mut File> {
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::archive::{Archive, Writer};
    use crate::place::Source;

    fn import(tar: &[u8], changes: &[&str]) -> io::Result<Archive> {
        let folder = tempfile::tempdir()?;
        let mut writer = Writer::in_folder(folder.path())?;
        let import = Import {
            name: Some("a:1".parse().unwrap()),
            platform: Platform::host(),
            message: None,
            changes: changes
                .iter()
                .map(|change| change.parse().unwrap())
                .collect(),
            epoch: None,
        };
        import.run(&mut &tar[..], folder.path(), &mut writer)?;
        let mut bytes = Vec::new();
        writer.finish()?.copy_to(&mut bytes)?;
        let read = Archive::from_reader("it", &mut &bytes[..], folder.path());
        read.map_err(io::Error::other)
    }

    #[test]
    fn the_tar_is_the_layer_as_it_came() {
        let tar = b"stands for a tar";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(tar).unwrap();
        let gzip = gzip.finish().unwrap();
        for (given, kind) in [
            (&tar[..], media_type::LAYER),
            (&gzip, media_type::LAYER_GZIP),
        ] {
            let archive = import(given, &["CMD [\"/a\"]"]).unwrap();
            let image = &archive.images()[0];
            assert_eq!(image.names[0].to_string(), "localhost/a:1");
            assert_eq!(image.config.rootfs.diff_ids, [Digest::of(tar)]);
            assert_eq!(image.manifest.layers[0].digest, Digest::of(given));
            assert_eq!(image.manifest.layers[0].media_type, kind);
            assert_eq!(image.config.config.cmd, ["/a"]);
            assert_eq!(image.config.history[0].comment.as_deref(), Some(MESSAGE));
        }
    }

    #[test]
    fn a_compressed_tar_that_ends_early_is_an_error() {
        assert!(import(&[0x1f, 0x8b, 8], &[]).is_err());
    }
}
