//! `--isolation chroot`: root where there are no user namespaces, inside another container for instance.

use std::fs;

use tests::client::docker::Docker;
use tests::fixture::confined::Confined;
use tests::fixture::{Archive, Layer, busybox, probe};
use tests::{Missing, Mode, Run, World, client, require};

/// A place like a container of docker's, with the image loaded.
fn confined(world: &World) -> Result<Confined<'_>, Missing> {
    let mut host = Confined::new(world)?;
    load(&mut host, &busybox::image()?);
    Ok(host)
}

fn load(host: &mut Confined<'_>, archive: &Archive) {
    host.write("image.tar", archive.docker());
    host.to("runner load -q -i /image.tar");
}

/// Loads an image of busybox and this layer, called like that of busybox.
fn load_with(host: &mut Confined<'_>, add: impl FnOnce(Layer) -> Layer) -> Result<(), Missing> {
    let layer = add(busybox::layer()?);
    load(host, &Archive::new(busybox::NAME, &[&layer], &["/bin/sh"]));
    Ok(())
}

/// `runner run --isolation chroot` with these options of this script in the image.
fn run(options: &str, script: &str) -> String {
    let image = busybox::NAME;
    format!("runner run --isolation chroot {options} {image} sh -c '{script}'")
}

/// Prints the processes whose command has `what` in it, if there are any.
fn look_for(what: &str) -> String {
    let first = what.chars().next().unwrap_or('x');
    let rest = &what[first.len_utf8()..];
    format!("ps -o stat,args | grep -v '^Z' | grep '[{first}]{rest}'")
}

/// Waits until there is no such process; prints those that stay.
fn gone(what: &str) -> String {
    let look = look_for(what);
    format!("for i in $(seq 50); do {look} >/dev/null || break; sleep 0.1; done; {look} || true")
}

#[test]
fn the_error_without_namespaces_names_the_flag_to_root_alone() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    let run = format!("runner run --rm {} true", busybox::NAME);
    let refused = host.try_to(&run).with_code(125);
    assert!(
        refused.only_error().contains("--isolation chroot"),
        "{refused}"
    );
    host.to("mkdir -m 777 /home /run/user; chmod 1777 /tmp");
    host.config()["process"]["user"] = serde_json::json!({"uid": 1000, "gid": 1000});
    host.config()["process"]["env"] =
        serde_json::json!(["PATH=/bin", "HOME=/home", "XDG_RUNTIME_DIR=/run/user"]);
    let load = "runner load -q -i /image.tar";
    let refused = host.try_to(load).with_code(125);
    assert!(!refused.only_error().contains("--isolation"), "{refused}");
}

#[test]
fn the_flag_is_refused_to_users() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let words = [
        "run",
        "--rm",
        "--isolation",
        "chroot",
        busybox::NAME,
        "true",
    ];
    let refused = runner.try_to(&words).with_code(125);
    assert!(refused.only_error().contains("is for root"), "{refused}");
    let words = [
        "run",
        "--rm",
        "--isolation",
        "namespaces",
        busybox::NAME,
        "echo",
        "ran",
    ];
    assert_eq!(runner.to(&words), "ran");
}

/// The life of a container, as a script; what it prints says that each verb works.
fn life() -> String {
    let image = busybox::NAME;
    [
        &run("--rm", "echo one; id -u; exit 7"),
        "echo code $?",
        &run(
            "--rm -u alice -w /home/alice",
            "id -u; pwd; stat -c %u:%g .",
        ),
        &run("--rm -t", "test -t 1 && echo terminal"),
        &run(
            "-d --name d -e A=b",
            "echo out; trap \"exit 5\" TERM; while :; do sleep 0.1; done",
        ),
        "runner ps --format '{{.Names}} {{.State}}'",
        "for i in $(seq 50); do [ \"$(runner logs d)\" ] && break; sleep 0.1; done; runner logs d",
        "echo in | runner exec -i d sh -c 'cat; echo $A; exit 3'; echo code $?",
        "runner exec -u alice d id -u",
        "runner inspect --format '{{.HostConfig.Isolation}} {{.State.Running}}' d",
        "runner security report d | grep -c 'not there'",
        "runner top d | grep -c 'trap'",
        "runner stop d; runner wait d",
        "runner start d; runner kill -s KILL d; runner wait d; runner rm d",
        &format!("runner create --isolation chroot --name c {image} echo created > /dev/null"),
        "runner start -a c; runner rm c; runner ps -a -q",
        &run("--rm", "echo kept > /new; cat /new"),
        &run("--rm", "ls /new; ls /proc; ls /sys"),
        "runner rmi --all > /dev/null; runner images -q",
    ]
    .join("\n")
}

const LIFE: &str = "one\n0\ncode 7\n1000\n/home/alice\n1000:1000\nterminal\nID\nd running\nout\nin\nb\ncode 3\n1000\n\
    chroot true\n4\n1\nd\n5\nd\nd\n137\nd\ncreated\nc\nkept";

fn without_ids(said: &str) -> String {
    let is_id = |line: &str| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lines = said.replace('\r', "");
    let lines: Vec<&str> = lines
        .lines()
        .map(|line| if is_id(line) { "ID" } else { line })
        .collect();
    lines.join("\n")
}

#[test]
fn a_container_lives_where_there_are_no_namespaces() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    let outcome = host.try_to(&life());
    assert_eq!(without_ids(outcome.text()), LIFE, "{outcome}");
    assert!(outcome.stderr.contains("weaker wall"), "{outcome}");
}

#[test]
fn a_container_lives_inside_one_of_docker() {
    let world = require!(World::new(Mode::Root));
    let docker = require!(Docker::start());
    let host = require!(Confined::new(&world));
    host.write("image.tar", require!(busybox::image()).docker());
    host.write(
        "life.sh",
        format!("runner load -q -i /image.tar >/dev/null\n{}", life()),
    );
    let archive = world.path("host.tar");
    Run::new("tar")
        .args(["-C"])
        .args([host.path("")])
        .args(["-cf"])
        .args([&archive])
        .args(["."])
        .succeed();
    docker.to(&["import", &archive.display().to_string(), "confined:test"]);
    let words = [
        "run",
        "--rm",
        "--network",
        "none",
        "confined:test",
        "/bin/sh",
        "/life.sh",
    ];
    let outcome = docker.command(&words).finish();
    assert_eq!(without_ids(outcome.text()), LIFE, "{outcome}");
}

/// A daemon that has left its parents, its session and its process group, and hears no signal.
const DAEMON: &str = "(trap \"\" TERM HUP INT; setsid sleep 4321 & ) & (sleep 4321 &); sleep 0.3;";

#[test]
fn no_process_survives_its_container() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    let gone = gone("sleep 4321");
    // At its end, by its end.
    let script = format!(
        "{}; echo code $?; {gone}",
        run("--rm", &format!("{DAEMON} exit 3"))
    );
    assert_eq!(host.to(&script), "code 3");
    // When whoever it belongs to is killed: the monitor, and each of the two keepers.
    let start = run("-d --name d", &format!("{DAEMON} sleep 4321"));
    let pid =
        |line: &str| format!("ps -o pid,args | grep '{line}' | grep -v grep | awk '{{print $1}}'");
    for victim in [
        format!("{} | head -n1", pid("runner-monito[r]")),
        format!("{} | head -n1", pid("runner-stag[e] other")),
        format!("{} | tail -n1", pid("runner-stag[e] other")),
    ] {
        let script = format!(
            "{start} >/dev/null; sleep 0.6; {}; kill -9 $({victim}); {gone}; {}; runner rm -f d",
            look_for("sleep 4321") + " | wc -l",
            self::gone("runner-stage"),
        );
        let said = host.to(&script);
        assert_eq!(said, "3\nd", "{victim}");
    }
    // A command in the foreground, and one that has joined.
    let script = format!(
        "{} & sleep 1; kill -9 $!; {gone}; {}; runner ps -q",
        run("--name f", &format!("{DAEMON} sleep 4321")),
        self::gone("runner-stage"),
    );
    assert_eq!(host.to(&script), "");
    let script = format!(
        "{} >/dev/null; runner exec e sh -c '{DAEMON} sleep 4321' & sleep 1.5; runner rm -f -t 0 e; {gone}",
        run("-d --name e", "sleep 1234")
    );
    assert_eq!(host.to(&script), "e");
    let script = format!(
        "{} >/dev/null; runner exec j sh -c '{DAEMON} exit 4'; echo code $?; {gone}; runner rm -f -t 0 j",
        run("-d --name j", "sleep 1234")
    );
    assert_eq!(host.to(&script), "code 4\nj");
}

#[test]
fn a_program_that_makes_processes_faster_than_they_are_found_ends_with_its_container() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    if let Err(missing) = scopes(&mut host) {
        return tests::missing::did_not_run("a_program_that_makes_processes_faster", &missing);
    }
    // Each lives for a millisecond or two and leaves another one that has lost its parent.
    let hop = "echo \"sh /tmp/hop & \" > /tmp/hop; for i in 1 2 3 4 5 6 7 8; do sh /tmp/hop; done; sleep 1000";
    // Not by removing it, which takes the program away too. They live too short a time to be seen; but the numbers that they get are counted.
    let count = "a=$(sh -c 'echo $$'); sleep 1; b=$(sh -c 'echo $$'); [ $((b - a)) -lt 50 ] && echo few || echo many";
    let script = format!(
        "{} >/dev/null; {count}; runner stop -t 0 b; {count}; runner rm b",
        run("-d --name b -u alice", hop),
    );
    assert_eq!(host.to(&script), "many\nb\nfew\nb");
}

/// Whether a container is kept from sending signals to others here.
fn scopes(host: &mut Confined<'_>) -> Result<(), Missing> {
    let version = host.to("runner info --format '{{.Host.Security.LandlockVersion}}'");
    if version.parse::<u32>().is_ok_and(|version| version >= 6) {
        return Ok(());
    }
    Err(Missing::because(
        "this kernel has no scopes of Landlock (Linux 6.12)",
    ))
}

#[test]
fn without_landlock_it_is_said_and_no_process_survives_either() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    let calls = host.config()["linux"]["seccomp"]["syscalls"].as_array_mut();
    let names = [
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
    ];
    calls.expect("a list").push(serde_json::json!(
        {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 38}));
    let gone = gone("sleep 4321");
    let script = format!(
        "{}; echo code $?; {gone}",
        run("--rm", &format!("{DAEMON} exit 3"))
    );
    let outcome = host.try_to(&script);
    assert_eq!(outcome.text(), "code 3", "{outcome}");
    assert!(outcome.stderr.contains("nor Landlock"), "{outcome}");
    let script = format!(
        "{} >/dev/null; sleep 1; grep CapBnd /proc/$(pidof sleep | cut -d' ' -f1)/status; runner rm -f -t 0 d; {gone}",
        run("-d --name d", &format!("{DAEMON} exec sleep 4321"))
    );
    let said = host.to(&script);
    let bits = said
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1));
    let bits = u64::from_str_radix(bits.unwrap_or_default(), 16).expect("a mask");
    assert_eq!(
        (bits & 1 << 5, said.lines().nth(1)),
        (0, Some("d")),
        "CAP_KILL: {said}"
    );
}

#[test]
fn nothing_leads_out_of_the_root_directory() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    let call = |number, arguments: &[u32]| probe::system_call(number, arguments);
    let at_cwd = 0xffff_ff9c;
    let probes = [
        // fcntl(F_GETFD) of what could have been left open; EBADF.
        ("fd3", require!(call(72, &[3, 1])), 9),
        ("fd4", require!(call(72, &[4, 1])), 9),
        ("fd5", require!(call(72, &[5, 1])), 9),
        ("fd6", require!(call(72, &[6, 1])), 9),
        ("fd7", require!(call(72, &[7, 1])), 9),
        ("fd8", require!(call(72, &[8, 1])), 9),
        // open_by_handle_at, ptrace(PTRACE_ATTACH), process_vm_readv, shmget, unshare, prlimit64.
        ("handle", require!(call(304, &[at_cwd, 0, 0])), 1),
        ("attach", require!(call(101, &[16, 1])), 1),
        ("read-memory", require!(call(310, &[1, 0, 0])), 1),
        ("shared-memory", require!(call(29, &[77, 4096, 0o1666])), 1),
        ("unshare-users", require!(call(272, &[0x1000_0000])), 1),
        ("limit", require!(call(302, &[1, 7, 0, 0])), 1),
        // prctl(PR_GET_NO_NEW_PRIVS): 1, which is 255 here.
        (
            "no-new-privileges",
            require!(call(157, &[39, 0, 0, 0, 0])),
            255,
        ),
    ];
    require!(load_with(&mut host, |layer| {
        probes.iter().fold(layer, |layer, (name, program, _)| {
            layer.file(&format!("bin/probe-{name}"), 0o755, program)
        })
    }));
    for (name, _, expected) in &probes {
        for filter in ["", "--security-opt seccomp=unconfined"] {
            if !filter.is_empty() && ["handle", "unshare-users"].contains(name) {
                // The kernel asks for capabilities, or says what it says in a chroot.
                continue;
            }
            let outcome = host.try_to(&run(&format!("--rm {filter}"), &format!("probe-{name}")));
            assert_eq!(outcome.code, *expected, "{name} {filter}: {outcome}");
        }
    }
    host.write("secret", "secret");
    let tries = "
        for i in 1 2 3 4 5 6 7 8; do cd .. ; done; ls -d secret
        mkdir /tmp/x; chroot /tmp/x /bin/sh -c : && echo chroot
        mknod /tmp/disk b 8 0 && echo mknod
        mount -t tmpfs none /tmp && echo mount
        mount -t proc none /proc && echo proc
        unshare -U true && echo unshare
        ln -s / /tmp/root; ls /tmp/root/secret
        kill -9 -1 && echo killed all
        hostname changed && echo hostname";
    let outcome = host.try_to(&run("--rm --security-opt seccomp=unconfined", tries));
    assert_eq!(outcome.text(), "", "{outcome}");
}

#[test]
fn a_host_process_is_out_of_reach() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    if let Err(missing) = scopes(&mut host) {
        return tests::missing::did_not_run("a_host_process_is_out_of_reach", &missing);
    }
    let mut beside_sleeper = |flags: &str, program: &str| {
        let inside = run(&format!("--rm {flags} -e PID=$!"), program);
        host.to(&format!("sleep 999 & {inside}; kill -0 $! && echo lives"))
    };
    let all = "kill -9 $PID; kill -9 1; kill -9 $PPID; kill -9 -1; (sleep 5 & kill $! && echo own)";
    assert_eq!(beside_sleeper("", all), "own\nlives");
    let some = "kill -9 $PID; kill -9 $PPID; kill -0 $PPID || echo out of reach";
    assert_eq!(beside_sleeper("-u alice", some), "out of reach\nlives");
}

#[test]
fn capabilities_that_lead_out_are_not_there() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    let script = format!(
        "{} >/dev/null; grep -h -E 'Cap|NoNew|Seccomp:' /proc/$(pidof sleep)/status; runner rm -f -t 0 c",
        run("-d --name c --cap-add ALL", "exec sleep 777")
    );
    let said = host.to(&script);
    let value = |name: &str| -> &str {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default();
        line.trim_start_matches(':').trim()
    };
    let forbidden = [2, 16, 17, 18, 19, 21, 22, 27, 31].map(|bit: u64| 1_u64 << bit);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let bits = u64::from_str_radix(value(set), 16).expect("a mask");
        assert!(forbidden.iter().all(|bit| bits & bit == 0), "{set}: {said}");
    }
    assert_ne!(value("CapEff"), "0000000000000000");
    assert_eq!(
        (value("NoNewPrivs"), value("Seccomp")),
        ("1", "2"),
        "{said}"
    );
}

#[test]
fn links_of_an_image_lead_to_nothing_outside() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    host.to("mkdir -p /victim/etc; for f in null hosts passwd resolv.conf etc/hosts; do echo mine > /victim/$f; done");
    let links: [&[(&str, &str)]; 4] = [
        &[
            ("dev", "/victim"),
            ("run", "/victim"),
            ("proc", "/victim"),
            ("sys", "../../victim"),
        ],
        &[
            ("dev/null", "/victim/null"),
            ("etc/hosts", "/victim/hosts"),
            ("etc/resolv.conf", "/victim/resolv.conf"),
        ],
        &[("etc/passwd", "/victim/passwd"), ("dev/shm", "/victim")],
        &[
            ("dev/pts", "/victim"),
            ("dev/tty", "/proc/self/exe"),
            ("proc/self", "/victim"),
        ],
    ];
    for list in links {
        let add = |layer| {
            list.iter().fold(layer, |layer: Layer, (path, target)| {
                layer.symlink(path, target)
            })
        };
        require!(load_with(&mut host, add));
        let inside = "echo x > /dev/null; : > /etc/hosts; echo gone > /run/x; echo ran";
        let outcome = host.try_to(&run("--rm", inside));
        assert_eq!(outcome.text(), "ran", "{list:?}: {outcome}");
        let left = "cd /victim; find . -type f | sort | xargs cat | uniq; find . | wc -l";
        assert_eq!(host.to(left), "mine\n7", "{list:?}");
    }
}

#[test]
fn what_cannot_be_had_is_refused_in_one_line() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    for option in [
        "-v /tmp:/tmp",
        "-v named:/data",
        "--tmpfs /data",
        "--read-only",
        "--network none",
        "--network private",
        "--hostname other",
        "--upper tmpfs:size=1m",
        "--cap-add sys_admin",
        "--cap-add SYS_CHROOT",
        "--cap-add cap_mknod",
        "--security-opt no-new-privileges=false",
        "--security-opt unmask=ALL",
        "--security-opt mask=/etc",
        "--pids-limit 50",
        "--memory 64m",
    ] {
        let outcome = host.try_to(&run(&format!("--rm {option}"), "echo ran"));
        assert_eq!(
            (outcome.code, outcome.text()),
            (125, ""),
            "{option}: {outcome}"
        );
        assert!(outcome.only_error().len() < 400, "{option}: {outcome}");
    }
    assert_eq!(
        host.to("runner ps -a -q; ls /var/lib/runner/containers"),
        ""
    );
}

#[test]
fn without_device_nodes_it_says_so() {
    let world = require!(World::new(Mode::Root));
    let mut host = require!(confined(&world));
    for set in ["bounding", "effective", "permitted"] {
        let list = host.config()["process"]["capabilities"][set].as_array_mut();
        list.expect("a list").retain(|name| name != "CAP_MKNOD");
    }
    let outcome = host.try_to(&run("--rm", "ls /dev; echo ran"));
    assert!(
        outcome.text().ends_with("ran") && !outcome.text().contains("null"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("no devices in /dev"), "{outcome}");
}

/// A root with every capability in a user namespace of all ids, in which there can be no other.
fn without_user_namespaces(world: &World, script: &str) -> Run {
    let script = format!("echo 0 > /proc/sys/user/max_user_namespaces && {script}");
    let inside = "read go < go; exec setpriv --reuid 0 --regid 0 --clear-groups unshare -m -p --fork --mount-proc sh script";
    world.write("script", script);
    world.write("inside", inside);
    let outside = "mkfifo go; unshare -U sh inside & pid=$!
        while [ $(readlink /proc/$pid/ns/user) = $(readlink /proc/self/ns/user) ]; do sleep 0.01; done
        for map in uid gid; do echo 0 0 4294967295 > /proc/$pid/${map}_map; done
        echo > go; wait $pid";
    world
        .run("sh")
        .args(["-c", outside])
        .current_dir(world.folder())
}

#[test]
fn where_only_user_namespaces_are_off_the_others_are_used() {
    require!(client::find("unshare"));
    let world = require!(World::new(Mode::Root));
    let runner = world.runner();
    let image = world.write("image.tar", require!(busybox::image()).docker());
    let line = |words: &[&str]| runner.command(words).line();
    let script = "echo $$; stat -c %u /home/alice; cat /data/file; echo x > /proc/sys/kernel/hostname; ls /proc | grep -c ^self; hostname";
    let folder = world.make_dir("data", 0o755);
    fs::write(folder.join("file"), "from outside\n").expect("our own folder");
    let volume = format!("{}:/data", folder.display());
    let words = [
        "run",
        "--rm",
        "--isolation",
        "chroot",
        "-v",
        &volume,
        busybox::NAME,
        "sh",
        "-c",
        script,
    ];
    let script = [
        line(&["load", "-q", "-i", &image.display().to_string()]),
        line(&words),
    ]
    .join("; ");
    let outcome = without_user_namespaces(&world, &script).succeed();
    let lines: Vec<&str> = outcome.text().lines().skip(1).collect();
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    assert_eq!(lines[..4], ["1", "1000", "from outside", "1"], "{outcome}");
    assert_eq!(lines[4], hostname.trim(), "{outcome}");
    assert!(outcome.stderr.contains("Read-only"), "{outcome}");
}

#[test]
fn on_a_machine_with_namespaces_the_flag_does_without_one_for_users() {
    let world = require!(World::new(Mode::Root));
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let most = || fs::read_to_string("/proc/sys/user/max_user_namespaces").expect("a number");
    let before = most();
    let script = "readlink /proc/self/ns/user; echo $$; stat -c %u:%g /home/alice; for f in sys/kernel/core_pattern sysrq-trigger; do echo x > /proc/$f; done; kill -9 -1; echo end";
    let words = [
        "run",
        "--rm",
        "--isolation",
        "chroot",
        busybox::NAME,
        "sh",
        "-c",
        script,
    ];
    let own = fs::read_link("/proc/self/ns/user").expect("a link");
    let said = runner.to(&words);
    assert_eq!(said, format!("{}\n1\n1000:1000\nend", own.display()));
    assert_eq!(most(), before);
    runner.to(&[
        "run",
        "-d",
        "--name",
        "d",
        "--isolation",
        "chroot",
        busybox::NAME,
        "sleep",
        "1000",
    ]);
    let report = runner.to(&["security", "report", "--format", "json", "d"]);
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let own = |kind: &str| {
        let all = report["namespaces"].as_array().expect("a list");
        all.iter()
            .find(|one| one["kind"] == kind)
            .map(|one| one["own"] == true)
    };
    assert_eq!(
        (own("user"), own("net"), own("pid"), own("mnt")),
        (Some(false), Some(false), Some(true), Some(true))
    );
    assert_eq!(report["isolation"]["kind"], "chroot");
    assert_eq!(
        runner.to(&[
            "exec",
            "d",
            "sh",
            "-c",
            "cat /proc/1/comm; kill 1 || echo no"
        ]),
        "sleep"
    );
    runner.to(&["rm", "-f", "-t", "0", "d"]);
}

#[test]
fn an_image_that_was_placed_without_namespaces_is_placed_again() {
    let world = require!(World::new(Mode::Root));
    let runner = world.runner();
    let image = world.write("image.tar", require!(busybox::image()).docker());
    let load = runner
        .command(&["load", "-q", "-i", &image.display().to_string()])
        .line();
    without_user_namespaces(&world, &load).succeed();
    let words = [
        "run",
        "--rm",
        busybox::NAME,
        "stat",
        "-c",
        "%u",
        "/home/alice",
    ];
    let refused = runner.try_to(&words).with_code(125);
    assert!(refused.only_error().contains("system migrate"), "{refused}");
    runner.to(&["system", "migrate"]);
    assert_eq!(runner.to(&words), "1000");
}
