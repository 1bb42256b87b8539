//! podman without root, in a home of its own.
//!
//! Three things have to be told to it so that it works on a bare machine: the overlay driver (its
//! own choice would be the slow vfs), the cgroup manager (there may be no systemd of the user's), and the runtime: crun
//! refuses a machine whose cgroups are of both versions, runc does not.

use std::fs;
use std::path::Path;

use rustix::fs::statfs;

use super::find;
use crate::{Engine, Missing, Mode, World};

/// `CGROUP2_SUPER_MAGIC` of statfs(2).
const CGROUP2: i64 = 0x6367_7270;

/// A rootless podman. Its containers and its processes are removed when this is dropped.
#[derive(Debug)]
pub struct Podman<'w> {
    /// Its command line.
    pub engine: Engine<'w>,
}

impl<'w> Podman<'w> {
    /// podman for the user of `world`, who has to have subordinate ids.
    ///
    /// # Errors
    /// When podman is not installed or cannot work for this user.
    ///
    /// # Panics
    /// When its folders cannot be made.
    pub fn new(world: &'w World) -> Result<Self, Missing> {
        Self::with_runtime(world, usual_runtime()?)
    }

    /// The same with this OCI runtime, a name or a path.
    ///
    /// # Errors
    /// When podman is not installed or cannot work for this user.
    ///
    /// # Panics
    /// When its folders cannot be made.
    pub fn with_runtime(world: &'w World, runtime: impl AsRef<Path>) -> Result<Self, Missing> {
        let program = find("podman")?;
        if world.account.mode != Mode::Mapped {
            return Err(Missing::because(
                "podman without root needs subordinate ids",
            ));
        }
        let home = world.make_dir("podman", 0o755);
        let runtime_dir = world.make_dir("podman-run", 0o700);
        let folder = home.join(".config/containers");
        fs::create_dir_all(&folder).expect("a new home");
        let settings = [
            (
                "storage.conf",
                "[storage]\ndriver = \"overlay\"\n".to_owned(),
            ),
            (
                "policy.json",
                "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n".to_owned(),
            ),
            (
                "registries.conf",
                "unqualified-search-registries = []\n".to_owned(),
            ),
            ("containers.conf", containers_conf(runtime.as_ref())),
        ];
        for (name, content) in settings {
            fs::write(folder.join(name), content).expect("a new home");
        }
        world.own_all(&home);
        let environment = vec![("HOME", home), ("XDG_RUNTIME_DIR", runtime_dir)];
        Ok(Self {
            engine: Engine::other(world, program, environment),
        })
    }

    /// The same, if it can publish ports: its slirp4netns opens a device that some machines close to users.
    ///
    /// # Errors
    /// When it cannot.
    pub fn with_ports(world: &'w World) -> Result<Self, Missing> {
        find("slirp4netns")?;
        let device = "/dev/net/tun";
        let open = world
            .run("sh")
            .args(["-c", &format!(": <>{device}")])
            .finish();
        if open.code != 0 {
            return Err(Missing::because(format!(
                "{device} is closed to users, slirp4netns cannot work"
            )));
        }
        Self::new(world)
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        self.engine
            .try_to(&["rm", "--all", "--force", "--time", "0"]);
        // The process that keeps its user namespace.
        self.engine.try_to(&["system", "migrate"]);
        // podman keeps this for the next one of the user.
        let locks = format!(
            "/dev/shm/libpod_rootless_lock_{}",
            self.engine.world.account.uid
        );
        let _ = fs::remove_file(locks);
    }
}

fn usual_runtime() -> Result<&'static str, Missing> {
    let pure = statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.f_type == CGROUP2);
    let crun = find("crun").is_ok() && (pure || !Path::new("/sys/fs/cgroup/unified").exists());
    let runtime = if crun { "crun" } else { "runc" };
    find(runtime)?;
    Ok(runtime)
}

fn containers_conf(runtime: &Path) -> String {
    let runtime = runtime.display();
    format!(
        "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"{runtime}\"\n"
    )
}
