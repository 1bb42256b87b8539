//! Attacks from inside a running container.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;

use tests::fixture::{busybox, probe};
use tests::{Engine, Missing, Mode, World, for_each_account, require};

/// podman's default capabilities: the most that a container may have without being asked.
const DEFAULT_CAPABILITIES: u64 = 0x8004_05fb;

/// A new world with the busybox image in the runner's store.
fn with_busybox(mode: Mode) -> Result<World, Missing> {
    let world = World::new(mode)?;
    world.runner().load(&busybox::image()?.docker());
    Ok(world)
}

fn in_a_container(engine: &Engine, script: &str) -> String {
    engine.to(&["run", "--rm", busybox::NAME, "sh", "-c", script])
}

for_each_account! {
    fn no_descriptor_but_the_three_reaches_the_program(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        // The fourth is the folder that ls reads.
        assert_eq!(in_a_container(&runner, "ls /proc/self/fd"), "0\n1\n2\n3");
        let run = runner.command(&["run", "--rm", busybox::NAME, "ls", "/proc/self/fd"]).line();
        let open = "for i in $(seq 3 50); do eval \"exec $i</etc\"; done; exec";
        let outcome = world.run("bash").args(["-c", &format!("{open} {run}")]).succeed();
        assert_eq!(outcome.text(), "0\n1\n2\n3");
        runner.to(&["run", "-d", "--name", "idle", busybox::NAME, "sleep", "1000"]);
        let exec = runner.command(&["exec", "idle", "ls", "/proc/self/fd"]).line();
        let outcome = world.run("bash").args(["-c", &format!("{open} {exec}")]).succeed();
        assert_eq!(outcome.text(), "0\n1\n2\n3");
        runner.to(&["rm", "-f", "-t", "0", "idle"]);
    }
}

for_each_account! {
    fn closed_standard_descriptors_are_no_way_to_another_file(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let witness = world.make_dir("witness", 0o777);
        let volume = format!("{}:/witness", witness.display());
        let script = "for i in 0 1 2; do readlink /proc/$$/fd/$i; done > /witness/links";
        let run = runner.command(&["run", "--rm", "-v", &volume, busybox::NAME, "sh", "-c", script]).line();
        world.run("bash").args(["-c", &format!("exec {run} <&- >&- 2>&-")]).succeed();
        let links = std::fs::read_to_string(witness.join("links")).expect("the container wrote it");
        let harmless = |link: &str| link == "/dev/null" || link.starts_with("pipe:") || link == "/witness/links";
        assert!(links.lines().all(harmless), "{links}");
    }
}

#[test]
fn masked_and_read_only_paths_hold() {
    let world = require!(with_busybox(Mode::Mapped));
    let runner = world.runner();
    let script = "
        for file in kcore keys latency_stats timer_list sched_debug; do
            [ ! -s /proc/$file ] || [ ! -e /proc/$file ] || echo /proc/$file can be read; done
        for folder in /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/dev/block; do
            [ -z \"$(ls $folder 2>/dev/null)\" ] || echo $folder is not empty; done
        for file in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/panic_on_oom /proc/irq/default_smp_affinity; do
            (echo 1 > $file) 2>/dev/null && echo $file can be written; done
        for folder in /proc/sys /proc/bus /proc/fs /proc/irq /sys; do
            mount -o remount,rw $folder 2>/dev/null && echo $folder can be mounted again; done
        umount /proc/kcore 2>/dev/null && echo unmounted
        mount -t proc none /mnt 2>/dev/null && echo mounted
        :";
    assert_eq!(in_a_container(&runner, script), "");
}

/// A line of /proc/self/status inside.
fn status(engine: &Engine, options: &[&str], field: &str) -> String {
    let words = [
        &["run", "--rm"][..],
        options,
        &[busybox::NAME, "grep", field, "/proc/self/status"],
    ];
    let line = engine.to(&words.concat());
    line.split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

for_each_account! {
    fn capabilities_are_podmans_defaults_at_most_and_none_is_inherited(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let mask = u64::from_str_radix(&status(&runner, &[], set), 16).expect("a mask");
            assert_eq!(mask & !DEFAULT_CAPABILITIES, 0, "{set} {mask:x}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(status(&runner, &[], set), "0000000000000000", "{set}");
            assert_eq!(status(&runner, &["-u", "1000"], set), "0000000000000000", "{set}");
        }
        assert_eq!(status(&runner, &["-u", "1000"], "CapEff"), "0000000000000000");
        assert_eq!(status(&runner, &["--cap-drop", "all"], "CapBnd"), "0000000000000000");
        assert_eq!(status(&runner, &[], "NoNewPrivs"), "1");
        assert_eq!(status(&runner, &[], "Seccomp:"), "2");
    }
}

for_each_account! {
    fn no_user_namespace_can_be_nested(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let script = "unshare -U true 2>/dev/null && echo nested; cat /proc/sys/user/max_user_namespaces";
        assert_eq!(in_a_container(&runner, script), "0");
    }
}

/// System calls that are closed, with arguments that would show whether the kernel looked at them.
const CLOSED: &[(&str, u32, &[u32])] = &[
    ("socket(AF_ALG)", 41, &[38, 5, 0]),
    ("socket(AF_VSOCK)", 41, &[40, 1, 0]),
    ("socket(AF_PACKET)", 41, &[17, 3, 0]),
    ("socket(AF_NETLINK, NETLINK_AUDIT)", 41, &[16, 3, 9]),
    ("io_uring_setup", 425, &[1, 0]),
    ("keyctl", 250, &[0, 0xffff_fffd, 1]),
    ("add_key", 248, &[0, 0, 0, 0, 0]),
    ("bpf", 321, &[0, 0, 0]),
    ("perf_event_open", 298, &[0, 0, 0, 0, 0]),
    ("userfaultfd", 323, &[1]),
    ("open_by_handle_at", 304, &[0, 0, 0]),
    ("clone(CLONE_NEWUSER)", 56, &[0x1000_0011, 0]),
    ("unshare(CLONE_NEWUSER)", 272, &[0x1000_0000]),
    ("mount", 165, &[0, 0, 0, 0, 0]),
    ("init_module", 175, &[0, 0, 0]),
    ("kexec_load", 246, &[0, 0, 0, 0]),
    ("reboot", 169, &[0, 0, 0]),
    ("swapon", 167, &[0, 0]),
    ("ptrace of x32", 0x4000_0065, &[0, 0, 0]),
];

#[test]
fn dangerous_system_calls_are_closed() {
    let world = require!(World::of_a_user());
    let mut layer = require!(busybox::layer());
    for (number, (_, call, arguments)) in CLOSED.iter().enumerate() {
        let program = require!(probe::system_call(*call, arguments));
        layer = layer.file(&format!("bin/probe{number}"), 0o755, program);
    }
    // The probe itself: getpid is open, and close of a descriptor that is none is EBADF.
    layer = layer
        .file("bin/open", 0o755, require!(probe::system_call(39, &[])))
        .file("bin/error", 0o755, require!(probe::system_call(3, &[77])));
    let name = "localhost/probe:latest";
    let runner = world.runner();
    runner.load(&tests::fixture::Archive::new(name, &[&layer], &["/bin/sh"]).docker());
    let script = "for i in $(seq 0 $1); do /bin/probe$i; echo $?; done; /bin/open; echo $?; /bin/error; echo $?";
    let last = (CLOSED.len() - 1).to_string();
    let said = runner.to(&["run", "--rm", name, "sh", "-c", script, "sh", &last]);
    let codes: Vec<u32> = said.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(codes.len(), CLOSED.len() + 2, "{said}");
    // EPERM, EACCES, ENOSYS, EAFNOSUPPORT: anything else comes from behind the filter. 159 is SIGSYS.
    // For the audit socket podman's filter says EINVAL, which the kernel without a filter does not.
    let closed = |name: &str, code: u32| {
        [1, 13, 38, 97, 159].contains(&code) || (code == 22 && name.contains("AUDIT"))
    };
    let open = CLOSED
        .iter()
        .zip(&codes)
        .filter(|((name, ..), code)| !closed(name, **code));
    let open: Vec<String> = open
        .map(|((name, ..), code)| format!("{name} gives {code}"))
        .collect();
    assert!(open.is_empty(), "{}", open.join("\n"));
    assert!(
        codes[CLOSED.len()] > 200,
        "getpid gives {}",
        codes[CLOSED.len()]
    );
    assert_eq!(codes[CLOSED.len() + 1], 9);
}

#[test]
fn the_terminal_of_the_user_cannot_be_typed_into() {
    require!(tests::client::find("script"));
    let world = require!(World::of_a_user());
    // ioctl(0, TIOCSTI, address of the program itself) and TIOCLINUX.
    let layer = require!(busybox::layer())
        .file(
            "bin/type",
            0o755,
            require!(probe::system_call(16, &[0, 0x5412, 0x40_0000])),
        )
        .file(
            "bin/paste",
            0o755,
            require!(probe::system_call(16, &[0, 0x541c, 0x40_0000])),
        );
    let name = "localhost/typist:latest";
    let runner = world.runner();
    runner.load(&tests::fixture::Archive::new(name, &[&layer], &["/bin/sh"]).docker());
    let inner = "tty; /bin/type; echo type $?; /bin/paste; echo paste $?";
    let run = runner
        .command(&["run", "--rm", "-i", "-t", name, "sh", "-c", inner])
        .line();
    let outcome = world
        .run("script")
        .args(["-qec", &run, "/dev/null"])
        .succeed();
    let said: Vec<&str> = outcome.stdout.lines().map(str::trim_end).collect();
    assert!(
        said.iter().any(|line| line.ends_with("/dev/pts/0")),
        "{outcome}"
    );
    // EPERM from a filter, EIO from a kernel that has it switched off, ENOTTY or EINVAL: not on this terminal.
    let refused = |what: &str| {
        ["1", "5", "22", "25"].iter().any(|code| {
            said.iter()
                .any(|line| line.ends_with(&format!("{what} {code}")))
        })
    };
    assert!(refused("type") && refused("paste"), "{outcome}");
}

#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    let world = require!(with_busybox(Mode::Mapped));
    let name = format!("tests-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a short name");
    let _listener = UnixListener::bind_addr(&address).expect("a new name");
    let seen = in_a_container(&world.runner(), "cat /proc/net/unix");
    assert!(!seen.contains(&name), "{seen}");
}
