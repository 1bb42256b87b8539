//! Bundles for runtimes that have no store: the image, unpacked, and a specification.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::client::{Podman, find};
use tests::fixture::busybox;
use tests::{Missing, World};

/// What a bundle asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Specification<'a> {
    /// The example that crun writes: no filter of system calls, few paths that are masked.
    Example,
    /// What podman tells its runtime for a container of the image, and a user namespace of its own.
    Podman(&'a Podman<'a>),
}

impl Specification<'_> {
    /// A folder with a bundle whose container runs `program`.
    ///
    /// # Errors
    /// When crun is not installed, or podman makes no container.
    pub(super) fn bundle(self, world: &World, program: &[&str]) -> Result<PathBuf, Missing> {
        find("crun")?;
        let name = match self {
            Self::Example => "example",
            Self::Podman(_) => "equal",
        };
        let folder = world.path(format!("{name}-{}", program.len()));
        // The same as for another comparison.
        if folder.exists() {
            return Ok(folder);
        }
        let folder = world.make_dir(folder, 0o755);
        let rootfs = world.make_dir(folder.join("rootfs"), 0o755);
        let layer = world.write(folder.join("layer.tar"), busybox::layer()?.tar());
        world
            .run("tar")
            .args(["-xf"])
            .args([&layer, Path::new("-C"), &rootfs])
            .succeed();
        let mut config = match self {
            Self::Example => example(world, &folder),
            Self::Podman(podman) => of_podman(world, podman, &folder)?,
        };
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(program);
        // The map that every runtime understands: crun alone finds one by itself.
        let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
        config["linux"]["uidMappings"] = map(world.account.uid);
        config["linux"]["gidMappings"] = map(world.account.gid);
        world.write(folder.join("config.json"), config.to_string());
        Ok(folder)
    }
}

fn example(world: &World, folder: &Path) -> Value {
    world
        .run("crun")
        .args(["spec", "--rootless"])
        .current_dir(folder)
        .succeed();
    read(&folder.join("config.json"))
}

/// The specification of a container that podman has started, made to stand on its own.
fn of_podman(world: &World, podman: &Podman<'_>, folder: &Path) -> Result<Value, Missing> {
    let engine = &podman.engine;
    let words = ["--name", "model", "--network", "none", busybox::NAME];
    engine.to(&[&["run", "-d"], &words[..], &["sleep", "60"]].concat());
    let path = engine.to(&["inspect", "--format", "{{.OCIConfigPath}}", "model"]);
    let mut config = read(Path::new(&path));
    engine.to(&["rm", "-f", "-t", "0", "model"]);
    if config["linux"]["seccomp"].is_null() {
        return Err(Missing::because("podman filters no system calls here"));
    }
    config["root"] = json!({"path": "rootfs"});
    // podman's own are the limits of its user, which another user may not have.
    config["process"]["rlimits"] = json!([]);
    // podman's containers share one that it has made before.
    let namespaces = config["linux"]["namespaces"].as_array_mut();
    namespaces.expect("a list").push(json!({"type": "user"}));
    for mount in config["mounts"].as_array_mut().expect("a list") {
        stand_alone(world, mount, folder);
    }
    Ok(config)
}

/// Takes what is podman's, and what needs more than one id, out of a mount.
fn stand_alone(world: &World, mount: &mut Value, folder: &Path) {
    let target = mount["destination"].as_str().expect("a path").to_owned();
    if target == "/dev/shm" {
        *mount = json!({
            "destination": target, "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        });
    } else if mount["type"] == "bind" {
        let name = target.rsplit('/').next().expect("a name");
        mount["source"] = json!(world.write(folder.join(name), "localhost\n"));
    }
    if let Some(options) = mount["options"].as_array_mut() {
        options.retain(|option| !option.as_str().is_some_and(|text| text.starts_with("gid=")));
    }
}

fn read(path: &Path) -> Value {
    let text = std::fs::read(path).expect("a specification");
    serde_json::from_slice(&text).expect("JSON")
}
