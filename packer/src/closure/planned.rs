//! What a package brings itself: the files of its planned tree, as a loader would find them in the
//! image.

use std::collections::BTreeMap;
use std::path::Path;

use super::host::Host;
use super::{ClosureError, HashBang};
use crate::elf::{NoProgram, Object};
use crate::program::open_regular;
use crate::rootfs::{Content, Tree};

/// The executables and libraries of a planned tree, by their absolute path in the image.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// Those that are ELF, and where each is on this machine.
    pub(super) objects: BTreeMap<String, (Object, String)>,
    /// The first lines of scripts.
    scripts: BTreeMap<String, HashBang>,
}

impl Planned {
    pub(super) fn of(host: &Host, tree: &Tree) -> Result<Self, ClosureError> {
        let mut planned = Self::default();
        for (path, entry) in tree.entries() {
            // A loader's paths are texts of a program; those that are not UTF-8 are in none.
            let (Content::File(file), Some(path)) = (&entry.content, path.to_str()) else {
                continue;
            };
            // Nothing else is ever started or loaded, and a package may bring many files.
            if entry.mode & 0o111 != 0 || path.contains(".so") {
                planned.add(host, format!("/{path}"), &file.path())?;
            }
        }
        Ok(planned)
    }

    fn add(&mut self, host: &Host, path: String, file: &Path) -> Result<(), ClosureError> {
        let unreadable = |cause| ClosureError::unreadable(file, cause);
        let opened = open_regular(file).map_err(unreadable)?;
        match Object::read(&opened) {
            Ok(object) => {
                let real = file.canonicalize().map_err(unreadable)?;
                self.objects.insert(path, (object, host.path_of(&real)?));
            }
            Err(NoProgram::Io(cause)) => return Err(unreadable(cause)),
            Err(_) => {
                let script = HashBang::read(&opened).map_err(unreadable)?;
                self.scripts.extend(script.map(|script| (path, script)));
            }
        }
        Ok(())
    }

    /// The object at a path of the image, and where it is on this machine, without links.
    pub(super) fn object(&self, path: &str) -> Option<(Object, String)> {
        self.objects.get(path).cloned()
    }

    /// The first line of the script at a path of the image, if there is one.
    pub(super) fn script(&self, path: &str) -> Option<&HashBang> {
        self.scripts.get(path)
    }
}
