//! What extension headers say about the entry behind them: PAX records, GNU's long names.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{EntryType, PaxExtensions};

use super::invalid;

/// What one extension header may have.
const MOST_EXTENSION: u64 = 1 << 20;

const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

#[derive(Debug, Default)]
pub(crate) struct Extension {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) time: Option<String>,
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Extension {
    /// Reads the entry if it is an extension header; whether it was one.
    pub(crate) fn takes(&mut self, entry: &mut tar::Entry<'_, &mut dyn Read>) -> io::Result<bool> {
        let kind = entry.header().entry_type();
        let is_extension = matches!(
            kind,
            EntryType::XHeader
                | EntryType::GNULongName
                | EntryType::GNULongLink
                | EntryType::XGlobalHeader
        );
        if !is_extension {
            return Ok(false);
        }
        if entry.size() > MOST_EXTENSION {
            return Err(invalid(format!(
                "a header in it has more than {MOST_EXTENSION} bytes"
            )));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        match kind {
            EntryType::GNULongName => self.path = Some(until_nul(bytes)),
            EntryType::GNULongLink => self.link = Some(until_nul(bytes)),
            EntryType::XHeader => self.read_pax(&bytes)?,
            _ => {}
        }
        Ok(true)
    }

    fn read_pax(&mut self, bytes: &[u8]) -> io::Result<()> {
        let malformed = || invalid("a PAX header in it is malformed".to_owned());
        for record in PaxExtensions::new(bytes) {
            let record = record.map_err(|_| malformed())?;
            let value = record.value_bytes();
            let number = || {
                let text = std::str::from_utf8(value).ok();
                text.and_then(|text| text.parse().ok())
                    .ok_or_else(malformed)
            };
            match record.key_bytes() {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number()?),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                b"mtime" => self.time = Some(value.escape_ascii().to_string()),
                key => {
                    if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                        self.attributes.insert(name.to_vec(), value.to_vec());
                    }
                }
            }
        }
        Ok(())
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}
