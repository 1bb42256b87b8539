//! The records of a PAX extended header: `LENGTH KEY=VALUE` and a line feed, one after the other.
//!
//! Read by their lengths and not by their line feeds, because the values of extended attributes are
//! bytes of any kind.
//!
//! Source: POSIX.1-2017 `pax`, "pax Extended Header".

use super::LayerError;

/// What the records say about the next entry.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) modified: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the entry is a sparse file in one of GNU tar's ways.
    pub(super) sparse: bool,
}

/// Reads all records. A key that is there twice counts as it was written last, and an empty value
/// takes an earlier one back.
pub(super) fn parse(mut bytes: &[u8]) -> Result<Extensions, LayerError> {
    const BROKEN: LayerError = LayerError::NotTar("an extended header");
    let mut extensions = Extensions::default();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|&byte| byte == b' ').ok_or(BROKEN)?;
        let length: usize = parse_number(&bytes[..space]).ok_or(BROKEN)?;
        if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
            return Err(BROKEN);
        }
        let record = &bytes[space + 1..length - 1];
        let equals = record.iter().position(|&byte| byte == b'=').ok_or(BROKEN)?;
        extensions
            .take(&record[..equals], &record[equals + 1..])
            .ok_or(BROKEN)?;
        bytes = &bytes[length..];
    }
    Ok(extensions)
}

impl Extensions {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let text = || (!value.is_empty()).then(|| value.to_vec());
        let number = || match value {
            [] => Some(None),
            _ => parse_number(value).map(Some),
        };
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.linkpath = text(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" if value.is_empty() => self.modified = None,
            b"mtime" => self.modified = Some(time(value)?),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.retain(|(other, _)| other != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Some(())
    }
}

fn parse_number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds with a fraction: `1700000000.25`, `-1`. What is too large for a number is the largest.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if digits.is_empty()
        || !digits
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    if whole.starts_with('-') {
        return Some((-1, 0));
    }
    let nanoseconds: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    Some((whole.parse().unwrap_or(i64::MAX), nanoseconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let digits = |length: usize| length.to_string().len();
        let length = rest + digits(rest + digits(rest));
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn a_value_with_line_feeds_is_read_whole() {
        let bytes = [
            record("SCHILY.xattr.user.a", b"1\n2\n"),
            record("path", b"x"),
        ]
        .concat();
        let read = parse(&bytes).unwrap();
        assert_eq!(read.xattrs, [(b"user.a".to_vec(), b"1\n2\n".to_vec())]);
        assert_eq!(read.path.as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn times_are_read_with_their_fraction() {
        let read = |text: &[u8]| parse(&record("mtime", text)).unwrap().modified;
        assert_eq!(read(b"12.25"), Some((12, 250_000_000)));
        assert_eq!(read(b"-3.5"), Some((-1, 0)));
        assert_eq!(read(b"99999999999999999999"), Some((i64::MAX, 0)));
        assert_eq!(read(b""), None);
    }

    #[test]
    fn broken_records_are_refused() {
        for bytes in [
            &b"x"[..],
            b"5 a=b",
            b"3 a\n",
            b"99 a=b\n",
            b"-6 a=b\n",
            b"0 \n",
            b"11 size=-1\n",
            b"12 mtime=1e\n",
        ] {
            assert!(parse(bytes).is_err(), "{:?}", bytes.escape_ascii());
        }
    }
}
