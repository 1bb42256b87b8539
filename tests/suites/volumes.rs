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
