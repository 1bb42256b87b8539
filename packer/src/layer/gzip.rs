//! gzip (RFC 1952) of blocks that were compressed apart: each ends on a byte boundary (a sync flush),
//! so the blocks, one behind the other, are one deflate stream (RFC 1951) in one member. A block may
//! refer to what stands before it, so small blocks cost no size.

use std::io;

use flate2::{Compress, Crc, FlushCompress, Status};

use super::blocks::{self, Block, Codec, Compressor};

/// Deflate, no flags, no time, no hint about the level, unknown operating system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// One gzip member.
#[derive(Debug)]
pub struct Gzip {
    level: u8,
    crc: Crc,
}

/// Compresses what is written to it into `W`, as one gzip member.
pub type Writer<W> = blocks::Writer<W, Gzip>;

/// A writer that uses every core. `level` is from 1 to 9.
pub fn writer<W: io::Write>(out: W, level: u8) -> Writer<W> {
    blocks::Writer::new(out, Gzip::new(level))
}

impl Gzip {
    fn new(level: u8) -> Self {
        Self {
            level,
            crc: Crc::new(),
        }
    }
}

impl Codec for Gzip {
    /// Even the layer of a small program keeps several cores busy.
    const BLOCK: usize = 128 << 10;

    /// Deflate refers to no more (RFC 1951, 2).
    const BEFORE: usize = 32 << 10;

    /// What cannot be compressed has 5 bytes more for every 16 kB, and the empty block of a flush.
    fn most(size: usize) -> usize {
        size + size / 1024 + 64
    }

    fn begin(&self) -> Vec<u8> {
        HEADER.to_vec()
    }

    fn see(&mut self, block: &[u8]) {
        self.crc.update(block);
    }

    fn compressor(&self) -> Compressor {
        let level = flate2::Compression::new(self.level.into());
        // A new one for each block: one that was used and reset writes other bytes for some.
        Box::new(move |block, out| deflate(block, &mut Compress::new(level, false), out))
    }

    fn end(&self) -> Vec<u8> {
        [
            self.crc.sum().to_le_bytes(),
            self.crc.amount().to_le_bytes(),
        ]
        .concat()
    }
}

fn deflate(block: &Block, compress: &mut Compress, out: &mut Vec<u8>) -> io::Result<()> {
    let flush = match block.is_last {
        true => FlushCompress::Finish,
        false => FlushCompress::Sync,
    };
    if !block.before().is_empty() {
        compress
            .set_dictionary(block.before())
            .map_err(io::Error::other)?;
    }
    let content = block.content();
    loop {
        let consumed = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let status = compress
            .compress_vec(&content[consumed..], out, flush)
            .map_err(io::Error::other)?;
        let all_read = compress.total_in() == content.len() as u64;
        let all_written = out.len() < out.capacity();
        match status {
            Status::StreamEnd => return Ok(()),
            Status::Ok if all_read && all_written && flush_is_done(flush) => return Ok(()),
            Status::Ok | Status::BufError => out.reserve(1 << 16),
        }
    }
}

/// A sync flush is complete when room was left behind it; only a finished stream says so itself.
fn flush_is_done(flush: FlushCompress) -> bool {
    matches!(flush, FlushCompress::Sync)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::super::blocks::tests::{SMALL, sample};
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn one_gzip_member_holds_everything() {
        for size in [
            0,
            1,
            SMALL - 1,
            SMALL,
            SMALL + 1,
            2 * SMALL,
            25 * SMALL + 77,
        ] {
            let input = sample(size);
            let mut writer = blocks::Writer::with(Vec::new(), Gzip::new(6), 2, SMALL);
            writer.write_all(&input).unwrap();
            let output = writer.finish().unwrap();
            let mut decoder = flate2::bufread::GzDecoder::new(output.as_slice());
            let mut read = Vec::new();
            decoder.read_to_end(&mut read).unwrap();
            assert!(read == input, "{size} bytes came back changed");
            assert!(decoder.into_inner().is_empty(), "a second member, {size}");
        }
    }

    /// A compressor that was used before and then reset writes other bytes for some blocks, so it
    /// would show on which thread a block was.
    #[test]
    fn threads_do_not_show() {
        // Only programs have shown it: this one is at hand.
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let input = &program[..program.len().min(6 << 20)];
        let compressed = |threads| {
            let mut writer = blocks::Writer::with(Vec::new(), Gzip::new(6), threads, Gzip::BLOCK);
            writer.write_all(input).unwrap();
            Digest::of(&writer.finish().unwrap())
        };
        let one = compressed(1);
        for threads in [2, 3, 4, 5] {
            assert_eq!(compressed(threads), one, "{threads}");
        }
    }
}
