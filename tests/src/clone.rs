//! A fresh clone of the workspace, in the hands of an ordinary user with a new home.
//!
//! Compiling it takes a minute, so all tests of a suite share one clone and its `CARGO_HOME`; only
//! the first builds from nothing. The user has no subordinate ids: the road must not need them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::command::Run;
use crate::world::{base, copy_sources};
use crate::{Missing, Mode, World, binaries, toolchain};

/// From nothing to the page on two slow cores that others use too.
const LIMIT: Duration = Duration::from_secs(600);

/// The clone of this suite, and a world to use it in.
#[derive(Debug)]
pub struct Clone {
    /// The world of the test.
    pub world: World,
    folder: PathBuf,
}

impl Clone {
    /// A new world beside the clone.
    ///
    /// # Errors
    /// When there is no toolchain, or no user to drop to.
    ///
    /// # Panics
    /// When the sources cannot be copied.
    pub fn new() -> Result<Self, Missing> {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let world = World::new(Mode::Single).or_else(|_| World::of_a_user())?;
        let folder = FOLDER.get_or_init(|| {
            let folder = base().join("clone");
            copy_sources(binaries::workspace(), &folder);
            world.own_all(&folder);
            folder
        });
        Ok(Self {
            world,
            folder: folder.clone(),
        })
    }

    /// The folder of the clone.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `program`, found as after `cargo install`, to be started in the clone.
    ///
    /// # Errors
    /// When there is no toolchain.
    pub fn run(&self, program: &str) -> Result<Run, Missing> {
        let run =
            toolchain::give_with_home(&self.world, self.world.run(program), &base().join("cargo"))?;
        Ok(run.current_dir(&self.folder).limit(LIMIT))
    }

    /// A line of shell, in the clone.
    ///
    /// # Errors
    /// When there is no toolchain.
    pub fn shell(&self, line: &str) -> Result<Run, Missing> {
        Ok(self.run("sh")?.args(["-euc", line]))
    }
}
