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

/// As much as is looked through at once.
const READ: usize = 32 << 10;

impl Needs {
    /// Looks through all that `program` gives.
    ///
    /// # Errors
    /// Whatever reading gives.
    pub(super) fn of(program: &mut dyn Read) -> io::Result<Self> {
        let mut needs = Self::default();
        // The end of what was read before, so that a word may begin there.
        let mut window = [0; OVERLAP + READ];
        let mut kept = 0;
        loop {
            let count = match program.read(&mut window[kept..]) {
                Ok(0) => return Ok(needs),
                Ok(count) => kept + count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            needs.look(&window[..count]);
            let begin = count.saturating_sub(OVERLAP);
            window.copy_within(begin..count, 0);
            kept = count - begin;
        }
    }

    fn look(&mut self, bytes: &[u8]) {
        let names = |word: &[u8]| memmem::find(bytes, word).is_some();
        self.certificates |= CERTIFICATES.iter().any(|word| names(word));
        self.time_zones |= names(TIME_ZONES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its parts one by one.
    struct Parts<'a>(std::slice::Iter<'a, &'a [u8]>);

    impl Read for Parts<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let part = self.0.next().copied().unwrap_or_default();
            buffer[..part.len()].copy_from_slice(part);
            Ok(part.len())
        }
    }

    fn needs(parts: &[&[u8]]) -> Needs {
        Needs::of(&mut Parts(parts.iter())).unwrap()
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
