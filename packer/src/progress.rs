//! How the packer tells what it does while it does it.
//!
//! The library never prints. It tells a [`Progress`], and the caller decides: a bar on a terminal,
//! plain lines in a log, nothing at all ([`Silent`]). Only cargo, which the packer starts, writes to
//! standard error by itself.

/// Is told what the packer does. Every method has a body that does nothing.
pub trait Progress {
    /// Something that a user may want to read: one line, without a line break.
    fn note(&self, line: &str) {
        let _ = line;
    }

    /// `done` of `total` bytes of the layer's content have been packed.
    fn packed(&self, done: u64, total: u64) {
        let _ = (done, total);
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
