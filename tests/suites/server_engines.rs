//! The server in a container, as each engine ends it: packed by `packer`, run by `runner`, podman and
//! docker, it is gone within a second of `stop`, with exit code 0, although a client holds a
//! connection open.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use tests::binaries::server_archive;
use tests::client::{Docker, Podman};
use tests::{Mode, World, browser, for_each_account, require, wait};

/// The name of the image that `packer build` packs in this workspace.
const SERVER: &str = "localhost/server:latest";

/// From the call of `stop` to its return, the engine's own start included.
const LIMIT: Duration = Duration::from_secs(1);

/// A machine that is busy with something else may be slow once, but not each time.
const TRIES: usize = 3;

/// Runs the server with `run` (the words behind `run -d`, with the image; `PORT` stands for a free port), and stops it.
fn expect_a_quick_stop(engine: &dyn Fn(&[&OsStr]) -> String, run: &[&str]) {
    let to = |words: &[&str]| engine(&words.iter().map(OsStr::new).collect::<Vec<_>>());
    engine(&["load".as_ref(), "-i".as_ref(), server_archive().as_os_str()]);
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let port = wait::free_port();
        let words: Vec<_> = run
            .iter()
            .map(|word| {
                word.replace("PORT=", &format!("PORT={port}"))
                    .replace("PUBLISH", &format!("{port}:8080"))
            })
            .collect();
        let id = to(&[
            &["run", "-d"],
            words
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
        ]
        .concat());
        browser::expect_hello(Ipv4Addr::LOCALHOST.into(), port);
        let _idle = connected(port);
        let start = Instant::now();
        to(&["stop", &id]);
        times.push(start.elapsed());
        assert_eq!(to(&["wait", &id]), "0", "the exit code");
        to(&["rm", &id]);
        if times.last().is_some_and(|time| *time < LIMIT) {
            return;
        }
    }
    panic!("stop took {times:?}");
}

/// A client that was answered once and stays.
fn connected(port: u16) -> TcpStream {
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("to connect");
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("to ask");
    let mut answer = [0; 512];
    assert!(client.read(&mut answer).expect("an answer") > 0);
    client
}

for_each_account! {
    fn stops_in_runner(world) {
        let runner = world.runner();
        expect_a_quick_stop(&|words| runner.to(words), &["-p", "PUBLISH", SERVER]);
    }
}

#[test]
fn stops_in_podman() {
    let world = require!(World::new(Mode::Mapped));
    let podman = require!(Podman::with_ports(&world));
    expect_a_quick_stop(&|words| podman.engine.to(words), &["-p", "PUBLISH", SERVER]);
}

#[test]
fn stops_in_docker() {
    let docker = require!(Docker::start());
    expect_a_quick_stop(
        &|words| docker.to(words),
        &["--network", "host", "-e", "PORT=", SERVER],
    );
}
