//! Power cuts, full disks, disks that are only read, stores of a newer program, and commands at the
//! same time: what was there stays, what was half done goes, and the next command works.

#[path = "losses/full.rs"]
mod full;
#[path = "losses/power.rs"]
mod power;

use std::path::PathBuf;

use tests::fixture::{Archive, Layer, busybox};
use tests::{Engine, Mode, Outcome, World, binaries, for_each_account, require};

/// An image of so many files, none of them like those of another image.
fn image(name: &str, content: &str, files: u32) -> Archive {
    let layer = (0..files).fold(Layer::new(), |layer, number| {
        let text = format!("{content} {number}\n").repeat(40);
        layer.file(&format!("etc/{content}/{number}"), 0o644, text)
    });
    Archive::new(name, &[&layer], &["/bin/true"])
}

/// A line of a shell of root's in a mount namespace of its own, in the world's folder: what it
/// mounts goes with it. `$runner` is the engine, whose store lies in the folder `at`.
fn shell(world: &World, script: &str) -> Outcome {
    let runner = format!(
        "{} --root at/store --runroot run/r",
        binaries::path("runner").display()
    );
    let words = ["-m", "--propagation", "private", "sh", "-c", script];
    let run = world.run("unshare").args(words).env("runner", runner);
    run.current_dir(world.folder()).finish()
}

fn expect_sound(engine: &Engine) {
    assert_eq!(engine.to(&["system", "check"]), "");
    let store = PathBuf::from(engine.to(&["info", "--format", "{{.Store.GraphRoot}}"]));
    let left = std::fs::read_dir(store.join("tmp")).expect("the store");
    assert_eq!(left.count(), 0, "left in the temporary folder");
}

for_each_account! {
    fn loads_at_once_are_as_one_after_the_other(world) {
        let runner = world.runner();
        let same = world.write("same.tar", image("localhost/same:1", "same", 20).docker());
        for round in 0..8 {
            let other = image("localhost/other:1", &format!("other-{round}"), 20);
            let other = world.write("other.tar", other.docker());
            let running: Vec<_> = [&same, &other, &same, &other]
                .map(|path| runner.command(&["load", "-q", "-i", path.to_str().expect("plain")]))
                .map(tests::Run::spawn)
                .into_iter()
                .collect();
            for load in running {
                let _ = load.finish().success();
            }
            let names = runner.to(&["images", "--filter", "dangling=false", "--format", "{{.Repository}}"]);
            assert_eq!(names.lines().count(), 2, "{names}");
            expect_sound(&runner);
            runner.to(&["rmi", "-f", "localhost/same:1"]);
        }
    }
}

for_each_account! {
    fn an_image_that_is_removed_while_a_container_starts_is_there_or_not(world) {
        let runner = world.runner();
        let archive = world.write("image.tar", require!(busybox::image()).docker());
        let archive = archive.to_str().expect("a plain path");
        let (mut ran, mut removed) = (0, 0);
        for round in 0..30 {
            runner.to(&["load", "-q", "-i", archive]);
            let run = runner.command(&["run", "--rm", busybox::NAME, "echo", "well"]).spawn();
            std::thread::sleep(std::time::Duration::from_micros(400 * round));
            let rmi = runner.command(&["rmi", busybox::NAME]).finish();
            let run = run.finish();
            match run.code {
                0 => assert_eq!(run.text(), "well"),
                _ => assert!(run.stderr.contains("not known"), "{run}"),
            }
            ran += i32::from(run.code == 0);
            removed += i32::from(rmi.code == 0);
            assert!(rmi.code == 0 || rmi.stderr.contains("in use"), "{rmi}");
            runner.try_to(&["rmi", "-f", busybox::NAME]);
        }
        assert!(ran > 0 && removed > 0, "{ran} ran, {removed} removed");
        expect_sound(&runner);
    }
}

for_each_account! {
    fn a_store_of_a_newer_program_is_left_alone(world) {
        let runner = world.runner();
        runner.load(&image("localhost/a:1", "a", 1).docker());
        let store = PathBuf::from(runner.to(&["info", "--format", "{{.Store.GraphRoot}}"]));
        let archive = world.path("archive.tar");
        let archive = archive.to_str().expect("a plain path");
        std::fs::write(store.join("version"), "2\n").expect("the store");
        for words in [
            &["images"][..],
            &["load", "-i", archive],
            &["rmi", "-f", "localhost/a:1"],
            &["run", "localhost/a:1"],
            &["system", "check", "--repair"],
            &["system", "reset", "-f"],
        ] {
            let outcome = runner.try_to(words).with_code(125);
            let line = outcome.only_error();
            assert!(line.contains("was written by a newer runner"), "{words:?}: {line}");
        }
        std::fs::write(store.join("version"), "1\n").expect("the store");
        assert_eq!(runner.to(&["images", "--format", "{{.Repository}}"]), "localhost/a");
        expect_sound(&runner);
    }
}

#[test]
fn a_store_that_can_only_be_read_is_read() {
    let world = require!(World::new(Mode::Root));
    world.make_dir("at", 0o755);
    world.write("image.tar", image("localhost/a:1", "a", 3).docker());
    let script = "
        mount -t tmpfs none at && $runner load -q -i image.tar && mount -o remount,ro at || exit 99
        $runner images --format '{{.Repository}}:{{.Tag}}'
        $runner image inspect --format '{{.Os}}' localhost/a:1
        $runner save -q -o saved.tar localhost/a:1 && echo saved
        for verb in 'load -q -i image.tar' 'rmi localhost/a:1' 'tag localhost/a:1 b' 'run localhost/a:1' \
            'image prune -f'; do
            $runner $verb
            echo $?
        done
        mount -o remount,rw at && $runner rmi localhost/a:1 && $runner system check && ls at/store/tmp";
    let outcome = shell(&world, script).with_code(0);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(
        lines[..9],
        [
            "Loaded image: localhost/a:1",
            "localhost/a:1",
            "linux",
            "saved",
            "125",
            "125",
            "125",
            "125",
            "125"
        ],
        "{outcome}"
    );
    let errors: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(errors.len(), 5, "{outcome}");
    for line in errors {
        assert!(line.contains("Read-only file system"), "{line}");
    }
    assert_eq!(lines.len(), 11, "{outcome}");
}
