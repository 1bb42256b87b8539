//! `--security-opt`, capabilities by name, and the report of what is open and what is shut.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tests::attack::inside::status;
use tests::decider::{self, Answer, Decider};
use tests::fixture::{Archive, busybox, probe};
use tests::{World, for_each_account, require};

for_each_account! {
    fn what_an_option_names_is_opened_or_shut_and_nothing_else(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let option = |text: &str| status(&runner, &["--security-opt", text], "Seccomp:");
        assert_eq!(option("seccomp=unconfined"), "0");
        assert_eq!(option("seccomp=baked"), "2");
        assert_eq!(status(&runner, &["--security-opt", "seccomp=unconfined"], "NoNewPrivs"), "1");
        let open = ["--security-opt", "no-new-privileges=false"];
        assert_eq!(status(&runner, &open, "NoNewPrivs"), "0");
        assert_eq!(status(&runner, &open, "Seccomp:"), "2");
        assert_eq!(status(&runner, &open, "CapEff"), status(&runner, &[], "CapEff"));
        // What joins the container has the same.
        runner.to(&["run", "-d", "--name", "open", "--security-opt", "seccomp=unconfined", "--security-opt",
            "no-new-privileges=false", busybox::NAME, "sleep", "1000"]);
        let joined = runner.to(&["exec", "open", "grep", "-E", "NoNewPrivs|Seccomp:", "/proc/self/status"]);
        assert_eq!(joined.split_whitespace().collect::<Vec<_>>(), ["NoNewPrivs:", "0", "Seccomp:", "0"]);
        runner.to(&["rm", "-f", "-t", "0", "open"]);
    }
}

for_each_account! {
    fn files_of_the_kernel_are_hidden_and_shown_as_asked(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let run = |options: &[&str], script: &str| {
            let options = options.iter().flat_map(|option| ["--security-opt", *option]);
            let options: Vec<&str> = options.collect();
            runner.to(&[&["run", "--rm"], &options[..], &[busybox::NAME, "sh", "-c", script]].concat())
        };
        assert_eq!(run(&["mask=/etc/passwd:/tmp"], "wc -c < /etc/passwd; touch /tmp/x 2>/dev/null || echo refused"), "0\nrefused");
        let mounts = "grep -c ' /proc/[a-z]' /proc/mounts; grep -c ' /proc/interrupts ' /proc/mounts; grep ' /proc ' /proc/mounts";
        let counts = |options: &[&str]| -> (u32, u32, bool) {
            let said = run(options, mounts);
            let mut lines = said.lines();
            let mut number = || lines.next().and_then(|line| line.parse().ok()).unwrap_or(99);
            (number(), number(), said.contains("hidepid"))
        };
        let (all, one, _) = counts(&[]);
        assert_eq!(one, 1);
        assert_eq!(counts(&["unmask=/proc/interrupts"]), (all - 1, 0, false));
        assert_eq!(counts(&["unmask=ALL", "proc-opts=hidepid=2"]), (0, 0, true));
    }
}

#[test]
fn a_wrong_option_is_one_line() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let broken = world.write(
        "broken.json",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"oops\":1}",
    );
    let broken = format!("seccomp={}", broken.display());
    for option in [
        "secomp=unconfined",
        "seccomp=/nonexistent.json",
        &broken,
        "mask=here",
        "unmask=..",
        "proc-opts=gid=7",
        "no-new-privileges=perhaps",
    ] {
        let outcome = runner.try_to(&[
            "run",
            "--rm",
            "--security-opt",
            option,
            busybox::NAME,
            "true",
        ]);
        assert_eq!(outcome.code, 125, "{option}: {outcome}");
        assert!(outcome.only_error().len() < 400, "{outcome}");
    }
    assert_eq!(runner.to(&["ps", "-a", "-q"]), "");
}

for_each_account! {
    fn a_profile_of_ones_own_decides_about_every_call(world) {
        let runner = world.runner();
        // mkdir(2), uname(2) and clone(2) with the flags of a user namespace.
        let layer = require!(busybox::layer())
            .file("bin/do-mkdir", 0o755, require!(probe::system_call(83, &[0x40_0000, 0])))
            .file("bin/do-uname", 0o755, require!(probe::system_call(63, &[0])))
            .file("bin/do-personality", 0o755, require!(probe::system_call(135, &[0x8])))
            .file("bin/do-personality-other", 0o755, require!(probe::system_call(135, &[0xffff_ffff])));
        let name = "localhost/prober:latest";
        runner.load(&Archive::new(name, &[&layer], &["/bin/sh"]).docker());
        let profile = world.write("profile.json", r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["uname"],"action":"SCMP_ACT_ERRNO","errnoRet":77},
            {"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":55,"excludes":{"caps":["CAP_NET_RAW"]}},
            {"names":["personality"],"action":"SCMP_ACT_ERRNO","errnoRet":33,
             "args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}]}"#);
        let profile = format!("seccomp={}", profile.display());
        let script = "do-uname; echo $?; do-mkdir; echo $?; do-personality; echo $?; do-personality-other; echo $?";
        let run = |options: &[&str]| {
            let words = [&["run", "--rm", "--security-opt", &profile], options, &[name, "sh", "-c", script]];
            let said = runner.to(&words.concat());
            said.lines().map(|line| line.parse::<u32>().unwrap_or(999)).collect::<Vec<_>>()
        };
        // The second time it comes from where the first has left it.
        for _ in 0..2 {
            let codes = run(&[]);
            assert_eq!(codes[..3], [77, 55, 33]);
            assert_ne!(codes[3], 33);
        }
        let codes = run(&["--cap-add", "net_raw"]);
        assert_eq!((codes[0], codes[2]), (77, 33));
        assert_ne!(codes[1], 55);
    }
}

#[test]
fn podmans_own_profile_runs_programs() {
    let profile = std::path::Path::new("/usr/share/containers/seccomp.json");
    if !profile.exists() {
        tests::missing::did_not_run(
            "podmans_own_profile_runs_programs",
            &tests::Missing::because("podman's seccomp.json"),
        );
        return;
    }
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let option = format!("seccomp={}", profile.display());
    let script =
        "echo one | cat; mkdir /tmp/x && ls -d /tmp/x; unshare -U true 2>/dev/null || echo refused";
    let said = runner.to(&[
        "run",
        "--rm",
        "--security-opt",
        &option,
        busybox::NAME,
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(said, "one\n/tmp/x\nrefused");
}

for_each_account! {
    fn capabilities_are_added_and_dropped_by_every_name(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let bounding = |options: &[&str]| {
            u64::from_str_radix(&status(&runner, options, "CapBnd"), 16).expect("a mask")
        };
        let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("a number");
        let last: u32 = last.trim().parse().expect("a number");
        let all = (1_u64 << (last + 1).min(41)) - 1;
        assert_eq!(bounding(&["--cap-add", "all"]), all);
        assert_eq!(bounding(&["--cap-add", "ALL", "--cap-drop", "CAP_SYS_ADMIN"]), all & !(1 << 21));
        assert_eq!(bounding(&["--cap-drop", "all", "--cap-add", "net_raw,Cap_Chown"]), 1 << 13 | 1);
        let outcome = runner.try_to(&["run", "--rm", "--cap-add", "NET_RAWR", busybox::NAME, "true"]);
        assert_eq!(outcome.code, 125, "{outcome}");
    }
}

for_each_account! {
    fn the_report_says_what_the_kernel_says(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let report = |words: &[&str]| -> serde_json::Value {
            let words = [&["security", "report", "--format", "json"], words].concat();
            serde_json::from_str(&runner.to(&words)).expect("JSON")
        };
        let default = report(&[]);
        assert_eq!(default["systemCalls"]["filter"], "baked");
        assert_eq!(default["capabilities"]["bounding"].as_array().map(Vec::len), Some(11));
        runner.to(&["run", "-d", "--name", "seen", "--network", "host", "--cap-add", "net_raw", "-u", "7",
            "--security-opt", "unmask=/proc/kcore", "--tmpfs", "/mem", busybox::NAME, "sleep", "1000"]);
        let seen = report(&["seen"]);
        let has = |list: &serde_json::Value, text: &str| {
            list.as_array().is_some_and(|list| list.iter().any(|one| one == text))
        };
        assert!(has(&seen["capabilities"]["effective"], "CAP_NET_RAW"));
        assert!(has(&seen["capabilities"]["bounding"], "CAP_CHOWN") && has(&seen["capabilities"]["shut"], "CAP_BPF"));
        assert!(has(&seen["systemCalls"]["shut"], "io_uring_setup") && has(&seen["systemCalls"]["examined"], "socket"));
        assert!(!has(&seen["masked"], "/proc/kcore") && has(&seen["masked"], "/proc/keys"));
        let own = |kind: &str| seen["namespaces"].as_array().and_then(|all| {
            all.iter().find(|one| one["kind"] == kind)?["own"].as_bool()
        });
        assert_eq!((own("user"), own("net"), own("pid"), own("cgroup")), (Some(true), Some(false), Some(true), Some(true)));
        assert!(runner.to(&["security", "report", "seen"]).contains("/mem"));
        runner.to(&["rm", "-f", "-t", "0", "seen"]);
    }
}

for_each_account! {
    fn a_container_is_killed_when_its_time_is_up(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for detach in [false, true] {
            let start = std::time::Instant::now();
            let words = ["run", "--name", "late", "--timeout", "1", busybox::NAME, "sh", "-c", "trap '' TERM; sleep 60; sleep 60"];
            let code = if detach {
                let mut words = words.to_vec();
                words.insert(1, "-d");
                runner.to(&words);
                runner.to(&["wait", "late"]).parse().expect("a code")
            } else {
                runner.try_to(&words).code
            };
            assert_eq!(code, 137);
            assert!((1..10).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
            runner.to(&["rm", "late"]);
        }
    }
}

/// mkdir(2) and mkdirat(2) fail with EDQUOT.
fn no_folders(number: i32) -> Answer {
    match number {
        83 | 258 => Answer::Error(122),
        _ => Answer::Continue,
    }
}

/// A profile that asks whoever listens at `path` about these calls, or about all if none is named.
fn asking(world: &World, path: &Path, calls: &[&str]) -> String {
    let (default, rules) = match calls {
        [] => ("SCMP_ACT_NOTIFY", json!([])),
        names => (
            "SCMP_ACT_ALLOW",
            json!([{"names": names, "action": "SCMP_ACT_NOTIFY"}]),
        ),
    };
    let profile = json!({"defaultAction": default, "syscalls": rules, "listenerPath": path,
        "listenerMetadata": "for us"});
    let written = world.write("asking.json", profile.to_string());
    format!("seccomp={}", written.display())
}

for_each_account! {
    fn another_process_decides_about_system_calls(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let decider = Decider::new(world, no_folders);
        let option = asking(world, &decider.path, &["mkdir", "mkdirat"]);
        let asked = ["--security-opt", &option];
        let script = ["sh", "-c", "mkdir /tmp/x 2>/dev/null; echo $?; uname"];
        for more in [&[][..], &["--init"], &["-u", "7"], &["-t"], &["--security-opt", "no-new-privileges=false"]] {
            let words = [&["run", "--rm"], &asked[..], more, &[busybox::NAME], &script];
            assert_eq!(runner.to(&words.concat()).replace('\r', ""), "1\nLinux", "{more:?}");
            let told = decider.wait_to_be_told();
            assert_eq!(told.len(), 1, "{more:?}");
            assert_eq!((&told[0]["fds"], &told[0]["metadata"]), (&json!(["seccompFd"]), &json!("for us")));
            assert_eq!((&told[0]["state"]["status"], &told[0]["state"]["pid"]), (&json!("creating"), &told[0]["pid"]));
        }
        let words = [&["create", "--name", "later"], &asked[..], &[busybox::NAME, "sleep", "1000"]];
        let id = runner.to(&words.concat());
        assert_eq!(decider.take_told().len(), 0);
        // What the profile says was written down; no change of the file changes the container.
        world.write("asking.json", "{}");
        for _ in 0..2 {
            runner.to(&["start", "later"]);
            let told = decider.wait_to_be_told();
            assert_eq!((told.len(), &told[0]["state"]["id"]), (1, &json!(id)));
            let made = runner.try_to(&["exec", "later", "mkdir", "/tmp/x"]);
            assert!(made.code == 1 && made.stderr.contains("quota"), "{made}");
            let joined = decider.wait_to_be_told();
            assert_eq!((joined.len(), &joined[0]["state"]["status"]), (1, &json!("running")));
            assert_eq!(joined[0]["state"]["pid"], told[0]["pid"]);
            assert_ne!(joined[0]["pid"], told[0]["pid"]);
            runner.to(&["stop", "-t", "0", "later"]);
        }
        let report = runner.to(&["security", "report", "later"]);
        assert!(report.contains(decider.path.to_str().expect("a plain path")), "{report}");
        runner.to(&["rm", "later"]);
    }
}

for_each_account! {
    fn it_may_be_asked_about_every_call_also_those_by_which_it_is_called(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let decider = Decider::new(world, no_folders);
        for calls in [&[][..], &["execve", "exit", "exit_group", "sendmsg", "close", "futex"]] {
            let option = asking(world, &decider.path, calls);
            for more in [&[][..], &["--init"], &["--security-opt", "no-new-privileges=false"]] {
                let words = [&["run", "--rm", "--security-opt", &option], more, &[busybox::NAME, "sh", "-c", "uname; exit 7"]];
                let said = runner.command(&words.concat()).limit(Duration::from_secs(20)).finish().with_code(7);
                assert_eq!(said.text(), "Linux", "{said}");
            }
            let missing = ["run", "--rm", "--security-opt", &option, busybox::NAME, "no-such-program"];
            let missing = runner.command(&missing).limit(Duration::from_secs(20)).finish().with_code(127);
            assert!(missing.only_error().contains("no-such-program"), "{missing}");
            runner.to(&["run", "-d", "--name", "asking", "--security-opt", &option, busybox::NAME, "sleep", "1000"]);
            let joined = runner.command(&["exec", "asking", "uname"]).limit(Duration::from_secs(20)).succeed();
            assert_eq!(joined.text(), "Linux");
            runner.to(&["rm", "-f", "-t", "0", "asking"]);
        }
    }
}

for_each_account! {
    fn nobody_who_decides_is_one_line_and_leaves_nothing(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let refused = |words: &[&str], what: &str| {
            let outcome = runner.command(words).limit(Duration::from_secs(20)).finish().with_code(125);
            assert!(outcome.only_error().contains(what), "{outcome}");
        };
        let nowhere = world.path("run/nobody");
        for (path, what) in [(Path::new(""), "add \"listenerPath\""), (Path::new("here"), "absolute"), (&nowhere, "run/nobody")] {
            let option = asking(world, path, &["mkdir"]);
            for detach in [&[][..], &["-d"]] {
                let words = [&["run"], detach, &["--security-opt", &option, busybox::NAME, "true"]];
                refused(&words.concat(), what);
            }
        }
        assert_eq!(runner.to(&["ps", "-a", "-q"]), "");
        let decider = Decider::new(world, no_folders);
        let option = asking(world, &decider.path, &["mkdir"]);
        runner.to(&["run", "-d", "--name", "asking", "--security-opt", &option, busybox::NAME, "sleep", "1000"]);
        std::fs::remove_file(&decider.path).expect("its socket");
        refused(&["exec", "asking", "true"], "run/decider");
        assert_eq!(runner.to(&["ps", "-q", "--filter", "name=asking"]).lines().count(), 1);
        runner.to(&["stop", "-t", "0", "asking"]);
        refused(&["start", "asking"], "run/decider");
        runner.to(&["rm", "asking"]);
    }
}

for_each_account! {
    fn who_decides_may_die_or_be_silent_and_the_container_can_be_ended(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let decider = Decider::new(world, |number| match number {
            59 => Answer::Never, // execve
            _ => Answer::Continue,
        });
        let limit = Duration::from_secs(20);
        for calls in [&[][..], &["execve"]] {
            let option = asking(world, &decider.path, calls);
            let words = ["run", "-d", "--name", "silent", "--security-opt", &option, busybox::NAME, "true"];
            runner.command(&words).limit(limit).succeed();
            assert_eq!(runner.to(&["ps", "-q"]).lines().count(), 1);
            runner.command(&["rm", "-f", "-t", "0", "silent"]).limit(limit).succeed();
        }
        let path = world.path("run/dies");
        let listener = UnixListener::bind(&path).expect("a new socket");
        world.own_all(&path);
        std::thread::spawn(move || for stream in listener.incoming().flatten() {
            drop(decider::receive(&stream));
        });
        let option = asking(world, &path, &["mkdir", "mkdirat"]);
        let words = ["run", "--rm", "--security-opt", &option, busybox::NAME, "mkdir", "/tmp/x"];
        let made = runner.command(&words).limit(limit).finish().with_code(1);
        assert!(made.stderr.contains("not implemented"), "{made}");
        let option = asking(world, &path, &[]);
        let words = ["run", "--rm", "--security-opt", &option, busybox::NAME, "true"];
        assert_ne!(runner.command(&words).limit(limit).finish().code, 0);
    }
}

#[test]
fn nothing_of_the_program_is_done_before_somebody_decides() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let path = world.path("run/busy");
    let listener = UnixListener::bind(&path).expect("a new socket");
    world.own_all(&path);
    // One waits already, and no other may.
    rustix::net::listen(&listener, 0).expect("it listens");
    let _first = UnixStream::connect(&path).expect("nobody else waits");
    let folder = world.make_dir("witness", 0o777);
    let volume = format!("{}:/witness", folder.display());
    let option = asking(&world, &path, &["mkdir"]);
    let words = [
        "run",
        "-v",
        &volume,
        "--security-opt",
        &option,
        busybox::NAME,
    ];
    let words = [&words[..], &["touch", "/witness/ran"]].concat();
    let run = runner.command(&words).limit(Duration::from_secs(30));
    let outcome = run.finish().with_code(125);
    assert!(outcome.only_error().contains("run/busy"), "{outcome}");
    assert!(!folder.join("ran").exists());
    assert_eq!(runner.to(&["ps", "-a", "-q"]), "");
}
