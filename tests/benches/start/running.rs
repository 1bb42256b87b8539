//! What is done in a container that runs, and what it costs to keep one running.

use std::fs;

use tests::client::find;
use tests::fixture::busybox;
use tests::processes::Process;
use tests::ratio::{Side, compare};
use tests::{Missing, World, leaks};

use super::{Specification, crun, unless_missing};

/// How long the containers sleep, in seconds.
const LONG: &str = "600";

/// One more program, `true`, in a container that sleeps.
pub(super) fn compare_exec(world: &World, specifications: &[Specification<'_>]) {
    let runner = world.runner();
    runner.to(&["run", "-d", "--name", "one", busybox::NAME, "sleep", LONG]);
    let ours = Side::new("runner exec", || {
        runner.command(&["exec", "one", "/bin/true"])
    });
    unless_missing(find("nsenter").map(|_| {
        let pid = runner.to(&["inspect", "--format", "{{.State.Pid}}", "one"]);
        // The namespaces that ours enters.
        let words = [
            "-t",
            pid.trim(),
            "-U",
            "-m",
            "-p",
            "-i",
            "-u",
            "-n",
            "-C",
            "/bin/true",
        ];
        compare(
            &ours,
            &Side::new("nsenter", || world.run("nsenter").args(words)),
        );
    }));
    for &told in specifications {
        unless_missing(against_crun(world, told, &ours));
    }
    runner.to(&["rm", "-f", "one"]);
}

fn against_crun(world: &World, told: Specification<'_>, ours: &Side<'_>) -> Result<(), Missing> {
    let bundle = told.bundle(world, &["/bin/sleep", LONG])?;
    // The container keeps crun's outputs for as long as it lives.
    let detached = crun(world).args(["run", "--detach", "two"]).line();
    let quiet = format!("{detached} > /dev/null 2>&1");
    let shell = world.run("sh").args(["-c", &quiet]);
    let ran = shell.current_dir(&bundle).finish();
    if ran.code != 0 {
        let said = format!("crun says: {}", ran.stderr.trim());
        return Err(Missing::because(said));
    }
    let name = match told {
        Specification::Podman(_) => "crun exec, podman's bundle",
        Specification::Example => "crun exec, example bundle",
    };
    let exec = || crun(world).args(["exec", "two", "/bin/true"]);
    compare(ours, &Side::new(name, exec));
    let _ = crun(world).args(["delete", "--force", "two"]).finish();
    Ok(())
}

/// The processes beside a container keep for a second what its start took.
const UNTIL_REST: std::time::Duration = std::time::Duration::from_secs(3);

/// The memory of the processes beside a container with a published port, when they rest.
pub(super) fn show_memory(world: &World) {
    let runner = world.runner();
    let publish = ["-p", "127.0.0.1::80"];
    runner
        .command(&["run", "-d", "--name", "three"])
        .args(publish)
        .args([busybox::NAME, "sleep", LONG])
        .succeed();
    std::thread::sleep(UNTIL_REST);
    for name in ["runner-monitor", "runner-stage", "runner-holder"] {
        for process in leaks::of_world(world)
            .iter()
            .filter(|process| process.name == name)
        {
            if let Some(memory) = memory(process) {
                println!("| {name} | {memory} |");
            }
        }
    }
    runner.to(&["rm", "-f", "three"]);
}

/// What it has resident, and what of that it shares with nobody.
fn memory(process: &Process) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).ok()?;
    let sum = |names: &[&str]| -> u64 {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let named = lines.filter(|(name, _)| names.contains(name));
        named
            .filter_map(|(_, size)| size.split_whitespace().next()?.parse::<u64>().ok())
            .sum()
    };
    let (resident, own) = (sum(&["Rss"]), sum(&["Private_Dirty", "Private_Clean"]));
    Some(format!("resident {resident} kB | of its own {own} kB"))
}
