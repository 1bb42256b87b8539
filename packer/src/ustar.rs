//! What every tar has in common, read or written: blocks, padding, the room in a header.
//!
//! Source: POSIX.1-2017, pax, "ustar Interchange Format".

/// The length of a header in bytes, and what content is padded to.
pub(crate) const BLOCK: u64 = 512;

/// One empty block. Two of them end a tar.
pub(crate) const EMPTY: [u8; 512] = [0; 512];

/// The largest size that the twelve characters of a header can say; only for a larger one does a
/// writer need an extension header.
pub(crate) const LARGEST_SIZE: u64 = 0o77_777_777_777;

/// The largest number of a user or group that the eight characters of a header can say.
pub(crate) const LARGEST_ID: u64 = 0o7_777_777;

/// The zeros behind content of `size` bytes.
pub(crate) fn padding(size: u64) -> &'static [u8] {
    let missing = size.wrapping_neg() % BLOCK;
    &EMPTY[..usize::try_from(missing).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_fills_the_last_block() {
        for (size, zeros) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)] {
            assert_eq!(padding(size).len(), zeros);
        }
    }
}
