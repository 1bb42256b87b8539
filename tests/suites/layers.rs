//! The layers that we write, read by the programs that everybody has; and archives that were damaged
//! by chance, read by us.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use packer::Digest;
use packer::archive::Archive;
use packer::layer::{self, Compression};
use packer::place::Source;
use packer::progress::Silent;
use packer::rootfs::{Content, Entry, Tree};
use tests::client::find;
use tests::fixture::{self, Layer};
use tests::{Missing, World, require};

/// Trees that are made by chance, and archives that are damaged so.
const TREES: u64 = 12;
const DAMAGES: u64 = 400;

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Any bytes but zero and a slash, of the lengths at which a tar header changes its form.
    fn name(&mut self) -> Vec<u8> {
        let length = self.one_of(&[1, 2, 8, 20, 99, 100, 101, 155, 156, 254, 255]);
        let plain = self.below(2) == 0;
        let byte = |chance: &mut Self| match plain {
            true => chance.one_of(b"abcxyz019-_ .=\n"),
            false => chance.one_of(&[1, 9, 10, 32, 34, 37, 92, 127, 128, 0xc3, 0xff]),
        };
        let mut name: Vec<u8> = (0..length).map(|_| byte(self)).collect();
        // A letter, so that it is neither `.` nor `..`.
        name[0] = b'n';
        name
    }

    fn path(&mut self) -> PathBuf {
        let parts = self.one_of(&[1, 1, 2, 3, 6]);
        (0..parts)
            .map(|_| OsString::from_vec(self.name()))
            .collect()
    }
}

/// A tree of folders, files and links.
fn tree(seed: u64) -> Tree {
    let mut chance = Chance(seed);
    let mut tree = Tree::default();
    for number in 0..40_usize {
        // Each below a folder of its own, so that no two clash.
        let path = Path::new(&format!("d{}", number % 7))
            .join(chance.path())
            .join(format!("{number}"));
        let content = match chance.below(5) {
            0 => Content::Directory,
            1 => Content::Symlink(chance.path()),
            _ => {
                let size = chance.one_of(&[0, 1, 511, 512, 513, 5000, 70_000]);
                Content::Bytes((0..=250).cycle().take(size).collect())
            }
        };
        let mode = match content {
            Content::Directory => chance.one_of(&[0o755, 0o700, 0o1777]),
            Content::Symlink(_) => 0o777,
            _ => chance.one_of(&[0o644, 0o600, 0o755, 0o400]),
        };
        let mut entry = Entry::new(mode, content);
        entry.uid = chance.one_of(&[0, 1000, 65_532, 0o7_777_777, 0o10_000_000, 4_000_000_000]);
        entry.gid = chance.one_of(&[0, 5, 0o7_777_777, 0o10_000_000, 4_294_967_294]);
        tree.insert(path, entry);
    }
    tree
}

/// What is in a folder, in the words of [`expected`].
fn found(folder: &Path, prefix: &Path, all: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("an extracted folder") {
        let entry = entry.expect("an entry");
        let path = prefix.join(entry.file_name());
        let metadata = entry.metadata().expect("an entry");
        let mode = metadata.permissions().mode() & 0o7777;
        let words = if metadata.is_dir() {
            found(&entry.path(), &path, all);
            format!("folder {mode:o}")
        } else if metadata.is_symlink() {
            let target = fs::read_link(entry.path()).expect("a link");
            format!("link to {}", target.as_os_str().as_bytes().escape_ascii())
        } else {
            let content = fs::read(entry.path()).expect("a file");
            format!("file {mode:o} {}", Digest::of(&content))
        };
        all.insert(path, words);
    }
}

fn expected(tree: &Tree) -> BTreeMap<PathBuf, String> {
    let words = |entry: &Entry| match &entry.content {
        Content::Directory => format!("folder {:o}", entry.mode),
        Content::Symlink(target) => {
            format!("link to {}", target.as_os_str().as_bytes().escape_ascii())
        }
        Content::Bytes(bytes) => format!("file {:o} {}", entry.mode, Digest::of(bytes)),
        Content::File { .. } => unreachable!("there is none"),
    };
    tree.entries()
        .map(|(path, entry)| (path.to_owned(), words(entry)))
        .collect()
}

/// Packs a tree without compression, extracts it with `program`, and compares. Then the owners, which
/// only root can give to files, as `program` lists them.
fn check(
    program: &str,
    options: &[&str],
    owners: fn(&str) -> Option<String>,
) -> Result<(), Missing> {
    let program = find(program)?;
    for seed in 0..TREES {
        let tree = tree(seed);
        let mut bytes = Vec::new();
        layer::write(&tree, Compression::None, None, &mut bytes, &Silent).expect("memory has room");
        let world = World::of_a_user()?;
        let tar = world.write("layer.tar", bytes);
        let folder = world.make_dir("extracted", 0o755);
        world
            .run(&program)
            .args(options)
            .args([
                OsStr::new("-xpf"),
                tar.as_os_str(),
                OsStr::new("-C"),
                folder.as_os_str(),
            ])
            .succeed();
        let mut all = BTreeMap::new();
        found(&folder, Path::new(""), &mut all);
        let expected = expected(&tree);
        for (path, words) in &expected {
            assert_eq!(
                all.get(path),
                Some(words),
                "tree {seed}: {}",
                path.display()
            );
        }
        assert_eq!(all.len(), expected.len(), "tree {seed}");
        let listed = world
            .run(&program)
            .args(["--numeric-owner", "-tvf"])
            .args([&tar])
            .succeed();
        let listed: Vec<String> = listed.stdout.lines().filter_map(owners).collect();
        let ours: Vec<String> = tree
            .entries()
            .map(|(_, entry)| format!("{}/{}", entry.uid, entry.gid))
            .collect();
        assert_eq!(listed, ours, "tree {seed}");
    }
    Ok(())
}

/// `-rw-r--r-- 1000/5 …`
fn gnu_owners(line: &str) -> Option<String> {
    line.split_whitespace().nth(1).map(ToOwned::to_owned)
}

/// `-rw-r--r--  0 1000   5 …`
fn bsd_owners(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().skip(2);
    Some(format!("{}/{}", words.next()?, words.next()?))
}

#[test]
fn gnu_tar_reads_what_we_write() {
    require!(check(
        "tar",
        &["--no-same-owner", "--delay-directory-restore"],
        gnu_owners
    ));
}

#[test]
fn bsdtar_reads_what_we_write() {
    require!(check("bsdtar", &["--no-same-owner"], bsd_owners));
}

/// Takes the beginning, and then nothing any more: eight gigabytes need not be written to see how
/// they are announced.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > 1 << 20 {
            return Err(io::Error::other("enough"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_of_more_than_eight_gigabytes_is_announced_with_its_size() {
    let world = require!(World::of_a_user());
    let sparse = world.path("sparse");
    for size in [0o77_777_777_777, 0o100_000_000_000, (20 << 30) + 1] {
        let file = fs::File::create(&sparse).expect("our own folder");
        file.set_len(size).expect("a file with a hole");
        let mut tree = Tree::default();
        let content = Content::File {
            path: sparse.clone(),
            size,
            digest: Digest::of(b""),
        };
        tree.insert("big", Entry::new(0o644, content));
        let mut begun = Beginning(Vec::new());
        layer::write(&tree, Compression::None, None, &mut begun, &Silent).unwrap_err();
        let tar = world.write("begun.tar", begun.0);
        for program in ["tar", "bsdtar"] {
            let listed = world
                .run(require!(find(program)))
                .args(["-tvf"])
                .args([&tar])
                .finish();
            assert!(
                listed.stdout.contains(&format!(" {size} ")),
                "{program}: {listed}"
            );
        }
    }
}

/// Reads everything that an archive has, or says why it cannot.
fn read_all(path: &Path) -> Result<(), String> {
    let (archive, held) =
        Archive::open_whole(path, &std::env::temp_dir()).map_err(|error| error.to_string())?;
    let images = held.iter().flat_map(|held| held.images());
    for image in images {
        for layer in &image.manifest.layers {
            archive
                .open_blob(&layer.digest)
                .map_err(|error| error.to_string())?;
        }
        packer::contents::read(image, &archive).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Changes some bytes, cuts something out, doubles something, or puts a number where it hurts.
fn damaged(whole: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=chance.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = chance.below(bytes.len());
        let length = chance.one_of(&[1, 8, 100, 512, 3000]).min(bytes.len() - at);
        match chance.below(6) {
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at..at + length].fill(chance.one_of(&[0, b'7', b'9', b'"', 0x80, 0xff])),
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let copy = bytes[at..at + length].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.truncate(at.max(1)),
            // The field for the size, in some header.
            _ => {
                let field = at / 512 * 512 + 124;
                let end = (field + 11).min(bytes.len());
                if field < end {
                    bytes[field..end].fill(chance.one_of(b"0137"));
                }
            }
        }
    }
    bytes
}

#[test]
fn a_damaged_archive_is_an_error_of_one_line_or_the_same_image() {
    let world = require!(World::of_a_user());
    let lower = Layer::new()
        .dir("etc/", 0o755)
        .file("etc/a", 0o644, "lower");
    let upper = Layer::new().file("etc/b", 0o644, vec![b'x'; 3000]);
    let image = fixture::Archive::new("localhost/image:latest", &[&lower, &upper], &["/bin/true"]);
    let mut refused = 0;
    for whole in [image.docker(), image.oci()] {
        let mut chance = Chance(7);
        for number in 0..DAMAGES {
            let path = world.write("damaged.tar", damaged(&whole, &mut chance));
            if let Err(words) = read_all(&path) {
                refused += 1;
                assert!(
                    !words.is_empty() && !words.contains('\n'),
                    "{number}: {words}"
                );
                assert!(words.len() < 2000, "{number}: {words}");
            }
        }
        assert_eq!(read_all(&world.write("whole.tar", whole)), Ok(()));
    }
    assert!(
        refused > DAMAGES / 2,
        "{refused} of {} were refused",
        2 * DAMAGES
    );
}

#[test]
fn a_damaged_document_is_an_error_and_never_a_panic() {
    let manifest = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2},"layers":[],"annotations":{"a":"b"}}"#;
    let index = br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2,"platform":{"architecture":"amd64","os":"linux"}}]}"#;
    let mut chance = Chance(11);
    for whole in [&manifest[..], index] {
        assert!(packer::registry::Document::parse("", whole.to_vec()).is_ok());
        for _ in 0..20 * DAMAGES {
            let damaged = damaged(whole, &mut chance);
            if let Err(words) = packer::registry::Document::parse("", damaged) {
                assert!(!words.contains('\n'), "{words}");
            }
        }
    }
}
