//! GnuPG with a key ring of its own, in which somebody has keys to sign with.

use std::path::PathBuf;

use super::find;
use crate::command::Run;
use crate::{Missing, World};

/// A key ring. Its agent is ended when this is dropped.
#[derive(Debug)]
pub struct Gpg<'w> {
    world: &'w World,
    /// The folder of the key ring, for `GNUPGHOME`.
    pub home: PathBuf,
}

impl<'w> Gpg<'w> {
    /// A key ring with a key for each of `users`, an address and an algorithm of `--quick-gen-key`.
    ///
    /// # Errors
    /// When gpg is not installed.
    ///
    /// # Panics
    /// When it cannot make a key.
    pub fn new(world: &'w World, users: &[(&str, &str)]) -> Result<Self, Missing> {
        find("gpg")?;
        find("gpg-agent")?;
        let home = world.make_dir("gnupg", 0o700);
        let gpg = Self { world, home };
        for (address, algorithm) in users {
            gpg.command(&["--quick-gen-key", address, algorithm, "sign", "never"])
                .succeed();
        }
        Ok(gpg)
    }

    /// One command, which asks for no passphrase.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Run {
        let quiet = ["--batch", "--quiet", "--pinentry-mode", "loopback"];
        let run = self.world.run("gpg").env("GNUPGHOME", &self.home);
        run.args(quiet).args(["--passphrase", ""]).args(words)
    }

    /// Writes the public key of a user to a file.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn public(&self, user: &str) -> PathBuf {
        self.export("--export", user, "pub")
    }

    /// Writes the secret key of a user to a file.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn secret(&self, user: &str) -> PathBuf {
        self.export("--export-secret-keys", user, "sec")
    }

    fn export(&self, flag: &str, user: &str, extension: &str) -> PathBuf {
        let path = self.world.path(format!("{user}.{extension}"));
        let _ = std::fs::remove_file(&path);
        let output = path.display().to_string();
        self.command(&["--armor", "--output", &output, flag, user])
            .succeed();
        path
    }
}

impl Drop for Gpg<'_> {
    fn drop(&mut self) {
        let run = self.world.run("gpgconf").env("GNUPGHOME", &self.home);
        let _ = run.args(["--kill", "all"]).finish();
    }
}
