//! The support code itself: a leak check that finds nothing would make every suite pass.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tests::account::we_are_root;
use tests::client::{Containerd, Docker, Podman};
use tests::fixture::busybox;
use tests::{Mode, World, for_each_account, leaks, require, wait};

/// What the leak check says about a world after `use_it`.
fn left_after(mode: Mode, use_it: impl FnOnce(&World)) -> Result<Vec<String>, tests::Missing> {
    let world = World::new(mode)?;
    use_it(&world);
    Ok(leaks::left_by(&world))
}

for_each_account! {
    fn a_process_that_stays_is_found_and_ended(world) {
        world.run("sh").args(["-c", "setsid sleep 1000 >/dev/null 2>&1 & :"]).succeed();
        wait::until("an orphan", Duration::from_secs(5), || {
            (leaks::of_world(world).len() == 1).then_some(())
        });
        let left = leaks::left_by(world);
        assert!(left.len() == 1 && left[0].contains("sleep 1000"), "{left:?}");
        assert!(leaks::of_world(world).is_empty());
    }
}

for_each_account! {
    fn a_process_that_has_wiped_its_environment_is_found(world) {
        world.run("sh").args(["-c", "env -i setsid sleep 1001 >/dev/null 2>&1 & :"]).succeed();
        let left = leaks::left_by(world);
        assert!(left.len() == 1 && left[0].contains("sleep 1001"), "{left:?}");
    }
}

/// Root's leak check once took a command of another test for root's own, just before it became the other
/// user, and killed it.
#[test]
fn a_command_of_another_account_is_never_taken_for_a_leak() {
    let root = require!(World::new(Mode::Root));
    let user = require!(World::of_a_user());
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| {
            for _ in 0..500 {
                user.run("true").succeed();
            }
        });
        while !starting.is_finished() {
            let found = leaks::of_world(&root);
            assert!(found.is_empty(), "{found:?}");
            std::thread::sleep(Duration::from_micros(200));
        }
    });
}

for_each_account! {
    fn the_world_belongs_to_its_account(world) {
        let said = world.run("sh").args(["-c", "id -u; id -G; pwd; touch file"]).succeed();
        let lines: Vec<&str> = said.text().lines().collect();
        assert_eq!(lines[0], world.account.uid.to_string());
        assert_eq!(lines[1], world.account.gid.to_string());
        assert_eq!(lines[2], world.home().to_str().expect("a plain path"));
    }
}

#[test]
fn the_holder_of_the_user_namespace_may_stay() {
    let left = left_after(Mode::Mapped, |world| {
        let line = "exec -a runner-holder sleep 1000 >/dev/null 2>&1 & :";
        world.run("bash").args(["-c", line]).succeed();
    });
    assert!(require!(left).is_empty());
}

#[test]
fn a_second_holder_is_a_leak() {
    let left = left_after(Mode::Mapped, |world| {
        let line = "for i in 1 2; do (exec -a runner-holder sleep 1000) >/dev/null 2>&1 & done";
        world.run("bash").args(["-c", line]).succeed();
        wait::until("two holders", Duration::from_secs(5), || {
            (leaks::of_world(world)
                .iter()
                .filter(|process| leaks::is_holder(process))
                .count()
                == 2)
                .then_some(())
        });
    });
    assert_eq!(require!(left), ["2 holders of a user namespace"]);
}

#[test]
fn a_temporary_file_is_a_leak() {
    let left = left_after(Mode::Mapped, |world| {
        world.run("mktemp").succeed();
        // Only of a user of its own the suite knows that no other program left the file.
        if we_are_root() {
            world.run("mktemp").args(["-p", "/dev/shm"]).succeed();
        }
    });
    let left = require!(left);
    assert_eq!(left.len(), 1 + usize::from(we_are_root()), "{left:?}");
    assert!(left[0].starts_with("file "), "{left:?}");
}

#[test]
fn a_mount_is_a_leak() {
    let left = left_after(Mode::Root, |world| {
        let folder = world.make_dir("mounted", 0o755);
        world
            .run("mount")
            .args(["-t", "tmpfs", "none"])
            .args([folder])
            .succeed();
    });
    let left = require!(left);
    assert!(left.len() == 1 && left[0].starts_with("mount "), "{left:?}");
}

#[test]
fn a_program_that_hangs_is_a_failure() {
    let world = require!(World::of_a_user());
    let hang = || {
        world
            .run("sleep")
            .args(["1000"])
            .limit(Duration::from_millis(100))
            .finish()
    };
    assert!(catch_unwind(AssertUnwindSafe(hang)).is_err());
}

#[test]
fn an_output_that_is_held_open_is_a_failure() {
    let world = require!(World::of_a_user());
    let run = world
        .run("sh")
        .args(["-c", "sleep 2 &"])
        .limit(Duration::from_millis(200));
    assert!(catch_unwind(AssertUnwindSafe(|| run.finish())).is_err());
}

#[test]
fn podman_runs_an_image_made_by_hand() {
    let world = require!(World::new(Mode::Mapped));
    let image = require!(busybox::image());
    let podman = require!(Podman::new(&world));
    for archive in [image.docker(), image.oci()] {
        assert_eq!(podman.engine.load(&archive), busybox::NAME);
        assert_eq!(
            podman
                .engine
                .to(&["run", "--rm", busybox::NAME, "echo", "hi"]),
            "hi"
        );
        podman.engine.to(&["rmi", busybox::NAME]);
    }
}

#[test]
fn docker_runs_an_image_made_by_hand() {
    let docker = require!(Docker::start());
    let image = require!(busybox::image());
    docker.command(&["load"]).input(image.docker()).succeed();
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        busybox::NAME,
        "echo",
        "hi",
    ];
    assert_eq!(docker.to(&run), "hi");
}

#[test]
fn containerd_runs_an_image_made_by_hand() {
    let containerd = require!(Containerd::start());
    let image = require!(busybox::image());
    containerd
        .command(&["images", "import", "-"])
        .input(image.oci())
        .succeed();
    assert_eq!(
        containerd
            .run(&["--rm", busybox::NAME, "one", "echo", "hi"])
            .succeed()
            .text(),
        "hi"
    );
}
