//! gzip on all cores, with an output that depends on nothing but the input.
//!
//! What deflate writes depends on how its input is cut into calls, so the input is first cut into
//! blocks of a fixed size, whatever the sizes of the writes were. Each block is compressed by
//! itself and ends on a byte boundary (a sync flush), so the blocks, one behind the other, are one
//! deflate stream in one gzip member (RFC 1951 and 1952). How many threads shared the work cannot
//! be seen in it.

use std::fmt;
use std::io::{self, Write};
use std::thread;

use flate2::{Compress, Crc, FlushCompress, Status};

/// The input of one block. Blocks that are much smaller compress badly, blocks that are much larger
/// leave cores without work.
pub const BLOCK: usize = 1 << 20;

/// As many blocks as this are compressed at once at most, so memory stays bounded on big machines.
const MOST_THREADS: usize = 16;

/// Deflate, no flags, no time, no hint about the level, unknown operating system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Compresses what is written to it into `W`.
pub struct Writer<W> {
    out: W,
    level: u8,
    threads: usize,
    block: usize,
    pending: Vec<u8>,
    started: bool,
    crc: Crc,
}

impl<W: Write> Writer<W> {
    /// A writer that uses every core.
    /// `level` is from 1 to 9.
    pub fn new(out: W, level: u8) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self::with(out, level, threads.min(MOST_THREADS), BLOCK)
    }

    fn with(out: W, level: u8, threads: usize, block: usize) -> Self {
        Self {
            out,
            level,
            threads,
            block,
            pending: Vec::new(),
            started: false,
            crc: Crc::new(),
        }
    }

    /// Compresses what is left, writes the trailer and gives `W` back.
    ///
    /// # Errors
    /// What writing into `W` gives.
    pub fn finish(mut self) -> io::Result<W> {
        self.compress(FlushCompress::Finish)?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.out)
    }

    /// Compresses all pending blocks, the last of them with `last`, and writes them in order.
    fn compress(&mut self, last: FlushCompress) -> io::Result<()> {
        if !self.started {
            self.out.write_all(&HEADER)?;
            self.started = true;
        }
        let blocks: Vec<&[u8]> = match self.pending.len() {
            0 => vec![&[]],
            _ => self.pending.chunks(self.block).collect(),
        };
        for block in &blocks {
            self.crc.update(block);
        }
        let (final_block, others) = blocks.split_last().expect("there is at least one block");
        let level = self.level;
        let compressed = thread::scope(|scope| {
            let threads: Vec<_> = others
                .iter()
                .map(|block| scope.spawn(move || deflate(block, level, FlushCompress::Sync)))
                .collect();
            let final_block = deflate(final_block, level, last);
            let mut compressed: Vec<_> = threads
                .into_iter()
                .map(|thread| thread.join().expect("deflate does not panic"))
                .collect();
            compressed.push(final_block);
            compressed
        });
        for block in compressed {
            self.out.write_all(&block?)?;
        }
        self.pending.clear();
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // Only when more comes is a full batch known not to be the last one.
        if self.pending.len() == self.threads * self.block && !buffer.is_empty() {
            self.compress(FlushCompress::Sync)?;
        }
        let room = self.threads * self.block - self.pending.len();
        let count = buffer.len().min(room);
        self.pending.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Does nothing: a flush would cut a block, and the output would depend on it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W> fmt::Debug for Writer<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

fn deflate(block: &[u8], level: u8, flush: FlushCompress) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(flate2::Compression::new(level.into()), false);
    // Room for what cannot be compressed: 5 bytes for every 16 kB, and the empty block of a flush.
    let mut out = Vec::with_capacity(block.len() + block.len() / 1024 + 64);
    loop {
        let consumed = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let status = compress
            .compress_vec(&block[consumed..], &mut out, flush)
            .map_err(io::Error::other)?;
        let all_read = compress.total_in() == block.len() as u64;
        let all_written = out.len() < out.capacity();
        match status {
            Status::StreamEnd => return Ok(out),
            Status::Ok if all_read && all_written && flush_is_done(flush) => return Ok(out),
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
    use std::io::Read;

    use super::*;

    /// Text that can be compressed, and noise that cannot, of a size that no block divides.
    fn sample(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match bytes.len() / 70_000 % 2 {
                0 => bytes.extend_from_slice(format!("line {}\n", state % 100).as_bytes()),
                _ => bytes.extend_from_slice(&state.to_be_bytes()),
            }
        }
        bytes.truncate(size);
        bytes
    }

    /// Small, so that many blocks are quickly compressed without optimisation.
    const SMALL: usize = 10_000;

    fn compressed(input: &[u8], threads: usize, write_size: usize) -> Vec<u8> {
        let mut writer = Writer::with(Vec::new(), 6, threads, SMALL);
        for part in input.chunks(write_size) {
            writer.write_all(part).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap()
    }

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
            let output = compressed(&input, 2, 7000);
            let mut decoder = flate2::bufread::GzDecoder::new(output.as_slice());
            let mut read = Vec::new();
            decoder.read_to_end(&mut read).unwrap();
            assert!(read == input, "{size} bytes came back changed");
            assert!(decoder.into_inner().is_empty(), "a second member, {size}");
        }
    }

    #[test]
    fn threads_and_write_sizes_do_not_show() {
        let input = sample(31 * SMALL + 1234);
        let expected = compressed(&input, 1, input.len());
        for (threads, write_size) in [(1, 1000), (2, 77_777), (3, SMALL), (16, 5_000_000)] {
            let output = compressed(&input, threads, write_size);
            assert!(output == expected, "{threads} threads, {write_size} bytes");
        }
    }
}
