//! The server against its peers: `cargo bench -p tests --bench server [-- --seconds S] [-- --rounds N]`.
//!
//! Every server has one thread on the first core; the load comes from the last one. The servers
//! take turns, round after round, and what is printed is the median over the rounds of the ratio to
//! the raw loop of the same round: this machine's mood falls out. Peers that are not installed are
//! named and left out. The output is a table in Markdown, and a plot beside it.

#[path = "server/example.rs"]
mod example;
#[path = "server/load.rs"]
mod load;
#[path = "server/peers.rs"]
mod peers;
#[path = "server/plot.rs"]
mod plot;
#[path = "server/raw.rs"]
mod raw;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use load::Load;
use peers::{Peer, Running};

/// The loads: connections, and requests that are sent at once on each.
const LOADS: [(usize, usize); 3] = [(32, 1), (256, 1), (32, 16)];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok())
            .unwrap_or(default)
    };
    if arguments.iter().any(|argument| argument == raw::FLAG) {
        raw::serve(u16::try_from(option(raw::FLAG, 0)).expect("a port"));
    }
    if arguments.iter().any(|argument| argument == example::FLAG) {
        example::serve(u16::try_from(option(example::FLAG, 0)).expect("a port"));
    }
    let peers = peers::all();
    let ours = peers
        .iter()
        .find(|peer| peer.name == "server")
        .expect("our own server");
    let binary = Path::new(&ours.command[0]);
    println!(
        "| figure | {} |",
        peers
            .iter()
            .map(|peer| peer.name)
            .collect::<Vec<_>>()
            .join(" | ")
    );
    println!("|---|{}", "---|".repeat(peers.len()));
    let rounds = usize::try_from(option("--rounds", 7)).expect("a number");
    let time = Duration::from_secs(option("--seconds", 3));
    let mut bars = Vec::new();
    for (connections, pipeline) in LOADS {
        let (rates, costs) = compare(
            &peers,
            rounds,
            time,
            Load {
                connections,
                pipeline,
            },
        );
        row(
            &format!("requests/s, {connections} connections, {pipeline} at once, to the raw loop"),
            &rates,
        );
        row(
            &format!(
                "CPU a request, {connections} connections, {pipeline} at once, to the raw loop"
            ),
            &costs,
        );
        bars.push((format!("{connections} × {pipeline}"), rates, costs));
    }
    let starts: Vec<_> = peers
        .iter()
        .map(|peer| median((0..15).map(|_| first_answer(peer)).collect()))
        .collect();
    row("start to first answer, ms", &starts);
    instructions(&peers);
    system_calls(ours);
    memory(ours);
    println!(
        "\nbinary: {} bytes ({})",
        fs::metadata(binary).expect("the binary").len(),
        binary.display()
    );
    let file = binary.with_file_name("server-bench.svg");
    let names: Vec<_> = peers.iter().map(|peer| peer.name).collect();
    fs::write(&file, plot::draw(&names, &bars)).expect("to write the plot");
    println!("plot: {}", file.display());
}

/// One row of the table: a figure for each peer.
fn row(figure: &str, values: &[f64]) {
    let cells: Vec<_> = values.iter().map(|value| format!("{value:.2}")).collect();
    println!("| {figure} | {} |", cells.join(" | "));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Requests a second and CPU a request of each peer, as ratios to the first one, the raw loop.
fn compare(peers: &[Peer], rounds: usize, time: Duration, load: Load) -> (Vec<f64>, Vec<f64>) {
    let mut rates = vec![Vec::new(); peers.len()];
    let mut costs = vec![Vec::new(); peers.len()];
    for _ in 0..rounds {
        let round: Vec<_> = peers.iter().map(|peer| measure(peer, time, load)).collect();
        for (number, (rate, cost)) in round.iter().enumerate() {
            rates[number].push(rate / round[0].0);
            costs[number].push(cost / round[0].1);
        }
    }
    (
        rates.into_iter().map(median).collect(),
        costs.into_iter().map(median).collect(),
    )
}

/// Requests a second, and seconds of CPU a request.
fn measure(peer: &Peer, time: Duration, load: Load) -> (f64, f64) {
    let server = Running::start(peer);
    // Once, so that nothing is measured that happens once.
    load.run(server.port, time / 10);
    let before = server.cpu();
    let start = Instant::now();
    let requests = load.run(server.port, time) as f64;
    (
        requests / start.elapsed().as_secs_f64(),
        (server.cpu() - before) / requests,
    )
}

/// Milliseconds from the start of a process to the end of its first answer.
fn first_answer(peer: &Peer) -> f64 {
    let start = Instant::now();
    Running::spawn(peer, &[]).wait();
    start.elapsed().as_secs_f64() * 1000.0
}

/// User instructions a request, counted by callgrind as the difference of two runs.
fn instructions(peers: &[Peer]) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("\ninstructions: did not run, because valgrind is not installed");
        return;
    }
    let (few, many) = (1600, 8000);
    for pipeline in [1, 16] {
        let count = |peer: &Peer| {
            let more =
                count_instructions(peer, many, pipeline) - count_instructions(peer, few, pipeline);
            more / (many - few) as f64
        };
        let counts: Vec<_> = peers
            .iter()
            .map(|peer| {
                if peer.is_native {
                    count(peer)
                } else {
                    f64::NAN
                }
            })
            .collect();
        row(
            &format!("user instructions a request, {pipeline} at once"),
            &counts,
        );
    }
}

fn count_instructions(peer: &Peer, requests: usize, pipeline: usize) -> f64 {
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
    load::exactly(server.port, requests, pipeline);
    server.end();
    let text = fs::read_to_string(&report).expect("valgrind's report");
    let _ = fs::remove_file(report);
    let line = text
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .expect("a count");
    line.1.trim().parse().expect("a number")
}

/// System calls a request of our server, by name.
fn system_calls(ours: &Peer) {
    if Command::new("strace").arg("--version").output().is_err() {
        println!("\nsystem calls: did not run, because strace is not installed");
        return;
    }
    let report = std::env::temp_dir().join(format!("server-bench-strace-{}", std::process::id()));
    let report = report.to_str().expect("UTF-8").to_owned();
    let mut server = Running::spawn(
        ours,
        &["strace", "-f", "-c", "-U", "name,calls", "-o", &report],
    );
    server.wait();
    let requests = 10_000;
    load::exactly(server.port, requests, 1);
    server.end();
    let text = fs::read_to_string(&report).expect("strace's report");
    let _ = fs::remove_file(report);
    let per_request = text.lines().filter_map(|line| {
        let (name, calls) = line.trim().split_once(' ')?;
        let each = calls.trim().parse::<f64>().ok()? / requests as f64;
        (each > 0.01 && name != "total").then(|| format!("{name} {each:.2}"))
    });
    println!(
        "\nsystem calls a request: {}",
        per_request.collect::<Vec<_>>().join(", ")
    );
}

/// What our server holds when it is idle, for each idle connection, and after they have gone.
fn memory(ours: &Peer) {
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
    println!(
        "\nmemory (PSS): idle {idle} kB; each of {held} idle connections {each:.0} bytes; after them {after} kB"
    );
}
