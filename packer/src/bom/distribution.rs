//! Which package of this host's distribution brought a file: what dpkg's database says.
//!
//! Source: dpkg(1), `/var/lib/dpkg/info/NAME.list` and `/var/lib/dpkg/status` (deb-control(5));
//! os-release(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::crates::escaped;
use super::{Component, Error, Kind};

const DATABASE: &str = "/var/lib/dpkg";

/// A package that is installed here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Package {
    /// With the architecture where there could be two: `libc6:amd64`.
    pub(super) name: String,
    version: String,
    architecture: String,
    /// `debian`, and the release.
    distribution: (String, String),
}

/// The owners of some files.
#[derive(Debug, Default)]
pub(super) struct Installed {
    owners: BTreeMap<PathBuf, String>,
    packages: BTreeMap<String, Package>,
}

impl Package {
    pub(super) fn component(&self) -> Component {
        let name = self.name.split(':').next().unwrap_or_default();
        let mut component = Component::new(Kind::Library, name);
        let (system, release) = &self.distribution;
        let mut purl = format!(
            "pkg:deb/{system}/{}@{}?arch={}",
            escaped(name),
            escaped(&self.version),
            escaped(&self.architecture)
        );
        if !release.is_empty() {
            purl.push_str(&format!("&distro={system}-{release}"));
        }
        component.purl = Some(purl);
        component.version = Some(self.version.clone());
        component
    }
}

impl Installed {
    /// The packages that these files of this host come from.
    pub(super) fn among(files: &[PathBuf]) -> Result<Self, Error> {
        let info = Path::new(DATABASE).join("info");
        let lists = match fs::read_dir(&info) {
            Ok(lists) => lists,
            // Another distribution.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::unreadable(&info)(error)),
        };
        // A package may name a file by a path with links in it: /lib for /usr/lib.
        let mut wanted: BTreeMap<PathBuf, Vec<&Path>> = BTreeMap::new();
        for file in files {
            let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
            let short = real
                .strip_prefix("/usr")
                .map(|rest| Path::new("/").join(rest));
            wanted.entry(real).or_default().push(file);
            if let Ok(short) = short {
                wanted.entry(short).or_default().push(file);
            }
        }
        let mut installed = Self::default();
        for list in lists {
            let path = list.map_err(Error::unreadable(&info))?.path();
            let Some(name) = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".list"))
            else {
                continue;
            };
            let text = fs::read(&path).map_err(Error::unreadable(&path))?;
            for line in String::from_utf8_lossy(&text).lines() {
                for file in wanted.get(Path::new(line)).into_iter().flatten() {
                    installed.owners.insert((*file).to_owned(), name.to_owned());
                }
            }
        }
        installed.describe()?;
        Ok(installed)
    }

    /// The package that `file` comes from.
    pub(super) fn owner(&self, file: &Path) -> Option<&Package> {
        self.packages.get(self.owners.get(file)?)
    }

    /// Reads versions of the packages that are owners.
    fn describe(&mut self) -> Result<(), Error> {
        if self.owners.is_empty() {
            return Ok(());
        }
        let status = Path::new(DATABASE).join("status");
        let text = fs::read(&status).map_err(Error::unreadable(&status))?;
        let names: BTreeSet<&String> = self.owners.values().collect();
        let distribution = distribution();
        for stanza in String::from_utf8_lossy(&text).split("\n\n") {
            let field = |name: &str| {
                let mut lines = stanza.lines();
                let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                value.unwrap_or_default().to_owned()
            };
            let (name, architecture) = (field("Package"), field("Architecture"));
            for name in [format!("{name}:{architecture}"), name] {
                if names.contains(&name) && !self.packages.contains_key(&name) {
                    let package = Package {
                        name: name.clone(),
                        version: field("Version"),
                        architecture: architecture.clone(),
                        distribution: distribution.clone(),
                    };
                    self.packages.insert(name, package);
                }
            }
        }
        Ok(())
    }
}

/// The distribution's name and release, as package URLs have them.
fn distribution() -> (String, String) {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    match field("ID") {
        id if id.is_empty() => ("debian".to_owned(), String::new()),
        id => (id, field("VERSION_ID")),
    }
}
