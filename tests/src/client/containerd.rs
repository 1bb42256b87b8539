//! containerd with a socket and folders of its own, and `ctr`, its client.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use super::find;
use crate::command::Run;
use crate::{Missing, account, janitor, wait, world};

/// A running containerd and the client that talks to it.
#[derive(Debug)]
pub struct Containerd {
    client: PathBuf,
    folder: PathBuf,
}

impl Containerd {
    /// The containerd of this suite, started when it is first asked for.
    ///
    /// # Errors
    /// When containerd is not installed, does not start, or we are not root.
    pub fn start() -> Result<&'static Self, Missing> {
        static ENGINE: OnceLock<Result<Containerd, Missing>> = OnceLock::new();
        ENGINE
            .get_or_init(Self::start_engine)
            .as_ref()
            .map_err(Clone::clone)
    }

    fn start_engine() -> Result<Self, Missing> {
        let client = find("ctr")?;
        let engine = find("containerd")?;
        if !account::we_are_root() {
            return Err(Missing::because("only root can start containerd"));
        }
        let folder = world::base().join("containerd");
        fs::create_dir(&folder).map_err(|error| Missing::because(error.to_string()))?;
        let path = |name: &str| folder.join(name).into_os_string();
        // The engine's shims outlive it, and so do their mounts.
        janitor::at_the_end(&format!(
            "pkill -KILL -f -- '-address {0}/socket'; sleep 0.2; umount -R {0}/state/*/*/*/rootfs",
            folder.display()
        ));
        let engine = Run::new(engine)
            .args([OsStr::new("--address"), &path("socket")])
            .args([
                OsStr::new("--root"),
                &path("root"),
                OsStr::new("--state"),
                &path("state"),
            ])
            .spawn();
        let pid = engine.pid();
        janitor::at_the_end(&format!("kill {pid}; sleep 0.3"));
        let containerd = Self { client, folder };
        let ready = wait::poll(Duration::from_secs(30), || {
            (containerd.command(&["version"]).finish().code == 0).then_some(())
        });
        match ready {
            // It is the janitor's now.
            Some(()) => std::mem::forget(engine),
            None => {
                return Err(Missing::because(format!(
                    "containerd did not start: {}",
                    engine.stderr()
                )));
            }
        }
        Ok(containerd)
    }

    /// One command of `ctr`, verb first.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(&self, words: &[A]) -> Run {
        let socket = self.folder.join("socket");
        Run::new(&self.client)
            .args([OsStr::new("--address"), socket.as_os_str()])
            .args(words)
    }

    /// `ctr run` of a container, whose runtime keeps its state in the folder of this containerd.
    #[must_use]
    pub fn run<A: AsRef<OsStr>>(&self, words: &[A]) -> Run {
        let state = self.folder.join("runc");
        let options = [
            OsStr::new("run"),
            OsStr::new("--runc-root"),
            state.as_os_str(),
        ];
        self.command(&options).args(words)
    }

    /// Runs one command that has to succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn to<A: AsRef<OsStr>>(&self, words: &[A]) -> String {
        self.command(words).succeed().text().to_owned()
    }
}
