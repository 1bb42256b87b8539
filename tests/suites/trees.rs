//! The files of an image, one by one, are those that podman mounts: content, mode, owner, times,
//! attributes, links.

use std::path::PathBuf;

use tests::client::{Podman, find};
use tests::fixture::{Archive, Layer};
use tests::{Mode, World, require};

/// Prints what there is to know of each file below a folder, in a fixed order; not of the folder
/// itself, whose mode is always 0555 with podman 4.3.
const LIST: &str = r#"
import hashlib, os, stat, sys
top = sys.argv[1]
first = {}
for folder, folders, files in os.walk(os.fsencode(top)):
    folders.sort()
    for name in sorted(folders + files):
        path = os.path.join(folder, name)
        found = os.lstat(path)
        kind = stat.S_IFMT(found.st_mode)
        words = [path[len(top):], oct(found.st_mode), found.st_uid, found.st_gid, int(found.st_mtime)]
        for attribute in sorted(os.listxattr(path, follow_symlinks=False)):
            if not attribute.startswith(('user.overlay.', 'security.selinux')):
                words += [attribute, os.getxattr(path, attribute, follow_symlinks=False)]
        if kind == stat.S_IFLNK:
            words.append(os.readlink(path))
        if kind == stat.S_IFREG:
            words += [found.st_size, found.st_nlink, hashlib.sha256(open(path, 'rb').read()).hexdigest()]
            words.append(first.setdefault((found.st_dev, found.st_ino), path[len(top):]))
        print(*words)
"#;

/// A capability of the file, as `setcap cap_net_bind_service+ep` writes it.
const CAPABILITY: &str = "\u{1}\0\0\u{2}\0\u{4}\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The records of a PAX header before the next entry.
fn with_records(layer: Layer, records: &[(&str, &str)]) -> Layer {
    let record = |(key, value): &(&str, &str)| {
        let rest = key.len() + value.len() + 3;
        // The length counts its own digits.
        let length = (rest + 1..).find(|length| length - length.to_string().len() == rest);
        let length = length.expect("one of the next few fits");
        format!("{length} {key}={value}\n")
    };
    let content: String = records.iter().map(record).collect();
    let kind = tar::EntryType::XHeader;
    layer.entry(kind, "pax", "", 0o644, content.as_bytes())
}

/// Every folder is described, as builders do: podman gives others the time at which it places them.
fn lowest() -> Layer {
    let long = format!("usr/{}/{}", "long".repeat(30), "name".repeat(50));
    let layer = Layer::new()
        .dir("tmp", 0o1777)
        .dir("usr", 0o755)
        .dir("usr/closed", 0o700)
        .owned_by(5, 6)
        .file("usr/closed/file", 0o600, "closed")
        .owned_by(65_534, 65_534)
        .file("usr/set", 0o6755, "set-uid and set-gid")
        .file("usr/empty", 0o444, "")
        .file("usr/big", 0o644, "0123456789".repeat(200_000))
        .hard_link("usr/big-too", "usr/big")
        .symlink("usr/absolute", "/usr/big")
        .symlink("usr/nowhere", "../../nowhere")
        .file("gone/file", 0o644, "whited out")
        .dir("stays", 0o755)
        .file("stays/gone", 0o644, "whited out")
        .file("stays/here", 0o644, "not")
        .dir("opaque", 0o755)
        .file("opaque/one", 0o644, "hidden")
        .file("opaque/deep/two", 0o644, "hidden")
        .file("file-then-folder", 0o644, "a file")
        .dir("folder-then-file", 0o755)
        .file("folder-then-file/inside", 0o644, "inside")
        .symlink("lib", "usr/lib")
        .dir("usr/lib", 0o755)
        .file("usr/lib/one", 0o644, "one");
    let folder = long.rsplit_once('/').expect("a folder").0;
    let layer = with_records(layer, &[("path", folder)]).dir("short", 0o755);
    let layer = with_records(layer, &[("path", &long)]).file("short", 0o640, "a long path");
    let layer = with_records(layer, &[("SCHILY.xattr.user.colour", "blue")]);
    let layer = layer.file("usr/attribute", 0o644, "with an attribute");
    let layer = with_records(layer, &[("SCHILY.xattr.security.capability", CAPABILITY)]);
    let layer = layer.file("usr/capable", 0o755, "with a capability");
    let layer = with_records(layer, &[("mtime", "1700000000.25")]);
    layer.file("usr/dated", 0o644, "of 2023")
}

fn middle() -> Layer {
    Layer::new()
        .file(".wh.gone", 0o644, "")
        .dir("stays", 0o755)
        .file("stays/.wh.gone", 0o644, "")
        .dir("opaque", 0o750)
        .file("opaque/.wh..wh..opq", 0o644, "")
        .file("opaque/three", 0o644, "seen")
        .dir("file-then-folder", 0o711)
        .file("file-then-folder/inside", 0o644, "inside")
        .file(".wh.folder-then-file", 0o644, "")
        .file("folder-then-file", 0o755, "a file")
        .dir("usr", 0o775)
        .owned_by(1000, 1000)
}

fn highest() -> Layer {
    Layer::new()
        .dir("usr", 0o755)
        .owned_by(7, 8)
        .file("usr/set", 0o644, "once more")
        .hard_link("usr/set-too", "usr/set")
        .file("usr/empty", 0o400, "no longer")
        .dir("gone", 0o700)
        .file("gone/again", 0o644, "back")
}

#[test]
fn an_image_has_the_files_that_podman_mounts() {
    let world = require!(World::new(Mode::Mapped));
    require!(find("python3"));
    let podman = require!(Podman::new(&world));
    let runner = world.runner();
    let layers = [lowest(), middle(), highest()];
    let name = "localhost/tree:1";
    let archive = Archive::new(name, &layers.each_ref(), &["/bin/true"]).docker();
    runner.load(&archive);
    podman.engine.load(&archive);
    let list = world.write("list.py", LIST);
    let list = list.to_str().expect("a plain path");
    let root = PathBuf::from(runner.to(&["info", "--format", "{{.Store.GraphRoot}}"]));
    let ours = format!("python3 {list} {}/trees/*/root", root.display());
    let theirs = format!("python3 {list} $(podman image mount {name})");
    let ours = runner.to(&["unshare", "sh", "-c", &ours]);
    let theirs = podman.engine.to(&["unshare", "sh", "-c", &theirs]);
    for part in ["usr/big-too", "security.capability", "user.colour"] {
        assert!(theirs.contains(part), "{theirs}");
    }
    let differences: Vec<_> = ours
        .lines()
        .zip(theirs.lines())
        .filter(|(ours, theirs)| ours != theirs)
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(ours.lines().count(), theirs.lines().count());
}
