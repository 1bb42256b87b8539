//! What is opened by name while a program runs, and so stands in no header: known by the library
//! that opens it.
//!
//! Where the data lies is read in the library itself wherever it says so, because each distribution
//! has it elsewhere.

use std::collections::BTreeMap;

use super::host::Host;
use super::process::Process;
use super::{ClosureError, Loaded, texts};

mod crypto;
mod glibc;
mod guile;
mod perl;
mod python;
mod terminfo;

/// One kind of program that needs more than its headers say.
pub(super) struct Profile {
    /// Its name, unlike the others'.
    pub(super) name: &'static str,
    /// Whether a process is of this kind.
    applies: fn(&Process) -> bool,
    /// What it needs.
    needs: fn(&Host, &Process) -> Result<Needs, ClosureError>,
}

/// What a profile adds.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Files and folders, which are packed where they are; what is not there is left out.
    pub(super) data: Vec<String>,
    /// The same, of certificates.
    pub(super) certificates: Vec<String>,
    /// Names of what is left out of those folders.
    pub(super) without: Vec<&'static str>,
    /// Libraries to be loaded as with dlopen(3), if they are there.
    pub(super) libraries: Vec<String>,
    /// Files of our own.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Variables of the environment.
    pub(super) environment: BTreeMap<String, String>,
}

/// All profiles.
pub(super) const ALL: [Profile; 9] = [
    glibc::SYSTEM,
    glibc::CHARACTER_SETS,
    glibc::LOCALE,
    crypto::OPENSSL,
    crypto::GNUTLS,
    python::PYTHON,
    guile::GUILE,
    perl::PERL,
    terminfo::TERMINFO,
];

impl Profile {
    /// Whether `process` is of this kind.
    pub(super) fn is_of(&self, process: &Process) -> bool {
        (self.applies)(process)
    }

    /// What `process` needs.
    pub(super) fn needs(&self, host: &Host, process: &Process) -> Result<Needs, ClosureError> {
        (self.needs)(host, process)
    }
}

/// The absolute paths that a library was compiled with, sorted.
fn compiled_paths(host: &Host, library: &Loaded) -> Result<Vec<String>, ClosureError> {
    let mut paths = compiled_texts(host, library, |text| {
        text.starts_with('/').then(|| text.to_owned())
    })?;
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

/// What `select` makes of the texts in a library.
fn compiled_texts<T>(
    host: &Host,
    library: &Loaded,
    select: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ClosureError> {
    let mut selected = Vec::new();
    if let Some(file) = host.open(&library.host)? {
        let read = texts::each(file, |text| selected.extend(select(text)));
        read.map_err(|cause| ClosureError::unreadable(&library.host, cause))?;
    }
    Ok(selected)
}
