//! Attacks that race with the engine: a container swaps what another one is about to be started on, or
//! lies in wait for a process of ours that comes in.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tests::fixture::{Archive, busybox};
use tests::{Engine, for_each_account, require};

/// Runs `command` again and again, in one shell: `rounds` times.
fn repeat(engine: &Engine, words: &[&str], rounds: usize) -> String {
    let run = engine.command(words).line();
    // A start may be refused: what counts is what was reached.
    let script =
        format!("i=0; while [ $i -lt {rounds} ]; do {run} 2>/dev/null; i=$((i + 1)); done");
    let outcome = engine
        .world
        .run("sh")
        .args(["-c", &script])
        .limit(Duration::from_secs(200))
        .succeed();
    outcome.text().to_owned()
}

/// Some of the starts went well, and none of them reached anything.
fn expect_only_ran(said: &str) {
    assert!(
        !said.is_empty() && said.lines().all(|line| line == "ran"),
        "{said}"
    );
}

/// Everything below a folder, with owner, mode, size and content.
fn look(folder: &Path) -> BTreeMap<String, (u32, u32, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let data = entry.metadata().expect("it is there");
            let content = fs::read(entry.path()).unwrap_or_default();
            (
                entry.file_name().to_string_lossy().into_owned(),
                (data.uid(), data.mode(), content),
            )
        })
        .collect()
}

for_each_account! {
    fn a_null_device_that_is_swapped_unmasks_nothing_cve_2025_31133(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let shared = world.make_dir("shared", 0o777);
        let volume = format!("{}:/shared", shared.display());
        let swap = "cd /shared; while :; do ln -sf /proc/sysrq-trigger null; ln -sf /proc/self/mem null; rm -f null; : > null; done";
        runner.to(&["run", "-d", "--name", "swapper", "-v", &volume, busybox::NAME, "sh", "-c", swap]);
        let victim = format!("{}:/dev", shared.display());
        let check = "for file in interrupts keys timer_list kcore; do [ -s /proc/$file ] && echo $file is open; done;
            (echo h > /proc/sysrq-trigger) 2>/dev/null && echo sysrq can be written; echo ran";
        let said = repeat(&runner, &["run", "--rm", "-v", &victim, busybox::NAME, "sh", "-c", check], 200);
        expect_only_ran(&said);
        runner.to(&["rm", "-f", "-t", "0", "swapper"]);
    }
}

for_each_account! {
    fn a_mount_target_that_is_swapped_leads_nowhere_cve_2021_30465(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let (shared, host) = (world.make_dir("shared", 0o777), world.make_dir("host", 0o755));
        fs::write(host.join("secret"), "of the host").expect("a file");
        let before = look(&host);
        let volume = format!("{}:/shared", shared.display());
        let swap = format!(
            "cd /shared; mkdir -p place; ln -s {} link; while :; do mv -T place other; mv -T link place; mv -T place link; \
             mv -T other place; done 2>/dev/null",
            host.display()
        );
        runner.to(&["run", "-d", "--name", "swapper", "-v", &volume, busybox::NAME, "sh", "-c", &swap]);
        let data = format!("{}:/shared/place", world.make_dir("data", 0o777).display());
        let check = "cat /shared/place/secret /secret 2>/dev/null; echo x > /shared/place/written 2>/dev/null; echo ran";
        let words = ["run", "--rm", "-v", &volume, "-v", &data, busybox::NAME, "sh", "-c", check];
        let said = repeat(&runner, &words, 500);
        expect_only_ran(&said);
        assert_eq!(look(&host), before);
        runner.to(&["rm", "-f", "-t", "0", "swapper"]);
    }
}

for_each_account! {
    fn who_lies_in_wait_for_exec_gets_neither_our_program_nor_its_descriptors_cve_2019_5736(world) {
        let runner = world.runner();
        let layer = require!(busybox::layer()).file("bin/evil", 0o755, *b"#!/proc/self/exe\n");
        let name = "localhost/evil:latest";
        runner.load(&Archive::new(name, &[&layer], &["/bin/sh"]).docker());
        // Opens every other process's program for writing, and lists descriptors that no program of ours has.
        let wait = "echo ready; while :; do for process in /proc/[0-9]*; do
            [ $process = /proc/1 ] || [ $process = /proc/$$ ] && continue
            (exec 3>>$process/exe) 2>/dev/null && echo opened $(readlink $process/exe)
            ls -l $process/fd 2>/dev/null | grep -e socket: -e anon_inode -e /runner
            (tr '\\0' ' ' < $process/environ) 2>/dev/null | grep XDG_RUNTIME_DIR; done; done";
        runner.to(&["run", "-d", "--name", "waiter", "--pids-limit", "500", name, "sh", "-c", wait]);
        runner.wait_for_log("waiter", "ready");
        let program = fs::read(tests::binaries::path("runner")).expect("our program");
        repeat(&runner, &["exec", "waiter", "/bin/evil"], 50);
        repeat(&runner, &["exec", "waiter", "true"], 50);
        assert_eq!(runner.to(&["logs", "waiter"]), "ready");
        assert!(program == fs::read(tests::binaries::path("runner")).expect("our program"));
        runner.to(&["rm", "-f", "-t", "0", "waiter"]);
    }
}

for_each_account! {
    fn control_groups_can_be_read_and_not_changed_cve_2023_25809(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let script = "cd /sys/fs/cgroup; mkdir made 2>/dev/null && echo made
            for file in $(find . -name cgroup.procs -o -name memory.max -o -name release_agent); do
                (echo 0 > $file) 2>/dev/null && echo $file can be written; done
            mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo mounted again; cat /proc/self/cgroup | grep -v ':/$'; :";
        // What the first version shows of its own trees is the group of the command, by name only.
        let said = runner.to(&["run", "--rm", busybox::NAME, "sh", "-c", script]);
        assert!(!said.contains("made") && !said.contains("written") && !said.contains("again"), "{said}");
        for set in ["CapInh", "CapAmb"] {
            runner.to(&["run", "-d", "--name", "idle", busybox::NAME, "sleep", "1000"]);
            let line = runner.to(&["exec", "idle", "grep", set, "/proc/self/status"]);
            assert!(line.ends_with("\t0000000000000000"), "{line}");
            runner.to(&["rm", "-f", "-t", "0", "idle"]);
        }
    }
}
