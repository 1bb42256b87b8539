//! Compiled seccomp profiles, kept by the digest of all that they were made of: to compile one takes as
//! long as all else that is computed for a start.

use std::fs;
use std::path::Path;

use packer::Digest;

use crate::sandbox::capability::CapabilitySet;
use crate::sandbox::seccomp::custom::{BadProfile, Instruction, Profile};
use crate::sandbox::spec::Filter;

/// The filter that the profile `text` becomes for a process with these capabilities, from `folder` if an
/// earlier command has left it there.
///
/// # Errors
/// [`BadProfile`].
pub fn filter(text: &[u8], bounding: CapabilitySet, folder: &Path) -> Result<Filter, BadProfile> {
    let kept = folder.join(key(text, bounding));
    if let Some(program) = fs::read(&kept).ok().and_then(|bytes| from_bytes(&bytes)) {
        return Ok(Filter::Program(program));
    }
    let filter = Profile::parse(text)?.filter(bounding)?;
    // More than a program is rare, and is compiled each time.
    if let Filter::Program(program) = &filter {
        // Only the next start is slower without it.
        let _ = packer::cache::keep(&kept, &to_bytes(program));
    }
    Ok(filter)
}

/// Names a compiled profile by all that it was made of.
fn key(text: &[u8], bounding: CapabilitySet) -> String {
    let mut all = text.to_vec();
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    all.extend(format!("\0{bounding} {version} {arch} {release}").bytes());
    Digest::of(&all).hex()
}

fn to_bytes(program: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for Instruction(code, yes, no, value) in program {
        bytes.extend(code.to_le_bytes());
        bytes.extend([*yes, *no]);
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

/// `None` for what is cut off: a program has at least one instruction, and each has eight bytes.
fn from_bytes(bytes: &[u8]) -> Option<Vec<Instruction>> {
    let (whole, rest) = bytes.as_chunks::<8>();
    (!whole.is_empty() && rest.is_empty()).then(|| {
        whole
            .iter()
            .map(|[c0, c1, yes, no, v0, v1, v2, v3]| {
                let (code, value) = (
                    u16::from_le_bytes([*c0, *c1]),
                    u32::from_le_bytes([*v0, *v1, *v2, *v3]),
                );
                Instruction(code, *yes, *no, value)
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_profile_is_kept_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("cache");
        let text = br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#;
        let make = |bounding| filter(text, bounding, &folder).unwrap();
        let kept = || fs::read_dir(&folder).unwrap().count();
        let first = make(CapabilitySet::EMPTY);
        assert_eq!(kept(), 1);
        assert_eq!(make(CapabilitySet::EMPTY), first);
        make(CapabilitySet::all());
        assert_eq!(kept(), 2);
        // One that was cut off is made anew.
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            fs::write(entry.path(), b"x").unwrap();
        }
        assert_eq!(make(CapabilitySet::EMPTY), first);
        assert!(filter(b"{", CapabilitySet::EMPTY, &folder).is_err());
    }
}
