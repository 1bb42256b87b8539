//! Compressing on all cores, with an output that depends on nothing but the input.
//!
//! What a compressor writes depends on how its input is cut into calls, so the input is first cut
//! into blocks of a fixed size, whatever the sizes of the writes were, and each block is compressed by
//! itself. How many threads shared the work cannot be seen in the output.

use std::fmt;
use std::io::{self, Write};
use std::thread;

/// The input of one block. Blocks that are much smaller compress badly, blocks that are much larger
/// leave cores without work.
const BLOCK: usize = 1 << 20;

/// As many blocks as this are compressed at once at most, so memory stays bounded on big machines.
const MOST_THREADS: usize = 16;

/// How blocks are compressed so that, one behind the other, they are one stream.
pub trait Codec: Sync {
    /// What stands before the first block.
    fn begin(&self) -> Vec<u8>;

    /// Is shown every block in order.
    fn see(&mut self, block: &[u8]);

    /// Compresses one block.
    ///
    /// # Errors
    /// What the compressor gives.
    fn compress(&self, block: &[u8], is_last: bool) -> io::Result<Vec<u8>>;

    /// What stands behind the last block.
    fn end(&self) -> Vec<u8>;
}

/// Compresses what is written to it into `W`.
pub struct Writer<W, C> {
    out: W,
    codec: C,
    threads: usize,
    block: usize,
    pending: Vec<u8>,
    started: bool,
}

impl<W: Write, C: Codec> Writer<W, C> {
    /// A writer that uses every core.
    pub(super) fn new(out: W, codec: C) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self::with(out, codec, threads.min(MOST_THREADS), BLOCK)
    }

    pub(super) fn with(out: W, codec: C, threads: usize, block: usize) -> Self {
        Self {
            out,
            codec,
            threads,
            block,
            pending: Vec::new(),
            started: false,
        }
    }

    /// Compresses what is left, completes the stream and gives `W` back.
    ///
    /// # Errors
    /// What writing into `W` gives.
    pub fn finish(mut self) -> io::Result<W> {
        self.compress(true)?;
        self.out.write_all(&self.codec.end())?;
        Ok(self.out)
    }

    /// Compresses all pending blocks and writes them in order.
    fn compress(&mut self, is_last: bool) -> io::Result<()> {
        if !self.started {
            self.out.write_all(&self.codec.begin())?;
            self.started = true;
        }
        let blocks: Vec<&[u8]> = match self.pending.len() {
            0 => vec![&[]],
            _ => self.pending.chunks(self.block).collect(),
        };
        for block in &blocks {
            self.codec.see(block);
        }
        let codec = &self.codec;
        let (final_block, others) = blocks.split_last().expect("there is at least one block");
        let compressed = thread::scope(|scope| {
            let threads: Vec<_> = others
                .iter()
                .map(|block| scope.spawn(move || codec.compress(block, false)))
                .collect();
            let final_block = codec.compress(final_block, is_last);
            let mut compressed: Vec<_> = threads
                .into_iter()
                .map(|thread| thread.join().expect("a compressor does not panic"))
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

impl<W: Write, C: Codec> Write for Writer<W, C> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // Only when more comes is a full batch known not to be the last one.
        if self.pending.len() == self.threads * self.block && !buffer.is_empty() {
            self.compress(false)?;
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

impl<W, C> fmt::Debug for Writer<W, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Small, so that many blocks are quickly compressed without optimisation.
    pub(in super::super) const SMALL: usize = 10_000;

    /// Text that can be compressed, and noise that cannot, of a size that no block divides.
    pub(in super::super) fn sample(size: usize) -> Vec<u8> {
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

    /// Marks where a block begins and ends.
    struct Marks;

    impl Codec for Marks {
        fn begin(&self) -> Vec<u8> {
            b"<".to_vec()
        }

        fn see(&mut self, _: &[u8]) {}

        fn compress(&self, block: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
            let end: &[u8] = if is_last { b"." } else { b"|" };
            Ok([block, end].concat())
        }

        fn end(&self) -> Vec<u8> {
            b">".to_vec()
        }
    }

    fn compressed(input: &[u8], threads: usize, write_size: usize) -> Vec<u8> {
        let mut writer = Writer::with(Vec::new(), Marks, threads, SMALL);
        for part in input.chunks(write_size) {
            writer.write_all(part).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn threads_and_write_sizes_do_not_show() {
        for size in [0, SMALL, 4 * SMALL, 31 * SMALL + 1234] {
            let input = sample(size);
            let expected = compressed(&input, 1, input.len().max(1));
            for (threads, write_size) in [(1, 1000), (2, 77_777), (3, SMALL), (16, 5_000_000)] {
                let output = compressed(&input, threads, write_size);
                assert!(output == expected, "{threads} threads, {write_size} bytes");
            }
        }
    }
}
