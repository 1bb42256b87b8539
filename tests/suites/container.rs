//! What a program sees in a container, compared line by line with what it sees in podman's.
//!
//! Every difference is a decision: it stands in [`DIFFERENCES`] with its reason. A difference that does not
//! stand there is a failure, and so is one that stands there and is not seen.

use std::collections::BTreeSet;

use tests::client::Podman;
use tests::fixture::busybox;
use tests::{Engine, Missing, Mode, World, require};

/// What is looked at, and the script that prints it, one fact a line.
const VIEWS: &[(&str, &str)] = &[
    (
        "status",
        "grep -E '^(Umask|Uid|Gid|Groups|NStgid|Cap...|NoNewPrivs|Seccomp|SigBlk|SigIgn)' /proc/self/status",
    ),
    (
        "mounts",
        r#"while read -r id parent device root point options rest; do
        echo "$point $options ${rest#*- }"; done < /proc/self/mountinfo | cut -d' ' -f1-3 | grep -v /sys/fs/cgroup"#,
    ),
    ("uid_map", "cat /proc/self/uid_map | tr -s ' '"),
    ("gid_map", "cat /proc/self/gid_map | tr -s ' '"),
    ("setgroups", "cat /proc/self/setgroups"),
    ("limits", "tr -s ' ' < /proc/self/limits"),
    ("env", "env"),
    ("id", "id; pwd; umask"),
    (
        "dev",
        r#"cd /dev; for file in *; do stat -c '%n %A %u:%g %t:%T' $file; readlink $file; done; true"#,
    ),
    (
        "root",
        r#"cd /; for file in *; do stat -c '%n %A %u:%g' $file; done"#,
    ),
    (
        "run",
        r#"cd /run; for file in $(ls -A); do stat -c '%n %A %u:%g' $file; done"#,
    ),
    ("containerenv", "cat /run/.containerenv"),
    ("hosts", "grep -w localhost /etc/hosts"),
    (
        "names",
        "hostname | wc -c; cat /etc/hostname | wc -c; readlink /etc/mtab; true",
    ),
    (
        "proc",
        r#"cd /proc; for file in acpi asound kcore keys latency_stats timer_list sched_debug scsi sysrq-trigger bus fs irq sys; do
        stat -c '%n %A %u:%g %t:%T' $file 2>/dev/null; done; true"#,
    ),
    (
        "sysctl",
        "cd /proc/sys/net/ipv4; grep . ip_unprivileged_port_start ping_group_range",
    ),
    (
        "links",
        r#"cat /sys/class/net/lo/operstate; ls /proc/self/fd | wc -l; readlink /proc/$$/fd/0"#,
    ),
    // The shell counts, without a child: the other end of a pipe may have started by then, or not.
    (
        "processes",
        "set -- /proc/[0-9]*; echo $#; cat /proc/1/comm",
    ),
];

/// Who has a line that the other has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Only {
    Podman,
    Runner,
}

/// The decisions: the view, who has the line, the line (a `*` stands for anything), and why.
const DIFFERENCES: &[(&str, Only, &str, &str)] = &[
    ("env", Only::Podman, "container=podman", ENGINE),
    ("env", Only::Runner, "container=runner", ENGINE),
    ("uid_map", Only::Podman, " 0 * 1", NESTED),
    ("uid_map", Only::Podman, " 1 * 65536", NESTED),
    ("uid_map", Only::Runner, " 0 0 1", NESTED),
    ("uid_map", Only::Runner, " 1 1 65536", NESTED),
    ("gid_map", Only::Podman, " 0 * 1", NESTED),
    ("gid_map", Only::Podman, " 1 * 65536", NESTED),
    ("gid_map", Only::Runner, " 0 0 1", NESTED),
    ("gid_map", Only::Runner, " 1 1 65536", NESTED),
    (
        "hosts",
        Only::Runner,
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "localhost has an IPv6 address too",
    ),
    ("limits", Only::Podman, "Max processes * processes ", LIMIT),
    ("limits", Only::Runner, "Max processes * processes ", LIMIT),
    ("mounts", Only::Podman, "/ rw,relatime overlay", ROOT),
    ("mounts", Only::Runner, "/ rw,nodev,relatime overlay", ROOT),
    (
        "mounts",
        Only::Podman,
        "/dev/* rw,relatime devtmpfs",
        DEVICES,
    ),
    (
        "mounts",
        Only::Runner,
        "/dev/* rw,nosuid,relatime devtmpfs",
        DEVICES,
    ),
    ("mounts", Only::Podman, "/etc/hostname *", FILES),
    ("mounts", Only::Podman, "/etc/hosts *", FILES),
    ("mounts", Only::Podman, "/etc/resolv.conf *", FILES),
    ("mounts", Only::Podman, "/run/.containerenv *", FILES),
    ("mounts", Only::Podman, "* ro,relatime tmpfs", MASKS),
    (
        "mounts",
        Only::Runner,
        "* ro,nosuid,nodev,noexec,relatime tmpfs",
        MASKS,
    ),
    (
        "mounts",
        Only::Runner,
        "/proc/interrupts *",
        "interrupts tell of the host's load and key strokes: masked too",
    ),
    (
        "names",
        Only::Podman,
        "12",
        "our /etc/hostname ends with a line feed, as hostname(5) has it",
    ),
    (
        "status",
        Only::Podman,
        "NoNewPrivs:\t0",
        "nobody gains privileges in a container",
    ),
    (
        "status",
        Only::Runner,
        "NoNewPrivs:\t1",
        "nobody gains privileges in a container",
    ),
    (
        "sysctl",
        Only::Podman,
        "ip_unprivileged_port_start:1024",
        PORTS,
    ),
    (
        "sysctl",
        Only::Runner,
        "ip_unprivileged_port_start:0",
        PORTS,
    ),
];

const ENGINE: &str = "the variable names the engine";
const NESTED: &str = "each container has a user namespace of its own, nested in the user's";
const LIMIT: &str = "podman lowers the limit to a default of its own; ours is the caller's";
const ROOT: &str = "no device of an image is ever one: nodev says it to all who look";
const DEVICES: &str = "a device node is never set-uid";
const FILES: &str = "these files lie in a lower directory of the overlay and need no mount";
const MASKS: &str = "an empty folder is neither set-uid, nor a device, nor a program";
const PORTS: &str = "a program that is not root may listen on port 80, as in podman with root";

/// What the scripts print in a container of this engine, without what differs from run to run.
fn look(engine: &Engine) -> BTreeSet<(&'static str, String)> {
    let mut seen = BTreeSet::new();
    for (view, script) in VIEWS {
        let words = [
            "run",
            "--rm",
            "--name",
            "looker",
            busybox::NAME,
            "sh",
            "-c",
            script,
        ];
        let printed = engine.to(&words);
        let id =
            |word: &str| word.len() >= 12 && word.chars().all(|digit| digit.is_ascii_hexdigit());
        for line in printed.lines() {
            let parts: Vec<&str> = line
                .split_inclusive(|letter: char| !letter.is_alphanumeric())
                .collect();
            let general = parts.iter().map(|part| {
                let word = part.trim_end_matches(|letter: char| !letter.is_alphanumeric());
                if id(word) {
                    part.replace(word, "ID")
                } else {
                    (*part).to_owned()
                }
            });
            seen.insert((*view, general.collect::<String>()));
        }
    }
    seen
}

/// Whether `line` is `pattern`, in which a `*` stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == line;
    };
    let Some(mut line) = line.strip_prefix(start) else {
        return false;
    };
    loop {
        if matches(rest, line) {
            return true;
        }
        let Some(letter) = line.chars().next() else {
            return false;
        };
        line = &line[letter.len_utf8()..];
    }
}

/// Other versions and other runtimes of podman show other things.
fn is_the_podman_of_the_list(podman: &Podman) -> Result<(), Missing> {
    let format = "{{.Version.Version}} {{.Host.OCIRuntime.Name}}";
    let found = podman.engine.to(&["info", "--format", format]);
    if found.starts_with("4.3.") && found.ends_with(" runc") {
        Ok(())
    } else {
        let why =
            format!("the differences are listed for podman 4.3 with runc, and this is {found}");
        Err(Missing::because(why))
    }
}

#[test]
fn every_difference_to_a_container_of_podman_is_a_decision() {
    let world = require!(World::new(Mode::Mapped));
    let image = require!(busybox::image());
    let podman = require!(Podman::new(&world));
    require!(is_the_podman_of_the_list(&podman));
    let runner = world.runner();
    podman.engine.load(&image.docker());
    runner.load(&image.docker());
    let (theirs, ours) = (look(&podman.engine), look(&runner));
    let only_podman = theirs
        .difference(&ours)
        .map(|(view, line)| (*view, Only::Podman, line));
    let only_runner = ours
        .difference(&theirs)
        .map(|(view, line)| (*view, Only::Runner, line));
    let found: BTreeSet<_> = only_podman.chain(only_runner).collect();
    let explains = |decision: &(&str, Only, &str, &str), found: &(&str, Only, &String)| {
        decision.0 == found.0 && decision.1 == found.1 && matches(decision.2, found.2)
    };
    let unexplained: Vec<String> = found
        .iter()
        .filter(|found| !DIFFERENCES.iter().any(|decision| explains(decision, found)))
        .map(|found| format!("{found:?}"))
        .collect();
    let unseen: Vec<String> = DIFFERENCES
        .iter()
        .filter(|decision| !found.iter().any(|found| explains(decision, found)))
        .map(|decision| format!("{decision:?}"))
        .collect();
    assert!(
        unexplained.is_empty() && unseen.is_empty(),
        "differences without a reason:\n{}\nreasons without a difference:\n{}",
        unexplained.join("\n"),
        unseen.join("\n")
    );
}

/// What `exec` gives its program, compared with what the container's own has.
#[test]
fn exec_gives_what_the_container_has() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let facts = "cat /proc/self/uid_map /proc/self/limits /proc/self/cgroup; \
        grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status; \
        for kind in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$kind; done; env | sort; pwd";
    let main = format!("{facts}; echo over and out; exec sleep 1000");
    let options = [
        "run",
        "-d",
        "--name",
        "twin",
        "-u",
        "alice",
        "-w",
        "/tmp",
        "-e",
        "KEY=value",
        busybox::NAME,
    ];
    runner.to(&[&options[..], &["sh", "-c", &main]].concat());
    runner.wait_for_log("twin", "over and out");
    let of_run = runner.to(&["logs", "twin"]);
    let of_exec = runner.to(&["exec", "twin", "sh", "-c", facts]);
    runner.to(&["rm", "-f", "-t", "0", "twin"]);
    assert_eq!(of_exec, of_run.trim_end_matches("over and out").trim_end());
}
