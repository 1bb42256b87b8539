//! Attacks that an engine has to withstand, written once for every engine: the suites try them on ours,
//! and the benchmark `abuse` on podman beside it.
//!
//! The probe is a folder of the host with a secret in it. Whatever an attack tries, the probe is neither
//! changed nor read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fixture::{Archive, Layer};
use crate::{Engine, Outcome, World};

pub mod images;
pub mod inside;

const SECRET: &str = "the secret of the host";

/// Longer than this is a hang.
const LIMIT: Duration = Duration::from_secs(15);

const IMAGE: &str = "localhost/evil:latest";

/// What an image tries, and what a container of it is to run.
#[derive(Debug)]
pub struct Attack {
    /// Its number in the list, and what it is.
    pub name: &'static str,
    layers: Vec<Layer>,
    config: Vec<(&'static str, serde_json::Value)>,
    options: Vec<String>,
    command: Vec<&'static str>,
}

/// How far an attack came.
#[derive(Debug)]
pub struct Attempt {
    /// Whether the image was taken.
    pub is_loaded: bool,
    /// What the load said that refused it, or else the run.
    pub outcome: Outcome,
}

/// What an attack did to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// A file of the host is another one now.
    Changed,
    /// What only the host knows was printed.
    Read,
}

impl fmt::Display for Harm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Changed => "the host is changed",
            Self::Read => "the host is read",
        })
    }
}

impl Attack {
    fn new(name: &'static str, layers: Vec<Layer>) -> Self {
        Self {
            name,
            layers,
            config: Vec::new(),
            options: Vec::new(),
            command: vec!["true"],
        }
    }

    fn with(mut self, key: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.config.push((key, value.into()));
        self
    }

    fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    fn command(mut self, command: &[&'static str]) -> Self {
        self.command = command.to_vec();
        self
    }

    /// Loads the image and runs a container of it. Nothing is left of either.
    ///
    /// # Errors
    /// A text about the program that did not end.
    pub fn on(&self, engine: &Engine) -> Result<Attempt, String> {
        let layers: Vec<&Layer> = self.layers.iter().collect();
        let mut image = Archive::new(IMAGE, &layers, &["/bin/sh"]);
        for (key, value) in &self.config {
            image = image.with(key, value.clone());
        }
        let path = engine.world.write("evil.tar", image.docker());
        let load = [OsStr::new("load"), OsStr::new("-i"), path.as_os_str()];
        let loaded = engine.command(&load).limit(LIMIT).spawn().end()?;
        let is_loaded = loaded.code == 0;
        let outcome = match is_loaded {
            true => self.run(engine),
            false => Ok(loaded),
        };
        if outcome.is_err() {
            engine.try_to(&["rm", "-f", "-a", "-t", "0"]);
        }
        engine.try_to(&["rmi", "-f", IMAGE]);
        Ok(Attempt {
            is_loaded,
            outcome: outcome?,
        })
    }

    fn run(&self, engine: &Engine) -> Result<Outcome, String> {
        let mut words = vec!["run", "--rm"];
        words.extend(self.options.iter().map(String::as_str));
        words.push(IMAGE);
        words.extend(&self.command);
        let run = engine.command(&words).env("SECRET_VARIABLE", SECRET);
        run.limit(LIMIT).spawn().end()
    }
}

/// The folder of the host that no container may see or change.
#[derive(Debug)]
pub struct Probe {
    /// Where it is.
    pub folder: PathBuf,
    before: BTreeMap<PathBuf, (u32, u32, u32, i64, Vec<u8>)>,
}

impl Probe {
    /// A new one in this world, in the place of the one before.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let _ = std::fs::remove_dir_all(world.path("probe"));
        let folder = world.make_dir("probe", 0o755);
        world.write("probe/secret", SECRET);
        world.write("probe/program", "#!/bin/sh\n");
        std::fs::set_permissions(folder.join("program"), PermissionsExt::from_mode(0o755))
            .expect("our own");
        let before = Self::look(&folder);
        Self { folder, before }
    }

    fn look(folder: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, i64, Vec<u8>)> {
        let mut seen = BTreeMap::new();
        let entries = std::fs::read_dir(folder)
            .expect("the probe")
            .flatten()
            .map(|entry| entry.path());
        for path in entries.chain([folder.to_owned()]) {
            let file = path.symlink_metadata().expect("the probe");
            let content = if file.is_file() {
                std::fs::read(&path).unwrap_or_default()
            } else {
                Vec::new()
            };
            seen.insert(
                path,
                (file.mode(), file.uid(), file.gid(), file.mtime(), content),
            );
        }
        seen
    }

    /// What an attack has done that came to this end.
    #[must_use]
    pub fn harm(&self, outcome: &Outcome) -> Option<Harm> {
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        if Self::look(&self.folder) != self.before {
            Some(Harm::Changed)
        } else if said.contains(SECRET) {
            Some(Harm::Read)
        } else {
            None
        }
    }
}
