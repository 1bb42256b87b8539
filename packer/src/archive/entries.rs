//! The table of contents of a tar: where in the file each entry's bytes are.
//!
//! Nothing is unpacked, and content is stepped over. Headers are looked at one by one, so that
//! what an extension header may take is bounded before it is read; a size that two headers tell
//! differently is refused, because two readers would see two different archives in it
//! (CVE-2025-62518).

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use tar::{Header, PaxExtensions};

use super::Problem;
use super::path::{clean, resolve};
use crate::ustar::{BLOCK, LARGEST_SIZE};

/// What one extension header (PAX, GNU long name) may have.
const MOST_EXTENSION: u64 = 1 << 20;

/// Entries of an archive. Real ones have three a layer.
const MOST_ENTRIES: usize = 1_000_000;

/// The bytes of all names together.
const MOST_NAMES: usize = 64 << 20;

/// Links that are followed one after the other.
const MOST_LINKS: usize = 16;

/// Where the content of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first byte in the archive.
    pub(super) offset: u64,
    /// The number of bytes.
    pub(super) size: u64,
}

#[derive(Debug)]
enum Entry {
    File(Extent),
    /// To a path from the root of the archive.
    Link(String),
}

/// The files and links of a tar by their clean paths.
#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: HashMap<String, Entry>,
    count: usize,
    names: usize,
}

/// What extension headers say about the entry behind them.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

impl Entries {
    /// Reads every header of the tar in `file`.
    pub(super) fn scan(file: &File) -> Result<Self, Problem> {
        let length = file.metadata()?.len();
        let (mut entries, mut extension) = (Self::default(), Extension::default());
        let mut position = 0;
        while position < length {
            let Some(header) = read_header(file, position, length)? else {
                break;
            };
            position += BLOCK;
            let size = content_size(&header, &extension)?;
            let end = position.checked_add(size).filter(|&end| end <= length);
            let end = end.ok_or_else(|| Problem::Truncated(shown(&header, &extension)))?;
            let content = Extent {
                offset: position,
                size,
            };
            match header.entry_type().as_byte() {
                b'x' => extension.read_pax(&read(file, content)?)?,
                b'L' => extension.path = Some(until_nul(read(file, content)?)),
                b'K' => extension.link = Some(until_nul(read(file, content)?)),
                b'g' => {}
                _ => entries.add(&header, std::mem::take(&mut extension), content)?,
            }
            position = end.next_multiple_of(BLOCK);
        }
        Ok(entries)
    }

    /// Where the content of `path` is, which may be a link to it.
    pub(super) fn find(&self, path: &str) -> Result<Option<Extent>, Problem> {
        let mut path = clean(path)?;
        for _ in 0..MOST_LINKS {
            match self.entries.get(&path) {
                None => return Ok(None),
                Some(Entry::File(content)) => return Ok(Some(*content)),
                Some(Entry::Link(target)) => path.clone_from(target),
            }
        }
        let problem = format!("\"{}\" is a link that leads nowhere", path.escape_debug());
        Err(Problem::Damaged(problem))
    }

    fn add(
        &mut self,
        header: &Header,
        extension: Extension,
        content: Extent,
    ) -> Result<(), Problem> {
        let kind = header.entry_type().as_byte();
        let name = shown(header, &extension);
        if extension.is_sparse || kind == b'S' {
            return Err(Problem::Damaged(format!("{name} is a sparse file")));
        }
        let path = extension
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let path = String::from_utf8_lossy(&path);
        let path = clean(&path)?;
        let link = || {
            let link = extension.link.clone();
            let link = link.or_else(|| header.link_name_bytes().map(Into::into));
            String::from_utf8_lossy(&link.unwrap_or_default()).into_owned()
        };
        self.count += 1;
        self.names += path.len();
        let entry = match kind {
            b'0' | b'\0' | b'7' => Entry::File(content),
            b'1' => Entry::Link(clean(&link())?),
            b'2' => Entry::Link(resolve(&path, &link())?),
            _ => return self.check_limits(),
        };
        if let Entry::Link(target) = &entry {
            self.names += target.len();
        }
        self.check_limits()?;
        // A later entry goes before an earlier one of the same name, as when a tar is unpacked.
        self.entries.insert(path, entry);
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Problem> {
        let too_big = |what: &str, limit: String| {
            let what = what.to_owned();
            Err(Problem::TooBig { what, limit })
        };
        if self.count > MOST_ENTRIES {
            return too_big("it", format!("{MOST_ENTRIES} entries"));
        }
        if self.names > MOST_NAMES {
            return too_big("the list of its names", format!("{MOST_NAMES} bytes"));
        }
        Ok(())
    }
}

impl Extension {
    fn read_pax(&mut self, records: &[u8]) -> Result<(), Problem> {
        let damaged = || Problem::Damaged("a PAX header in it is malformed".to_owned());
        for record in PaxExtensions::new(records) {
            let record = record.map_err(|_| damaged())?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let text = record.value().map_err(|_| damaged())?;
                    self.size = Some(text.parse().map_err(|_| damaged())?);
                }
                key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The header at `position`, or nothing where the tar ends.
fn read_header(file: &File, position: u64, length: u64) -> Result<Option<Header>, Problem> {
    let not_tar = || Problem::NotAnArchive("it is no tar file".to_owned());
    if length - position < BLOCK {
        return Err(match position {
            0 => not_tar(),
            _ => Problem::Truncated("a header".to_owned()),
        });
    }
    let mut header = Header::new_old();
    file.read_exact_at(header.as_mut_bytes(), position)?;
    let bytes = header.as_bytes();
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    // The checksum counts its own field as spaces (POSIX pax, "ustar Interchange Format").
    let (before, after) = (&bytes[..148], &bytes[156..]);
    let sum = before
        .iter()
        .chain(after)
        .map(|&byte| u32::from(byte))
        .sum::<u32>();
    if header.cksum().ok() != Some(sum + 8 * u32::from(b' ')) {
        return Err(match position {
            0 => not_tar(),
            _ => Problem::Damaged(format!(
                "the header at byte {position} has a wrong checksum"
            )),
        });
    }
    Ok(Some(header))
}

fn content_size(header: &Header, extension: &Extension) -> Result<u64, Problem> {
    let impossible = || {
        let name = shown(header, extension);
        Problem::Damaged(format!("the size of {name} is impossible"))
    };
    // Links, devices, directories and FIFOs have no content, whatever their header says.
    if matches!(header.entry_type().as_byte(), b'1'..=b'6') {
        return Ok(0);
    }
    let stated = header.entry_size().map_err(|_| impossible())?;
    let is_extension = matches!(header.entry_type().as_byte(), b'x' | b'g' | b'L' | b'K');
    let size = match extension.size {
        Some(size) if !is_extension && size != stated => {
            if size <= LARGEST_SIZE {
                let name = shown(header, extension);
                let problem = format!("two headers tell the size of {name} differently");
                return Err(Problem::Damaged(problem));
            }
            size
        }
        _ => stated,
    };
    if size > i64::MAX.unsigned_abs() {
        return Err(impossible());
    }
    if is_extension && size > MOST_EXTENSION {
        return Err(Problem::TooBig {
            what: "a header in it".to_owned(),
            limit: format!("{MOST_EXTENSION} bytes"),
        });
    }
    Ok(size)
}

fn read(file: &File, content: Extent) -> Result<Vec<u8>, Problem> {
    let size = usize::try_from(content.size).unwrap_or(usize::MAX);
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, content.offset)?;
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}

/// An entry's name for a message.
fn shown(header: &Header, extension: &Extension) -> String {
    let path = match &extension.path {
        Some(path) => String::from_utf8_lossy(path),
        None => String::from_utf8_lossy(&header.path_bytes())
            .into_owned()
            .into(),
    };
    let short: String = path.chars().take(200).collect();
    format!("\"{}\"", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tar::EntryType;

    use super::*;

    /// An entry as its header and content, padded.
    fn entry(kind: u8, path: &str, link: &str, content: &[u8]) -> Vec<u8> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::new(kind));
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_link_name_literal(link).unwrap();
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn with_size_field(mut bytes: Vec<u8>, field: &[u8; 12]) -> Vec<u8> {
        bytes[124..136].copy_from_slice(field);
        let mut header = Header::from_byte_slice(&bytes[..512]).clone();
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        bytes
    }

    fn scan(parts: &[Vec<u8>]) -> Result<Entries, Problem> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&parts.concat()).unwrap();
        Entries::scan(&file)
    }

    fn refusal(parts: &[Vec<u8>]) -> String {
        scan(parts).unwrap_err().to_string()
    }

    #[test]
    fn files_are_found_by_their_clean_paths() {
        let entries = scan(&[
            entry(b'5', "./d/", "", b""),
            entry(b'0', "./d/a", "", b"content"),
            entry(b'x', "pax", "", b"15 path=d//b/c\n"),
            entry(b'0', "short", "", b"more"),
            entry(b'L', "././@LongLink", "", b"long/name\0"),
            entry(b'0', "long", "", b""),
            vec![0; 1024],
        ])
        .unwrap();
        let size = |path| entries.find(path).unwrap().map(|content| content.size);
        assert_eq!(size("d/a"), Some(7));
        assert_eq!(size("./d/./b/c"), Some(4));
        assert_eq!(size("long/name"), Some(0));
        assert_eq!(size("d"), None);
    }

    #[test]
    fn links_are_followed_inside_the_archive_only() {
        let entries = scan(&[
            entry(b'0', "a/layer.tar", "", b"content"),
            entry(b'2', "b/layer.tar", "../a/layer.tar", b""),
            entry(b'1', "c", "b/layer.tar", b""),
            entry(b'2', "loop", "loop", b""),
        ])
        .unwrap();
        assert_eq!(entries.find("c").unwrap().unwrap().size, 7);
        assert!(entries.find("loop").is_err());
        for target in ["../../etc/passwd", "/etc/passwd"] {
            let text = refusal(&[entry(b'2', "b/layer.tar", target, b"")]);
            assert!(text.contains("leads out"), "{text}");
            let text = refusal(&[entry(b'1', "b/layer.tar", target, b"")]);
            assert!(text.contains("leads out"), "{text}");
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for path in ["../x", "a/../../x", "/x", "a/../b"] {
            assert!(
                refusal(&[entry(b'0', path, "", b"")]).contains("leads out"),
                "{path}"
            );
        }
    }

    #[test]
    fn a_size_that_two_headers_tell_differently_is_refused() {
        let told = |size: &[u8]| {
            refusal(&[
                entry(b'x', "pax", "", size),
                entry(b'0', "a", "", b"seven.."),
            ])
        };
        assert!(told(b"9 size=0\n").contains("differently"));
        assert!(told(b"13 size=9999\n").contains("differently"));
        assert!(
            scan(&[
                entry(b'x', "pax", "", b"9 size=7\n"),
                entry(b'0', "a", "", b"seven..")
            ])
            .is_ok()
        );
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let file = entry(b'0', "a", "", b"");
        let huge = with_size_field(file.clone(), b"\x80\0\0\0\x80\0\0\0\0\0\0\0");
        let negative = with_size_field(file.clone(), &[0xff; 12]);
        let letters = with_size_field(file.clone(), b"12x45678901\0");
        for bytes in [huge, negative, letters] {
            assert!(refusal(&[bytes]).contains("impossible"));
        }
        let long = with_size_field(file, b"77777777777\0");
        assert!(refusal(&[long]).contains("ends in the middle of \"a\""));
    }

    #[test]
    fn long_extension_headers_are_refused_before_they_are_read() {
        for kind in [b'x', b'L', b'K', b'g'] {
            let header = with_size_field(entry(kind, "x", "", b""), b"00010000001\0");
            let text = refusal(&[header, vec![b'a'; 0o10_000_001]]);
            assert!(text.contains("more than 1048576 bytes"), "{text}");
        }
    }

    #[test]
    fn an_end_in_the_middle_is_told() {
        let whole = [
            entry(b'0', "first", "", &[1; 600]),
            entry(b'0', "second", "", &[2; 600]),
        ]
        .concat();
        assert!(refusal(&[whole[..1000].to_vec()]).contains("in the middle of \"first\""));
        assert!(refusal(&[whole[..2000].to_vec()]).contains("in the middle of a header"));
        assert!(refusal(&[whole[..2600].to_vec()]).contains("in the middle of \"second\""));
    }

    #[test]
    fn what_is_no_tar_is_told_apart_from_a_damaged_one() {
        for content in [b"no tar".to_vec(), vec![b'x'; 5000]] {
            assert!(refusal(&[content]).contains("no tar file"));
        }
        let damaged = refusal(&[entry(b'0', "a", "", b""), vec![b'x'; 512]]);
        assert!(damaged.contains("byte 512"), "{damaged}");
    }

    #[test]
    fn sparse_files_are_refused() {
        assert!(refusal(&[entry(b'S', "a", "", b"")]).contains("sparse"));
        let pax = entry(b'x', "pax", "", b"22 GNU.sparse.major=1\n");
        assert!(refusal(&[pax, entry(b'0', "a", "", b"")]).contains("sparse"));
    }
}
