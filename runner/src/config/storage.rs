//! Where images are kept and how containers get their files: `storage.conf`.
//!
//! podman's own store is never touched: whatever place the file names, this engine has a folder of
//! its own in it. Options that mean nothing here are remembered by name, so that `info` can tell.
//!
//! Source: containers-storage.conf(5).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The folder of this engine in a place that others use too.
const OWN_FOLDER: &str = "runner";

/// How a container's files are kept apart from the image's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Driver {
    /// By an overlay mount, and by a copy where there is none.
    #[default]
    Overlay,
    /// By a copy in any case.
    Vfs,
}

/// What the configuration says about storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// How containers get their files.
    pub driver: Driver,
    /// Where images and containers are kept.
    pub graphroot: Option<PathBuf>,
    /// Where locks and sockets are kept.
    pub runroot: Option<PathBuf>,
    /// Keys that mean nothing here.
    pub ignored: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{place} is not understood: {reason} (containers-storage.conf(5))")]
pub struct BadStorage {
    place: String,
    reason: String,
}

/// Who asks, and what the environment says.
struct Hints<'a> {
    is_root: bool,
    uid: u32,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Storage {
    /// Reads the configuration that holds for the calling user.
    ///
    /// # Errors
    /// [`BadStorage`].
    pub fn load() -> Result<Self, BadStorage> {
        let uid = rustix::process::getuid().as_raw();
        let hints = Hints {
            is_root: uid == 0,
            uid,
            variable: &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
        };
        let mut storage = Self::default();
        let system = [
            "/etc/containers/storage.conf",
            "/usr/share/containers/storage.conf",
        ];
        let system = system.iter().map(PathBuf::from).find(|path| path.is_file());
        let user = hints.user_file().filter(|path| path.is_file());
        let named = (hints.variable)("CONTAINERS_STORAGE_CONF").map(PathBuf::from);
        if let Some(path) = named {
            storage.read(&path, &hints, true)?;
        } else {
            if let Some(path) = system {
                storage.read(&path, &hints, hints.is_root)?;
            }
            if let Some(path) = user.filter(|_| !hints.is_root) {
                storage.read(&path, &hints, true)?;
            }
        }
        if let Some(name) = (hints.variable)("STORAGE_DRIVER") {
            storage.set_driver(&name).map_err(|reason| BadStorage {
                place: "STORAGE_DRIVER".to_owned(),
                reason,
            })?;
        }
        Ok(storage)
    }

    /// Takes over what a file says; its places only if it `is_own`: those of the system are root's.
    fn read(&mut self, path: &Path, hints: &Hints<'_>, is_own: bool) -> Result<(), BadStorage> {
        let refuse = |reason: String| BadStorage {
            place: path.display().to_string(),
            reason,
        };
        let text =
            fs::read_to_string(path).map_err(|error: io::Error| refuse(error.to_string()))?;
        self.merge(&text, hints, is_own).map_err(refuse)?;
        self.file = Some(path.to_owned());
        Ok(())
    }

    fn merge(&mut self, text: &str, hints: &Hints<'_>, is_own: bool) -> Result<(), String> {
        let table: Table = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text[..start].matches('\n').count() + 1;
            format!(
                "line {line}: {}",
                error.message().lines().next().unwrap_or_default()
            )
        })?;
        self.ignored.clear();
        for (section, value) in &table {
            match (section.as_str(), value) {
                ("storage", Value::Table(table)) => self.section(table, hints, is_own)?,
                _ => self.ignored.push(section.clone()),
            }
        }
        self.ignored.sort();
        Ok(())
    }

    fn section(&mut self, table: &Table, hints: &Hints<'_>, is_own: bool) -> Result<(), String> {
        for (key, value) in table {
            let text = || match value {
                Value::String(text) => Ok(text.as_str()),
                _ => Err(format!("{key} is no text")),
            };
            match key.as_str() {
                "driver" => self.set_driver(text()?)?,
                "graphroot" if is_own => {
                    self.graphroot = own_folder(text()?, hints)?.or(self.graphroot.take())
                }
                "runroot" if is_own => self.runroot = own_folder(text()?, hints)?,
                "graphroot" | "runroot" => {}
                "rootless_storage_path" if !hints.is_root => {
                    self.graphroot = own_folder(text()?, hints)?.or(self.graphroot.take());
                }
                "rootless_storage_path" => {}
                _ => ignored(key, value, &mut self.ignored),
            }
        }
        Ok(())
    }

    fn set_driver(&mut self, name: &str) -> Result<(), String> {
        self.driver = match name {
            "" | "overlay" | "overlay2" => Driver::Overlay,
            "vfs" => Driver::Vfs,
            "aufs" | "btrfs" | "devicemapper" | "zfs" => {
                self.ignored.push(format!("driver = \"{name}\""));
                Driver::Overlay
            }
            other => {
                let shown = other.escape_debug();
                return Err(format!(
                    "there is no driver \"{shown}\": use overlay or vfs"
                ));
            }
        };
        Ok(())
    }
}

impl Hints<'_> {
    fn user_file(&self) -> Option<PathBuf> {
        let config = (self.variable)("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| Some(Path::new(&(self.variable)("HOME")?).join(".config")));
        Some(config?.join("containers/storage.conf"))
    }

    /// `$NAME` and `${NAME}`; `$UID` is there in any case.
    fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded += before;
            let braced = after
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'));
            let (name, left) = braced.unwrap_or_else(|| {
                let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                let end = after.find(|letter| !is_name(letter)).unwrap_or(after.len());
                after.split_at(end)
            });
            expanded += &match (name, (self.variable)(name)) {
                ("UID", _) => self.uid.to_string(),
                (_, Some(value)) => value,
                (_, None) => return Err(format!("\"{text}\" needs ${name}, which is not set")),
            };
            rest = left;
        }
        Ok(expanded + rest)
    }
}

/// Our folder in the place that `text` names; nothing for an empty one.
fn own_folder(text: &str, hints: &Hints<'_>) -> Result<Option<PathBuf>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = PathBuf::from(hints.expand(text)?);
    match path.is_absolute() {
        true => Ok(Some(path.join(OWN_FOLDER))),
        false => Err(format!("\"{text}\" is no absolute path")),
    }
}

/// Adds the names of all keys in `value` that say something.
fn ignored(name: &str, value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                ignored(&format!("{name}.{key}"), value, names);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        Value::String(text) if text.is_empty() => {}
        Value::Boolean(false) => {}
        _ => names.push(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(text: &str, is_root: bool, is_own: bool) -> Result<Storage, String> {
        let hints = Hints {
            is_root,
            uid: 1000,
            variable: &|name| (name == "HOME").then(|| "/home/jo".to_owned()),
        };
        let mut storage = Storage::default();
        storage.merge(text, &hints, is_own)?;
        Ok(storage)
    }

    #[test]
    fn places_are_expanded_and_get_a_folder_of_our_own() {
        let text = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/x/$UID\"\n\
                    graphroot = \"/var/lib/containers/storage\"\nrootless_storage_path = \"${HOME}/store-$UID\"\n";
        let user = merged(text, false, false).unwrap();
        assert_eq!(user.graphroot, Some("/home/jo/store-1000/runner".into()));
        assert_eq!(user.runroot, None);
        let root = merged(text, true, true).unwrap();
        assert_eq!(
            root.graphroot,
            Some("/var/lib/containers/storage/runner".into())
        );
        assert_eq!(root.runroot, Some("/run/x/1000/runner".into()));
    }

    #[test]
    fn what_means_nothing_here_is_remembered() {
        let text = "[storage]\ndriver = \"btrfs\"\ntransient_store = false\n[storage.options]\nsize = \"\"\n\
                    additionalimagestores = []\n[storage.options.overlay]\nmountopt = \"nodev\"\n";
        let storage = merged(text, false, true).unwrap();
        assert_eq!(storage.driver, Driver::Overlay);
        assert_eq!(
            storage.ignored,
            ["driver = \"btrfs\"", "options.overlay.mountopt"]
        );
        assert_eq!(
            merged("[storage]\ndriver = \"vfs\"", false, true)
                .unwrap()
                .driver,
            Driver::Vfs
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, reason) in [
            ("[storage]\ndriver =", "line 2"),
            ("[storage]\ndriver = 7", "driver is no text"),
            ("[storage]\ndriver = \"fast\"", "no driver \"fast\""),
            ("[storage]\ngraphroot = \"here\"", "no absolute path"),
            (
                "[storage]\ngraphroot = \"$NOWHERE/x\"",
                "$NOWHERE, which is not set",
            ),
        ] {
            let error = merged(text, false, true).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
