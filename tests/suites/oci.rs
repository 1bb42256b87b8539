//! The OCI runtime by its own command line: a bundle's whole life.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::binaries::runc;
use tests::decider::{self, Answer, Decider};
use tests::fixture::bundle::Bundle;
use tests::{Mode, disk, for_each_account, require, wait};

/// What `state` prints.
fn state(bundle: &Bundle, id: &str) -> Value {
    let said = bundle.runtime(&["state", id]).succeed();
    serde_json::from_str(said.text()).expect("JSON")
}

fn wait_for_status(bundle: &Bundle, id: &str, status: &str) {
    wait::until(status, Duration::from_secs(10), || {
        (state(bundle, id)["status"] == status).then_some(())
    });
}

for_each_account! {
    fn run_ends_with_the_code_of_the_program_and_leaves_nothing(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        bundle.script("id -u; hostname; echo $$; cat /proc/self/status | grep -c Seccomp; exit 7");
        let said = bundle.runtime(&["run", "one"]).finish().with_code(7);
        assert_eq!(said.text(), "0\nrunner\n1\n2", "{said}");
        let left = bundle.runtime(&["list", "-q"]).succeed();
        assert_eq!(left.text(), "");
    }
}

for_each_account! {
    fn a_container_is_created_started_killed_and_deleted(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        bundle.script("echo ran > /tmp/ran; exec sleep 100");
        bundle.config["root"]["readonly"] = false.into();
        bundle.leave(runc(), &["create", "--pid-file", "pid", "c"]);
        let created = state(&bundle, "c");
        let pid = fs::read_to_string(bundle.folder.join("pid")).unwrap();
        assert_eq!(created["status"], "created");
        assert_eq!(created["pid"].to_string(), pid);
        assert_eq!(created["bundle"], bundle.folder.to_str().unwrap());
        assert!(!bundle.folder.join("rootfs/tmp/ran").exists(), "not before start");
        let again = bundle.runtime(&["create", "c"]).finish().with_code(1);
        assert!(again.only_error().contains("container with given ID already exists"), "{again}");
        bundle.runtime(&["start", "c"]).succeed();
        assert_eq!(state(&bundle, "c")["status"], "running");
        let again = bundle.runtime(&["start", "c"]).finish().with_code(1);
        assert!(again.only_error().contains("already running"), "{again}");
        let running = bundle.runtime(&["delete", "c"]).finish().with_code(1);
        assert!(running.only_error().contains("not stopped"), "{running}");
        let listed = bundle.runtime(&["list"]).succeed();
        assert!(listed.stdout.lines().nth(1).unwrap().starts_with("c "), "{listed}");
        bundle.runtime(&["kill", "c", "KILL"]).succeed();
        wait_for_status(&bundle, "c", "stopped");
        assert!(bundle.folder.join("rootfs/tmp/ran").exists());
        let dead = bundle.runtime(&["kill", "c", "KILL"]).finish().with_code(1);
        assert!(dead.only_error().contains("container not running"), "{dead}");
        bundle.runtime(&["delete", "c"]).succeed();
        let gone = bundle.runtime(&["state", "c"]).finish().with_code(1);
        assert!(gone.only_error().contains("does not exist"), "{gone}");
        bundle.runtime(&["delete", "--force", "c"]).succeed();
    }
}

for_each_account! {
    fn run_deletes_its_own_container_and_not_one_that_got_the_name_since(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        bundle.script("echo up; exec sleep 100");
        let mut first = bundle.runtime(&["run", "c"]).spawn();
        first.wait_for("up");
        first.signal(Signal::STOP);
        bundle.runtime(&["delete", "--force", "c"]).succeed();
        bundle.leave(runc(), &["create", "c"]);
        first.signal(Signal::CONT);
        let ended = first.finish().with_code(137);
        assert_eq!(ended.stderr, "", "{ended}");
        assert_eq!(state(&bundle, "c")["status"], "created");
        bundle.runtime(&["delete", "--force", "c"]).succeed();
    }
}

for_each_account! {
    fn a_program_that_is_not_there_fails_the_creation_and_leaves_nothing(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        bundle.config["process"]["args"] = json!(["no-such-program"]);
        let log = world.path("run/log");
        let flags = ["--log", log.to_str().unwrap(), "--log-format", "json", "create", "c"];
        let failed = bundle.runtime(&flags).finish().with_code(1);
        assert!(failed.only_error().contains("executable file not found in $PATH"), "{failed}");
        let line: Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
        assert_eq!(line["level"], "error");
        assert!(line["msg"].as_str().unwrap().contains("no-such-program"), "{line}");
        assert_eq!(bundle.runtime(&["list", "-q"]).succeed().text(), "");
    }
}

for_each_account! {
    fn exec_runs_beside_the_program_with_its_limits(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        bundle.config["process"]["args"] = json!(["sleep", "100"]);
        bundle.config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "hard": 99, "soft": 98}]);
        bundle.leave(runc(), &["run", "--detach", "c"]);
        let said = bundle.runtime(&["exec", "--env", "A=b", "--cwd", "/tmp", "c", "sh", "-c",
            "echo $A; pwd; ulimit -n; ps | grep -c '[s]leep 100'; exit 5"]).finish().with_code(5);
        assert_eq!(said.text(), "b\n/tmp\n98\n1", "{said}");
        let process = json!({"cwd": "/", "args": ["sh", "-c", "echo $0 $X", "from"], "env": ["PATH=/bin", "X=file"],
            "user": {"uid": 0, "gid": 0}});
        world.write(bundle.folder.join("process.json"), process.to_string());
        let said = bundle.runtime(&["exec", "--process", "process.json", "--pid-file", "exec.pid", "c"]).succeed();
        assert_eq!(said.text(), "from file");
        assert!(bundle.folder.join("exec.pid").exists());
        let unknown = bundle.runtime(&["exec", "c", "no-such-program"]).finish().with_code(255);
        assert!(unknown.only_error().contains("executable file not found"), "{unknown}");
        bundle.leave(runc(), &["exec", "--detach", "c", "sleep", "100"]);
        bundle.runtime(&["delete", "--force", "c"]).succeed();
    }
}

for_each_account! {
    fn who_lies_in_wait_for_exec_does_not_get_our_program_cve_2019_5736(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        let evil = world.write(bundle.folder.join("rootfs/bin/evil"), "#!/proc/self/exe\n");
        fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).expect("our own file");
        // A program that runs can not be written; so it is kept open until it has ended.
        bundle.script("while :; do for process in /proc/[0-9]*; do
            [ $process = /proc/1 ] || [ $process = /proc/$$ ] && continue
            path=$(readlink $process/exe); case $path in /bin/*|'') continue;; esac
            (exec 3<$process/exe; for try in 1 2 3 4 5 6 7 8 9; do
                (exec 4>>/proc/self/fd/3) && echo $path >> /tmp/opened; sleep 0.02; done) 2>/dev/null; done; done");
        bundle.config["root"]["readonly"] = false.into();
        bundle.leave(runc(), &["run", "--detach", "c"]);
        let program = fs::read(runc()).expect("our program");
        for _ in 0..10 {
            let _ = bundle.runtime(&["exec", "c", "/bin/evil"]).finish();
        }
        bundle.runtime(&["delete", "--force", "c"]).succeed();
        let opened = fs::read_to_string(bundle.folder.join("rootfs/tmp/opened")).unwrap_or_default();
        assert_eq!(opened, "", "opened for writing");
        assert!(program == fs::read(runc()).expect("our program"));
    }
}

for_each_account! {
    fn hooks_run_at_their_points_with_the_state(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        bundle.config["root"]["readonly"] = false.into();
        let log = world.path("run/hooks");
        let outside = |name: &str| {
            let script = format!("read state; echo {name} $(echo $state | sed 's/.*status\":\"\\([a-z]*\\).*/\\1/') >> {}", log.display());
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}])
        };
        bundle.config["hooks"] = json!({
            "prestart": outside("prestart"),
            "createRuntime": outside("createRuntime"),
            "createContainer": outside("createContainer"),
            "poststart": outside("poststart"),
            "poststop": outside("poststop"),
            "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo inside > /tmp/hook"], "env": ["PATH=/bin"]}],
        });
        bundle.script("cat /tmp/hook");
        assert_eq!(bundle.runtime(&["run", "c"]).succeed().text(), "inside");
        let lines = fs::read_to_string(&log).unwrap();
        assert_eq!(lines, "prestart creating\ncreateRuntime creating\ncreateContainer creating\npoststart running\npoststop stopped\n");
        bundle.config["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
        let failed = bundle.runtime(&["run", "c"]).finish().with_code(1);
        assert!(failed.only_error().contains("/bin/false"), "{failed}");
        bundle.config["hooks"] = json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]});
        let failed = bundle.runtime(&["run", "c"]).finish().with_code(1);
        assert!(failed.only_error().contains("time limit"), "{failed}");
    }
}

for_each_account! {
    fn a_terminal_goes_to_the_console_socket(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        bundle.script("tty; stty size; test -c /dev/console && echo console");
        bundle.config["process"]["terminal"] = true.into();
        bundle.config["process"]["consoleSize"] = json!({"height": 33, "width": 77});
        let refused = bundle.runtime(&["create", "c"]).finish().with_code(1);
        assert!(refused.only_error().contains("console socket"), "{refused}");
        let path = world.path("run/console");
        let listener = UnixListener::bind(&path).unwrap();
        world.own_all(&path);
        bundle.runtime(&["create", "--console-socket", path.to_str().unwrap(), "c"]).succeed();
        let master = receive(&listener);
        bundle.runtime(&["start", "c"]).succeed();
        wait_for_status(&bundle, "c", "stopped");
        let mut said = vec![0; 4096];
        let mut terminal = fs::File::from(master);
        let mut text = String::new();
        while let Ok(count @ 1..) = terminal.read(&mut said) {
            text += &String::from_utf8_lossy(&said[..count]);
        }
        assert_eq!(text, "/dev/pts/0\r\n33 77\r\nconsole\r\n");
        bundle.runtime(&["delete", "c"]).succeed();
    }
}

for_each_account! {
    fn descriptors_are_kept_back_but_those_that_are_meant(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        bundle.script("cat <&3; ls /proc/self/fd | tr '\\n' ' '");
        world.write(bundle.folder.join("given"), "given\n");
        let line = |flags: &str| {
            let runtime = runc().display();
            let root = world.path("run/state-runc");
            format!("exec {runtime} --root {} run {flags} c 3<given 4</etc 5</tmp", root.display())
        };
        bundle.write();
        let run = |flags| world.run("sh").args(["-c", &line(flags)]).current_dir(&bundle.folder);
        // One more is what ls reads.
        assert_eq!(run("--preserve-fds 1").succeed().text(), "given\n0 1 2 3 4");
        let none = run("").finish();
        assert!(none.stdout.trim_end().ends_with("0 1 2 3"), "{none}");
    }
}

for_each_account! {
    fn what_the_configuration_says_wrongly_is_one_line(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        bundle.script("true");
        let good = bundle.config.clone();
        let changes: [(&str, Value, &str); 8] = [
            ("/ociVersion", json!("2.0"), "version"),
            ("/process/args", json!([]), "process.args"),
            ("/process/cwd", json!("relative"), "process.cwd"),
            ("/process/rlimits/0/type", json!("RLIMIT_NONE"), "RLIMIT_NONE"),
            ("/root/path", json!("nowhere"), "root.path"),
            ("/mounts/0/destination", json!("/../proc"), "mounts"),
            ("/linux/namespaces", json!([{"type": "pid"}]), "mount namespace"),
            ("/linux", json!(7), "config.json"),
        ];
        for (field, value, word) in changes {
            bundle.config = good.clone();
            *bundle.config.pointer_mut(field).unwrap() = value;
            let failed = bundle.runtime(&["run", "c"]).finish().with_code(1);
            assert!(failed.only_error().contains(word), "{failed}");
        }
        for id in ["", ".", "..", "a/b", "a b", &"x".repeat(300)] {
            bundle.config = good.clone();
            let failed = bundle.runtime(&["run", "--", id]).finish().with_code(1);
            assert!(failed.only_error().contains("invalid container ID"), "{failed}");
        }
        assert_eq!(bundle.runtime(&["list", "-q"]).succeed().text(), "");
    }
}

for_each_account! {
    fn mounts_have_their_options_and_no_image_link_leads_out(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        world.make_dir("shared", 0o755);
        world.write("shared/file", "shared\n");
        std::os::unix::fs::symlink("/", bundle.folder.join("rootfs/host")).unwrap();
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        let source = world.path("shared");
        mounts.push(json!({"destination": "/tmp", "type": "bind", "source": source, "options": ["rbind", "ro", "nosuid", "noexec"]}));
        mounts.push(json!({"destination": "/host/etc", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "mode=1777"]}));
        bundle.script("cat /tmp/file; touch /tmp/x; grep -E ' /(tmp|etc) ' /proc/mounts | cut -d' ' -f2-4 | cut -d, -f1-3");
        let said = bundle.runtime(&["run", "c"]).succeed();
        assert!(said.text().starts_with("shared\n"), "{said}");
        assert!(said.stderr.contains("Read-only"), "{said}");
        assert!(said.text().contains("/etc tmpfs rw"), "{said}");
        assert!(said.text().contains("ro,nosuid,noexec"), "{said}");
        // Nothing lies over the kernel's files.
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/proc/sys", "type": "bind", "source": source, "options": ["bind"]}));
        let failed = bundle.runtime(&["run", "c"]).finish().with_code(1);
        assert!(failed.only_error().contains("/proc"), "{failed}");
    }
}

for_each_account! {
    fn another_process_decides_about_system_calls(world) {
        let mut bundle = require!(Bundle::new(world, "bundle"));
        let decider = Decider::new(world, |number| match number {
            83 | 258 => Answer::Error(122), // mkdir and mkdirat: EDQUOT
            _ => Answer::Continue,
        });
        let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": decider.path,
            "listenerMetadata": "for us", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]});
        bundle.config["root"]["readonly"] = false.into();
        bundle.script("mkdir /tmp/asked; sleep 100");
        bundle.config["linux"]["seccomp"] = profile.clone();
        bundle.leave(runc(), &["run", "--detach", "c"]);
        let told = decider.wait_to_be_told();
        assert_eq!((&told[0]["metadata"], &told[0]["fds"]), (&json!("for us"), &json!(["seccompFd"])));
        assert_eq!((&told[0]["state"]["id"], told.len()), (&json!("c"), 1));
        let made = bundle.runtime(&["exec", "c", "mkdir", "/tmp/x"]).finish().with_code(1);
        assert!(made.stderr.contains("quota"), "{made}");
        assert_eq!(decider.wait_to_be_told()[0]["state"]["status"], "running");
        bundle.runtime(&["delete", "--force", "c"]).succeed();
        // It may be asked about every call, also about those by which it is called itself.
        profile["defaultAction"] = "SCMP_ACT_NOTIFY".into();
        bundle.config["linux"]["seccomp"] = profile;
        bundle.script("mkdir /tmp/asked; echo $?");
        for no_new_privileges in [true, false] {
            bundle.config["process"]["noNewPrivileges"] = no_new_privileges.into();
            let said = bundle.runtime(&["run", "c"]).limit(Duration::from_secs(20)).succeed();
            assert_eq!(said.text(), "1", "{said}");
        }
        // Without somebody who decides nothing of the program is done.
        fs::remove_file(&decider.path).expect("its socket");
        bundle.config["linux"]["seccomp"]["defaultAction"] = "SCMP_ACT_ALLOW".into();
        bundle.config["process"]["args"] = json!(["echo", "ran"]);
        for no_new_privileges in [true, false] {
            bundle.config["process"]["noNewPrivileges"] = no_new_privileges.into();
            let failed = bundle.runtime(&["run", "c"]).limit(Duration::from_secs(20)).finish().with_code(1);
            assert!(failed.only_error().contains("listenerPath"), "{failed}");
            assert_eq!(failed.text(), "");
        }
    }
}

#[test]
fn devices_of_the_host_stay_shut_for_a_container_that_can_make_them() {
    let world = require!(tests::World::new(Mode::Root));
    let mut bundle = require!(Bundle::new(&world, "bundle"));
    let sets = json!(["CAP_MKNOD", "CAP_DAC_OVERRIDE"]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": sets, "effective": sets, "permitted": sets});
    let (major, minor, _) = disk::first();
    bundle.script(&format!(
        "mknod /dev/disk b {major} {minor} && head -c 1 /dev/disk | wc -c; mknod /dev/n c 1 3 && echo x > /dev/n && echo open"
    ));
    let said = bundle.runtime(&["run", "c"]).finish();
    assert_eq!(said.text(), "0\nopen", "{said}");
    assert!(said.stderr.contains("not permitted"), "{said}");
}

#[test]
fn a_container_is_limited_listed_paused_and_changed() {
    let world = require!(tests::World::new(Mode::Root));
    let mut bundle = require!(Bundle::new(&world, "bundle"));
    bundle.config["process"]["args"] = json!(["sleep", "100"]);
    bundle.config["linux"]["cgroupsPath"] = "/runner-tests/c".into();
    bundle.leave(runc(), &["run", "--detach", "c"]);
    let listed = bundle.runtime(&["ps", "--format", "json", "c"]).succeed();
    let pids: Value = serde_json::from_str(listed.text()).unwrap();
    assert_eq!(pids, json!([state(&bundle, "c")["pid"]]));
    let usage = bundle.runtime(&["events", "--stats", "c"]).succeed();
    let usage: Value = serde_json::from_str(usage.text()).unwrap();
    assert_eq!(
        (&usage["type"], &usage["data"]["pids"]["current"]),
        (&json!("stats"), &json!(1))
    );
    bundle.runtime(&["pause", "c"]).succeed();
    assert_eq!(state(&bundle, "c")["status"], "paused");
    let paused = bundle
        .runtime(&["exec", "c", "true"])
        .finish()
        .with_code(255);
    assert!(paused.only_error().contains("paused"), "{paused}");
    bundle.runtime(&["resume", "c"]).succeed();
    assert_eq!(state(&bundle, "c")["status"], "running");
    let change = bundle
        .runtime(&["update", "--pids-limit", "2", "c"])
        .finish();
    if change.code == 0 {
        let forked = bundle
            .runtime(&["exec", "c", "sh", "-c", "true & true & wait"])
            .finish();
        assert!(forked.stderr.contains("fork"), "{forked}");
    } else {
        // A machine without that controller says so.
        assert!(change.only_error().contains("pids"), "{change}");
    }
    bundle.runtime(&["kill", "--all", "c", "KILL"]).succeed();
    wait_for_status(&bundle, "c", "stopped");
    bundle.runtime(&["delete", "c"]).succeed();
    for tree in ["/sys/fs/cgroup", "/sys/fs/cgroup/freezer"] {
        assert!(!std::path::Path::new(tree).join("runner-tests/c").exists());
        let _ = fs::remove_dir(format!("{tree}/runner-tests"));
    }
}

/// The descriptor that comes through a console socket.
fn receive(listener: &UnixListener) -> OwnedFd {
    decider::receive(&listener.accept().unwrap().0).0
}

#[test]
fn features_name_what_the_specification_asks_for() {
    let world = require!(tests::World::new(Mode::Root));
    let bundle = require!(Bundle::new(&world, "bundle"));
    let said = bundle.runtime(&["features"]).succeed();
    let features: Value = serde_json::from_str(said.text()).unwrap();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert_eq!(features["linux"]["namespaces"].as_array().unwrap().len(), 8);
    let options = features["mountOptions"].as_array().unwrap();
    assert!(options.contains(&json!("rro")) && options.contains(&json!("tmpcopyup")));
    let version = bundle.runtime(&["--version"]).succeed();
    assert!(version.text().starts_with("runc version "), "{version}");
}
