//! The exact versions of what a package is made of, from `Cargo.lock`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::{Origin, Package, cargo};

/// `Cargo.lock`, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Lock {
    #[serde(default)]
    pub(crate) package: Vec<Locked>,
}

/// One package of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Locked {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Where it is from; nothing is the workspace.
    pub(crate) source: Option<String>,
    /// The SHA-256 of its archive in a registry.
    pub(crate) checksum: Option<String>,
    /// `name`, or `name version` where several versions of one package are there.
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Lock {
    /// Reads a lock file; what is none is empty.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        Ok(toml::from_str(&std::fs::read_to_string(path)?).unwrap_or_default())
    }
}

/// What `package` needs directly, sorted.
pub(super) fn dependencies(package: &cargo::Package) -> Vec<String> {
    let mut names: Vec<String> = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind.is_none())
        .map(|dependency| dependency.name.clone())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Gives what the package needs its exact versions, as `name@version`; where there is no lock file
/// yet, nobody knows them.
pub(super) fn add_versions(package: &mut Package) {
    if let Origin::Cargo {
        workspace,
        package: name,
        ..
    } = &package.origin
    {
        let lock = Lock::read(&workspace.join("Cargo.lock")).unwrap_or_default();
        let names = std::mem::take(&mut package.dependencies);
        package.dependencies = with_versions(&lock, name, names);
    }
}

fn with_versions(lock: &Lock, package: &str, names: Vec<String>) -> Vec<String> {
    let only_versions: BTreeMap<&str, &str> = lock
        .package
        .iter()
        .map(|locked| (locked.name.as_str(), locked.version.as_str()))
        .collect();
    let chosen: BTreeMap<&str, &str> = lock
        .package
        .iter()
        .filter(|locked| locked.name == package)
        .flat_map(|locked| &locked.dependencies)
        .filter_map(|dependency| {
            let mut words = dependency.split(' ');
            Some((words.next()?, words.next()?))
        })
        .collect();
    let version = |name: &str| {
        let version = chosen.get(name).or_else(|| only_versions.get(name));
        version.copied()
    };
    names
        .into_iter()
        .map(|name| match version(&name) {
            Some(version) => format!("{name}@{version}"),
            None => name,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = toml::from_str(
            r#"
            [[package]]
            name = "a"
            version = "1.0.0"

            [[package]]
            name = "b"
            version = "1.0.0"

            [[package]]
            name = "b"
            version = "2.0.0"

            [[package]]
            name = "me"
            version = "0.1.0"
            dependencies = ["a", "b 1.0.0"]
            "#,
        )
        .unwrap();
        let names = ["a", "b", "new"].map(str::to_owned).to_vec();
        assert_eq!(
            with_versions(&lock, "me", names),
            ["a@1.0.0", "b@1.0.0", "new"]
        );
    }
}
