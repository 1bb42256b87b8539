//! Where the engine keeps its things: the graph root (images and containers, which outlive a boot)
//! and the run root (sockets, locks and states, which do not).
//!
//! Root has the system's folders. Everybody else has the folders of the XDG base directory
//! specification, and where there is no `XDG_RUNTIME_DIR`, a folder below `/tmp` that must be the
//! user's own: anybody may write there, so what somebody else prepared is refused, not used.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::config::storage::Storage;

/// The two folders of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Images, their trees, containers and volumes.
    pub graphroot: PathBuf,
    /// What is gone after a reboot.
    pub runroot: PathBuf,
}

/// Why there is no place for the engine's folders.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// Neither `XDG_DATA_HOME` nor `HOME` says where the user's files are.
    #[error("HOME is not set, so there is no place for images: set it, or name one with --root")]
    NoHome,
    /// A variable or an option holds a relative path.
    #[error("{name} is \"{}\", which is no absolute path: give one that begins with /", .path.display())]
    Relative {
        /// The variable or the option.
        name: &'static str,
        /// What it holds.
        path: PathBuf,
    },
    /// The folder below `/tmp` belongs to somebody else or is open to others.
    #[error(
        "{} is not a folder that only this user can use ({reason}): remove it, or set XDG_RUNTIME_DIR or --runroot",
        .path.display()
    )]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A folder could not be made.
    #[error("{} cannot be made: {cause}; name another place with --{option}", .path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// The option that names another one.
        option: &'static str,
        /// Why not.
        cause: io::Error,
    },
}

/// What decides where the folders are: who asks, and what the environment and the command line say.
#[derive(Debug, Clone, Default)]
struct Hints {
    uid: u32,
    root: Option<PathBuf>,
    runroot: Option<PathBuf>,
    /// What storage.conf says.
    storage: Storage,
    home: Option<OsString>,
    data_home: Option<OsString>,
    runtime_dir: Option<OsString>,
}

impl Paths {
    /// The folders of the calling user; `root` and `runroot` are what `--root` and `--runroot`
    /// say, which go before what `storage` says. Nothing is made yet. Call it before a user namespace is entered: inside one the caller
    /// looks like root.
    ///
    /// # Errors
    /// [`PathsError::NoHome`] and [`PathsError::Relative`].
    pub fn discover(
        root: Option<PathBuf>,
        runroot: Option<PathBuf>,
        storage: &Storage,
    ) -> Result<Self, PathsError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::from_hints(Hints {
            uid: rustix::process::getuid().as_raw(),
            root,
            runroot,
            storage: storage.clone(),
            home: variable("HOME"),
            data_home: variable("XDG_DATA_HOME"),
            runtime_dir: variable("XDG_RUNTIME_DIR"),
        })
    }

    fn from_hints(hints: Hints) -> Result<Self, PathsError> {
        let configured = (hints.storage.graphroot, hints.storage.runroot);
        let root = hints
            .root
            .map(|root| absolute("--root", root))
            .transpose()?;
        let graphroot = match (
            root.or(configured.0),
            hints.uid,
            hints.data_home,
            hints.home,
        ) {
            (Some(root), ..) => root,
            (None, 0, ..) => PathBuf::from("/var/lib/runner"),
            (None, _, Some(data), _) => absolute("XDG_DATA_HOME", data.into())?.join("runner"),
            (None, _, None, Some(home)) => {
                absolute("HOME", home.into())?.join(".local/share/runner")
            }
            (None, _, None, None) => return Err(PathsError::NoHome),
        };
        let runroot = hints.runroot.map(|runroot| absolute("--runroot", runroot));
        let runroot = runroot.transpose()?.or(configured.1);
        let runroot = match (runroot, hints.uid, hints.runtime_dir) {
            (Some(runroot), ..) => runroot,
            (None, 0, _) => PathBuf::from("/run/runner"),
            (None, _, Some(runtime)) => absolute("XDG_RUNTIME_DIR", runtime.into())?.join("runner"),
            (None, uid, None) => PathBuf::from(format!("/tmp/runner-{uid}")),
        };
        Ok(Self { graphroot, runroot })
    }

    /// Makes both folders, for this user alone, and checks the run root: it must be a real folder
    /// (no symbolic link), owned by the caller and closed to everybody else.
    ///
    /// # Errors
    /// [`PathsError::Make`] and [`PathsError::Unsafe`].
    pub fn create(&self) -> Result<(), PathsError> {
        make(&self.graphroot, "root")?;
        make(&self.runroot, "runroot")?;
        check_private(&self.runroot)
    }
}

fn absolute(name: &'static str, path: PathBuf) -> Result<PathBuf, PathsError> {
    if path.is_absolute() {
        Ok(path)
    } else if name.starts_with("--") {
        // What is typed is relative to where it was typed.
        std::path::absolute(&path).map_err(|_| PathsError::Relative { name, path })
    } else {
        Err(PathsError::Relative { name, path })
    }
}

fn make(path: &Path, option: &'static str) -> Result<(), PathsError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|cause| PathsError::Make {
            path: path.to_owned(),
            option,
            cause,
        })
}

fn check_private(path: &Path) -> Result<(), PathsError> {
    let refuse = |reason| PathsError::Unsafe {
        path: path.to_owned(),
        reason,
    };
    let metadata = path
        .symlink_metadata()
        .map_err(|_| refuse("it cannot be read"))?;
    if !metadata.is_dir() {
        Err(refuse("it is a symbolic link"))
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Err(refuse("it belongs to another user"))
    } else if metadata.mode() & 0o022 != 0 {
        Err(refuse("others may write to it"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn user(change: impl FnOnce(&mut Hints)) -> Result<Paths, PathsError> {
        let mut hints = Hints {
            uid: 1000,
            home: Some("/home/jo".into()),
            ..Hints::default()
        };
        change(&mut hints);
        Paths::from_hints(hints)
    }

    #[test]
    fn root_has_the_folders_of_the_system() {
        let paths = user(|hints| hints.uid = 0).unwrap();
        assert_eq!(paths.graphroot, Path::new("/var/lib/runner"));
        assert_eq!(paths.runroot, Path::new("/run/runner"));
    }

    #[test]
    fn a_user_has_the_folders_of_the_xdg_specification() {
        let paths = user(|_| ()).unwrap();
        assert_eq!(paths.graphroot, Path::new("/home/jo/.local/share/runner"));
        assert_eq!(paths.runroot, Path::new("/tmp/runner-1000"));
        let paths = user(|hints| {
            hints.data_home = Some("/data".into());
            hints.runtime_dir = Some("/run/user/1000".into());
        })
        .unwrap();
        assert_eq!(paths.graphroot, Path::new("/data/runner"));
        assert_eq!(paths.runroot, Path::new("/run/user/1000/runner"));
    }

    #[test]
    fn options_come_before_everything_else() {
        let paths = user(|hints| {
            hints.uid = 0;
            hints.root = Some("/a".into());
            hints.runroot = Some("/b".into());
        })
        .unwrap();
        assert_eq!(paths.graphroot, Path::new("/a"));
        assert_eq!(paths.runroot, Path::new("/b"));
    }

    #[test]
    fn no_home_and_a_relative_one_are_refused_with_a_way_out() {
        let error = user(|hints| hints.home = None).unwrap_err();
        assert!(error.to_string().contains("--root"), "{error}");
        let error = user(|hints| hints.data_home = Some("data".into())).unwrap_err();
        assert!(error.to_string().contains("XDG_DATA_HOME"), "{error}");
    }

    #[test]
    fn a_run_root_that_others_prepared_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let graphroot = folder.path().join("graph");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let open = folder.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        for runroot in [link, open] {
            let paths = Paths {
                graphroot: graphroot.clone(),
                runroot,
            };
            assert!(matches!(paths.create(), Err(PathsError::Unsafe { .. })));
        }
        let paths = Paths {
            graphroot,
            runroot: folder.path().join("run"),
        };
        paths.create().unwrap();
        assert_eq!(paths.runroot.metadata().unwrap().mode() & 0o777, 0o700);
    }
}
