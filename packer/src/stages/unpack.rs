//! `ADD` of a tar archive: what is in it, with modes and owners as they stand there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::archive::NewFile;
use crate::contents::{self, Kind};
use crate::layer::decompress;
use crate::program::open_regular;
use crate::rootfs::{Content, Entry, HostFile};

/// Opens a file if it is a tar archive, compressed or not.
pub(super) fn open(path: &Path) -> Result<Option<File>, String> {
    let named = |error: io::Error| format!("{}: {error}", path.display());
    let mut file = open_regular(path).map_err(named)?;
    let mut start = Vec::new();
    let read =
        decompress(Box::new(&file)).and_then(|content| content.take(512).read_to_end(&mut start));
    if read.is_err() {
        // What only looks compressed is a file like any other; bzip2 is not.
        let is_bzip2 = read.is_err_and(|error| error.to_string().contains("bzip2"));
        return match is_bzip2 {
            true => Err(format!(
                "{} is compressed with bzip2, which is not unpacked: use gzip, zstd or xz",
                path.display()
            )),
            false => Ok(None),
        };
    }
    file.rewind().map_err(named)?;
    Ok(is_header(&start).then_some(file))
}

/// Whether a block is a header: its checksum tells (POSIX ustar, "chksum").
fn is_header(block: &[u8]) -> bool {
    let Ok(block) = <&[u8; 512]>::try_from(block) else {
        return false;
    };
    let header = tar::Header::from_byte_slice(block);
    let sum = |(place, byte): (usize, &u8)| match (148..156).contains(&place) {
        true => u32::from(b' '),
        false => u32::from(*byte),
    };
    let found: u32 = block.iter().enumerate().map(sum).sum();
    header
        .cksum()
        .is_ok_and(|told| told == found && block[0] != 0)
}

/// The entries, by their paths in the archive. Files lie in `folder` afterwards.
pub(super) fn entries(archive: File, folder: &Path) -> io::Result<BTreeMap<PathBuf, Entry>> {
    let mut entries: BTreeMap<PathBuf, Entry> = BTreeMap::new();
    let mut tar = decompress(Box::new(archive))?;
    contents::each(&mut tar, &mut |path, order, raw, told| {
        let path = PathBuf::from(OsString::from_vec(path));
        let new = NewFile::in_folder(folder)?;
        let read = contents::described(raw, told, (0, order), &mut new.file())?;
        let content = match read.kind {
            Kind::Directory => Content::Directory,
            Kind::Symlink(target) => Content::Symlink(OsString::from_vec(target).into()),
            Kind::File { digest, .. } => {
                let place = folder.join(digest.hex());
                if !place.exists() {
                    new.place(&place)?;
                }
                Content::File(HostFile::known(&place, digest)?)
            }
            Kind::HardLink(target) => {
                let target = PathBuf::from(OsString::from_vec(target));
                match entries.get(&target) {
                    Some(file) => file.content.clone(),
                    None => {
                        return Err(invalid(
                            &path,
                            "is a link to a file that is not in the archive",
                        ));
                    }
                }
            }
            Kind::Special(_) => return Err(invalid(&path, "is a device or a FIFO")),
        };
        if !path.as_os_str().is_empty() {
            let number = |number: u64| u32::try_from(number);
            let big = |_| invalid(&path, "has an owner that no system knows");
            let entry = Entry {
                uid: number(read.uid).map_err(big)?,
                gid: number(read.gid).map_err(big)?,
                ..Entry::new(u32::try_from(read.mode & 0o7777).unwrap_or(0o644), content)
            };
            entries.insert(path, entry);
        }
        Ok(())
    })?;
    Ok(entries)
}

fn invalid(path: &Path, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} in it {what}", path.display()),
    )
}
