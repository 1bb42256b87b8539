//! Reading a layer as it was stored: its first bytes say how it is compressed.
//!
//! Media types are not believed: docker-archives have none, and writers get them wrong.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::image::media_type;

/// How stored bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all, or in a way that is not known.
    Plain,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// xz (the .xz file format, 1.2).
    Xz,
    /// bzip2: recognised, so that it can be named, and not read.
    Bzip2,
}

/// As many first bytes as an encoding needs to be recognised.
const MAGIC: usize = 6;

/// What reading xz may take, in KiB: `xz -9` makes a dictionary of 64 MiB, and nothing that is
/// called by a number makes a larger one.
const MOST_XZ_KIB: u32 = 80 << 10;

impl Encoding {
    /// What the first bytes of some content say.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame, with which some writers begin (RFC 8878, 3.1.2).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }

    /// What the beginning of `content` says.
    ///
    /// # Errors
    /// What reading it gives.
    pub fn read(content: impl Read) -> io::Result<Self> {
        let mut start = Vec::with_capacity(MAGIC);
        content.take(MAGIC as u64).read_to_end(&mut start)?;
        Ok(Self::of(&start))
    }

    /// The OCI media type of a layer that is stored so. There is none for xz and bzip2; readers of
    /// such a layer look at its first bytes.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => media_type::LAYER_GZIP,
            Self::Zstd => media_type::LAYER_ZSTD,
            Self::Plain | Self::Xz | Self::Bzip2 => media_type::LAYER,
        }
    }
}

/// Decompresses a stored layer (or anything else), whatever it is compressed with.
///
/// # Errors
/// What reading the first bytes gives; `InvalidData` for bzip2, which no client of today writes.
pub fn decompress<'a>(mut stored: Box<dyn Read + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::with_capacity(MAGIC);
    stored.by_ref().take(MAGIC as u64).read_to_end(&mut start)?;
    let encoding = Encoding::of(&start);
    let whole = BufReader::with_capacity(128 << 10, io::Cursor::new(start).chain(stored));
    match encoding {
        Encoding::Plain => Ok(Box::new(whole)),
        Encoding::Gzip => Ok(Box::new(MultiGzDecoder::new(whole))),
        Encoding::Zstd => Ok(Box::new(ZstdFrames::new(whole))),
        Encoding::Xz => Ok(Box::new(XzReader::new_mem_limit(whole, true, MOST_XZ_KIB))),
        Encoding::Bzip2 => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is compressed with bzip2, and gzip, zstd and xz are what is read: bunzip2 it first",
        )),
    }
}

/// Every frame of a Zstandard stream, one behind the other; skippable frames are skipped. The
/// decoder refuses a window above 128 MiB, so memory is bounded.
struct ZstdFrames<R> {
    stored: R,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(stored: R) -> Self {
        Self {
            stored,
            decoder: FrameDecoder::new(),
            inside: false,
        }
    }

    /// Begins the next frame, if there is one.
    fn begin_frame(&mut self) -> io::Result<()> {
        while !self.inside && !self.stored.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.stored) {
                Ok(()) => self.inside = true,
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => self.skip(length.into())?,
                Err(error) => return Err(invalid(error)),
            }
        }
        Ok(())
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.stored.by_ref().take(length), &mut io::sink())?;
        if skipped < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 {
            self.begin_frame()?;
            if !self.inside {
                return Ok(0);
            }
            self.decoder
                .decode_blocks(&mut self.stored, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(invalid)?;
            self.inside = !self.decoder.is_finished();
        }
        self.decoder.read(buffer)
    }
}

fn invalid(error: FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn decompressed(stored: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        decompress(Box::new(stored))?.read_to_end(&mut content)?;
        Ok(content)
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        compress_to_vec(content, CompressionLevel::Fastest)
    }

    #[test]
    fn the_first_bytes_say_how_content_is_compressed() {
        let content = b"some content ".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&content).unwrap();
        for stored in [content.clone(), gzip.finish().unwrap(), zstd(&content)] {
            assert_eq!(decompressed(&stored).unwrap(), content);
        }
    }

    /// 20 times "some content ", as `xz` writes it with a dictionary whose size stands in `header`.
    fn xz(header: [u8; 5]) -> Vec<u8> {
        let parts: [&[u8]; 4] = [
            b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01",
            &header[..1],
            b"\0\0\0",
            &header[1..5],
        ];
        let rest = b"\xe0\x01\x03\0\x13\x5d\0\x39\x9b\xc9\xf2\xe7\x50\x55\x5b\x38\xb2\x7e\x32\xb8\xef\
            \xfd\xee\x37\xc0\0\0\0\xf0\xb0\xc3\xf7\xcc\xcf\x56\x4d\0\x01\x2f\x84\x02\0\0\0\xe7\xbd\xc0\xdb\
            \xb1\xc4\x67\xfb\x02\0\0\0\0\x04YZ";
        [&parts.concat(), &rest[..]].concat()
    }

    #[test]
    fn xz_is_read_in_bounded_memory() {
        let usual = xz([0x1c, 0x10, 0xcf, 0x58, 0xcc]);
        assert_eq!(decompressed(&usual).unwrap(), b"some content ".repeat(20));
        assert!(decompressed(&usual[..usual.len() - 9]).is_err());
        let one_gibibyte = xz([0x24, 0x5e, 0x1f, 0xc7, 0xf9]);
        let error = decompressed(&one_gibibyte).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }

    #[test]
    fn nothing_and_less_than_a_magic_number_are_plain() {
        assert_eq!(decompressed(b"").unwrap(), b"");
        assert_eq!(decompressed(b"abc").unwrap(), b"abc");
    }

    #[test]
    fn zstd_frames_follow_each_other_and_skippable_ones_are_skipped() {
        let skippable = [&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let stored = [&skippable[..], &zstd(b"one"), &skippable, &zstd(b"two")].concat();
        assert_eq!(decompressed(&stored).unwrap(), b"onetwo");
    }

    #[test]
    fn truncated_content_is_an_error() {
        let whole = zstd(&b"some content ".repeat(1000));
        assert!(decompressed(&whole[..whole.len() - 2]).is_err());
        assert!(decompressed(&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1]).is_err());
        assert!(decompressed(&[0x1f, 0x8b, 8]).is_err());
    }

    #[test]
    fn an_unsupported_encoding_is_named() {
        let error = decompressed(b"BZh91AYrest").unwrap_err();
        assert!(error.to_string().contains("bzip2"), "{error}");
    }
}
