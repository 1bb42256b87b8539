//! What is measured of our server alone, and the instructions of every native one.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::ending;
use super::load;
use super::peers::{Peer, Running};
use tests::figures::Figures;
use tests::figures::Goal::AtMost;

/// How often the server is ended under load.
const ENDS: usize = 5;

/// Measures our server and prints its figures.
pub(crate) fn figures(ours: &Peer, figures: &mut Figures) {
    for (name, each) in system_calls(ours) {
        figures.row(
            &format!("system calls a request: {name}"),
            AtMost(1.0),
            each,
            "",
        );
    }
    figures.row("allocations a request", AtMost(0.0), allocations(), "");
    let memory = memory(ours);
    figures.row(
        "an idle connection, of 10,000",
        AtMost(2000.0),
        memory.each,
        " B",
    );
    figures.row("PSS, idle", AtMost(1000.0), memory.idle, " kB");
    figures.row(
        "PSS, after 10,000 connections",
        AtMost(2000.0),
        memory.after,
        " kB",
    );
    let binary = fs::metadata(Path::new(&ours.command[0]))
        .expect("the binary")
        .len();
    figures.row("the binary", AtMost(1_000_000.0), binary as f64, " B");
    let lost = (0..ENDS).map(|_| ending::lost_requests(ours)).sum();
    figures.row(
        "requests lost on TERM under load, 26 clients, 5 times",
        AtMost(0.0),
        lost,
        "",
    );
    figures.row(
        "TERM without load to the end",
        AtMost(1.0),
        ending::exit_time(ours),
        " s",
    );
}

/// Allocations a request, as the suite with the counting allocator sees them: none, or it fails.
fn allocations() -> f64 {
    let mut suite = Command::new(env!("CARGO"));
    suite.args([
        "test",
        "--quiet",
        "-p",
        "tests",
        "--test",
        "server_allocations",
    ]);
    let output = suite.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    if output.is_ok_and(|output| output.status.success()) {
        0.0
    } else {
        f64::INFINITY
    }
}

/// User instructions a request of each native peer, counted by callgrind as the difference of two runs.
pub(crate) fn instructions(peers: &[Peer], pipeline: usize, alike: bool) -> Vec<f64> {
    const FEW: usize = 1600;
    const MANY: usize = 8000;
    let has_valgrind = Command::new("valgrind").arg("--version").output().is_ok();
    let count = |peer: &Peer| {
        if !has_valgrind || !peer.is_native {
            return f64::NAN;
        }
        let [few, many] =
            [FEW, MANY].map(|requests| count_instructions(peer, requests, pipeline, alike));
        (many - few) / (MANY - FEW) as f64
    };
    peers.iter().map(count).collect()
}

fn count_instructions(peer: &Peer, requests: usize, pipeline: usize, alike: bool) -> f64 {
    let report = std::env::temp_dir().join(format!("server-bench-{}", std::process::id()));
    let log = format!("--log-file={}", report.display());
    let mut server = Running::spawn(
        peer,
        &[
            "valgrind",
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            &log,
        ],
    );
    server.wait();
    load::exactly(server.port, requests, pipeline, alike);
    server.end();
    let text = fs::read_to_string(&report).expect("valgrind's report");
    let _ = fs::remove_file(report);
    let line = text
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .expect("a count");
    line.1.trim().parse().expect("a number")
}

/// How often our server sends and receives for a request; more than one of each is too much.
fn system_calls(ours: &Peer) -> Vec<(&'static str, f64)> {
    const REQUESTS: usize = 10_000;
    let report = std::env::temp_dir().join(format!("server-bench-strace-{}", std::process::id()));
    let report = report.to_str().expect("UTF-8").to_owned();
    if Command::new("strace").arg("--version").output().is_err() {
        return vec![("receive", f64::NAN), ("send", f64::NAN)];
    }
    let mut server = Running::spawn(
        ours,
        &["strace", "-f", "-c", "-U", "name,calls", "-o", &report],
    );
    server.wait();
    load::exactly(server.port, REQUESTS, 1, true);
    server.end();
    let text = fs::read_to_string(&report).expect("strace's report");
    let _ = fs::remove_file(report);
    let calls = |wanted: &[&str]| {
        let of_line = |line: &str| {
            let (name, calls) = line.trim().split_once(' ')?;
            wanted
                .contains(&name)
                .then_some(calls.trim().parse::<f64>().ok()?)
        };
        // What comes before the load and after it is less than a thousandth.
        let sum: f64 = text.lines().filter_map(of_line).sum();
        assert!(sum > 0.0, "{wanted:?}: the server has other calls now");
        (sum / REQUESTS as f64 * 100.0).round() / 100.0
    };
    // Not read and write: those are of its timer, which ticks more often during a slow load.
    vec![
        ("receive", calls(&["recvfrom", "recvmsg"])),
        ("send", calls(&["sendto", "sendmsg"])),
    ]
}

/// In kB, or in bytes for each idle connection.
struct Memory {
    idle: f64,
    each: f64,
    after: f64,
}

/// What our server holds when it is idle, for each idle connection, and after they have gone.
fn memory(ours: &Peer) -> Memory {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )
    .expect("to raise the limit");
    let server = Running::start(ours);
    sleep(Duration::from_secs(4));
    let idle = server.pss_kb();
    let mut streams = Vec::new();
    for _ in 0..10_000 {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", server.port)) else {
            break;
        };
        let asked = stream
            .write_all(load::REQUEST.as_bytes())
            .and_then(|()| stream.read(&mut [0; 1024]));
        if asked.is_err() {
            break;
        }
        streams.push(stream);
    }
    sleep(Duration::from_secs(4));
    let held = streams.len();
    let each = (server.pss_kb() - idle) * 1024.0 / held as f64;
    drop(streams);
    sleep(Duration::from_secs(4));
    let after = server.pss_kb();
    Memory { idle, each, after }
}
