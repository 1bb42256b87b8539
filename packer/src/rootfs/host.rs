//! What programs read that no program holds: the certificates of authorities and the time zones.
//! They are taken from this host, so another host's can differ.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Content, Entry, SourceError, Tree};
use crate::package::{Files, Package, User};
use crate::program::Needs;
use crate::progress::Progress;

/// Where distributions keep all certificates in one file: Debian, Fedora, openSUSE, Alpine.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

const ZONES: &str = "/usr/share/zoneinfo";

/// Beside the zones: the same ones again with and without leap seconds, and this host's own choice.
const NO_ZONES: [&str; 3] = ["localtime", "posix", "right"];

/// Something that was asked for and is not on this host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No certificates.
    #[error(
        "{0} asks for certificates, and this host has none: install the package ca-certificates"
    )]
    NoCertificates(String),
    /// No time zones.
    #[error("{0} asks for time zones, and this host has none: install the package tzdata")]
    NoTimeZones(String),
    /// They cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Tree {
    /// Adds what `package` asks for, or what its program needs, with a word about the latter. What is
    /// in the tree already is the package's own and stays.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn add_from_host(
        &mut self,
        package: &Package,
        needs: Needs,
        progress: &dyn Progress,
    ) -> Result<(), HostError> {
        let name = || package.name.clone();
        let brings = |path: &str| self.has(path);
        let (own_certificates, own_zones) = (brings("/etc/ssl/certs"), brings(ZONES));
        if package.certificates.unwrap_or(needs.certificates) && !own_certificates {
            let there = self.add_certificates()?;
            let asked = package.certificates.is_some();
            if asked && !there {
                return Err(HostError::NoCertificates(name()));
            }
            tell(progress, asked, there, "certificates", "ca-certificates");
        }
        if package.time_zones.unwrap_or(needs.time_zones) && !own_zones {
            let there = self.add_time_zones()?;
            let asked = package.time_zones.is_some();
            if asked && !there {
                return Err(HostError::NoTimeZones(name()));
            }
            tell(progress, asked, there, "time-zones", "tzdata");
        }
        Ok(())
    }

    fn add_certificates(&mut self) -> Result<bool, SourceError> {
        let Some(bundle) = BUNDLES.iter().find(|path| Path::new(path).is_file()) else {
            return Ok(false);
        };
        self.add(&of_root(Path::new(bundle), Path::new(&BUNDLES[0][1..])))?;
        // Where a static OpenSSL and the BSDs look.
        let link = Content::Symlink("certs/ca-certificates.crt".into());
        self.place(Path::new("etc/ssl/cert.pem"), Entry::new(0o777, link))?;
        Ok(true)
    }

    fn add_time_zones(&mut self) -> Result<bool, SourceError> {
        let Ok(entries) = fs::read_dir(ZONES) else {
            return Ok(false);
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort_unstable();
        for path in &paths {
            let name = path.file_name().unwrap_or_default();
            if NO_ZONES.iter().any(|other| name == *other) {
                continue;
            }
            let to = path.strip_prefix("/").expect("it is absolute");
            self.add(&of_root(path, to))?;
        }
        Ok(!paths.is_empty())
    }
}

fn of_root(source: &Path, destination: &Path) -> Files {
    Files {
        source: source.to_owned(),
        destination: destination.to_owned(),
        mode: None,
        owner: User { uid: 0, gid: 0 },
        capabilities: None,
        location: None,
    }
}

/// Nobody needs to be told about what they asked for.
fn tell(progress: &dyn Progress, asked: bool, there: bool, key: &str, package: &str) {
    let what = key.replace('-', " ");
    match (asked, there) {
        (true, _) => {}
        (false, true) => progress.note(&format!(
            "packing the {what} of this host, because the program looks for them ({key} = false \
             leaves them out)"
        )),
        (false, false) => progress.note(&format!(
            "the program looks for {what}, and this host has none to pack (install {package})"
        )),
    }
}
