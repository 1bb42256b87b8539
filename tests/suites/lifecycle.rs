//! The life of a container: what the verbs do to it, and what they say about it.
//!
//! Whatever says the same about both engines runs on podman too, so that the expectation is podman's and not ours.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tests::client::Podman;
use tests::fixture::busybox;
use tests::processes::Process;
use tests::{Engine, Mode, World, for_each_account, leaks, require, wait};

/// A program that says a line, and then works until it is told to end.
const WORKER: [&str; 3] = [
    "sh",
    "-c",
    "trap 'echo bye; exit 5' TERM; echo ready; echo warning >&2; while :; do sleep 0.05; done",
];

fn start_worker(engine: &Engine, name: &str) -> String {
    let words = [&["run", "-d", "--name", name, busybox::NAME][..], &WORKER].concat();
    let id = engine.to(&words);
    engine.wait_for_log(name, "warning");
    id
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|digit| digit.is_ascii_hexdigit())
}

fn state(engine: &Engine, name: &str) -> String {
    engine.to(&[
        "inspect",
        "--format",
        "{{.State.Status}} {{.State.ExitCode}}",
        name,
    ])
}

/// The names in `ps`, with or without those that have ended.
fn listed(engine: &Engine, all: bool) -> Vec<String> {
    let all: &[&str] = if all { &["-a"] } else { &[] };
    let names = engine.to(&[&["ps", "--format", "{{.Names}}"][..], all].concat());
    names.lines().map(str::to_owned).collect()
}

fn a_detached_container_lives_until_it_is_stopped(engine: &Engine) {
    let id = start_worker(engine, "worker");
    assert!(is_id(&id), "{id}");
    assert_eq!(listed(engine, false), ["worker"]);
    assert_eq!(state(engine, "worker"), "running 0");

    assert_eq!(
        engine.to(&["exec", "worker", "sh", "-c", "echo in $(hostname)"]),
        format!("in {}", &id[..12])
    );
    let piped = engine
        .command(&["exec", "-i", "worker", "cat"])
        .input("through")
        .succeed();
    assert_eq!(piped.text(), "through");
    assert_eq!(
        engine.to(&["exec", &id[..6], "echo", "short id"]),
        "short id"
    );

    assert_eq!(engine.to(&["stop", "worker"]), "worker");
    assert_eq!(state(engine, "worker"), "exited 5");
    assert_eq!(listed(engine, false), Vec::<String>::new());
    assert_eq!(listed(engine, true), ["worker"]);
    let logs = engine.command(&["logs", "worker"]).succeed();
    assert_eq!(
        (logs.stdout.as_str(), logs.stderr.as_str()),
        ("ready\nbye\n", "warning\n")
    );

    assert_eq!(engine.to(&["start", "worker"]), "worker");
    wait::until("a second start", Duration::from_secs(10), || {
        (engine.to(&["logs", "worker"]).matches("ready").count() == 2).then_some(())
    });
    assert_eq!(engine.to(&["kill", "worker"]), "worker");
    assert_eq!(engine.to(&["wait", "worker"]), "137");
    assert_eq!(engine.to(&["rm", "worker"]), "worker");
    assert_eq!(listed(engine, true), Vec::<String>::new());
}

fn a_container_with_rm_goes_when_it_ends(engine: &Engine) {
    let words = [
        "run",
        "-d",
        "--rm",
        "--name",
        "fleeting",
        busybox::NAME,
        "sleep",
        "0.3",
    ];
    engine.to(&words);
    wait::until("its removal", Duration::from_secs(10), || {
        listed(engine, true).is_empty().then_some(())
    });
    engine.to(&["run", "--rm", "--name", "fleeting", busybox::NAME, "true"]);
    assert_eq!(listed(engine, true), Vec::<String>::new());
}

fn a_container_keeps_its_files_from_one_start_to_the_next(engine: &Engine) {
    let script = "echo line >> /file; wc -l < /file";
    engine.to(&["run", "--name", "keeper", busybox::NAME, "sh", "-c", script]);
    assert_eq!(engine.to(&["start", "-a", "keeper"]), "2");
    engine.to(&["rm", "keeper"]);
}

fn rm_force_ends_a_container_that_ignores_term(engine: &Engine) {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    engine.to(&[
        "run",
        "-d",
        "--name",
        "stubborn",
        busybox::NAME,
        "sh",
        "-c",
        script,
    ]);
    engine.wait_for_log("stubborn", "ready");
    engine.to(&["rm", "-f", "-t", "0", "stubborn"]);
    assert_eq!(listed(engine, true), Vec::<String>::new());
}

fn input_and_outputs_of_run_are_those_of_the_program(engine: &Engine) {
    let run = engine.command(&[
        "run",
        "--rm",
        "-i",
        busybox::NAME,
        "sh",
        "-c",
        "cat; echo no >&2",
    ]);
    let outcome = run.input("some\nlines\n").succeed();
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("some\nlines\n", "no\n")
    );
    // Without -i nothing is read.
    let run = engine
        .command(&["run", "--rm", busybox::NAME, "cat"])
        .input("unread");
    assert_eq!(run.succeed().stdout, "");
    let long = engine
        .command(&["run", "--rm", busybox::NAME, "seq", "200000"])
        .succeed();
    assert_eq!(long.stdout.lines().count(), 200_000);
}

fn a_short_flag_and_its_value_may_be_one_word(engine: &Engine) {
    let script = "echo $A $B; pwd; id -u; read line; echo $line";
    let words = [
        "run",
        "--rm",
        "-eA=one",
        "-e=B=two",
        "-u=7",
        "-iw/tmp",
        "-v/etc:/host:ro",
        busybox::NAME,
    ];
    let run = engine.command(&[&words[..], &["sh", "-c", script, "-eA=not"]].concat());
    assert_eq!(run.input("in\n").succeed().text(), "one two\n/tmp\n7\nin");
    start_worker(engine, "worker");
    let look = [
        "exec",
        "-w/tmp",
        "-eA=b",
        "worker",
        "sh",
        "-c",
        "pwd; echo $A",
    ];
    assert_eq!(engine.to(&look), "/tmp\nb");
    engine.to(&["rm", "-f", "-t0", "worker"]);
    let made = engine.to(&["create", "-p8123:80", "-lk=v", busybox::NAME, "true"]);
    engine.to(&["rm", &made]);
    let wrong = engine.try_to(&["run", "--rm", "-Zx", busybox::NAME, "true"]);
    assert_eq!(wrong.code, 125, "{wrong}");
}

fn run_shows_the_streams_that_are_attached(engine: &Engine) {
    let script = "cat; echo out; echo err >&2; exit 3";
    let run = |options: &[&str]| {
        let words = [&["run"], options, &[busybox::NAME, "sh", "-c", script]].concat();
        engine.command(&words).input("in\n").finish()
    };
    for (options, stdout, stderr) in [
        (&["-a", "stdout"][..], "out\n", ""),
        (&["-a", "STDERR"], "", "err\n"),
        (&["--attach", "stdout,stderr"], "out\n", "err\n"),
        (&["-a", "stdout", "-a=stderr"], "out\n", "err\n"),
        (&["-i", "-a", "stdout"], "in\nout\n", ""),
    ] {
        let said = run(&[&["--rm"], options].concat()).with_code(3);
        let printed = (said.stdout.as_str(), said.stderr.as_str());
        assert_eq!(printed, (stdout, stderr), "{options:?}");
    }
    let quiet = run(&["--name", "quiet", "-a", "stdin"]).with_code(3);
    assert_eq!(quiet.text().len(), 64, "{quiet}");
    assert_eq!(quiet.stderr, "", "{quiet}");
    let log = engine.command(&["logs", "quiet"]).succeed();
    assert_eq!(
        (log.stdout.as_str(), log.stderr.as_str()),
        ("out\n", "err\n")
    );
    engine.to(&["rm", "quiet"]);
    assert_eq!(run(&["--rm", "-a", "nonsense"]).code, 125);
}

fn inspect_tells_the_fields_that_scripts_use(engine: &Engine) {
    let id = start_worker(engine, "seen");
    let field =
        |field: &str| engine.to(&["inspect", "--format", &format!("{{{{{field}}}}}"), "seen"]);
    assert_eq!(field(".Id"), id);
    assert_eq!(field(".Name"), "seen");
    assert_eq!(field(".State.Running"), "true");
    assert_eq!(field(".ImageName"), busybox::NAME);
    let pid: u32 = field(".State.Pid").parse().expect("a process id");
    assert!(Process::read(pid).is_some_and(|process| process.arguments.contains("ready")));
    let all: serde_json::Value =
        serde_json::from_str(&engine.to(&["inspect", "seen"])).expect("JSON");
    assert_eq!(all[0]["Config"]["Cmd"], serde_json::json!(WORKER));
    engine.to(&["rm", "-f", "-t", "0", "seen"]);
}

/// Expects that podman and we refuse these words, with podman's code and words.
fn expect_refused(engine: &Engine, words: &[&str], message: &str) {
    let refused = engine.command(words).finish().with_code(125);
    assert!(refused.stderr.contains(message), "{words:?}: {refused}");
}

fn restart_ends_a_container_and_starts_it_again(engine: &Engine) {
    start_worker(engine, "worker");
    let pid = || engine.to(&["inspect", "--format", "{{.State.Pid}}", "worker"]);
    engine.to(&["exec", "worker", "touch", "/kept"]);
    let before = pid();
    assert_eq!(engine.to(&["restart", "worker"]), "worker");
    assert_eq!(state(engine, "worker"), "running 0");
    assert_ne!(pid(), before);
    // It was asked to end, and was not killed.
    engine.wait_for_log("worker", "bye");
    engine.to(&["exec", "worker", "ls", "/kept"]);

    // One that never ran, and one that has ended, are started.
    let id = engine.to(&["create", "--name", "new", busybox::NAME, "sleep", "300"]);
    assert_eq!(engine.to(&["restart", "-l"]), id);
    assert_eq!(state(engine, "new"), "running 0");
    engine.to(&["stop", "-t", "0", "worker", "new"]);
    let mut all: Vec<_> = engine
        .to(&["restart", "--all"])
        .lines()
        .map(str::to_owned)
        .collect();
    all.sort();
    let mut listed = listed(engine, false);
    listed.sort();
    assert_eq!(
        (all.len(), &listed[..]),
        (2, &["new".to_owned(), "worker".to_owned()][..])
    );

    expect_refused(engine, &["restart"], "name");
    expect_refused(engine, &["restart", "nobody"], "no such container");
    expect_refused(
        engine,
        &["restart", "-a", "new"],
        "no arguments are needed with --all",
    );
    expect_refused(
        engine,
        &["restart", "-a", "-l"],
        "--all and --latest cannot be used together",
    );
    engine.to(&["rm", "-f", "-t", "0", "worker", "new"]);
}

fn exec_leaves_a_program_in_the_background(engine: &Engine) {
    let name = "host";
    engine.to(&["run", "-d", "--name", name, busybox::NAME, "sleep", "300"]);
    let wait_for = |file: &str, content: &str| {
        wait::until(file, Duration::from_secs(10), || {
            let read = engine.command(&["exec", name, "cat", file]).finish();
            (read.stdout.trim() == content).then_some(())
        });
    };
    let id = engine.to(&[
        "exec",
        "-d",
        "-e",
        "A=b",
        name,
        "sh",
        "-c",
        "echo $A > /one; sleep 301",
    ]);
    assert!(is_id(&id), "{id}");
    wait_for("/one", "b");
    // With a terminal.
    engine.to(&[
        "exec",
        "-d",
        "-t",
        name,
        "sh",
        "-c",
        "tty > /two; sleep 302",
    ]);
    wait_for("/two", "/dev/pts/0");
    expect_refused(engine, &["exec", "-d", name, "nowhere"], "nowhere");
    // Not the number alone, which may be in the name of the world's folder.
    let among = |program: &str| {
        let of_world = leaks::of_world(engine.world);
        of_world
            .iter()
            .any(|process| process.arguments.contains(program))
    };
    assert!(among("sleep 301") && among("sleep 302"));
    engine.to(&["stop", "-t", "0", name]);
    wait::until("the end of both", Duration::from_secs(10), || {
        (!among("sleep 301") && !among("sleep 302")).then_some(())
    });
    expect_refused(
        engine,
        &["exec", "-d", name, "true"],
        "can only create exec sessions on running containers",
    );
    engine.to(&["rm", name]);
}

fn latest_is_the_container_that_was_made_last(engine: &Engine) {
    for verb in ["stop", "start", "kill", "restart", "wait", "logs", "top"] {
        expect_refused(engine, &[verb, "-l"], "no such container");
    }
    engine.to(&[
        "run",
        "-d",
        "--name",
        "first",
        busybox::NAME,
        "sleep",
        "300",
    ]);
    let id = engine.to(&[
        "run",
        "-d",
        "--name",
        "last",
        busybox::NAME,
        "sh",
        "-c",
        "echo seen; exec sleep 300",
    ]);
    engine.wait_for_log("last", "seen");
    assert_eq!(engine.to(&["logs", "-l"]), "seen");
    assert_eq!(engine.to(&["exec", "-l", "hostname"]), id[..12]);
    assert!(
        engine
            .to(&["top", "--latest", "pid", "args"])
            .contains("sleep 300")
    );
    assert_eq!(engine.to(&["port", "-l"]), "");
    assert_eq!(engine.to(&["kill", "-l"]), id);
    assert_eq!(engine.to(&["wait", "-l"]), "137");
    assert_eq!(engine.to(&["start", "-l"]), id);
    assert_eq!(engine.to(&["stop", "-t", "0", "--latest"]), id);
    for verb in ["stop", "start", "kill", "rm", "wait", "logs"] {
        expect_refused(
            engine,
            &[verb, "-l", "first"],
            "--latest and containers cannot be used together",
        );
    }
    assert_eq!(engine.to(&["rm", "-l"]), id);
    engine.to(&["rm", "-f", "-t", "0", "-l"]);
    assert!(listed(engine, true).is_empty());
}

/// What is true of podman and has to be true of us.
const ALIKE: &[fn(&Engine)] = &[
    latest_is_the_container_that_was_made_last,
    restart_ends_a_container_and_starts_it_again,
    exec_leaves_a_program_in_the_background,
    a_detached_container_lives_until_it_is_stopped,
    inspect_tells_what_the_last_container_wrote,
    a_container_with_rm_goes_when_it_ends,
    a_container_keeps_its_files_from_one_start_to_the_next,
    rm_force_ends_a_container_that_ignores_term,
    input_and_outputs_of_run_are_those_of_the_program,
    run_shows_the_streams_that_are_attached,
    a_short_flag_and_its_value_may_be_one_word,
    inspect_tells_the_fields_that_scripts_use,
];

#[test]
fn podman_behaves_as_these_tests_expect() {
    let world = require!(World::new(Mode::Mapped));
    let image = require!(busybox::image());
    let podman = require!(Podman::new(&world));
    podman.engine.load(&image.docker());
    for behaviour in ALIKE {
        behaviour(&podman.engine);
    }
}

fn inspect_tells_what_the_last_container_wrote(engine: &Engine) {
    let script = "mkdir -m 700 /closed; for file in /open /closed/one; do head -c 5000 /dev/zero > $file; done
        chown 7:7 /closed 2> /dev/null || true";
    for (name, script) in [("idle", "true"), ("writer", script)] {
        engine.to(&["run", "--name", name, busybox::NAME, "sh", "-c", script]);
    }
    let told = |format: &str, words: &[&str]| {
        engine.to(&[&["inspect", "--format", format], words].concat())
    };
    assert_eq!(told("{{.Name}}", &["-l"]), "writer");
    // podman itself writes into each container, too.
    for (size, more) in [("{{.SizeRw}}", 10_000), ("{{.SizeRootFs}}", 0)] {
        let [writer, idle] = [&["-s", "-l"], &["--size", "idle"]]
            .map(|words| told(size, words).parse::<u64>().expect("a number"));
        assert_eq!(writer, idle + more, "{size}");
    }
    let listed = |format: &str| engine.to(&["ps", "-a", "-s", "-n", "1", "--format", format]);
    let size = told("{{.SizeRw}}", &["-s", "-l"]);
    let columns = listed("{{.Names}} {{.Size}}");
    assert!(columns.starts_with("writer 10"), "{columns}");
    assert!(columns.contains("kB (virtual "), "{columns}");
    let all: serde_json::Value = serde_json::from_str(&listed("json")).expect("JSON");
    assert_eq!(all[0]["Size"]["rwSize"].to_string(), size);
    for (words, message) in [
        (
            &["-l", "idle"][..],
            "--latest and arguments cannot be used together",
        ),
        (
            &["-s", "--type", "image", "idle"],
            "size is not supported for type \"image\"",
        ),
        (
            &["-l", "-t", "image"],
            "latest is not supported for type \"image\"",
        ),
    ] {
        let words = [&["inspect"], words].concat();
        expect_refused(engine, &words, message);
    }
    for name in ["idle", "writer"] {
        engine.to(&["rm", name]);
    }
    expect_refused(
        engine,
        &["inspect", "--latest"],
        "no containers to inspect: no such container",
    );
}

/// A test of the runner for each account, on a store with the busybox image in it.
macro_rules! the_runner {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;
            for_each_account! {
                fn runner(world) {
                    let runner = world.runner();
                    runner.load(&require!(busybox::image()).docker());
                    super::super::$name(&runner);
                }
            }
        }
    )*};
}

the_runner! {
    latest_is_the_container_that_was_made_last
    restart_ends_a_container_and_starts_it_again
    exec_leaves_a_program_in_the_background
    a_detached_container_lives_until_it_is_stopped
    a_container_with_rm_goes_when_it_ends
    a_container_keeps_its_files_from_one_start_to_the_next
    rm_force_ends_a_container_that_ignores_term
    input_and_outputs_of_run_are_those_of_the_program
    run_shows_the_streams_that_are_attached
    a_short_flag_and_its_value_may_be_one_word
    inspect_tells_the_fields_that_scripts_use
    inspect_tells_what_the_last_container_wrote
    killing_any_process_of_ours_leaves_a_state_that_is_reported_rightly
}

fn kill_hard(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process id");
    let _ = kill_process(pid, Signal::KILL);
}

/// What `ps` says has to be true, and `rm -f` has to leave nothing.
fn expect_truth_and_removal(engine: &Engine, killed: &Process) {
    let program_lives = || {
        let processes = leaks::of_world(engine.world);
        processes
            .iter()
            .any(|process| process.arguments.contains("echo ready"))
    };
    wait::until(
        &format!("the truth after the end of {killed:?}"),
        Duration::from_secs(10),
        || {
            let says_running = !listed(engine, false).is_empty();
            (says_running == program_lives()).then_some(())
        },
    );
    engine.to(&["rm", "-f", "-t", "0", "-i", "worker"]);
    assert_eq!(listed(engine, true), Vec::<String>::new());
    wait::until(
        &format!("nothing left after the end of {killed:?}"),
        Duration::from_secs(5),
        || {
            leaks::of_world(engine.world)
                .iter()
                .all(leaks::is_holder)
                .then_some(())
        },
    );
}

/// Every process that `run` starts is killed once, in a container of its own each.
fn killing_any_process_of_ours_leaves_a_state_that_is_reported_rightly(engine: &Engine) {
    let port = wait::free_port().to_string() + ":8080";
    let mut number = 0;
    loop {
        let options = ["run", "-d", "--name", "worker", "-p", &port, busybox::NAME];
        engine.to(&[&options[..], &WORKER].concat());
        engine.wait_for_log("worker", "ready");
        let mut processes = leaks::of_world(engine.world);
        processes.retain(|process| process.arguments != "sleep 0.05");
        let Some(victim) = processes.get(number) else {
            engine.to(&["rm", "-f", "-t", "0", "worker"]);
            break;
        };
        kill_hard(victim.pid);
        expect_truth_and_removal(engine, victim);
        number += 1;
    }
    assert!(
        number >= 2,
        "a container with a port has a monitor and a program at least"
    );
}

for_each_account! {
    /// A foreground container ends with its command, however that ends.
    fn killing_run_ends_its_container(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for moment in [0, 2, 5, 10, 20, 50, 100] {
            let words = [&["run", "--name", "worker", busybox::NAME][..], &WORKER].concat();
            let run = runner.command(&words).spawn();
            std::thread::sleep(Duration::from_millis(moment));
            kill_hard(run.pid());
            drop(run);
            wait::until("the end of the container", Duration::from_secs(5), || {
                leaks::of_world(world).iter().all(leaks::is_holder).then_some(())
            });
            assert_eq!(listed(&runner, false), Vec::<String>::new(), "killed after {moment} ms");
            runner.to(&["rm", "-f", "-i", "worker"]);
            assert_eq!(listed(&runner, true), Vec::<String>::new(), "killed after {moment} ms");
        }
    }
}

for_each_account! {
    /// A whole disk is brought up to date at the end of an overlay mount that is not volatile. The kernel
    /// mounts one that is only once, unless its mark is taken away.
    fn only_what_goes_with_its_container_is_not_brought_to_disk(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        // Also spelled fsync=volatile.
        let count = ["grep", "-c", "[,=]volatile", "/proc/self/mountinfo"];
        let counted = |options: &[&str]| {
            let words = [&["run"], options, &[busybox::NAME], &count[..]].concat();
            runner.command(&words).finish().stdout.trim().to_owned()
        };
        assert_eq!(counted(&["--rm"]), "1");
        assert_eq!(counted(&["--name", "kept"]), "0");
        runner.to(&["rm", "kept"]);
        runner.to(&["create", "--rm", "--name", "again", busybox::NAME, "/bin/none"]);
        for _ in 0..2 {
            let failed = runner.command(&["start", "again"]).finish().with_code(127);
            assert!(failed.stderr.contains("/bin/none"), "{failed}");
        }
        runner.to(&["rm", "again"]);
    }
}

for_each_account! {
    fn an_upper_layer_in_memory_has_an_end_and_is_gone_with_the_stop(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let upper = ["--upper", "tmpfs:size=4m"];
        let run = |script: &str| {
            let words = [&["run", "--rm"], &upper[..], &[busybox::NAME, "sh", "-c", script]].concat();
            runner.command(&words).finish()
        };
        // What the image has is there, can be changed, and what replaces a folder has nothing of it.
        // The engine writes into /etc at each start, so that has the time of the start.
        let same = "stat -c %A:%u:%g:%Y / /home/alice; stat -c %A:%u:%g /etc; cat /etc/passwd; id";
        assert_eq!(run(same).stdout, runner.command(&["run", "--rm", busybox::NAME, "sh", "-c", same]).succeed().stdout);
        assert_eq!(run("rm -r /etc && mkdir /etc && ls -A /etc | wc -l").stdout, "0\n");
        let full = run("dd if=/dev/zero of=/big bs=64k count=80").with_code(1);
        assert!(full.stderr.contains("No space left"), "{full}");
        let many = run("mkdir /d && cd /d && touch $(seq 1100)").with_code(1);
        assert!(many.stderr.contains("No space left"), "{many}");
        let write = "cat /kept; echo x > /kept; grep -c '[,=]volatile' /proc/self/mountinfo";
        let named = [&["run", "--name", "forgetful"], &upper[..], &[busybox::NAME, "sh", "-c", write]].concat();
        for words in [&named[..], &["start", "-a", "forgetful"]] {
            let ran = runner.command(words).finish().with_code(0);
            assert_eq!(ran.stdout, "1\n", "{ran}");
            assert!(ran.stderr.contains("/kept"), "{ran}");
        }
        let option = runner.to(&["inspect", "--format", "{{.HostConfig.StorageOpt.upper}}", "forgetful"]);
        assert_eq!(option, "tmpfs:size=4194304");
        runner.to(&["rm", "forgetful"]);
        runner.to(&["system", "check"]);
    }
}

for_each_account! {
    fn images_are_listed_and_removed(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let listed = || runner.to(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        assert_eq!(listed(), busybox::NAME);
        runner.to(&["rmi", busybox::NAME]);
        assert_eq!(listed(), "");
    }
}

for_each_account! {
    fn info_says_which_driver_and_which_ids(world) {
        let info = world.runner().to(&["info"]);
        let driver = info.lines().find(|line| line.contains("graphDriverName"));
        assert_eq!(driver.map(str::trim), Some("graphDriverName: overlay"), "{info}");
        let version = world.runner().to(&["version"]);
        assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    }
}

for_each_account! {
    fn a_published_port_is_listed(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let port = wait::free_port();
        let publish = format!("127.0.0.1:{port}:8080");
        runner.to(&[&["run", "-d", "--name", "worker", "-p", &publish, busybox::NAME][..], &WORKER].concat());
        assert_eq!(runner.to(&["port", "worker"]), format!("8080/tcp -> 127.0.0.1:{port}"));
        runner.to(&["rm", "-f", "-t", "0", "worker"]);
    }
}

for_each_account! {
    fn containers_are_chosen_sorted_and_waited_for_by_what_they_are(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for (name, label) in [("beta", "kind=chosen"), ("alpha", "kind=chosen"), ("gamma", "kind=other")] {
            runner.to(&["create", "--name", name, "--label", label, busybox::NAME, "sleep", "1000"]);
        }
        let filter = ["--filter", "label=kind=chosen"];
        let names = |words: &[&str]| {
            runner.to(&[&["ps", "-a", "--format", "{{.Names}}"], words].concat()).replace('\n', " ")
        };
        assert_eq!(names(&["--sort", "names"]), "alpha beta gamma");
        assert_eq!(names(&["--sort", "created"]), "beta alpha gamma");
        runner.to(&[&["start"], &filter[..]].concat());
        assert_eq!(names(&["--filter", "status=running", "--sort", "names"]), "alpha beta");
        assert_eq!(runner.to(&["wait", "--condition", "running", "-i", "10", "alpha"]), "-1");
        let mut waiting = runner.command(&["wait", "--condition=exited", "alpha", "beta"]).spawn();
        runner.to(&[&["stop", "-t", "0"], &filter[..]].concat());
        waiting.wait_for("137");
        assert_eq!(waiting.finish().text(), "137\n137");
        assert_eq!(names(&["--filter", "status=exited", "--sort", "names"]), "alpha beta");
        runner.to(&[&["rm"], &filter[..]].concat());
        assert_eq!(names(&[]), "gamma");
        for (words, error) in [
            (&["wait", "--condition", "nonsense", "gamma"][..], "unknown container state"),
            (&["wait", "-i", "never", "gamma"], "--interval"),
            (&["start", "--filter", "label=x", "gamma"], "--filter says"),
            (&["stop", "--filter", "color=red"], "is no filter"),
        ] {
            let refused = runner.try_to(words);
            assert!(refused.code == 125 && refused.only_error().contains(error), "{refused}");
        }
        runner.to(&["rm", "gamma"]);
    }
}

for_each_account! {
    fn the_output_of_several_containers_says_whose_it_is(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let mut ids = Vec::new();
        for name in ["one", "two"] {
            let script = format!("echo from {name}; echo again");
            ids.push(runner.to(&["run", "-d", "--name", name, busybox::NAME, "sh", "-c", &script]));
            runner.to(&["wait", name]);
        }
        assert_eq!(runner.to(&["logs", "-n", "one"]), "from one\nagain");
        assert_eq!(runner.to(&["logs", "--names", "one", "two"]), "one from one\none again\ntwo from two\ntwo again");
        let short = |id: &str| id[..12].to_owned();
        let expected = format!("{} again\n{} again", short(&ids[0]), short(&ids[1]));
        assert_eq!(runner.to(&["logs", "--tail", "1", "-f", "one", "two"]), expected);
        runner.to(&["rm", "one", "two"]);
    }
}

for_each_account! {
    fn a_container_that_runs_is_followed_from_now_on(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let script = "trap 'echo told; exit 9' TERM; echo before; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo after; while :; do sleep 0.05; done";
        runner.to(&["run", "-d", "--name", "followed", busybox::NAME, "sh", "-c", script]);
        wait::until("its first word", Duration::from_secs(10), || {
            (runner.to(&["logs", "followed"]) == "before").then_some(())
        });
        let mut following = runner.command(&["start", "-a", "followed"]).spawn();
        std::thread::sleep(Duration::from_millis(500));
        runner.to(&["exec", "followed", "touch", "/tmp/go"]);
        following.wait_for("after");
        following.signal(Signal::TERM);
        let outcome = following.finish().with_code(9);
        assert_eq!(outcome.text(), "after\ntold", "{outcome}");
        runner.to(&["rm", "followed"]);
    }
}
