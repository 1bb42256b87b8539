//! What the runtime remembers of a container between two commands: a folder below its root with
//! `state.json`, the configuration, and the gate while the container waits for its start.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::VERSION;
use super::config::Config;
use crate::sandbox::cgroup::Cgroup;
use crate::sandbox::gate;
use crate::sandbox::handle::{Handle, ProcessId};

/// The folder of all containers of one caller.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

/// One container.
#[derive(Debug)]
pub struct Container {
    /// Its folder below the root.
    pub folder: PathBuf,
    /// What was written down.
    pub saved: Saved,
    config: OnceCell<Config>,
}

/// The content of `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    /// The container's name.
    pub id: String,
    /// Its bundle, absolute.
    pub bundle: PathBuf,
    /// Its root file system, absolute.
    pub rootfs: PathBuf,
    /// Its first process.
    pub process: ProcessId,
    /// When it was created, RFC 3339.
    pub created: String,
    /// Words of others.
    pub annotations: BTreeMap<String, String>,
    /// Who created it.
    pub owner: u32,
    /// Its control group.
    pub cgroup: Option<Cgroup>,
}

/// What a container does (runtime.md, "State").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its program waits for the start.
    Created,
    /// Its program runs.
    Running,
    /// Its processes stand still.
    Paused,
    /// Its program has ended.
    Stopped,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl Root {
    /// The folder `path`, or the usual one of a runtime that was called by `name`.
    ///
    /// # Errors
    /// When it can not be made.
    pub fn open(path: Option<&Path>, name: &str) -> anyhow::Result<Self> {
        let path = match (path, std::env::var_os("XDG_RUNTIME_DIR")) {
            (Some(path), _) => std::path::absolute(path)?,
            (None, Some(folder)) if is_rootless() => Path::new(&folder).join(name),
            (None, _) => Path::new("/run").join(name),
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Takes the name `id`, and gives the container's folder.
    ///
    /// # Errors
    /// When the name is no name, or taken.
    pub fn take(&self, id: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder(id)?;
        match fs::DirBuilder::new().mode(0o711).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("container with given ID already exists: {id}")
            }
            made => made.with_context(|| format!("cannot make {}", folder.display()))?,
        }
        Ok(folder)
    }

    /// Where the container `id` is or would be.
    ///
    /// # Errors
    /// When `id` is no name.
    pub fn folder(&self, id: &str) -> anyhow::Result<PathBuf> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        ensure!(
            !id.is_empty() && id.len() <= 255 && id.bytes().all(legal) && id != "." && id != "..",
            "invalid container ID \"{}\": letters, digits, _, +, - and . make one",
            id.escape_debug()
        );
        Ok(self.0.join(id))
    }

    /// The container `id`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, id: &str) -> anyhow::Result<Container> {
        Container::load(self.folder(id)?)?
            .ok_or_else(|| anyhow::anyhow!("container \"{id}\" does not exist"))
    }

    /// Every container, by name.
    ///
    /// # Errors
    /// When the folder can not be read.
    pub fn all(&self) -> anyhow::Result<Vec<Container>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            // One that is being created or deleted has no state.
            found.extend(Container::load(entry?.path())?);
        }
        found.sort_by(|one, other| one.saved.id.cmp(&other.saved.id));
        Ok(found)
    }
}

impl Container {
    fn load(folder: PathBuf) -> anyhow::Result<Option<Self>> {
        let path = folder.join("state.json");
        match fs::read(&path) {
            Ok(text) => {
                let saved = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is damaged", path.display()))?;
                Ok(Some(Self {
                    folder,
                    saved,
                    config: OnceCell::new(),
                }))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// One that was just written down below `folder`.
    pub(super) fn new(folder: PathBuf, saved: Saved, config: Config) -> Self {
        Self {
            folder,
            saved,
            config: config.into(),
        }
    }

    /// Writes the state down: the container exists from now on.
    ///
    /// # Errors
    /// When the file can not be written.
    pub fn save(folder: &Path, saved: &Saved) -> anyhow::Result<()> {
        let text = serde_json::to_vec(saved)?;
        write_whole(&folder.join("state.json"), &text)
    }

    /// Its first process while that lives.
    #[must_use]
    pub fn process(&self) -> Option<Handle> {
        self.saved.process.open()
    }

    /// What it does.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.process() {
            None => Status::Stopped,
            Some(_) if gate::is_there(&self.folder) => Status::Created,
            Some(_) if self.saved.cgroup.as_ref().is_some_and(Cgroup::is_frozen) => Status::Paused,
            Some(_) => Status::Running,
        }
    }

    /// The configuration that it was created with.
    ///
    /// # Errors
    /// When it can not be read.
    pub fn config(&self) -> anyhow::Result<&Config> {
        // It may be long, with a filter of hundreds of system calls, and is asked for several times.
        match self.config.get() {
            Some(config) => Ok(config),
            None => {
                let (config, _) = Config::read(&self.folder)?;
                Ok(self.config.get_or_init(|| config))
            }
        }
    }

    /// What `state` prints and hooks read.
    #[must_use]
    pub fn state(&self, status: Status) -> Map<String, Value> {
        let mut state = self.saved.state(status.word());
        let pid = match status {
            Status::Stopped => 0,
            _ => self.saved.process.pid,
        };
        state.insert("pid".to_owned(), pid.into());
        state
    }
}

impl Saved {
    /// The state with the word `status`, without a process id (runtime.md, "State").
    #[must_use]
    pub fn state(&self, status: &str) -> Map<String, Value> {
        let state = json!({
            "ociVersion": VERSION,
            "id": self.id,
            "status": status,
            "bundle": self.bundle,
            "annotations": self.annotations,
            // Beside the specification: what runc adds, and its callers read.
            "rootfs": self.rootfs,
            "created": self.created,
            "owner": owner(self.owner),
        });
        match state {
            Value::Object(state) => state,
            _ => Map::new(),
        }
    }
}

/// Nobody's name is looked up: that could take a service.
fn owner(uid: u32) -> String {
    if uid == 0 {
        String::new()
    } else {
        uid.to_string()
    }
}

/// Whether the caller is not the machine's root; in podman's user namespace it only seems so.
#[must_use]
pub fn is_rootless() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let numbers: Vec<_> = map.split_ascii_whitespace().collect();
    !geteuid().is_root() || numbers != ["0", "0", "4294967295"]
}

/// The time as it is written down.
#[must_use]
pub fn now() -> String {
    humantime::format_rfc3339_nanos(SystemTime::now()).to_string()
}

/// The folder of compiled seccomp profiles beside the `folder` of a container. No container has this name.
#[must_use]
pub fn profiles_beside(folder: &Path) -> PathBuf {
    folder.with_file_name("seccomp profiles")
}

/// Writes a file that is there whole or not at all.
///
/// # Errors
/// When the folder can not be written to.
pub fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        fs::write(&new, content)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o644))?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
