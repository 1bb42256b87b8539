//! An engine with a command line like podman's: ours, or podman itself.
//!
//! A test that is written against this runs unchanged on both, so that the two can be compared.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::command::Run;
use crate::wait;
use crate::{Mode, Outcome, World, binaries};

/// An engine in a world, with a store of its own.
#[derive(Debug, Clone)]
pub struct Engine<'w> {
    /// The world that it runs in.
    pub world: &'w World,
    /// The program.
    pub program: PathBuf,
    /// Flags of every command.
    pub global: Vec<OsString>,
    environment: Vec<(&'static str, PathBuf)>,
}

impl<'w> Engine<'w> {
    pub(crate) fn runner(world: &'w World) -> Self {
        let global = match world.account.mode {
            // Root's store is the machine's; a user's lies in the home, which is new.
            Mode::Root => vec![
                "--root".into(),
                world.path("store").into(),
                "--runroot".into(),
                world.path("runroot").into(),
            ],
            _ => Vec::new(),
        };
        let program = binaries::path("runner");
        Self {
            world,
            program,
            global,
            environment: Vec::new(),
        }
    }

    pub(crate) fn other(
        world: &'w World,
        program: PathBuf,
        environment: Vec<(&'static str, PathBuf)>,
    ) -> Self {
        Self {
            world,
            program,
            global: Vec::new(),
            environment,
        }
    }

    /// The same engine with more flags before the verb.
    #[must_use]
    pub fn with_global<A: AsRef<OsStr>>(mut self, flags: &[A]) -> Self {
        self.global
            .extend(flags.iter().map(|flag| flag.as_ref().to_owned()));
        self
    }

    /// One command, verb first.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(&self, words: &[A]) -> Run {
        self.beside(&self.program).args(&self.global).args(words)
    }

    /// Another program, with the environment and so the store of this engine.
    #[must_use]
    pub fn beside(&self, program: impl AsRef<OsStr>) -> Run {
        let run = self.world.run(program);
        self.environment
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value))
    }

    /// Runs one command to its end, whatever that is.
    pub fn try_to<A: AsRef<OsStr>>(&self, words: &[A]) -> Outcome {
        self.command(words).finish()
    }

    /// Runs one command that has to succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn to<A: AsRef<OsStr>>(&self, words: &[A]) -> String {
        self.command(words).succeed().text().to_owned()
    }

    /// Loads an archive, which is written into the world, and gives the name of its image.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub fn load(&self, archive: &[u8]) -> String {
        let path = self.world.write("archive.tar", archive);
        let said = self.to(&[OsStr::new("load"), OsStr::new("-i"), path.as_os_str()]);
        let name = said
            .lines()
            .find_map(|line| line.strip_prefix("Loaded image: "));
        name.unwrap_or_else(|| panic!("load did not name the image: {said}"))
            .to_owned()
    }

    /// Waits until the log of a container has `text` in it.
    ///
    /// # Panics
    /// When it has not for 20 seconds.
    pub fn wait_for_log(&self, container: &str, text: &str) {
        let limit = Duration::from_secs(20);
        wait::until(
            &format!("{text:?} in the log of {container}"),
            limit,
            || {
                let logs = self.try_to(&["logs", container]);
                (logs.stdout.contains(text) || logs.stderr.contains(text)).then_some(())
            },
        );
    }
}
