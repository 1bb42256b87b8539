//! docker with an engine of its own, without a bridge: its containers have the host's network or none.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use super::find;
use crate::command::Run;
use crate::{Missing, account, binaries, janitor, wait, world};

/// A running docker engine and the client that talks to it.
#[derive(Debug)]
pub struct Docker {
    client: PathBuf,
    folder: PathBuf,
}

impl Docker {
    /// The engine of this suite, started when it is first asked for.
    ///
    /// # Errors
    /// When docker is not installed, its engine does not start, or we are not root.
    pub fn start() -> Result<&'static Self, Missing> {
        static ENGINE: OnceLock<Result<Docker, Missing>> = OnceLock::new();
        ENGINE
            .get_or_init(Self::start_engine)
            .as_ref()
            .map_err(Clone::clone)
    }

    fn start_engine() -> Result<Self, Missing> {
        let client = find("docker")?;
        let engine = find("dockerd")?;
        if !account::we_are_root() {
            return Err(Missing::because("only root can start a docker engine"));
        }
        let folder = world::base().join("docker");
        fs::create_dir(&folder).map_err(|error| Missing::because(error.to_string()))?;
        let path = |name: &str| folder.join(name).into_os_string();
        // The engine keeps a network namespace mounted there.
        janitor::at_the_end(&format!(
            "umount {0}/exec/netns/*; umount -R {0}/data",
            folder.display()
        ));
        let engine = Run::new(engine)
            .args(["--add-runtime"])
            .args([format!("runner={}", binaries::runc().display())])
            .args(["--iptables=false", "--bridge=none", "--host"])
            .args([format!("unix://{}/socket", folder.display())])
            .args([
                OsStr::new("--data-root"),
                &path("data"),
                OsStr::new("--exec-root"),
                &path("exec"),
            ])
            .args([OsStr::new("--pidfile"), &path("pid")])
            .spawn();
        let pid = engine.pid();
        janitor::at_the_end(&format!(
            "kill {pid}; for i in $(seq 100); do kill -0 {pid} || break; sleep 0.1; done"
        ));
        let docker = Self { client, folder };
        let ready = wait::poll(Duration::from_secs(30), || {
            (docker.command(&["info"]).finish().code == 0).then_some(())
        });
        match ready {
            // It is the janitor's now.
            Some(()) => std::mem::forget(engine),
            None => {
                return Err(Missing::because(format!(
                    "dockerd did not start: {}",
                    engine.stderr()
                )));
            }
        }
        Ok(docker)
    }

    /// One command, verb first.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(&self, words: &[A]) -> Run {
        let socket = format!("unix://{}/socket", self.folder.display());
        Run::new(&self.client)
            .args(["--host", &socket])
            .args(words)
            .env("DOCKER_CONFIG", self.folder.join("config"))
    }

    /// Runs one command that has to succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn to<A: AsRef<OsStr>>(&self, words: &[A]) -> String {
        self.command(words).succeed().text().to_owned()
    }
}
