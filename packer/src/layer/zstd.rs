//! Zstandard (RFC 8878) of blocks that were compressed apart: each is a frame, and frames follow each
//! other in one stream.
//!
//! The reference library writes it, though it is C: the encoders in Rust are five times slower or
//! larger by a quarter, and a host that links programs has a C compiler.

use std::io;

use super::blocks::{Codec, Compressor};

/// Frames of Zstandard.
#[derive(Debug)]
pub(super) struct Zstd {
    /// From 1 to 19.
    pub(super) level: u8,
}

impl Codec for Zstd {
    /// A frame refers to nothing before it.
    const BLOCK: usize = 1 << 20;
    const BEFORE: usize = 0;

    fn most(size: usize) -> usize {
        zstd::zstd_safe::compress_bound(size)
    }

    fn begin(&self) -> Vec<u8> {
        Vec::new()
    }

    fn see(&mut self, _: &[u8]) {}

    fn compressor(&self) -> Compressor {
        // A level of ours is one of the library's, so this fails for want of memory at most, and then
        // with the first block.
        let mut compressor = zstd::bulk::Compressor::new(self.level.into());
        Box::new(move |block, out| match &mut compressor {
            Ok(compressor) => {
                compressor.compress_to_buffer(block.content(), out)?;
                Ok(())
            }
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        })
    }

    fn end(&self) -> Vec<u8> {
        Vec::new()
    }
}
