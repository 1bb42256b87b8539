//! The folder of archives that nobody gave a place: `packer` in the user's cache.
//!
//! An archive is named after the digest of its own bytes, so the same image has the same path, and
//! `sha256sum` can tell whether a file is what its name says. Beside the archives, `made-of/` holds
//! one link for each set of inputs that was packed: its name is the digest of the inputs, and it
//! leads to the archive that they made. With it nothing is packed twice.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context;
use packer::archive::NewFile;
use packer::{Digest, Plan};

/// As many characters of a digest as a name has; Guix prints as many.
const HASH: usize = 32;

/// The folder.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The user's one; it is made if it is not there.
    pub(super) fn open() -> anyhow::Result<Self> {
        let set = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let caches = set("XDG_CACHE_HOME")
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .context("there is no home directory: set XDG_CACHE_HOME, or name a file with -o")?;
        let folder = caches.join("packer");
        fs::create_dir_all(folder.join("made-of"))
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self { folder })
    }

    /// Where archives are made.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The archive that `plan` made before, if it is there and whole.
    pub(super) fn find(&self, plan: &Plan) -> Option<PathBuf> {
        let target = fs::read_link(self.link(plan)).ok()?;
        let name = target.file_name()?;
        let path = self.folder.join(name);
        self.is_whole(&path, name).then_some(path)
    }

    /// Gives an archive its name, unless the same one is there already.
    pub(super) fn place(&self, plan: &Plan, archive: NewFile) -> io::Result<PathBuf> {
        let hash = archive.digest()?.hex();
        let name = format!("{}-{}-docker-pack.tar", &hash[..HASH], plan.package().name);
        let path = self.folder.join(&name);
        if !self.is_whole(&path, OsStr::new(&name)) {
            archive.place(&path)?;
        }
        self.remember(plan, &name)?;
        Ok(path)
    }

    fn remember(&self, plan: &Plan, name: &str) -> io::Result<()> {
        let link = self.link(plan);
        let target = Path::new("..").join(name);
        let temporary = tempfile::Builder::new()
            .make_in(self.folder.join("made-of"), |path| symlink(&target, path))?
            .into_temp_path();
        fs::rename(&temporary, link)
    }

    /// Names are part of an archive, but not of the image's own fingerprint.
    fn link(&self, plan: &Plan) -> PathBuf {
        let names: String = plan
            .names()
            .iter()
            .map(|name| format!("\n{name}"))
            .collect();
        let inputs = format!("{}\n{}{names}", plan.fingerprint(), plan.package().name);
        let hash = Digest::of(inputs.as_bytes()).hex();
        self.folder.join("made-of").join(&hash[..HASH])
    }

    fn is_whole(&self, path: &Path, name: &OsStr) -> bool {
        let digest = File::open(path).and_then(|mut file| Digest::of_reader(&mut file));
        let name = name.to_string_lossy();
        digest.is_ok_and(|(digest, _)| name.starts_with(&digest.hex()[..HASH]))
    }
}
