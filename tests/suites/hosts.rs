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

/// Runs a container where `surroundings` were made first, and expects one line and 125.
fn expect_refusal(world: &World, surroundings: Run, reason: &str) {
    let outcome = surroundings.finish();
    assert_eq!(outcome.code, 125, "{outcome}");
    assert!(outcome.only_error().contains(reason), "{outcome}");
    assert_eq!(world.runner().to(&["ps", "-a", "-q"]), "");
}

#[test]
fn where_user_namespaces_are_switched_off_the_error_names_the_switch() {
    require!(client::find("unshare"));
    let world = require!(World::new(Mode::Mapped));
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    // In a user namespace whose own limit is 0, everything below is as if the machine's were.
    // Whoever is root in there is still the user outside, and his store lies where it lay.
    let store = world.home().join(".local/share/runner");
    let folders = [store, world.path("other")].map(|path| path.display().to_string());
    let words = [
        "--root",
        &folders[0],
        "--runroot",
        &folders[1],
        "run",
        "--rm",
        busybox::NAME,
        "true",
    ];
    let run = runner.command(&words).line();
    let script = format!("echo 0 > /proc/sys/user/max_user_namespaces && exec {run}");
    let words = [
        "-Ur",
        "-m",
        "-p",
        "--fork",
        "--mount-proc",
        "sh",
        "-c",
        &script,
    ];
    expect_refusal(
        &world,
        world.run("unshare").args(words),
        "user.max_user_namespaces",
    );
}

#[test]
fn where_proc_is_masked_as_in_a_container_the_error_says_what_to_do() {
    require!(client::find("bwrap"));
    let world = require!(World::new(Mode::Mapped));
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let run = runner
        .command(&["--runroot", "RUNROOT", "run", "--rm", busybox::NAME, "true"])
        .line();
    let run = run.replace("RUNROOT", &world.path("other").display().to_string());
    let words = [
        "--dev-bind",
        "/",
        "/",
        "--unshare-user",
        "--unshare-pid",
        "--proc",
        "/proc",
        "--ro-bind",
        "/proc/sys",
        "/proc/sys",
        "--die-with-parent",
        "--",
        "sh",
        "-c",
        &run,
    ];
    expect_refusal(&world, world.run("bwrap").args(words), "unmask=ALL");
}

#[test]
fn without_cgroups_only_a_limit_is_refused() {
    require!(client::find("unshare"));
    let world = require!(World::new(Mode::Root));
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let without = |options: &[&str]| {
        let words = [&["run", "--rm"], options, &[busybox::NAME, "true"]].concat();
        let script = format!(
            "umount -R /sys/fs/cgroup; exec {}",
            runner.command(&words).line()
        );
        world.run("unshare").args(["-m", "sh", "-c", &script])
    };
    without(&[]).succeed();
    without(&["--pids-limit", "50"]).succeed();
    expect_refusal(
        &world,
        without(&["--memory", "64m"]),
        "--limits=best-effort",
    );
}
