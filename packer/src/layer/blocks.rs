//! Compressing on all cores, with an output that depends on nothing but the input.
//!
//! What a compressor writes depends on how its input is cut into calls, so the input is first cut
//! into blocks of a fixed size, whatever the sizes of the writes were, and each block is compressed
//! with nothing else in mind than what stands before it in the input. How many threads shared the
//! work cannot be seen in the output.

use std::fmt;
use std::io::{self, Write};
use std::thread;

use super::workers::Workers;

/// As many threads as this compress at most, so memory stays bounded on big machines.
const MOST_THREADS: usize = 16;

/// How blocks are compressed so that, one behind the other, they are one stream.
pub trait Codec {
    /// The bytes of a block. Blocks that are much smaller compress badly, blocks that are much larger
    /// leave cores without work.
    const BLOCK: usize;

    /// As many bytes before a block are shown to its compressor.
    const BEFORE: usize;

    /// As many bytes as the compressed form of `size` bytes may have.
    fn most(size: usize) -> usize;

    /// What stands before the first block.
    fn begin(&self) -> Vec<u8>;

    /// Is shown every block in order.
    fn see(&mut self, block: &[u8]);

    /// What compresses blocks on one thread, one after the other.
    fn compressor(&self) -> Compressor;

    /// What stands behind the last block.
    fn end(&self) -> Vec<u8>;
}

/// Compresses a block into an empty buffer that has room for it. What it writes depends on nothing but the block.
pub(super) type Compressor = Box<dyn FnMut(&Block, &mut Vec<u8>) -> io::Result<()> + Send>;

/// A piece of the input.
#[derive(Debug, Default)]
pub struct Block {
    /// What stands before the block, as far as a compressor wants it, and then the block.
    bytes: Vec<u8>,
    /// Where the block begins.
    start: usize,
    /// Whether nothing follows.
    pub(super) is_last: bool,
}

/// A block and what it is compressed. Both buffers are used again and again: large ones that came and
/// went would leave holes in the memory of every thread.
#[derive(Debug, Default)]
pub(super) struct Pair {
    pub(super) block: Block,
    pub(super) compressed: Vec<u8>,
}

impl Block {
    /// What stands before it in the input, as far as the codec wants it.
    pub(super) fn before(&self) -> &[u8] {
        &self.bytes[..self.start]
    }

    /// The block.
    pub(super) fn content(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Compresses what is written to it into `W`.
pub struct Writer<W, C> {
    out: W,
    codec: C,
    block: usize,
    /// What stands before the present block, and then the block as far as it was written.
    pending: Vec<u8>,
    /// Where the present block begins.
    start: usize,
    workers: Workers,
    /// Buffers that wait for their next use.
    spare: Vec<Pair>,
    started: bool,
}

impl<W: Write, C: Codec> Writer<W, C> {
    /// A writer that uses every core.
    pub(super) fn new(out: W, codec: C) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self::with(out, codec, threads.min(MOST_THREADS), C::BLOCK)
    }

    pub(super) fn with(out: W, codec: C, threads: usize, block: usize) -> Self {
        Self {
            out,
            codec,
            block,
            pending: Vec::new(),
            start: 0,
            workers: Workers::new(threads),
            spare: Vec::new(),
            started: false,
        }
    }

    /// Compresses what is left, completes the stream and gives `W` back.
    ///
    /// # Errors
    /// What writing into `W` gives.
    pub fn finish(mut self) -> io::Result<W> {
        self.hand_over(true)?;
        while self.write_next()? {}
        self.out.write_all(&self.codec.end())?;
        Ok(self.out)
    }

    /// Gives the present block to a worker and begins the next one.
    fn hand_over(&mut self, is_last: bool) -> io::Result<()> {
        if !self.started {
            self.out.write_all(&self.codec.begin())?;
            self.started = true;
        }
        self.codec.see(&self.pending[self.start..]);
        while self.workers.are_busy() && self.write_next()? {}
        let mut pair = self.spare.pop().unwrap_or_default();
        // Here and not on the threads, where it would lie in the way of what compressors take and
        // give back.
        pair.compressed.clear();
        pair.compressed.reserve_exact(C::most(self.block));
        let next = &mut pair.block.bytes;
        next.clear();
        let before = self.pending.len().min(C::BEFORE);
        if !is_last {
            next.reserve_exact(before + self.block);
            next.extend_from_slice(&self.pending[self.pending.len() - before..]);
        }
        std::mem::swap(next, &mut self.pending);
        pair.block.start = self.start;
        pair.block.is_last = is_last;
        self.start = before;
        self.workers.take(pair, &|| self.codec.compressor());
        Ok(())
    }

    /// Writes the oldest block that a worker has; says whether there was one.
    fn write_next(&mut self) -> io::Result<bool> {
        let Some(pair) = self.workers.next() else {
            return Ok(false);
        };
        let pair = pair?;
        self.out.write_all(&pair.compressed)?;
        self.spare.push(pair);
        Ok(true)
    }
}

impl<W: Write, C: Codec> Write for Writer<W, C> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // Only when more comes is a full block known not to be the last one.
        if self.pending.len() - self.start == self.block && !buffer.is_empty() {
            self.hand_over(false)?;
        }
        let room = self.block - (self.pending.len() - self.start);
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
            .field("workers", &self.workers)
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

    /// Marks where a block begins and ends, and what stands before it.
    struct Marks;

    impl Codec for Marks {
        const BLOCK: usize = SMALL;
        const BEFORE: usize = 3;

        fn most(size: usize) -> usize {
            size
        }

        fn begin(&self) -> Vec<u8> {
            b"<".to_vec()
        }

        fn see(&mut self, _: &[u8]) {}

        fn compressor(&self) -> Compressor {
            Box::new(|block, out| {
                let end: &[u8] = if block.is_last { b"." } else { b"|" };
                *out = [block.before(), b":", block.content(), end].concat();
                Ok(())
            })
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

    #[test]
    fn a_compressor_sees_the_end_of_the_block_before() {
        let mut writer = Writer::with(Vec::new(), Marks, 2, 4);
        writer.write_all(b"abcdefghij").unwrap();
        assert_eq!(writer.finish().unwrap(), b"<:abcd|bcd:efgh|fgh:ij.>");
    }

    #[test]
    fn a_failing_compressor_is_an_error() {
        struct Broken;
        impl Codec for Broken {
            const BLOCK: usize = 4;
            const BEFORE: usize = 0;
            fn most(_: usize) -> usize {
                0
            }
            fn begin(&self) -> Vec<u8> {
                Vec::new()
            }
            fn see(&mut self, _: &[u8]) {}
            fn compressor(&self) -> Compressor {
                Box::new(|_, _| Err(io::Error::other("broken")))
            }
            fn end(&self) -> Vec<u8> {
                Vec::new()
            }
        }
        for size in [1, 1000] {
            let mut writer = Writer::with(Vec::new(), Broken, 2, 4);
            let written = writer.write_all(&sample(size));
            let error = written.and_then(|()| writer.finish()).unwrap_err();
            assert_eq!(error.to_string(), "broken");
        }
    }
}
