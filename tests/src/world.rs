//! The place that one test has for itself: an account, a home, a runtime folder, an environment.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{MutexGuard, OnceLock, PoisonError};

use crate::account::{Account, we_are_root};
use crate::command::Run;
use crate::{Engine, Missing, Mode, binaries, janitor, leaks};

/// One test's place. When it is dropped, whatever was left behind is a failure of the test.
#[derive(Debug)]
pub struct World {
    /// Whom it runs as.
    pub account: &'static Account,
    /// The name of this world in the environment of its processes.
    pub(crate) mark: String,
    folder: PathBuf,
    _account_in_use: MutexGuard<'static, ()>,
}

/// The folder of this suite, which everybody may enter; removed when the suite ends.
///
/// # Panics
/// When it cannot be made.
pub fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        let base = std::env::temp_dir().join(format!("tests-{}", std::process::id()));
        fs::create_dir(&base).unwrap_or_else(|error| panic!("{}: {error}", base.display()));
        set_mode(&base, 0o755);
        janitor::at_the_end(&format!("rm -rf --one-file-system '{}'", base.display()));
        base
    })
}

impl World {
    /// A new place for an account of this kind. Waits while another test uses the account.
    ///
    /// # Errors
    /// Why this suite cannot have such an account.
    ///
    /// # Panics
    /// When the folders cannot be made.
    pub fn new(mode: Mode) -> Result<Self, Missing> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let account = Account::of(mode)?;
        let in_use = account
            .in_use
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        let world = Self {
            account,
            folder: base().join(&number),
            mark: format!("{}-{number}", std::process::id()),
            _account_in_use: in_use,
        };
        make_folder(&world.folder, 0o755);
        world.own(&world.folder);
        for (folder, mode) in [("home", 0o755), ("tmp", 0o700), ("run", 0o700)] {
            world.make_dir(folder, mode);
        }
        Ok(world)
    }

    /// A place for an ordinary user, with subordinate ids if there can be such a user.
    ///
    /// # Errors
    /// Why this suite cannot have one.
    pub fn of_a_user() -> Result<Self, Missing> {
        Self::new(Mode::Mapped).or_else(|_| Self::new(Mode::Single))
    }

    /// A path in the world's folder.
    #[must_use]
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.join(relative)
    }

    /// The home of its user.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Makes a folder that belongs to its user.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make_dir(&self, relative: impl AsRef<Path>, mode: u32) -> PathBuf {
        let path = self.path(relative);
        make_folder(&path, mode);
        self.own(&path);
        path
    }

    /// Writes a file that belongs to its user.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.own(&path);
        path
    }

    /// Gives a file or folder, with all in it, to its user.
    ///
    /// # Panics
    /// When that is forbidden.
    pub fn own_all(&self, path: &Path) {
        if path.is_dir() && !path.is_symlink() {
            for entry in fs::read_dir(path).expect("our own folder").flatten() {
                self.own_all(&entry.path());
            }
        }
        self.own(path);
    }

    fn own(&self, path: &Path) {
        if we_are_root() {
            lchown(path, Some(self.account.uid), Some(self.account.gid))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// `program`, to be started in the home, as the user and with the environment of a login.
    #[must_use]
    pub fn run(&self, program: impl AsRef<std::ffi::OsStr>) -> Run {
        let run = Run::new(program)
            .env("PATH", binaries::path_for_everybody())
            .env("HOME", self.home())
            .env("USER", &self.account.name)
            .env("LOGNAME", &self.account.name)
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("TMPDIR", self.path("tmp"))
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm")
            .env(leaks::MARK, &self.mark)
            .current_dir(self.home());
        if we_are_root() {
            run.user(self.account.uid, self.account.gid)
        } else {
            run
        }
    }

    /// Our packer, to be started in the home.
    #[must_use]
    pub fn packer(&self) -> Run {
        self.run(binaries::path("packer"))
    }

    /// Our engine, with a store of its own.
    #[must_use]
    pub fn runner(&self) -> Engine<'_> {
        Engine::runner(self)
    }

    /// The folder of the whole world.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let left = leaks::left_by(self);
        remove(&self.folder);
        assert!(
            left.is_empty() || std::thread::panicking(),
            "left behind: {}",
            left.join("\n             ")
        );
    }
}

/// Copies a folder, without what was built in it and without its history.
///
/// # Panics
/// When something cannot be read or written.
pub fn copy_sources(from: &Path, to: &Path) {
    make_folder(to, 0o755);
    for entry in fs::read_dir(from).expect("a folder of sources").flatten() {
        let name = entry.file_name();
        if name == ".git" || name == "target" {
            continue;
        }
        let (from, to) = (entry.path(), to.join(name));
        if from.is_dir() {
            copy_sources(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
    }
}

/// Removes a folder in which there may be files of subordinate users.
pub fn remove(folder: &Path) {
    if fs::remove_dir_all(folder).is_err() {
        let unshare = ["--map-auto", "--map-root-user", "rm", "-rf"];
        let _ = Run::new("unshare").args(unshare).args([folder]).finish();
    }
}

fn make_folder(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    set_mode(path, mode);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
