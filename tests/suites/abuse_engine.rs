//! Attacks on the engine: names, signals, races, and programs that do not want to end.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::fixture::busybox;
use tests::{Outcome, for_each_account, leaks, require, wait};

for_each_account! {
    fn of_twenty_containers_of_one_name_one_wins(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let words = ["run", "-d", "--name", "same", busybox::NAME, "sleep", "1000"];
        let started: Vec<_> = (0..20).map(|_| runner.command(&words).spawn()).collect();
        let ended: Vec<Outcome> = started.into_iter().map(tests::Running::finish).collect();
        let won = ended.iter().filter(|outcome| outcome.code == 0).count();
        let refused = ended.iter().filter(|outcome| outcome.code == 125 && outcome.only_error().contains("same"));
        assert_eq!((won, refused.count()), (1, 19), "{ended:#?}");
        assert_eq!(runner.to(&["ps", "-a", "--format", "{{.Names}}"]), "same");
        runner.to(&["rm", "-f", "-t", "0", "same"]);
    }
}

/// Texts that do harm in a path, a list or a terminal.
fn nasty_texts() -> [String; 6] {
    [
        "a/b",
        "..",
        "two\nlines",
        "\u{1b}[31mred\u{1b}]0;title\u{7}",
        "tab\tbed",
        &"x".repeat(100_000),
    ]
    .map(str::to_owned)
}

for_each_account! {
    fn nasty_names_are_refused(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for text in nasty_texts() {
            for flag in ["--name", "--hostname"] {
                if flag == "--hostname" && !matches!(text.as_str(), "two\nlines") && text.len() < 100 {
                    continue;
                }
                let outcome = runner.try_to(&["run", "--rm", flag, &text, busybox::NAME, "true"]);
                assert_eq!(
                    outcome.code,
                    125,
                    "{flag} {:?}: {}",
                    text.escape_debug(),
                    outcome.stderr
                );
                let error = outcome.only_error();
                assert!(
                    error.len() < 1000 && !error.contains(char::is_control),
                    "{error:?}"
                );
            }
        }
        assert_eq!(runner.to(&["ps", "-a", "-q"]), "");
    }
}

for_each_account! {
    fn nasty_labels_and_variables_are_escaped_wherever_they_are_shown(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for text in nasty_texts() {
            let (label, variable) = (format!("key={text}"), format!("VARIABLE={text}"));
            let words = [
                "run",
                "-d",
                "--name",
                "nasty",
                "--label",
                &label,
                "-e",
                &variable,
                busybox::NAME,
            ];
            runner.to(&[
                &words[..],
                &["sh", "-c", "printf %s \"$VARIABLE\" | wc -c", &text],
            ]
            .concat());
            runner.to(&["wait", "nasty"]);
            assert_eq!(runner.to(&["logs", "nasty"]), text.len().to_string());
            let list = runner.to(&["ps", "-a", "--no-trunc"]);
            assert!(
                list.lines().count() == 2 && !list.contains('\u{1b}'),
                "{list:?}"
            );
            let all: serde_json::Value =
                serde_json::from_str(&runner.to(&["inspect", "nasty"])).expect("JSON");
            assert_eq!(all[0]["Config"]["Labels"]["key"], text.as_str());
            runner.to(&["rm", "nasty"]);
        }
    }
}

for_each_account! {
    fn a_hundred_containers_one_after_the_other_end_rightly(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for round in 0..100 {
            let expected = round % 3;
            let code = expected.to_string();
            let outcome = runner.try_to(&[
                "run",
                "--rm",
                busybox::NAME,
                "sh",
                "-c",
                &format!("exit {code}"),
            ]);
            assert_eq!(outcome.code, expected, "round {round}: {outcome}");
        }
        assert_eq!(runner.to(&["ps", "-a", "-q"]), "");
        let processes = leaks::of_world(world);
        assert!(processes.iter().all(leaks::is_holder), "{processes:?}");
    }
}

for_each_account! {
    fn a_signal_during_the_start_leaves_nothing(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::WINCH] {
            for moment in [0, 1, 2, 4, 8, 16, 32] {
                let words = ["run", "--rm", busybox::NAME, "sh", "-c", "sleep 0.1; exit 3"];
                let run = runner.command(&words).limit(Duration::from_secs(10)).spawn();
                std::thread::sleep(Duration::from_millis(moment));
                run.signal_group(signal);
                let outcome = run.finish();
                // PID 1 without a handler does not get the signal, so that its own code may come too.
                let killed = 128 + signal.as_raw();
                let allowed = if signal == Signal::WINCH { vec![3] } else { vec![3, killed, 130] };
                assert!(allowed.contains(&outcome.code), "{signal:?} after {moment} ms: {outcome}");
                let what = format!("an empty list when {signal:?} came after {moment} ms: {outcome}");
                wait::until(&what, Duration::from_secs(5), || {
                    runner.to(&["ps", "-a", "-q"]).is_empty().then_some(())
                });
            }
        }
    }
}

/// How long `stop` and `rm` may take with a program that does not want to end.
const PATIENCE: Duration = Duration::from_secs(3);

for_each_account! {
    fn a_program_that_ignores_term_or_is_stopped_ends_all_the_same(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let ignoring = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
        let stopped = "sh -c 'kill -STOP $PPID' & trap : TERM; echo ready; while :; do sleep 0.1; done";
        for script in [ignoring, stopped] {
            for end in [
                &["stop", "-t", "1", "stubborn"][..],
                &["rm", "-f", "-t", "1", "stubborn"],
            ] {
                runner.to(&[
                    "run",
                    "-d",
                    "--name",
                    "stubborn",
                    busybox::NAME,
                    "sh",
                    "-c",
                    script,
                ]);
                runner.wait_for_log("stubborn", "ready");
                let start = Instant::now();
                runner.to(end);
                assert!(
                    start.elapsed() < PATIENCE,
                    "{end:?} took {:?} with {script}",
                    start.elapsed()
                );
                runner.to(&["rm", "-f", "-i", "stubborn"]);
            }
        }
    }
}
