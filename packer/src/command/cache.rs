//! The folder of archives that nobody gave a place: `packer` in the user's cache.
//!
//! An archive is named after the digest of its own bytes, so the same image has the same path, and
//! `sha256sum` can tell whether a file is what its name says. Beside the archives, `made-of/` holds
//! one note for each set of inputs that was packed: its name is the digest of the inputs, and it
//! says which archive they made, and what is in it. With it nothing is packed twice.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use packer::Digest;
use packer::archive::{Kind, NewFile};
use packer::plan::{Bundle, Packed};
use serde::{Deserialize, Serialize};

/// As many characters of a digest as a name has; Guix prints as many.
const HASH: usize = 32;

/// No note is longer, in bytes.
const MOST_NOTE: u64 = 1 << 20;

/// What some inputs made.
#[derive(Serialize, Deserialize)]
struct Note {
    /// The name of the archive.
    archive: String,
    images: Vec<Packed>,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The user's one; it is made if it is not there.
    pub(super) fn open() -> anyhow::Result<Self> {
        let folder = packer::cache::folder().context("name a file with -o")?;
        fs::create_dir_all(folder.join("made-of"))
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self { folder })
    }

    /// Where archives are made.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The archive that the inputs of `note` made before, if it is there and whole, and what is in it.
    pub(super) fn find(&self, note: &Path) -> Option<(PathBuf, Vec<Packed>)> {
        let mut text = Vec::new();
        let note = File::open(note).ok()?;
        note.take(MOST_NOTE).read_to_end(&mut text).ok()?;
        let Note { archive, images } = serde_json::from_slice(&text).ok()?;
        let name = Path::new(&archive).file_name()?;
        let path = self.folder.join(name);
        self.is_whole(&path, name).then_some((path, images))
    }

    /// Gives an archive its name, unless the same one is there already.
    pub(super) fn place(
        &self,
        (kind, package): (Kind, &str),
        archive: NewFile,
        packed: &[Packed],
        note: &Path,
    ) -> io::Result<PathBuf> {
        let hash = archive.digest()?.hex();
        let suffix = match kind {
            Kind::Both | Kind::Docker => "docker-pack.tar",
            Kind::Oci => "oci-pack.tar",
        };
        let name = format!("{}-{package}-{suffix}", &hash[..HASH]);
        let path = self.folder.join(&name);
        if !self.is_whole(&path, OsStr::new(&name)) {
            archive.place(&path)?;
        }
        let made = Note {
            archive: name,
            images: packed.to_vec(),
        };
        packer::cache::keep(note, &serde_json::to_vec(&made)?)?;
        Ok(path)
    }

    /// Where it is noted what `bundles` make.
    ///
    /// Names are part of an archive, but not of an image's own fingerprint.
    pub(super) fn note(&self, kind: Kind, bundles: &[Bundle]) -> io::Result<PathBuf> {
        let mut inputs = format!("{kind:?}");
        for bundle in bundles {
            let _ = write!(inputs, "\n{}\n{}", bundle.fingerprint()?, bundle.title());
            for name in bundle.names() {
                let _ = write!(inputs, "\n{name}");
            }
        }
        let hash = Digest::of(inputs.as_bytes()).hex();
        Ok(self.folder.join("made-of").join(&hash[..HASH]))
    }

    fn is_whole(&self, path: &Path, name: &OsStr) -> bool {
        let digest = File::open(path).and_then(|mut file| Digest::of_reader(&mut file));
        let name = name.to_string_lossy();
        digest.is_ok_and(|(digest, _)| name.starts_with(&digest.hex()[..HASH]))
    }
}
