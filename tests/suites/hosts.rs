//! Hosts on which something cannot be had: no overlay for users, no newuidmap. What is left works, and
//! `info` says what it is.

use std::ffi::OsString;

use tests::account::we_are_root;
use tests::fixture::busybox;
use tests::{Engine, Missing, Mode, Run, World, client, for_each_account, require};

/// A store on an overlay file system, which cannot be the upper layer of another one; unmounted when dropped.
struct WithoutOverlay<'w> {
    runner: Engine<'w>,
    mount: std::path::PathBuf,
}

impl<'w> WithoutOverlay<'w> {
    fn new(world: &'w World) -> Result<Self, Missing> {
        if !we_are_root() {
            return Err(Missing::because("only root can mount an overlay here"));
        }
        for name in ["lower", "upper", "work"] {
            world.make_dir(name, 0o755);
        }
        let mount = world.make_dir("mount", 0o755);
        let folder = world.folder().display();
        let options =
            format!("lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work");
        Run::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .args([&mount])
            .succeed();
        let flags: [OsString; 2] = ["--root".into(), mount.join("store").into()];
        Ok(Self {
            runner: world.runner().with_global(&flags),
            mount,
        })
    }
}

impl Drop for WithoutOverlay<'_> {
    fn drop(&mut self) {
        self.runner.try_to(&["rm", "-f", "-a", "-t", "0"]);
        let _ = Run::new("umount").args(["-l"]).args([&self.mount]).finish();
    }
}

for_each_account! {
    fn without_overlay_the_image_is_copied_and_stays_as_it_was(world) {
        let host = require!(WithoutOverlay::new(world));
        let runner = &host.runner;
        runner.load(&require!(busybox::image()).docker());
        let driver = runner.to(&["info", "--format", "{{.store.graphDriverName}}"]);
        assert_eq!(driver, "vfs");
        let script = "echo changed > /etc/passwd; rm /bin/not-executable; touch /new; ls -ld /root /home/alice | cut -c1-10";
        let run = runner.command(&["run", "--name", "writer", busybox::NAME, "sh", "-c", script]).succeed();
        assert_eq!(run.text(), "drwxr-xr-x\ndrwx------");
        assert!(run.stderr.contains("cop"), "it says that it copies: {}", run.stderr);
        let look = "head -c 4 /etc/passwd; ls /new /bin/not-executable 2>&1 | wc -l; stat -c %u:%g /home/alice";
        let fresh = runner.to(&["run", "--rm", busybox::NAME, "sh", "-c", look]);
        let owner = if world.account.mode == Mode::Single { "0:0" } else { "1000:1000" };
        assert_eq!(fresh, format!("root2\n{owner}"));
        runner.to(&["start", "-a", "writer"]);
        assert_eq!(runner.to(&["rm", "writer"]), "writer");
    }
}

/// A shell as the world's user, in whose mount namespace the two helpers are no programs.
fn without_helpers(world: &World, command: &str) -> Result<Run, Missing> {
    if !we_are_root() {
        return Err(Missing::because("only root can hide newuidmap"));
    }
    let hidden = ["newuidmap", "newgidmap"].map(client::find);
    let [uid, gid] = hidden;
    let (uid, gid) = (uid?, gid?);
    let id = world.account.uid;
    let script = format!(
        "mount --bind /dev/null {}; mount --bind /dev/null {}; \
         exec setpriv --reuid {id} --regid {} --clear-groups {command}",
        uid.display(),
        gid.display(),
        world.account.gid,
    );
    let unshare = ["--mount", "--propagation", "private", "sh", "-c", &script];
    Ok(world.run("unshare").user(0, 0).args(unshare))
}

#[test]
fn without_newuidmap_one_id_is_mapped_and_said() {
    let world = require!(World::new(Mode::Mapped));
    let runner = world.runner();
    let archive = world.write("image.tar", require!(busybox::image()).docker());
    let ask = |words: &[&str]| without_helpers(&world, &runner.command(words).line());
    require!(ask(&[
        "load",
        "-i",
        archive.to_str().expect("a plain path")
    ]))
    .succeed();
    let map = require!(ask(&[
        "run",
        "--rm",
        busybox::NAME,
        "cat",
        "/proc/self/uid_map"
    ]))
    .succeed();
    let numbers: Vec<&str> = map.text().split_whitespace().collect();
    assert_eq!(numbers, ["0", "0", "1"]);
    let info = require!(ask(&["info"])).succeed();
    assert!(info.text().contains("newuidmap"), "{info}");
}
