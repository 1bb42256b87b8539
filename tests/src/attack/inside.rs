//! What the program of a container tries. Every question is answered with what is open and should not be:
//! nothing, if the engine withstands.
//!
//! The image [`busybox::NAME`] has to be loaded.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use crate::fixture::{Archive, busybox, probe};
use crate::{Engine, Missing};

/// podman's default capabilities: the most that a container may have without being asked.
pub const DEFAULT_CAPABILITIES: u64 = 0x8004_05fb;

/// What is open, a line each.
pub type Answer = Result<Vec<String>, Missing>;

/// Asks an engine.
pub type Question = fn(&Engine) -> Answer;

/// Each question with its number in the list.
pub const QUESTIONS: [(&str, Question); 9] = [
    ("44: descriptors above 2", descriptors),
    ("45: masked and read-only paths", paths),
    ("46: capabilities", capabilities),
    ("47: no system call filter", filter),
    ("48: a nested user namespace", nested_namespaces),
    ("49: system calls", system_calls),
    ("58: abstract sockets of the host", abstract_sockets),
    (
        "58: the same with the network of the host",
        sockets_by_host_network,
    ),
    ("59: capabilities to inherit", inherited),
];

/// What `script` prints inside.
pub fn in_a_container(engine: &Engine, script: &str) -> String {
    engine.to(&["run", "--rm", busybox::NAME, "sh", "-c", script])
}

fn lines_in_a_container(engine: &Engine, script: &str) -> Answer {
    let said = in_a_container(engine, script);
    Ok(said.lines().map(str::to_owned).collect())
}

/// A line of /proc/self/status inside.
pub fn status(engine: &Engine, options: &[&str], field: &str) -> String {
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

fn descriptors(engine: &Engine) -> Answer {
    // The fourth is the folder that ls reads.
    let script = "ls /proc/self/fd | grep -v '^[0-3]$'";
    lines_in_a_container(engine, &format!("{script}; :"))
}

/// Which of the paths that are masked or read-only can be read or written.
///
/// # Errors
/// As for every question, what the machine lacks for it; here nothing.
pub fn paths(engine: &Engine) -> Answer {
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
    lines_in_a_container(engine, script)
}

fn capabilities(engine: &Engine) -> Answer {
    let mask = u64::from_str_radix(&status(engine, &[], "CapBnd"), 16).unwrap_or(u64::MAX);
    let excess = mask & !DEFAULT_CAPABILITIES;
    Ok((excess != 0)
        .then(|| format!("{excess:#x}"))
        .into_iter()
        .collect())
}

fn filter(engine: &Engine) -> Answer {
    let mode = status(engine, &[], "Seccomp:");
    Ok((mode != "2").then_some(mode).into_iter().collect())
}

fn inherited(engine: &Engine) -> Answer {
    let mut open = Vec::new();
    for set in ["CapInh", "CapAmb"] {
        for options in [&[][..], &["-u", "1000"]] {
            let mask = status(engine, options, set);
            if !mask.trim_matches('0').is_empty() {
                open.push(format!("{set} {mask}"));
            }
        }
    }
    Ok(open)
}

/// Which ways to a user namespace in the container's own there are.
///
/// # Errors
/// As for every question, what the machine lacks for it; here nothing.
pub fn nested_namespaces(engine: &Engine) -> Answer {
    let script = "unshare -U true 2>/dev/null && echo unshare -U
        [ $(cat /proc/sys/user/max_user_namespaces) = 0 ] || echo max_user_namespaces";
    lines_in_a_container(engine, &format!("{script}; :"))
}

/// A socket of the host without a file, if it is seen inside.
///
/// # Errors
/// As for every question, what the machine lacks for it; here nothing.
///
/// # Panics
/// When the socket cannot be made.
pub fn abstract_sockets(engine: &Engine) -> Answer {
    // Accounts are tried beside each other.
    let name = format!("tests-{}-{}", std::process::id(), engine.world.account.uid);
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let _listener = UnixListener::bind_addr(&address).expect("a new name");
    lines_in_a_container(engine, &format!("grep {name} /proc/net/unix; :"))
}

/// An abstract socket of the host that a container with the host's network reaches (CVE-2020-15257).
///
/// # Errors
/// On a machine for which there is no probe.
///
/// # Panics
/// When the sockets cannot be made.
pub fn sockets_by_host_network(engine: &Engine) -> Answer {
    let name = "localhost/caller:latest";
    let sockets = HostSockets::new(engine, name)?;
    let run = ["run", "--rm", "--network", "host", name];
    Ok(sockets.reached_by(engine, &run))
}

/// A stream and a datagram socket of the host without a file, and programs that connect to them.
#[derive(Debug)]
pub struct HostSockets {
    _stream: UnixListener,
    _datagrams: UnixDatagram,
}

impl HostSockets {
    /// Makes them, and loads an image called `name` that has the programs.
    ///
    /// # Errors
    /// On a machine for which there is no probe.
    ///
    /// # Panics
    /// When the sockets cannot be made.
    pub fn new(engine: &Engine, name: &str) -> Result<Self, Missing> {
        let named = |kind| format!("tests-{}-{kind}", engine.world.mark);
        let address = |kind| SocketAddr::from_abstract_name(named(kind)).expect("a short name");
        let client = |number, kind| probe::connect(number, format!("\0{}", named(kind)).as_bytes());
        let layer = busybox::layer()?
            .file("bin/to-stream", 0o755, client(1, "stream")?)
            .file("bin/to-datagrams", 0o755, client(2, "datagrams")?);
        engine.load(&Archive::new(name, &[&layer], &["/bin/sh"]).docker());
        Ok(Self {
            _stream: UnixListener::bind_addr(&address("stream")).expect("a new name"),
            _datagrams: UnixDatagram::bind_addr(&address("datagrams")).expect("a new name"),
        })
    }

    /// Which of them a command of `engine` reaches that runs a program of the image.
    #[must_use]
    pub fn reached_by(&self, engine: &Engine, command: &[&str]) -> Vec<String> {
        let reached = |program: &&str| {
            let script = format!("{program}; echo {program} $?");
            let said = engine.to(&[command, &["sh", "-c", &script]].concat());
            match said.strip_prefix(program).map(str::trim) {
                Some("0") => true,
                Some("1") => false, // EPERM
                _ => panic!("{said}"),
            }
        };
        let programs = ["to-stream", "to-datagrams"].into_iter();
        programs.filter(reached).map(str::to_owned).collect()
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

/// Which system calls get past the filter.
///
/// # Errors
/// On a machine for which there is no probe.
///
/// # Panics
/// When the probe does not show what is open.
pub fn system_calls(engine: &Engine) -> Answer {
    let mut layer = busybox::layer()?;
    for (number, (_, call, arguments)) in CLOSED.iter().enumerate() {
        let program = probe::system_call(*call, arguments)?;
        layer = layer.file(&format!("bin/probe{number}"), 0o755, program);
    }
    // The probe itself: getpid is open, and close of a descriptor that is none is EBADF.
    layer = layer
        .file("bin/open", 0o755, probe::system_call(39, &[])?)
        .file("bin/error", 0o755, probe::system_call(3, &[77])?);
    let name = "localhost/probe:latest";
    engine.load(&Archive::new(name, &[&layer], &["/bin/sh"]).docker());
    let script = "for i in $(seq 0 $1); do /bin/probe$i; echo $?; done; /bin/open; echo $?; /bin/error; echo $?";
    let last = (CLOSED.len() - 1).to_string();
    let said = engine.to(&["run", "--rm", name, "sh", "-c", script, "sh", &last]);
    let codes: Vec<u32> = said.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(codes.len(), CLOSED.len() + 2, "{said}");
    let (codes, shown) = codes.split_at(CLOSED.len());
    assert!(
        shown[0] > 200 && shown[1] == 9,
        "getpid and close give {shown:?}"
    );
    // EPERM, EACCES, ENOSYS, EAFNOSUPPORT: anything else comes from behind the filter. 159 is SIGSYS.
    // For the audit socket podman's filter says EINVAL, which the kernel without a filter does not.
    let closed = |name: &str, code: u32| {
        [1, 13, 38, 97, 159].contains(&code) || (code == 22 && name.contains("AUDIT"))
    };
    let open = CLOSED
        .iter()
        .zip(codes)
        .filter(|((name, ..), code)| !closed(name, **code));
    Ok(open.map(|((name, ..), _)| (*name).to_owned()).collect())
}
