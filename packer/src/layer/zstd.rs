//! Zstandard (RFC 8878) of blocks that were compressed apart: each is a frame, and frames follow each
//! other in one stream.
//!
//! The reference library writes it, though it is C: the encoders in Rust are five times slower or
//! larger by a quarter, and a host that links programs has a C compiler.

use std::io;

use super::blocks::Codec;

/// Frames of Zstandard.
#[derive(Debug)]
pub(super) struct Zstd {
    /// From 1 to 19.
    pub(super) level: u8,
}

impl Codec for Zstd {
    fn begin(&self) -> Vec<u8> {
        Vec::new()
    }

    fn see(&mut self, _: &[u8]) {}

    fn compress(&self, block: &[u8], _: bool) -> io::Result<Vec<u8>> {
        zstd::bulk::compress(block, self.level.into())
    }

    fn end(&self) -> Vec<u8> {
        Vec::new()
    }
}
