//! Layers made by hand, honest ones and hostile ones, and what becomes of them.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::*;

mod flatten;
mod hostile;

/// A tar made by hand.
#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn entry(self, kind: u8, path: &str, link: &str, content: &[u8]) -> Self {
        self.entry_with(kind, path, link, content, |_| ())
    }

    fn entry_with(
        mut self,
        kind: u8,
        path: &str,
        link: &str,
        content: &[u8],
        change: impl FnOnce(&mut tar::GnuHeader),
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        fields.typeflag = [kind];
        header.set_size(content.len() as u64);
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        change(header.as_gnu_mut().unwrap());
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(b'0', path, "", content.as_bytes())
    }

    fn directory(self, path: &str) -> Self {
        self.entry(b'5', path, "", b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, target, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, target, b"")
    }

    /// Extended records for the next entry.
    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = rest + (rest + 3).to_string().len();
            bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        self.entry(b'x', "PaxHeaders", "", &bytes)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A tree with something beside it that no layer may touch.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("probe")).unwrap();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path().join("probe"), open).unwrap();
        fs::write(folder.path().join("probe/secret"), "secret").unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("tree").join(path)
    }

    fn probe(&self) -> String {
        self.folder.path().join("probe").display().to_string()
    }

    fn flatten(&self, layers: Vec<Layer>) -> Result<u64, LayerError> {
        let root = File::open(self.path("")).unwrap();
        let mut tree = Tree::new(root.into(), Owners::Squashed)?;
        for layer in layers {
            tree.place_layer(&layer.end()[..])?;
        }
        tree.finish()
    }

    fn check_probe(&self, attack: &str) {
        let probe = self.folder.path().join("probe");
        let names: Vec<_> = probe
            .read_dir()
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"], "{attack}");
        assert_eq!(
            fs::read_to_string(probe.join("secret")).unwrap(),
            "secret",
            "{attack}"
        );
        assert_eq!(
            probe.join("secret").metadata().unwrap().nlink(),
            1,
            "{attack}"
        );
        assert_eq!(probe.metadata().unwrap().mode() & 0o7777, 0o755, "{attack}");
        assert_eq!(
            self.folder.path().read_dir().unwrap().count(),
            2,
            "{attack}"
        );
    }

    /// All paths of the tree, in order.
    fn list(&self) -> Vec<String> {
        fn walk(at: &Path, top: &Path, found: &mut Vec<String>) {
            for entry in at.read_dir().unwrap() {
                let entry = entry.unwrap();
                let path = entry.path();
                found.push(path.strip_prefix(top).unwrap().display().to_string());
                if entry.file_type().unwrap().is_dir() {
                    walk(&path, top, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.path(""), &self.path(""), &mut found);
        found.sort();
        found
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }
}

fn layer() -> Layer {
    Layer::default()
}

fn flat(layers: Vec<Layer>) -> Place {
    let place = Place::new();
    place.flatten(layers).unwrap();
    place
}
