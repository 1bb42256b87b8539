//! What outlives a suite, and is cleaned up when it ends in whatever way.
//!
//! The test harness has no hook at the end, and a suite may be killed. So a small shell waits at
//! the end of a pipe for the suite to be gone, and then runs the lines that it was given, the last
//! one first. Orphans of the programs under test come to the suite instead of to PID 1, so that it can tell
//! them from the machine's other processes; it collects them when they end, as PID 1 would.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, set_child_subreaper, waitid};

/// How long an orphan that has ended may look alive.
const COLLECT_EVERY: Duration = Duration::from_millis(10);

/// Reads lines to the end of the pipe, then runs them in reverse.
const SHELL: &str = r#"all=; while IFS= read -r line; do all="$line
$all"; done; eval "$all" >/dev/null 2>&1"#;

/// The children that someone in this process waits for.
static WAITED_FOR: Mutex<Option<HashSet<u32>>> = Mutex::new(None);

/// Starts `command`. Every process of a suite is started here, so that orphans can be told apart.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    adopt_orphans();
    let mut waited_for = WAITED_FOR.lock().unwrap_or_else(PoisonError::into_inner);
    // Under the lock: a child that ends before it is known must not be taken for an orphan.
    let child = command.spawn()?;
    waited_for.get_or_insert_default().insert(child.id());
    Ok(child)
}

/// Says that nobody waits for `pid` any more.
pub(crate) fn collected(pid: u32) {
    let mut waited_for = WAITED_FOR.lock().unwrap_or_else(PoisonError::into_inner);
    waited_for.get_or_insert_default().remove(&pid);
}

/// Looks at processes while none is between its fork and its first instruction: such a one still has
/// our own user and environment, and could be taken for anybody's. `look` gets the children that
/// someone in this process waits for.
pub(crate) fn while_nothing_starts<T>(look: impl FnOnce(&HashSet<u32>) -> T) -> T {
    let mut waited_for = WAITED_FOR.lock().unwrap_or_else(PoisonError::into_inner);
    look(waited_for.get_or_insert_default())
}

/// Runs a line of shell when this process has ended; the last line that was given runs first.
///
/// # Panics
/// When there is no shell.
pub fn at_the_end(line: &str) {
    static JANITOR: OnceLock<Mutex<Child>> = OnceLock::new();
    let janitor = JANITOR.get_or_init(|| Mutex::new(start_shell()));
    let mut janitor = janitor.lock().unwrap_or_else(PoisonError::into_inner);
    let input = janitor.stdin.as_mut().expect("stdin is a pipe");
    writeln!(input, "{line}").expect("the janitor listens until we end");
}

fn start_shell() -> Child {
    let mut command = Command::new("sh");
    // A group of its own: Ctrl-C on the suite must not take it along.
    command
        .args(["-c", SHELL])
        .env(crate::leaks::MARK, "support")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    spawn(&mut command).expect("sh")
}

/// Makes orphaned descendants our children, and starts to collect them.
fn adopt_orphans() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        set_child_subreaper(Some(getpid())).expect("every process may become a subreaper");
        std::thread::spawn(|| {
            loop {
                collect_orphans();
                sleep(COLLECT_EVERY);
            }
        });
    });
}

fn collect_orphans() {
    let waited_for = WAITED_FOR.lock().unwrap_or_else(PoisonError::into_inner);
    for pid in children() {
        let known = waited_for.as_ref().is_some_and(|pids| pids.contains(&pid));
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let (false, Some(pid)) = (known, pid) {
            let _ = waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            );
        }
    }
}

/// The children of all our threads.
fn children() -> Vec<u32> {
    let threads = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
