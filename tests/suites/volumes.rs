//! Folders of the host in a container: who owns what on either side.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tests::client::Podman;
use tests::fixture::busybox;
use tests::{Engine, Mode, World, for_each_account, require};

fn owner(path: &Path) -> (u32, u32) {
    let file = path
        .metadata()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (file.uid(), file.gid())
}

/// Runs a script in a container with the folder `data` of the world at `/data`.
fn run_with_data(engine: &Engine, options: &[&str], script: &str) -> String {
    let volume = format!("{}:/data", engine.world.path("data").display());
    let words = [
        &["run", "--rm", "-v", &volume][..],
        options,
        &[busybox::NAME, "sh", "-c", script],
    ];
    engine.to(&words.concat())
}

/// What root inside makes belongs to the user outside, and the other way round.
fn root_inside_is_the_user_outside(engine: &Engine) {
    let world = engine.world;
    let data = world.make_dir("data", 0o755);
    world.write("data/from-outside", "");
    let seen = run_with_data(
        engine,
        &[],
        "touch /data/from-inside; stat -c %u:%g /data/from-outside /data",
    );
    assert_eq!(seen, "0:0\n0:0");
    let user = (world.account.uid, world.account.gid);
    assert_eq!(owner(&data.join("from-inside")), user);
    std::fs::remove_dir_all(data).expect("all of it is the user's");
}

/// With subordinate ids another user inside is another one outside, and never a user of the host.
fn another_user_inside_has_a_subordinate_id_outside(engine: &Engine) {
    let world = engine.world;
    let data = world.make_dir("data", 0o777);
    let seen = run_with_data(
        engine,
        &["-u", "1000:1000"],
        "touch /data/alice; stat -c %u:%g /data/alice",
    );
    assert_eq!(seen, "1000:1000");
    let (uid, _) = owner(&data.join("alice"));
    assert_eq!(uid, world.account.subordinate.start + 999);
    std::fs::remove_dir_all(data).expect("we are root or it is empty");
}

fn a_read_only_volume_is_read_only(engine: &Engine) {
    let world = engine.world;
    let data = world.make_dir("data", 0o755);
    world.write("data/file", "content");
    let volume = format!("{}:/data:ro", data.display());
    let script = "cat /data/file; touch /data/new 2>/dev/null || echo refused; mount -o remount,rw /data 2>/dev/null || echo kept";
    let said = engine.to(&[
        "run",
        "--rm",
        "-v",
        &volume,
        busybox::NAME,
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(said, "contentrefused\nkept");
    assert!(!data.join("new").exists());
    std::fs::remove_dir_all(data).expect("all of it is the user's");
}

fn a_file_is_a_volume_too_and_its_place_is_made(engine: &Engine) {
    let world = engine.world;
    let file = world.write("single", "one file");
    let volume = format!("{}:/deep/in/the/image/file", file.display());
    let said = engine.to(&[
        "run",
        "--rm",
        "-v",
        &volume,
        busybox::NAME,
        "cat",
        "/deep/in/the/image/file",
    ]);
    assert_eq!(said, "one file");
}

#[test]
fn podman_behaves_as_these_tests_expect() {
    let world = require!(World::new(Mode::Mapped));
    let image = require!(busybox::image());
    let podman = require!(Podman::new(&world));
    podman.engine.load(&image.docker());
    root_inside_is_the_user_outside(&podman.engine);
    another_user_inside_has_a_subordinate_id_outside(&podman.engine);
    a_read_only_volume_is_read_only(&podman.engine);
    a_file_is_a_volume_too_and_its_place_is_made(&podman.engine);
}

for_each_account! {
    fn what_root_inside_makes_belongs_to_the_user_outside(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        root_inside_is_the_user_outside(&runner);
    }
}

for_each_account! {
    fn read_only_volumes_and_single_files(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        a_read_only_volume_is_read_only(&runner);
        a_file_is_a_volume_too_and_its_place_is_made(&runner);
    }
}

#[test]
fn another_user_inside_is_a_subordinate_one_outside() {
    let world = require!(World::new(Mode::Mapped));
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    another_user_inside_has_a_subordinate_id_outside(&runner);
}

#[test]
fn with_a_single_id_every_file_belongs_to_the_user() {
    let world = require!(World::new(Mode::Single));
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let data = world.make_dir("data", 0o755);
    run_with_data(&runner, &["-u", "1000"], "touch /data/alice");
    assert_eq!(
        owner(&data.join("alice")),
        (world.account.uid, world.account.gid)
    );
}

for_each_account! {
    fn a_file_system_in_memory_begins_with_what_the_image_has_there(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let run = |tmpfs: &str, script: &str| {
            runner.to(&["run", "--rm", "--tmpfs", tmpfs, busybox::NAME, "sh", "-c", script])
        };
        let look = "ls /etc | grep -c passwd; stat -c %a /etc; echo x > /etc/new; cat /etc/new";
        assert_eq!(run("/etc", look), "1\n755\nx");
        assert_eq!(run("/etc:notmpcopyup,mode=700", look), "0\n700\nx");
        assert_eq!(run("/new", "stat -c %a /new"), "1777");
        let flags = "grep ' /new ' /proc/mounts | cut -d' ' -f4 | tr , '\\n' | grep -E '^(ro|no(exec|suid|dev))$' | tr '\\n' ' '";
        assert_eq!(run("/new", flags), "nosuid nodev noexec");
        assert_eq!(run("/new:exec,ro", flags), "ro nosuid nodev");
        assert_eq!(run("/new:suid,dev,exec", flags), "");
        for wrong in ["/new:nonsense", "/new:ro,rw", "/new:exec,noexec"] {
            let refused = runner.try_to(&["run", "--rm", "--tmpfs", wrong, busybox::NAME, "true"]);
            assert_eq!(refused.code, 125, "{refused}");
            assert!(refused.only_error().contains(wrong), "{refused}");
        }
    }
}

for_each_account! {
    fn what_may_be_done_with_a_volume_is_said_with_it(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let folder = world.make_dir("data", 0o755);
        world.write(folder.join("file"), "x");
        let source = folder.to_str().expect("a plain path");
        let run = |flags: &[&str], script: &str| {
            runner.to(&[&["run", "--rm"], flags, &[busybox::NAME, "sh", "-c", script]].concat())
        };
        let flags = "grep ' /data ' /proc/mounts | cut -d' ' -f4 | tr , '\\n' | grep -E '^(ro|no(exec|suid|dev))$' | tr '\\n' ' '";
        let volume = |options: &str| run(&["-v", &format!("{source}:/data:{options}")], flags);
        assert_eq!(volume("rw"), "nosuid nodev");
        assert_eq!(volume("ro,noexec,z"), "ro nosuid nodev noexec");
        assert_eq!(volume("suid,dev"), "");
        let mount = format!("type=bind,src={source},dst=/data,ro,noexec");
        assert_eq!(run(&["--mount", &mount], flags), "ro nosuid nodev noexec");
        let memory = "type=tmpfs,destination=/data,tmpfs-size=1m,exec";
        assert_eq!(run(&["--mount", memory], "df -k /data | tail -1 | tr -s ' ' | cut -d' ' -f2"), "1024");
        // The container's user becomes the owner, and nobody through a link.
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).expect("a new file");
        world.own_all(&folder);
        let owner = "stat -c %u:%g /data /data/file; touch /data/file && echo mine";
        let own = ["-u", "0:0", "-v", &format!("{source}:/data:U")];
        assert_eq!(run(&own, owner), "0:0\n0:0\nmine");
        if world.account.mode != Mode::Single {
            let own = ["-u", "1000:2000", "-v", &format!("{source}:/data:U")];
            assert_eq!(run(&own, owner), "1000:2000\n1000:2000\nmine");
            run(&["-v", &format!("{source}:/data:U")], "true");
        }
        // Without a source it is the container's own, with what the image has there.
        assert_eq!(run(&["-v", "/etc"], "grep -c root /etc/passwd"), "1");
        assert_eq!(run(&["-v", "/own/folder"], "touch /own/folder/x && echo made"), "made");
        for wrong in ["ro,rw", "nonsense", "suid,nosuid"] {
            let text = format!("{source}:/data:{wrong}");
            let refused = runner.try_to(&["run", "--rm", "-v", &text, busybox::NAME, "true"]);
            assert_eq!(refused.code, 125, "{refused}");
            assert!(refused.only_error().contains("is no volume"), "{refused}");
        }
    }
}

#[test]
fn a_mount_of_the_host_reaches_a_volume_only_if_it_may() {
    let world = require!(World::new(Mode::Root));
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let folder = world.make_dir("data", 0o755);
    world.make_dir("data/below", 0o755);
    let look = "for try in 1 2 3 4 5 6 7 8 9; do ls /data/below; sleep 0.1; done";
    for (option, expected) in [
        ("rslave", true),
        ("rshared", true),
        ("rprivate", false),
        ("rw", false),
    ] {
        // In mounts of its own, as on a host with systemd.
        let script = "mount --make-rshared / && { \"$@\" & sleep 0.4; mount -t tmpfs none \"$DATA/below\" && touch \"$DATA/below/seen\"; wait; }";
        let volume = format!("{}:/data:{option}", folder.display());
        let said = runner
            .beside("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .args([&runner.program])
            .args(&runner.global)
            .args([
                "run",
                "--rm",
                "-v",
                &volume,
                busybox::NAME,
                "sh",
                "-c",
                look,
            ])
            .env("DATA", folder.to_str().expect("a plain path"))
            .succeed();
        assert_eq!(said.stdout.contains("seen"), expected, "{option}: {said}");
    }
}
