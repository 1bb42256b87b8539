//! Many starts, one after the other and at once: none goes wrong, and nothing is left.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open,
};
use tests::client::find;
use tests::fixture::busybox;
use tests::processes::Process;
use tests::{Engine, Missing, Mode, World, for_each_account, leaks, require, wait};

/// How many starts follow one another.
const IN_A_ROW: usize = 1000;

/// How many there are at the same time.
const AT_ONCE: usize = 200;

/// The process that keeps the user namespace of `world`.
fn holder(world: &World) -> Process {
    let all = leaks::of_world(world);
    all.into_iter().find(leaks::is_holder).expect("a holder")
}

/// The entries of a folder of the store.
fn count(store: &Path, folder: &str) -> usize {
    fs::read_dir(store.join(folder)).map_or(0, Iterator::count)
}

/// The user namespace and the network that a holder has made ahead, if it has: their inode numbers. They stay
/// where they are.
fn made_ahead(holder: &Process) -> Option<Vec<u64>> {
    let pid = Pid::from_raw(holder.pid.try_into().ok()?)?;
    let holder = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let shelf = pidfd_getfd(&holder, 3, PidfdGetfdFlags::empty()).ok()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let mut byte = [0];
    recvmsg(
        &shelf,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        flags,
    )
    .ok()?;
    let descriptors = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    })?;
    let inode = |descriptor| File::from(descriptor).metadata().map(|file| file.ino());
    let inodes: Vec<_> = descriptors.map_while(|one| inode(one).ok()).collect();
    inodes.get(..2).map(<[u64]>::to_vec)
}

/// The memory that the holder at rest has for itself alone, in kB, and its open descriptors.
fn weight(world: &World) -> (u64, usize) {
    let process = holder(world);
    // Only for a user with subordinate ids something is made ahead, and then it rests.
    if world.account.mode == Mode::Mapped {
        let rests = wait::poll(Duration::from_secs(5), || made_ahead(&process));
        assert!(rests.is_some(), "nothing was made ahead");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let memory = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let open = fs::read_dir(format!("/proc/{}/fd", process.pid)).map_or(0, Iterator::count);
    (memory.unwrap_or(0), open)
}

/// Nothing of any container is left but the image and the holder.
fn assert_clean(runner: &Engine) {
    let world = runner.world;
    assert_eq!(runner.to(&["ps", "-a", "-q"]), "");
    let store = match world.account.mode {
        Mode::Root => world.path("store"),
        _ => world.home().join(".local/share/runner"),
    };
    for folder in ["containers", "container-names", "container-trash"] {
        // What the last ones have left is removed behind their backs.
        let gone = wait::poll(Duration::from_secs(20), || {
            (count(&store, folder) == 0).then_some(())
        });
        assert!(
            gone.is_some(),
            "{folder} has {} entries",
            count(&store, folder)
        );
    }
    let others: Vec<_> = leaks::of_world(world)
        .into_iter()
        .filter(|process| !leaks::is_holder(process))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn one_container_and_no_other_gets_the_namespaces_that_were_made_ahead() {
    let world = require!(World::new(Mode::Mapped));
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    runner.to(&["run", "--rm", busybox::NAME, "true"]);
    let holder = holder(&world);
    let ahead = wait::poll(Duration::from_secs(5), || made_ahead(&holder));
    let ahead = ahead.expect("namespaces made ahead");
    runner.to(&["run", "-d", "--name", "first", busybox::NAME, "sleep", "60"]);
    let namespaces = |begin: &[&str]| -> Vec<u64> {
        let own = ["/proc/self/ns/user", "/proc/self/ns/net"];
        let look = [begin, &["stat", "-L", "-c", "%i"], &own].concat();
        let printed = runner.to(&look);
        printed.lines().map(|line| line.parse().unwrap()).collect()
    };
    assert_eq!(namespaces(&["exec", "first"]), ahead);
    for _ in 0..5 {
        let others = namespaces(&["run", "--rm", busybox::NAME]);
        assert!(others.iter().all(|one| !ahead.contains(one)), "{others:?}");
    }
    runner.to(&["rm", "-f", "-t", "0", "first"]);
}

/// What [`WITH_A_DISK`] ends with when there can be none.
const NO_DISK: i32 = 99;

/// Mounts a disk at `$2` that is the file `$1`, runs a command as the user `$3` and the group `$4`, takes the disk
/// out and prints what still uses it.
const WITH_A_DISK: &str = "
    file=$1 place=$2 user=$3 group=$4; shift 4
    truncate -s 16M \"$file\" && mkfs.ext4 -q -F \"$file\" && loop=$(losetup --find --show \"$file\") || exit 99
    mount \"$loop\" \"$place\" || { losetup --detach \"$loop\"; exit 99; }
    chmod 777 \"$place\"
    setpriv --reuid \"$user\" --regid \"$group\" --clear-groups \"$@\"
    code=$?
    umount \"$place\"; losetup --detach \"$loop\"
    cat \"/sys/block/${loop#/dev/}/loop/backing_file\" 2>/dev/null
    exit $code";

#[test]
fn a_disk_of_the_host_is_free_when_the_command_has_returned() {
    let root = require!(World::new(Mode::Root));
    let world = require!(World::new(Mode::Mapped));
    for tool in ["mkfs.ext4", "losetup", "setpriv"] {
        require!(find(tool));
    }
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    runner.to(&["run", "--rm", busybox::NAME, "true"]);
    let holder = holder(&world);
    wait::poll(Duration::from_secs(5), || made_ahead(&holder)).expect("namespaces made ahead");
    let place = world.make_dir("disk", 0o755);
    let volume = format!("{}:/data", place.display());
    let said = {
        // Whatever it is given, it keeps.
        let _still = Stopped::new(&holder);
        let account = world.account;
        runner
            .beside("unshare")
            .user(0, 0)
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .args([WITH_A_DISK, "sh"])
            .args([root.path("image"), place])
            .args([account.uid.to_string(), account.gid.to_string()])
            .args([&runner.program])
            .args(&runner.global)
            .args(["run", "--rm", "-v", &volume, busybox::NAME])
            .args(["touch", "/data/file"])
            .finish()
    };
    if said.code == NO_DISK {
        require!(Err::<(), _>(Missing::because(format!(
            "no disk can be mounted: {}",
            said.stderr.trim()
        ))));
    }
    assert_eq!((said.code, said.text()), (0, ""), "{said}");
}

/// A process that stands still as long as this lives.
struct Stopped(Pid);

impl Stopped {
    fn new(process: &Process) -> Self {
        let pid = Pid::from_raw(process.pid.cast_signed()).expect("a pid");
        kill_process(pid, Signal::STOP).expect("ours to stop");
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

for_each_account! {
    fn of_a_thousand_starts_in_a_row_each_has_its_exit_code_and_none_leaves_anything(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        runner.to(&["run", "--rm", busybox::NAME, "true"]);
        let before = weight(world);
        let run = runner
            .command(&["run", "--rm", busybox::NAME, "sh", "-c"])
            .line();
        let script = format!(
            "i=0; while [ $i -lt {IN_A_ROW} ]; do {run} \"exit $((i % 7))\"; code=$?
             [ $code = $((i % 7)) ] || {{ echo start $i gave $code; exit 1; }}; i=$((i + 1)); done"
        );
        let outcome = world
            .run("sh")
            .args(["-c", &script])
            .limit(Duration::from_secs(300))
            .succeed();
        assert_eq!(outcome.text(), "");
        assert_clean(&runner);
        let after = weight(world);
        // A page or two may have been touched for the first time.
        assert!(
            after.0 <= before.0 + 64 && after.1 == before.1,
            "{before:?} kB and descriptors became {after:?}"
        );
    }
}

for_each_account! {
    fn two_hundred_at_once_all_end_rightly_and_leave_nothing(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let run = runner.command(&["run", "--rm", busybox::NAME, "sh", "-c"]).line();
        let script = format!(
            "i=0; while [ $i -lt {AT_ONCE} ]; do
               ( {run} \"exit $((i % 7))\"; code=$?; [ $code = $((i % 7)) ] || echo start $i gave $code ) &
             i=$((i + 1)); done; wait"
        );
        let outcome = world.run("sh").args(["-c", &script]).limit(Duration::from_secs(120)).succeed();
        assert_eq!((outcome.text(), outcome.stderr.as_str()), ("", ""));
        assert_clean(&runner);
    }
}

for_each_account! {
    fn no_process_survives_its_container(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        // Orphans that ignore every signal, in sessions of their own, with and without our init.
        let script = "for i in 1 2 3; do setsid sh -c \"trap '' TERM HUP INT; sleep 1000\" & done; exit 3";
        for init in [&["--init"][..], &[]] {
            let words = [&["run", "--rm"], init, &[busybox::NAME, "sh", "-c", script]].concat();
            assert_eq!(runner.try_to(&words).code, 3);
            let words = [&["run", "-d", "--name", "many"], init, &[busybox::NAME, "sh", "-c"]].concat();
            let script = script.replace("exit 3", "wait");
            runner.to(&[&words[..], &[&script]].concat());
            runner.to(&["rm", "-f", "-t", "0", "many"]);
        }
        assert_clean(&runner);
    }
}
