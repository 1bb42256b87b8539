//! Exit codes: podman's 125, 126 and 127, 128 and the number of the signal, and the command's own.
//!
//! Each case runs on our engine and, where it is installed, on podman, which has to agree with the
//! table.

use std::time::Duration;

use tests::client::Podman;
use tests::fixture::busybox;
use tests::{Engine, Mode, World, for_each_account, require, wait};

/// A command line, `IMAGE` standing for the image, and the code that it ends with.
type Case = (&'static [&'static str], i32);

/// Command lines that need no container.
const CASES: &[Case] = &[
    (&["run", "--rm", "IMAGE", "true"], 0),
    (&["run", "--rm", "IMAGE", "false"], 1),
    (&["run", "--rm", "IMAGE", "sh", "-c", "exit 7"], 7),
    (&["run", "--rm", "IMAGE", "sh", "-c", "exit 255"], 255),
    (
        &[
            "run",
            "--rm",
            "IMAGE",
            "sh",
            "-c",
            "sh -c 'kill -9 $$'; exit $?",
        ],
        137,
    ),
    (&["run", "--rm", "IMAGE", "no-such-command"], 127),
    (&["run", "--rm", "IMAGE", "/no/such/command"], 127),
    (
        &["run", "--rm", "--entrypoint", "nowhere", "IMAGE", "true"],
        127,
    ),
    (&["run", "--rm", "IMAGE", "/bin/not-executable"], 126),
    (&["run", "--rm", "IMAGE", "/tmp"], 126),
    (&["run", "--rm", "localhost/no-such-image", "true"], 125),
    (&["run", "--rm", "not a name", "true"], 125),
    (&["run", "--no-such-flag", "IMAGE", "true"], 125),
    (
        &[
            "run",
            "--rm",
            "-v",
            "/no/such/folder:/data",
            "IMAGE",
            "true",
        ],
        125,
    ),
    (
        &["run", "--rm", "--name", "not/a/name", "IMAGE", "true"],
        125,
    ),
    (&["run", "--rm", "-p", "70000:80", "IMAGE", "true"], 125),
    (
        &[
            "run",
            "--rm",
            "--network",
            "container:none",
            "IMAGE",
            "true",
        ],
        125,
    ),
    (
        &["run", "--rm", "--network", "nowhere", "IMAGE", "true"],
        125,
    ),
    (&["run", "--rm", "-u", "nobody-knows", "IMAGE", "true"], 126),
    (&["run", "--rm", "-u", "12:34", "IMAGE", "true"], 0),
    (&["run", "--rm", "-w", "/no/such", "IMAGE", "true"], 126),
    (&["run", "--rm", "-w", "/etc/passwd", "IMAGE", "true"], 126),
    (&["run", "--rm", "-e", "=value", "IMAGE", "true"], 125),
    (
        &["run", "--rm", "--env-file", "/no/such", "IMAGE", "true"],
        125,
    ),
    (
        &["run", "--rm", "--cap-add", "nosuch", "IMAGE", "true"],
        125,
    ),
    (
        &["run", "--rm", "--tmpfs", "relative", "IMAGE", "true"],
        125,
    ),
    (
        &["run", "--rm", "-v", "/tmp:relative", "IMAGE", "true"],
        125,
    ),
    (&["no-such-verb"], 125),
    (&["exec", "nobody", "true"], 125),
    (&["logs", "nobody"], 125),
    (&["start", "nobody"], 125),
    (&["stop", "nobody"], 125),
    (&["kill", "nobody"], 125),
    (&["wait", "nobody"], 125),
    (&["port", "nobody"], 125),
    (&["inspect", "nobody"], 125),
    (&["rm", "nobody"], 1),
    (&["rmi", "nobody"], 1),
    (&["load", "-i", "/no/such/archive"], 125),
    (&["ps"], 0),
    (&["images"], 0),
];

/// Command lines about `CONTAINER`, which runs.
const CASES_OF_A_CONTAINER: &[Case] = &[
    (&["exec", "CONTAINER", "true"], 0),
    (&["exec", "CONTAINER", "sh", "-c", "exit 9"], 9),
    (&["exec", "CONTAINER", "no-such-command"], 127),
    (&["exec", "CONTAINER", "/bin/not-executable"], 126),
    (&["exec", "CONTAINER", "sh", "-c", "kill -9 $$"], 137),
    (&["run", "--name", "CONTAINER", "IMAGE", "true"], 125),
    (&["rm", "CONTAINER"], 2),
    (&["rmi", "IMAGE"], 2),
    (&["kill", "--signal", "NOSUCH", "CONTAINER"], 125),
];

/// The command lines whose code is another than the table says.
fn wrong_codes(engine: &Engine, cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (words, expected) in cases {
        let words: Vec<&str> = words
            .iter()
            .map(|word| match *word {
                "IMAGE" => busybox::NAME,
                "CONTAINER" => "running",
                other => other,
            })
            .collect();
        let outcome = engine.try_to(&words);
        if outcome.code != *expected {
            wrong.push(format!("expected {expected}: {outcome}"));
        }
    }
    wrong
}

fn expect_codes_of_the_table(engine: &Engine) {
    let mut wrong = wrong_codes(engine, CASES);
    engine.to(&[
        "run",
        "-d",
        "--name",
        "running",
        busybox::NAME,
        "sleep",
        "1000",
    ]);
    wrong.extend(wrong_codes(engine, CASES_OF_A_CONTAINER));
    engine.to(&["rm", "-f", "-t", "0", "running"]);
    assert!(
        wrong.is_empty(),
        "{} wrong codes\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

/// A container that is killed ends with 128 and the signal, for whoever waits in whatever way.
fn expect_code_of_a_killed_container(engine: &Engine) {
    let run = engine.command(&["run", "--rm", "--name", "victim", busybox::NAME]);
    let script = "trap 'exit 44' USR1; echo ready; while :; do sleep 0.1; done";
    let mut run = run.args(["sh", "-c", script]).spawn();
    run.wait_for("ready");
    engine.to(&["kill", "--signal", "KILL", "victim"]);
    let killed = run.finish();
    assert_eq!(killed.code, 137, "{killed}");

    engine.to(&[
        "run",
        "-d",
        "--name",
        "waited",
        busybox::NAME,
        "sh",
        "-c",
        script,
    ]);
    engine.wait_for_log("waited", "ready");
    engine.to(&["kill", "--signal", "USR1", "waited"]);
    assert_eq!(engine.to(&["wait", "waited"]), "44");
    engine.to(&["rm", "waited"]);
}

/// `exec` in a container that does not run.
fn expect_code_of_exec_in_a_stopped_container(engine: &Engine) {
    engine.to(&["run", "--name", "over", busybox::NAME, "true"]);
    let outcome = engine.try_to(&["exec", "over", "true"]);
    assert_eq!(outcome.code, 255, "{outcome}");
    engine.to(&["rm", "over"]);
}

#[test]
fn podman_gives_the_codes_of_the_table() {
    let world = require!(World::new(Mode::Mapped));
    let image = require!(busybox::image());
    let podman = require!(Podman::new(&world));
    podman.engine.load(&image.docker());
    expect_codes_of_the_table(&podman.engine);
    expect_code_of_a_killed_container(&podman.engine);
    expect_code_of_exec_in_a_stopped_container(&podman.engine);
}

for_each_account! {
    fn the_runner_gives_the_codes_of_the_table(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        expect_codes_of_the_table(&runner);
    }
}

for_each_account! {
    fn a_killed_container_ends_with_128_and_the_signal(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        expect_code_of_a_killed_container(&runner);
        expect_code_of_exec_in_a_stopped_container(&runner);
    }
}

for_each_account! {
    /// A terminal sends the signal to the whole group; the code is that of the program.
    fn a_signal_to_run_reaches_the_program(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let script = "trap 'exit 12' TERM; trap 'exit 13' INT; echo ready; while :; do sleep 0.1; done";
        for (signal, code) in [(rustix::process::Signal::TERM, 12), (rustix::process::Signal::INT, 13)] {
            let run = runner.command(&["run", "--rm", busybox::NAME, "sh", "-c", script]);
            let mut run = run.limit(Duration::from_secs(20)).spawn();
            run.wait_for("ready");
            run.signal(signal);
            let outcome = run.finish();
            assert_eq!(outcome.code, code, "{outcome}");
            wait::until("an empty list", Duration::from_secs(5), || {
                runner.to(&["ps", "-a", "-q"]).is_empty().then_some(())
            });
        }
    }
}

for_each_account! {
    fn a_program_learns_that_the_reader_of_the_pipeline_has_gone(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let head = |words: &[&str]| {
            let line = runner.command(&[&["run", "--rm"], words].concat()).line();
            let script = format!("{line} | head -1; echo ${{PIPESTATUS[0]}}");
            let read = world.run("bash").args(["-c", &script]);
            read.limit(Duration::from_secs(20)).succeed().text().to_owned()
        };
        // SIGPIPE does not end PID 1; the write fails.
        let script = "while echo line; do :; done 2> /dev/null; exit 9";
        assert_eq!(head(&[busybox::NAME, "sh", "-c", script]), "line\n9");
        assert_eq!(head(&["--init", busybox::NAME, "yes", "line"]), "line\n141");
        assert_eq!(runner.to(&["ps", "-a", "-q"]), "");
    }
}

for_each_account! {
    fn the_code_of_a_container_that_removes_itself_is_not_lost(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let words = ["run", "-d", "--rm", "--name", "brief", busybox::NAME];
        runner.to(&[&words[..], &["sh", "-c", "sleep 0.5; exit 7"]].concat());
        assert_eq!(runner.to(&["wait", "brief"]), "7");
    }
}
