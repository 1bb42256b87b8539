//! What a program wants to find beside it, by the paths that stand in it: whoever reads the
//! certificates of authorities or the time zones has to name where they are.

use std::io::{self, Read};

use memchr::memmem;

/// What a program reads that is no part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// The certificates of authorities.
    pub certificates: bool,
    /// The time zones.
    pub time_zones: bool,
}

/// The folders and names by which TLS libraries find certificates: OpenSSL, Go and rustls all know
/// the first.
const CERTIFICATES: [&[u8]; 2] = [b"/etc/ssl/cert", b"SSL_CERT_FILE"];
/// Where the C libraries, Go and Rust's crates look for time zones.
const TIME_ZONES: &[u8] = b"/usr/share/zoneinfo";

/// As many bytes as a word can reach from one read into the next.
const OVERLAP: usize = 32;

/// Looks for needs in what is read through it.
#[derive(Debug, Default)]
pub(super) struct Finder {
    found: Needs,
    /// The end of what was read, and then what is read next.
    window: Vec<u8>,
}

impl Finder {
    /// Hands on what `source` gives.
    pub(super) fn watch<R: Read>(&mut self, source: R) -> Watched<'_, R> {
        Watched {
            finder: self,
            source,
        }
    }

    /// What was found.
    pub(super) fn found(self) -> Needs {
        self.found
    }

    fn look(&mut self, bytes: &[u8]) {
        let kept = self.window.len().saturating_sub(OVERLAP);
        self.window.drain(..kept);
        self.window.extend_from_slice(bytes);
        let names = |word: &[u8]| memmem::find(&self.window, word).is_some();
        self.found.certificates |= CERTIFICATES.iter().any(|word| names(word));
        self.found.time_zones |= names(TIME_ZONES);
    }
}

pub(super) struct Watched<'a, R> {
    finder: &'a mut Finder,
    source: R,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.finder.look(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(parts: &[&[u8]]) -> Needs {
        let mut finder = Finder::default();
        for part in parts {
            finder.look(part);
        }
        finder.found()
    }

    #[test]
    fn a_path_is_found_across_two_reads() {
        let found = needs(&[b"code /usr/share/", b"zoneinfo/Europe/Berlin"]);
        assert!(found.time_zones && !found.certificates);
        let found = needs(&[b"x", b"/etc/ssl/certs/ca-certificates.crt"]);
        assert!(found.certificates && !found.time_zones);
        assert_eq!(needs(&[b"/usr/share/", b"/zoneinfo"]), Needs::default());
    }
}
