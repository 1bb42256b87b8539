//! The server against its goals and its peers:
//! `cargo bench -p tests --bench server [-- --seconds S] [--rounds N] [--plot FILE]`.
//!
//! Every server has one thread on the first core; the load comes from the last one. In each of `N`
//! rounds all servers are started anew and take short turns, `S` seconds each in all. What is
//! printed is the median over all turns of the ratio of two servers' turns that are neighbours: the
//! machine's mood falls out, and so does the luck of one process with its place in memory. Peers that
//! are not installed are named and left out. The output is a table of figures with goals, a table of
//! all peers, both in Markdown, and a plot.

#[path = "server/ending.rs"]
mod ending;
#[path = "server/example.rs"]
mod example;
#[path = "server/load.rs"]
mod load;
#[path = "server/own.rs"]
mod own;
#[path = "server/peers.rs"]
mod peers;
#[path = "server/plot.rs"]
mod plot;
#[path = "server/raw.rs"]
mod raw;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use load::{Clients, Load};
use peers::{Peer, Running};
use tests::figures::Figures;
use tests::figures::Goal::{AtLeast, AtMost};

/// The loads: connections, and requests that are sent at once on each; and what is to be reached
/// of the raw loop's requests a second.
const LOADS: [(usize, usize, f64); 3] = [(32, 1, 0.9), (256, 1, 0.85), (32, 16, 0.85)];

/// How many turns a server has in one round.
const TURNS: u32 = 10;

/// How often each server is started to see how long that takes.
const STARTS: usize = 15;

/// What was measured of each server in turns beside each other.
type Round = Vec<f64>;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let text = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let port = |name: &str| text(name).map_or(0, |text| text.parse().expect("a port"));
    if text(raw::FLAG).is_some() {
        raw::serve(port(raw::FLAG));
    }
    if text(example::FLAG).is_some() {
        example::serve(port(example::FLAG));
    }
    let peers = peers::all();
    let rounds = text("--rounds").map_or(9, |text| text.parse().expect("a number"));
    let seconds = text("--seconds").map_or(1.0, |text| text.parse().expect("a number"));
    let time = Duration::from_secs_f64(seconds);
    // Relative to the folder of this package, where cargo starts it.
    let plot = text("--plot").map_or_else(
        || Path::new(&peers[1].command[0]).with_file_name("server-bench.svg"),
        PathBuf::from,
    );
    compare(&peers, rounds, time, &plot);
    peers::clean_up();
}

/// Measures everything and prints it.
fn compare(peers: &[Peer], rounds: usize, time: Duration, plot: &Path) {
    let ours = &peers[1];
    let to = |rounds: &[Round], name: &str| match peers.iter().position(|peer| peer.name == name) {
        Some(peer) => median(rounds.iter().map(|round| round[1] / round[peer]).collect()),
        None => f64::NAN,
    };
    let mut figures = Figures::begin();
    let mut table = Vec::new();
    let mut bars = Vec::new();
    for (connections, pipeline, goal) in LOADS {
        let load = Load {
            connections,
            pipeline,
        };
        let name = format!("{connections} connections, {pipeline} at once");
        let (rates, costs) = run(peers, rounds, time, load);
        figures.row(
            &format!("requests/s to the raw loop, {name}"),
            AtLeast(goal),
            to(&rates, "raw loop"),
            "",
        );
        figures.row(
            &format!("CPU a request to the raw loop, {name}"),
            AtMost(1.15),
            to(&costs, "raw loop"),
            "",
        );
        if pipeline > 1 {
            figures.row(
                &format!("requests/s to nginx, {name}"),
                AtLeast(5.0),
                to(&rates, "nginx"),
                "",
            );
        } else if connections == 32 {
            figures.row(
                &format!("requests/s to Guile's example, {name}"),
                AtLeast(3.0),
                to(&rates, "guile"),
                "",
            );
            figures.row(
                &format!("requests/s to Go's net/http, {name}"),
                AtLeast(1.5),
                to(&rates, "go"),
                "",
            );
        }
        let [rates, costs] = [rates, costs].map(|rounds| to_the_first(&rounds));
        table.push((format!("requests/s to the raw loop, {name}"), rates.clone()));
        table.push((
            format!("CPU a request to the raw loop, {name}"),
            costs.clone(),
        ));
        bars.push((format!("{connections} × {pipeline}"), rates, costs));
    }
    let starts: Vec<Round> = (0..STARTS)
        .map(|_| peers.iter().map(first_answer).collect())
        .collect();
    figures.row(
        "start to first answer, to Guile",
        AtMost(0.05),
        to(&starts, "guile"),
        "",
    );
    figures.row(
        "start to first answer, to Go",
        AtMost(0.8),
        to(&starts, "go"),
        "",
    );
    let of_each =
        (0..peers.len()).map(|peer| median(starts.iter().map(|round| round[peer]).collect()));
    table.push(("start to first answer, ms".into(), of_each.collect()));
    for (pipeline, alike, name) in [
        (1, true, "the same again"),
        (1, false, "another than before"),
        (16, true, "16 at once"),
    ] {
        let counts = vec![own::instructions(peers, pipeline, alike)];
        if pipeline == 1 {
            figures.row(
                &format!("user instructions a request to hyper's example, {name}"),
                AtMost(0.8),
                to(&counts, "hyper example"),
                "",
            );
            figures.row(
                &format!("user instructions a request to nginx, {name}"),
                AtMost(0.9),
                to(&counts, "nginx"),
                "",
            );
        }
        table.push((
            format!("user instructions a request, {name}"),
            counts[0].clone(),
        ));
    }
    own::figures(ours, &mut figures);
    figures.end();
    print_all(peers, &table);
    let names: Vec<_> = peers.iter().map(|peer| peer.name).collect();
    fs::write(plot, plot::draw(&names, &bars)).expect("to write the plot");
    println!("\nplot: {}", plot.display());
}

/// Prints the figures of every peer.
fn print_all(peers: &[Peer], table: &[(String, Vec<f64>)]) {
    let names: Vec<_> = peers.iter().map(|peer| peer.name).collect();
    println!(
        "\n| | {} |\n|---|{}",
        names.join(" | "),
        "---|".repeat(peers.len())
    );
    for (figure, values) in table {
        let cells: Vec<_> = values.iter().map(|value| format!("{value:.2}")).collect();
        println!("| {figure} | {} |", cells.join(" | "));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of each server's ratio to the first one, the raw loop.
fn to_the_first(rounds: &[Round]) -> Vec<f64> {
    let servers = 0..rounds.first().map_or(0, Vec::len);
    let ratios = servers.map(|server| {
        rounds
            .iter()
            .map(|round| round[server] / round[0])
            .collect()
    });
    ratios.map(median).collect()
}

/// Requests a second and seconds of CPU a request of each peer, turn by turn.
fn run(peers: &[Peer], rounds: usize, time: Duration, load: Load) -> (Vec<Round>, Vec<Round>) {
    let apart = || {
        load::pin();
        (0..rounds).flat_map(|_| round(peers, time, load)).collect()
    };
    // A thread of its own, because what is started later inherits the core.
    let rounds: Vec<_> = thread::scope(|scope| scope.spawn(apart).join()).expect("the load");
    rounds.into_iter().unzip()
}

/// One round: every server is started anew, and then they take [`TURNS`] short turns, which sum up
/// to `time` each. Neighbours in time see the machine in the same mood.
fn round(peers: &[Peer], time: Duration, load: Load) -> Vec<(Round, Round)> {
    let start = |peer| {
        let server = Running::start(peer);
        let clients = Clients::connect(load, server.port);
        (server, clients)
    };
    let mut running: Vec<_> = peers.iter().map(start).collect();
    let mut turns = || {
        let turns = running.iter_mut().map(|(server, clients)| {
            let before = server.cpu();
            let turn = clients.turn(time / TURNS);
            (turn.rate, (server.cpu() - before) / turn.requests)
        });
        turns.unzip()
    };
    // Once, so that nothing is measured that happens once.
    turns();
    (0..TURNS).map(|_| turns()).collect()
}

/// Milliseconds from the start of a process to the end of its first answer.
fn first_answer(peer: &Peer) -> f64 {
    let start = Instant::now();
    let server = Running::spawn(peer, &[]);
    server.wait();
    let time = start.elapsed();
    // Its end is not a part of its start.
    drop(server);
    time.as_secs_f64() * 1000.0
}
