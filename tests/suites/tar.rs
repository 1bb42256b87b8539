//! The tars of our layers, unpacked by GNU tar and bsdtar; archives that somebody has damaged; and a
//! disk that is too small.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use packer::archive::Archive;
use packer::contents;
use packer::layer::{self, Compression};
use packer::place::Source;
use packer::progress::Silent;
use packer::registry::Document;
use packer::rootfs::{Content, Entry, HostFile, Tree};
use tests::account::we_are_root;
use tests::client::find;
use tests::{Missing, Mode, Random, Run, World, fixture, require};

/// What a path is, so that two sides can be compared: kind and mode, owner, and content.
type Listing = BTreeMap<OsString, (String, Option<(u32, u32)>, Vec<u8>)>;

/// The characters of names that programs stumble over, among plain ones.
const ODD: &[u8] = b"aZ09 .-_\\\n\t'\"*?$&;\x01\x7f\xff\xc3\xa4=%";

/// A name of a file: mostly short, sometimes as long as a file system takes.
fn name(random: &mut Random, number: usize) -> Vec<u8> {
    let length = match random.below(8) {
        0 => 90 + random.below(20),
        1 => 200 + random.below(50),
        _ => 1 + random.below(12),
    };
    // Not with a backslash at the start, which bsdtar takes away.
    let mut name = b"x".to_vec();
    name.extend((1..length).map(|_| *random.one_of(ODD)));
    // So that no two are equal.
    name.extend_from_slice(number.to_string().as_bytes());
    name
}

/// A tree that nobody would write down: deep and shallow, with odd names, modes and owners.
fn tree(random: &mut Random) -> Tree {
    let mut tree = Tree::default();
    let mut folders = vec![PathBuf::new()];
    for number in 0..40 {
        let folder = random.one_of(&folders).clone();
        let path = folder.join(OsString::from_vec(name(random, number)));
        if path.as_os_str().len() > 1500 {
            continue;
        }
        let content = match random.below(4) {
            0 => {
                folders.push(path.clone());
                Content::Directory
            }
            1 => {
                let length = random.below(300) + 1;
                let target = (0..length).map(|_| *random.one_of(b"ab./ \xff")).collect();
                Content::Symlink(OsString::from_vec(target).into())
            }
            _ => Content::Bytes((0..random.below(2000)).map(|_| random.byte()).collect()),
        };
        let is_link = matches!(content, Content::Symlink(_));
        let bits = [0o755, 0o644, 0o600, 0o4755, 0o2711, 0o1777, 0];
        let mut entry = Entry::new(
            if is_link {
                0o777
            } else {
                *random.one_of(&bits)
            },
            content,
        );
        let ids = [0, 1, 1000, 65_534, 2_097_151, 2_097_152, 4_000_000_000];
        entry.uid = *random.one_of(&ids);
        entry.gid = *random.one_of(&ids);
        tree.insert(path, entry);
    }
    tree
}

fn planned(tree: &Tree) -> Listing {
    let entries = tree.entries().map(|(path, entry)| {
        let (kind, content) = match &entry.content {
            Content::Directory => ('d', Vec::new()),
            Content::Bytes(bytes) => ('-', bytes.clone()),
            Content::Symlink(target) => ('l', target.as_os_str().as_bytes().to_vec()),
            Content::File { .. } => unreachable!("no tree here has one"),
        };
        let owner = we_are_root().then_some((entry.uid, entry.gid));
        let what = (format!("{kind}{:04o}", entry.mode), owner, content);
        (path.as_os_str().to_owned(), what)
    });
    entries.collect()
}

/// With `dated` folders their times are looked at, too.
fn found(root: &Path, below: &Path, dated: bool, into: &mut Listing) {
    for entry in fs::read_dir(root.join(below)).expect("a folder") {
        let path = below.join(entry.expect("an entry").file_name());
        let place = root.join(&path);
        let metadata = fs::symlink_metadata(&place).expect("what was listed");
        if dated || !metadata.is_dir() {
            assert_eq!(metadata.mtime(), 0, "{}", path.display());
        }
        let (kind, content) = if metadata.is_dir() {
            found(root, &path, dated, into);
            ('d', Vec::new())
        } else if metadata.is_symlink() {
            let target = fs::read_link(&place).expect("a link");
            ('l', target.into_os_string().into_vec())
        } else {
            ('-', fs::read(&place).expect("a file"))
        };
        let mode = metadata.permissions().mode() & 0o7777;
        let owner = we_are_root().then_some((metadata.uid(), metadata.gid()));
        let what = (format!("{kind}{mode:04o}"), owner, content);
        into.insert(path.into_os_string(), what);
    }
}

fn tar_of(tree: &Tree) -> Vec<u8> {
    let mut tar = Vec::new();
    layer::write(tree, Compression::None, None, &mut tar, &Silent).expect("to write into memory");
    tar
}

/// Unpacks ten trees with `program`. Only root can read and give away everything, so without it a
/// tree has the modes and owners of one user.
fn expect_unpacked(program: &str, words: &[&str]) -> Result<(), Missing> {
    let path = find(program)?;
    if !we_are_root() {
        return Err(Missing::because("only root can give files to others"));
    }
    let mut random = Random::new();
    for _ in 0..10 {
        let tree = tree(&mut random);
        let folder = tempfile::tempdir().expect("a folder");
        let run = Run::new(&path)
            .args(words)
            .current_dir(folder.path())
            .input(tar_of(&tree));
        run.succeed();
        let mut listing = Listing::new();
        // GNU tar makes symlinks with `..` in them when all else is done, which touches their folders.
        found(folder.path(), Path::new(""), program != "tar", &mut listing);
        let planned = planned(&tree);
        for (path, what) in &planned {
            assert_eq!(
                listing.get(path),
                Some(what),
                "{}",
                path.as_bytes().escape_ascii()
            );
        }
        assert_eq!(listing.len(), planned.len(), "{:?}", listing.keys());
    }
    Ok(())
}

#[test]
fn gnu_tar_unpacks_the_tree_that_was_planned() {
    require!(expect_unpacked(
        "tar",
        &["-xp", "--numeric-owner", "-f", "-"]
    ));
}

#[test]
fn bsdtar_unpacks_the_tree_that_was_planned() {
    require!(expect_unpacked(
        "bsdtar",
        &["-xp", "--numeric-owner", "-f", "-"]
    ));
}

/// Takes what fits and then no more.
struct Short(Vec<u8>);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > 64 << 10 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_size_of_a_file_of_nine_gigabytes_is_read_by_both() {
    const SIZE: u64 = 9_000_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let large = folder.path().join("large");
    fs::File::create(&large)
        .and_then(|file| file.set_len(SIZE))
        .expect("a file of holes");
    let mut tree = Tree::default();
    let content = Content::File(HostFile::at(&large).expect("a file"));
    tree.insert("large", Entry::new(0o644, content));
    // The beginning is enough to see what they think of the size.
    let mut short = Short(Vec::new());
    let stopped = layer::write(&tree, Compression::None, None, &mut short, &Silent);
    stopped.expect_err("it does not fit");
    for program in ["tar", "bsdtar"] {
        let program = require!(find(program));
        let run = Run::new(program).args(["-tvf", "-"]).input(short.0.clone());
        // It says that the rest is missing, too.
        let said = run.finish().stdout;
        assert!(said.contains(&SIZE.to_string()), "{said}");
    }
}

/// Changes some bytes, or cuts, repeats or removes a piece.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let length = random.below(600).min(bytes.len() - at);
        match random.below(5) {
            0 => bytes.truncate(at.max(1)),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes[at] = random.byte(),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
}

/// Whatever came, an error is one line and there is no panic; and what is read whole is what its
/// digests say.
#[test]
fn damaged_archives_are_read_or_refused_in_one_line() {
    let base = fixture::Layer::new()
        .dir("etc", 0o755)
        .file("etc/name", 0o644, "a name\n")
        .symlink("etc/link", "name")
        .hard_link("etc/hard", "etc/name");
    let archive = fixture::Archive::new("localhost/damaged:latest", &[&base], &["/bin/true"]);
    let whole = [archive.docker(), archive.oci()];
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random::new();
    let (mut read, mut refused) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        let mut bytes = random.one_of(&whole).clone();
        damage(&mut random, &mut bytes);
        let mut stream = &bytes[..];
        let opened = Archive::from_reader("damaged", &mut stream, folder.path());
        let result = opened.map_err(|error| error.to_string()).and_then(|found| {
            let first = found.images().first().ok_or("no image")?;
            let listed = contents::read(first, &found).map_err(|error| error.to_string())?;
            Ok(listed.len())
        });
        match result {
            Ok(count) => {
                assert_eq!(count, 4, "other content under the same digest");
                read += 1;
            }
            Err(said) => {
                assert!(!said.is_empty() && said.lines().count() == 1, "{said:?}");
                refused += 1;
            }
        }
    }
    println!("{read} read, {refused} refused");
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

/// Manifests and indexes come from registries that nobody has to believe.
#[test]
fn damaged_manifests_are_read_or_refused_in_one_line() {
    let layer = fixture::Layer::new().file("a", 0o644, "a");
    let archive = fixture::Archive::new("localhost/damaged:latest", &[&layer], &["/bin/true"]);
    let folder = tempfile::tempdir().expect("a folder");
    let image = Archive::from_reader("whole", &mut &archive.oci()[..], folder.path());
    let image = image.expect("an archive").images()[0].clone();
    let index = packer::place::ImageIndex::new(Vec::new(), vec![image.clone()]);
    let mut random = Random::new();
    for whole in [image.manifest_bytes, index.bytes] {
        assert!(Document::parse("", whole.clone()).is_ok());
        for _ in 0..10_000 {
            let mut bytes = whole.clone();
            damage(&mut random, &mut bytes);
            if let Err(said) = Document::parse("", bytes) {
                assert_eq!(said.lines().count(), 1, "{said:?}");
            }
        }
    }
}

/// `packer build` with its output on a disk of `kilobytes`; what it said, and what lies there then.
fn on_a_small_disk(world: &World, kilobytes: usize, words: &str) -> (i32, String, String) {
    let script = format!(
        "mount -t tmpfs -o size={kilobytes}k small out || exit 99
         \"$0\" build --file prog {words} > said
         code=$?
         ls -A out > left
         exit $code"
    );
    let run = world
        .run("unshare")
        .args(["-Urm", "sh", "-c", &script])
        .args([tests::binaries::path("packer")])
        .current_dir(world.path("home/box"));
    let outcome = run.finish();
    let left = fs::read_to_string(world.path("home/box/left")).expect("what lies there");
    (outcome.code, outcome.stderr, left)
}

#[test]
fn a_full_disk_is_one_line_and_leaves_no_archive() {
    let busybox = require!(find("busybox"));
    let world = require!(World::new(Mode::Mapped));
    let folder = world.make_dir("home/box", 0o755);
    fs::copy(busybox, folder.join("prog")).expect("a new folder");
    world.make_dir("home/box/out", 0o755);
    world.own_all(&folder);
    for words in [
        "-o out/a.tar",
        "-o out/a.tar --compress none",
        "--format oci-layout -o out/a",
        "--format dir -o out/a --compress zstd",
    ] {
        for kilobytes in [4, 8, 16, 64, 256, 512] {
            let (code, said, left) = on_a_small_disk(&world, kilobytes, words);
            assert_ne!(code, 99, "no small disk: {said}");
            assert_eq!(code, 125, "{words} on {kilobytes} kB: {said}");
            let error = said.lines().last().unwrap_or_default();
            assert!(error.contains("No space left on device"), "{said}");
            assert!(error.contains("out/a"), "{said}");
            assert_eq!(left, "", "{words} on {kilobytes} kB left something");
        }
        let (code, said, left) = on_a_small_disk(&world, 16 << 10, words);
        assert_eq!(code, 0, "{said}");
        assert!(words.contains(&format!("out/{}", left.trim())), "{left}");
    }
}
