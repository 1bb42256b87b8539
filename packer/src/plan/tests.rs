//! What a plan writes, and what its fingerprint is made of.

use std::collections::BTreeMap;

use super::*;
use crate::package::User;
use crate::place::WriteBlob;
use crate::progress::Silent;
use crate::rootfs::{Content, HostFile};

/// A place in memory.
#[derive(Default)]
struct Memory {
    blobs: BTreeMap<Digest, Vec<u8>>,
    images: Vec<Image>,
}

impl Sink for Memory {
    fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    fn put_blob(&mut self, write: WriteBlob<'_>) -> io::Result<(Digest, u64)> {
        let mut bytes = Vec::new();
        write(&mut bytes)?;
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        self.blobs.insert(digest, bytes);
        Ok((digest, size))
    }

    fn put_image(&mut self, image: &Image) -> io::Result<()> {
        self.images.push(image.clone());
        Ok(())
    }
}

/// No program, but a file: that is all that matters here.
fn plan() -> Plan {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let package = Package::of_file(Path::new("hello"), None).unwrap();
    let program = Program {
        file: HostFile::at(&path).unwrap(),
        platform: image::Platform::host(),
        needs: crate::program::Needs::default(),
        target: None,
    };
    Plan {
        title: "hello".to_owned(),
        base: None,
        tree: Tree::around(&program, "hello", User::default()),
        config: image::config(&package, &program.platform, None, None),
        annotations: image::annotations(&package, None),
        names: vec!["hello".parse().unwrap()],
        parts: vec![(package, Some(program))],
        compression: Compression::GZIP,
        epoch: None,
        _files: None,
    }
}

#[test]
fn a_written_image_names_the_blobs_that_were_put() {
    let mut place = Memory::default();
    let image = plan().write(&mut place, &Silent).unwrap();
    let layer = &image.manifest.layers[0];
    assert_eq!(place.blobs[&layer.digest].len() as u64, layer.size);
    let diff_id = image.config.rootfs.diff_ids[0];
    let stored: Box<dyn io::Read> = Box::new(place.blobs[&layer.digest].as_slice());
    let mut tar = layer::decompress(stored).unwrap();
    assert_eq!(Digest::of_reader(&mut tar).unwrap().0, diff_id);
    assert_eq!(image.id(), Digest::of(&image.config_bytes));
    assert_eq!(
        place.images[0].names[0].to_string(),
        "localhost/hello:latest"
    );
}

#[test]
fn the_fingerprint_changes_with_whatever_changes_the_image() {
    let plan = plan();
    let changed = |change: &dyn Fn(&mut Plan)| {
        let mut other = plan.clone();
        change(&mut other);
        other.fingerprint().unwrap() != plan.fingerprint().unwrap()
    };
    assert!(!changed(&|_| {}));
    assert!(changed(&|plan| plan.compression = Compression::None));
    assert!(changed(&|plan| plan.epoch = Some("0".parse().unwrap())));
    assert!(changed(&|plan| plan.compression = Compression::Gzip(1)));
    assert!(changed(&|plan| plan.config.config.user = "0".to_owned()));
    assert!(changed(&|plan| plan.annotations.clear()));
    assert!(changed(&|plan| {
        let other = Content::Bytes(b"other".to_vec());
        plan.tree
            .insert("bin/hello", crate::rootfs::Entry::new(0o755, other));
    }));
}
