//! Limits: what is asked for holds, or the container does not start.
//!
//! Root can limit on every machine with cgroups; whether a user can depends on what was handed to him.

use std::path::{Path, PathBuf};

use tests::fixture::busybox;
use tests::{Engine, Mode, World, disk, for_each_account, require};

/// Where a controller is that root can use, in the first version of cgroups or the second.
fn controller(name: &str) -> Option<PathBuf> {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers");
    let offered = std::fs::read_to_string(unified).unwrap_or_default();
    if offered.split_whitespace().any(|one| one == name) {
        return Some(PathBuf::from("/sys/fs/cgroup"));
    }
    let legacy = Path::new("/sys/fs/cgroup").join(name);
    legacy.join("cgroup.procs").exists().then_some(legacy)
}

/// As root with the busybox image; nothing if this machine has not got these controllers.
fn root_with(controllers: &[&str]) -> Result<World, tests::Missing> {
    let world = World::new(Mode::Root)?;
    for name in controllers {
        if controller(name).is_none() {
            return Err(tests::Missing::because(format!(
                "this machine has no {name} controller for root"
            )));
        }
    }
    world.runner().load(&busybox::image()?.docker());
    Ok(world)
}

/// The files of all groups with this name, by path.
fn groups_of(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = left.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if entry.file_name() == id {
                found.push(entry.path());
            }
            left.push(entry.path());
        }
    }
    found
}

/// A value of the container's group, in the file of either version.
fn value(id: &str, files: [&str; 2]) -> Option<String> {
    let groups = groups_of(id);
    let paths = groups
        .iter()
        .flat_map(|group| files.map(|file| group.join(file)));
    let text = paths.map(std::fs::read_to_string).find_map(Result::ok)?;
    Some(text.trim().to_owned())
}

const ENDLESS: [&str; 3] = ["sh", "-c", "while :; do :; done"];

#[test]
fn a_memory_hog_is_killed() {
    let world = require!(root_with(&["memory"]));
    let hog = ["sh", "-c", "x=a; while :; do x=$x$x; done"];
    let run = ["run", "--rm", "--memory", "16m", busybox::NAME];
    let outcome = world.runner().try_to(&[&run[..], &hog].concat());
    assert_eq!(outcome.code, 137, "{outcome}");
}

for_each_account! {
    fn a_fork_bomb_stays_within_its_limit(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        // The limit of the whole container, and of one that is not root in it.
        for options in [&["--pids-limit", "20"][..], &["--pids-limit", "20", "-u", "7"]] {
            // The shell itself forks once, before there is a bomb: it would end where it can fork no more.
            let bomb = "(for i in $(seq 1 60); do sleep 9 & done) 2>/dev/null & wait $!; set -- /proc/[0-9]*; echo $#";
            let words = [&["run", "--rm", "--init"], options, &[busybox::NAME, "sh", "-c", bomb]].concat();
            let outcome = runner.try_to(&words);
            let count: usize = outcome.text().lines().last().and_then(|line| line.parse().ok()).unwrap_or(0);
            assert!((20..=21).contains(&count), "{outcome}");
        }
        // The default is podman's.
        let limits = runner.to(&["run", "--rm", busybox::NAME, "sh", "-c", "ulimit -u"]);
        assert!(limits.parse::<u64>().is_ok_and(|limit| limit <= 2050), "{limits}");
    }
}

for_each_account! {
    fn a_limit_holds_or_the_container_does_not_start(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for limit in [["--memory", "64m"], ["--cpus", "0.5"], ["--cpuset-cpus", "0"], ["--cpu-shares", "512"]] {
            let words = [&["run", "--rm"], &limit[..], &[busybox::NAME, "echo", "ran"]].concat();
            let strict = runner.try_to(&words);
            match strict.code {
                0 => assert_eq!(strict.text(), "ran"),
                _ => {
                    assert_eq!(strict.code, 125, "{strict}");
                    assert!(strict.only_error().contains("--limits=best-effort"), "{strict}");
                }
            }
            let loose = [&["run", "--rm", "--limits", "best-effort"], &limit[..], &[busybox::NAME, "echo", "ran"]];
            let loose = runner.try_to(&loose.concat());
            assert_eq!((loose.code, loose.text()), (0, "ran"), "{loose}");
            assert_eq!(strict.code == 0, loose.stderr.is_empty(), "{loose}");
        }
        assert_eq!(runner.to(&["ps", "-a", "-q"]), "");
    }
}

#[test]
fn limits_reach_the_kernel_can_be_changed_and_leave_nothing() {
    let world = require!(root_with(&["memory", "cpu", "pids", "cpuset"]));
    let runner = world.runner();
    let limits = [
        "--memory",
        "64m",
        "--memory-swap",
        "64m",
        "--memory-reservation",
        "32m",
        "--cpus",
        "0.5",
        "--cpuset-cpus",
        "0",
        "--pids-limit",
        "30",
    ];
    let run = ["run", "-d", "--name", "limited"];
    let id = runner.to(&[&run[..], &limits, &[busybox::NAME], &ENDLESS].concat());
    let memory = ["memory.limit_in_bytes", "memory.max"];
    assert_eq!(value(&id, memory).as_deref(), Some("67108864"));
    assert_eq!(value(&id, ["pids.max"; 2]).as_deref(), Some("30"));
    assert_eq!(value(&id, ["cpuset.cpus"; 2]).as_deref(), Some("0"));
    let quota = value(&id, ["cpu.cfs_quota_us", "cpu.max"]).expect("a quota");
    assert!(quota.starts_with("50000"), "{quota}");

    runner.to(&["update", "--memory", "48m", "--cpus", "0.25", "limited"]);
    assert_eq!(value(&id, memory).as_deref(), Some("50331648"));
    let shown = runner.to(&[
        "inspect",
        "limited",
        "--format",
        "{{.HostConfig.Memory}} {{.HostConfig.CpuQuota}}",
    ]);
    assert_eq!(shown, "50331648 25000");
    // What was changed holds for the next start too, and one more process belongs to the same group.
    runner.to(&["stop", "-t", "0", "limited"]);
    assert_eq!(groups_of(&id), Vec::<PathBuf>::new());
    runner.to(&["start", "limited"]);
    assert_eq!(value(&id, memory).as_deref(), Some("50331648"));
    runner.to(&["exec", "-i", "limited", "true"]);
    let outcome = runner.try_to(&[
        "exec",
        "limited",
        "sh",
        "-c",
        "x=a; while :; do x=$x$x; done",
    ]);
    assert_eq!(outcome.code, 137, "{outcome}");

    let all: serde_json::Value =
        serde_json::from_str(&runner.to(&["stats", "--no-stream", "--format", "json"]))
            .expect("JSON");
    assert_eq!(all[0]["name"], "limited");
    assert!(
        all[0]["mem_usage"]
            .as_str()
            .is_some_and(|text| text.ends_with("50.3MB")),
        "{all}"
    );
    let percent = all[0]["cpu_percent"]
        .as_str()
        .and_then(|text| text.trim_end_matches('%').parse::<f64>().ok());
    // It takes all that it may have: a quarter of a processor.
    assert!(
        percent.is_some_and(|percent| (1.0..60.0).contains(&percent)),
        "{all}"
    );
    runner.to(&["rm", "-f", "-t", "0", "limited"]);
    assert_eq!(groups_of(&id), Vec::<PathBuf>::new());
}

#[test]
fn devices_are_slowed_down_and_swapping_is_tuned() {
    let world = require!(root_with(&["memory", "blkio"]));
    let runner = world.runner();
    let (major, minor, path) = disk::first();
    let numbers = format!("{major}:{minor}");
    let [read, write] = ["1mb", "77"].map(|rate| format!("{path}:{rate}"));
    let flags = [
        "--device-read-bps",
        &read,
        "--device-write-iops",
        &write,
        "--memory-swappiness",
        "9",
    ];
    let run = ["run", "-d", "--name", "slow"];
    let id = runner.to(&[&run[..], &flags, &[busybox::NAME], &ENDLESS].concat());
    let one = |file| value(&id, [file, "none"]).unwrap_or_default();
    assert_eq!(
        one("blkio.throttle.read_bps_device"),
        format!("{numbers} 1048576")
    );
    assert_eq!(
        one("blkio.throttle.write_iops_device"),
        format!("{numbers} 77")
    );
    assert_eq!(one("memory.swappiness"), "9");
    runner.to(&["rm", "-f", "-t", "0", "slow"]);
    let plain = world.write("plain", "");
    for (flag, wrong) in [
        ("--device-read-bps", format!("{}:1mb", plain.display())),
        ("--device-read-bps", "/dev/none:1mb".to_owned()),
        ("--device-read-bps", path.clone()),
        ("--device-write-bps", format!("{path}:fast")),
        ("--blkio-weight-device", format!("{path}:5")),
        ("--memory-swappiness", "101".to_owned()),
    ] {
        let refused = runner.try_to(&["run", flag, &wrong, busybox::NAME, "true"]);
        assert_eq!(refused.code, 125, "{refused}");
        assert!(refused.only_error().contains(flag), "{refused}");
    }
}

fn paused(runner: &Engine) -> String {
    runner.to(&["ps", "-a", "--format", "{{.State}}"])
}

#[test]
fn a_paused_container_stands_still_and_can_be_stopped() {
    let world = require!(root_with(&["freezer"]));
    let runner = world.runner();
    let id = runner.to(&[
        &["run", "-d", "--name", "still", busybox::NAME],
        &ENDLESS[..],
    ]
    .concat());
    let time = || runner.to(&["stats", "--no-stream", "--format", "{{.CPU}}", "still"]);
    runner.to(&["pause", "still"]);
    assert_eq!(paused(&runner), "paused");
    let before = time();
    assert_eq!(before, time());
    assert_eq!(runner.try_to(&["pause", "still"]).code, 125);
    // It would stand still from the beginning, and nobody could end it.
    let entered = runner.try_to(&["exec", "still", "true"]);
    assert_eq!(entered.code, 255, "{entered}");
    assert!(entered.stderr.contains("paused"), "{entered}");
    runner.to(&["unpause", "still"]);
    assert_eq!(paused(&runner), "running");
    assert_ne!(before, time());
    assert_eq!(runner.try_to(&["unpause", "still"]).code, 125);
    runner.to(&["pause", "--all"]);
    let start = std::time::Instant::now();
    runner.to(&["stop", "-t", "1", "still"]);
    assert!(start.elapsed().as_secs() < 3, "{:?}", start.elapsed());
    assert_eq!(paused(&runner), "exited");
    assert_eq!(groups_of(&id), Vec::<PathBuf>::new());
    runner.to(&["rm", "still"]);
}

for_each_account! {
    fn resources_of_a_process_are_limited(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let limits = ["--ulimit", "nofile=123:456", "--ulimit", "core=0"];
        let script = "ulimit -n; ulimit -Hn; ulimit -c";
        let words = [&["run", "--rm"], &limits[..], &[busybox::NAME, "sh", "-c", script]].concat();
        assert_eq!(runner.to(&words), "123\n456\n0");
        for wrong in ["nofile=2:1", "files=1", "nofile"] {
            let outcome = runner.try_to(&["run", "--rm", "--ulimit", wrong, busybox::NAME, "true"]);
            assert_eq!(outcome.code, 125, "{outcome}");
            assert!(outcome.only_error().contains("--ulimit"), "{outcome}");
        }
    }
}

for_each_account! {
    fn processes_are_listed_as_the_container_knows_them(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        runner.to(&["run", "-d", "--name", "two", busybox::NAME, "sh", "-c", "sleep 1000 & wait"]);
        tests::wait::until("two processes", std::time::Duration::from_secs(10), || {
            (runner.to(&["top", "two", "pid"]).lines().count() == 3).then_some(())
        });
        let table = runner.to(&["top", "two", "user", "pid", "ppid", "args"]);
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["USER", "PID", "PPID", "COMMAND"]);
        assert_eq!(rows[1][..3], ["root", "1", "0"]);
        assert_eq!(rows[2][..], ["root", "2", "1", "sleep", "1000"]);
        assert_eq!(runner.try_to(&["top", "two", "nonsense"]).code, 125);
        runner.to(&["rm", "-f", "-t", "0", "two"]);
        assert_eq!(runner.try_to(&["top", "two"]).code, 125);
    }
}

#[test]
fn the_configuration_says_what_flags_do_not() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let conf = world.path("containers.conf");
    let text = "[containers]\npids_limit = 77\ndefault_ulimits = [\"nofile=99:99\"]\nlimits = \"best-effort\"\n";
    std::fs::write(&conf, text).expect("a file");
    let run = |words: &[&str]| {
        let run = runner.command(&[&["run", "--rm"], words].concat());
        run.env("CONTAINERS_CONF", &conf).finish()
    };
    let outcome = run(&[
        "--memory",
        "64m",
        busybox::NAME,
        "sh",
        "-c",
        "ulimit -u; ulimit -n",
    ]);
    assert_eq!((outcome.code, outcome.text()), (0, "79\n99"), "{outcome}");
    let outcome = run(&["--pids-limit", "50", busybox::NAME, "sh", "-c", "ulimit -u"]);
    assert_eq!(outcome.text(), "52", "{outcome}");
    std::fs::write(&conf, "[containers]\npids_limit = \"many\"\n").expect("a file");
    let outcome = run(&[busybox::NAME, "true"]);
    assert_eq!(outcome.code, 125, "{outcome}");
    assert!(outcome.only_error().contains("pids_limit"), "{outcome}");
}

/// As root, with the second version of cgroups alone: makes a group and hands it to a user, who executes
/// something in it; then it goes. (`$1`: its name; `$2` and `$3`: the user's ids; `$4`: a script.)
const HANDED_OVER: &str = r#"
    [ -e /sys/fs/cgroup/cgroup.controllers ] || {
        umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 77
    }
    group=/sys/fs/cgroup/$1
    mkdir -p $group/own && chown -R $2:$3 $group && echo $$ > $group/own/cgroup.procs || exit 77
    setpriv --reuid $2 --regid $3 --clear-groups sh -ec "$4"
    code=$?
    echo $$ > /sys/fs/cgroup/cgroup.procs
    # The holder stays, and would keep the group.
    for pid in $(cat $group/own/cgroup.procs); do echo $pid > /sys/fs/cgroup/cgroup.procs; done
    rmdir $group/own $group && exit $code"#;

#[test]
fn a_group_that_was_handed_to_a_user_has_his_containers() {
    let world = require!(World::new(Mode::Mapped));
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    if !tests::account::we_are_root() {
        let reason = "only root can hand a group to somebody";
        require!(Err::<(), _>(tests::Missing::because(reason)));
    }
    let group = format!("tests-limits-{}", std::process::id());
    let run = |words: &[&str]| {
        let parent = format!("/{group}");
        let begin = ["run", "--cgroup-parent", &parent, "--network", "none"];
        runner.command(&[&begin[..], words].concat()).line()
    };
    let told = run(&["-d", "--name", "told", busybox::NAME, "sleep", "60"]);
    let ended = run(&["--rm", busybox::NAME, "true"]);
    let state = runner
        .command(&["inspect", "--format", "{{.State.Pid}}", "told"])
        .line();
    let remove = runner.command(&["rm", "-f", "-t", "0", "told"]).line();
    // The first time there is nothing made ahead, and the second time there is.
    let script = format!(
        "for i in 1 2; do {ended}; sleep 0.5; id=$({told}); tail -1 /proc/$({state})/cgroup
         ls -d /sys/fs/cgroup/{group}/$id; {remove}; sleep 0.5; done; ls -d /sys/fs/cgroup/{group}/*/"
    );
    let ids = [world.account.uid, world.account.gid].map(|id| id.to_string());
    let outcome = world
        .run("unshare")
        .user(0, 0)
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", HANDED_OVER, "sh", &group])
        .args(ids)
        .args([&script])
        .finish();
    if outcome.code == 77 {
        require!(Err::<(), _>(tests::Missing::because(format!(
            "there is no group to be handed over: {}",
            outcome.stderr.trim()
        ))));
    }
    let said = outcome.success().stdout;
    let lines: Vec<&str> = said.lines().collect();
    let [first, made, told, second, made_again, told_again, left] = lines[..] else {
        panic!("{said}");
    };
    for (place, made) in [(first, made), (second, made_again)] {
        let id = made.rsplit('/').next().expect("a name");
        assert_eq!(place, format!("0::/{group}/{id}"));
    }
    assert_eq!((told, told_again), ("told", "told"));
    assert_eq!(left, format!("/sys/fs/cgroup/{group}/own/"));
}
