//! Reading a part of a file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// A part of a file, read without moving the file's own position, so that several can be read at
/// once.
pub(crate) struct Slice<'a> {
    pub(crate) file: &'a File,
    /// Where the rest of it begins, in bytes.
    pub(crate) offset: u64,
    /// How long that is, in bytes.
    pub(crate) size: u64,
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.size)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        self.size -= count as u64;
        Ok(count)
    }
}
