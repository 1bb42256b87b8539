//! The server against clients that are slow, greedy, broken or gone. Time limits are set to one
//! second, so each is kept between one second and two, plus what a busy machine adds.

#[path = "server_abuse/random.rs"]
mod random;
#[path = "server_support.rs"]
mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::Random;

use support::{Client, SOON, Server, binary};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A limit of one second, and how early or late it may take effect.
const EARLY: Duration = Duration::from_millis(990);
const LATE: Duration = Duration::from_millis(3500);

/// Runs `wait` and checks that it took as long as a limit of one second.
fn takes_the_limit<T>(wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = wait();
    let elapsed = start.elapsed();
    assert!(elapsed > EARLY && elapsed < LATE, "took {elapsed:?}");
    result
}

/// Sends `text` byte by byte, ten a second, until the server answers or closes.
fn drip(client: &mut Client, text: &str) -> Option<support::Answer> {
    client
        .socket()
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    for byte in text.bytes() {
        client.send([byte]);
        match client.try_answer(true) {
            Ok(answer) => return answer,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return None,
        }
    }
    panic!("it waited for all of {text:?}");
}

#[test]
fn half_a_head_and_then_silence_disturbs_nobody_and_is_told() {
    let server = Server::start(&["--head-timeout", "1", "--workers", "1"]);
    let mut silent: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut silent {
        client.send("GET / HTTP/1.1\r\nHost:");
    }
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(server.connect().get("/").unwrap().status, 200);
    }
    assert!(
        start.elapsed() < EARLY,
        "others waited: {:?}",
        start.elapsed()
    );
    takes_the_limit(|| {
        for client in &mut silent {
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.is_last()), (408, true));
            assert!(answer.header("date").is_some());
            assert!(client.is_closed());
        }
        std::thread::sleep(Duration::from_millis(300));
    });
}

#[test]
fn a_head_in_drips_has_the_same_limit_as_a_silent_one() {
    let server = Server::start(&["--head-timeout", "1"]);
    let answer = takes_the_limit(|| {
        drip(
            &mut server.connect(),
            &GET.replace(" HTTP", &format!("{} HTTP", "x".repeat(99))),
        )
    });
    assert_eq!(answer.unwrap().status, 408);
}

#[test]
fn half_a_head_behind_a_whole_request_has_a_limit_too() {
    let server = Server::start(&["--head-timeout", "3"]);
    let mut client = server.connect();
    client.send(format!("{GET}GET / HT"));
    assert_eq!(client.answer().unwrap().status, 200);
    // Longer than it takes until the connection gives its buffers back.
    assert_eq!(client.answer().unwrap().status, 408);
    assert!(client.is_closed());
}

#[test]
fn a_request_that_began_behind_another_is_completed_after_a_pause() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(format!("{GET}GET / HT"));
    assert_eq!(client.answer().unwrap().status, 200);
    std::thread::sleep(Duration::from_millis(2500));
    client.send("TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
}

#[test]
fn a_body_in_drips_has_a_limit() {
    let server = Server::start(&["--body-timeout", "1"]);
    for framing in [
        "Content-Length: 99\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n63\r\n",
    ] {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        let answer = takes_the_limit(|| drip(&mut client, &"x".repeat(99)));
        assert_eq!(answer.unwrap().status, 408, "{framing:?}");
    }
}

#[test]
fn an_idle_connection_is_closed_at_its_limit_and_works_until_then() {
    let server = Server::start(&["--idle-timeout", "3"]);
    let mut client = server.connect();
    for _ in 0..3 {
        // Past the moment at which it gives its buffers back.
        std::thread::sleep(Duration::from_millis(2100));
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    assert!(client.is_closed());
}

#[test]
fn a_client_that_does_not_read_costs_little_and_is_dropped() {
    let server = Server::start(&["--write-timeout", "1", "--workers", "1"]);
    let before = memory_kb(&server);
    let client = server.connect();
    let mut socket = client.socket();
    socket
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let batch = GET.repeat(1000);
    // Until the server takes no more, because it cannot answer any more.
    let taken: usize = std::iter::from_fn(|| socket.write(batch.as_bytes()).ok())
        .take(10_000)
        .sum();
    assert!(
        taken < 10_000 * batch.len(),
        "the server took requests without end"
    );
    assert!(
        memory_kb(&server) < before + 1024,
        "{} kB, before {before} kB",
        memory_kb(&server)
    );
    assert_eq!(server.connect().get("/").unwrap().status, 200);
    let start = Instant::now();
    while server.connections() > 0 {
        assert!(start.elapsed() < SOON, "it was never dropped");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_slow_reader_that_keeps_reading_gets_every_answer() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let mut writer = client.socket().try_clone().unwrap();
    let requests = 50_000;
    let sender = std::thread::spawn(move || writer.write_all(GET.repeat(requests).as_bytes()));
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..requests {
        assert_eq!(client.answer().unwrap().status, 200);
    }
    sender.join().unwrap().unwrap();
}

#[test]
fn a_refused_body_is_read_long_enough_for_the_answer_to_arrive() {
    let server = Server::start(&[]);
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
        // A client that reads only when it has sent everything, as most do.
        client.socket().write_all(&vec![0; 8_000_000]).unwrap();
        assert_eq!(client.answer().unwrap().status, 413);
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_vanishes_leaves_nothing() {
    let server = Server::start(&["--workers", "1"]);
    assert_eq!(server.connect().get("/").unwrap().status, 200);
    for sent in [
        "",
        "GET / HT",
        GET,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
        &GET.repeat(1000),
    ] {
        for _ in 0..20 {
            let mut client = server.connect();
            client.send(sent);
            // A reset instead of an orderly end.
            rustix::net::sockopt::set_socket_linger(client.socket(), Some(Duration::ZERO)).unwrap();
        }
    }
    let start = Instant::now();
    while server.connections() > 0 {
        assert!(start.elapsed() < SOON, "{} are left", server.connections());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.connect().get("/").unwrap().status, 200);
}

#[test]
fn when_descriptors_are_used_up_it_waits_without_spinning_and_recovers() {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 64; exec \"$0\" --listen 127.0.0.1:0 --workers 1",
        ])
        .arg(binary());
    command.stdout(Stdio::null());
    let server = Server::spawn(command);
    let mut busy: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    }
    std::thread::sleep(Duration::from_millis(200));
    let before = server.cpu_ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        server.cpu_ticks() - before <= 5,
        "it spun: {} ticks",
        server.cpu_ticks() - before
    );
    drop(busy);
    assert_eq!(server.connect().get("/").unwrap().status, 200);
}

#[test]
fn idle_connections_make_room_for_a_newcomer() {
    let server = Server::start(&["--max-connections", "10", "--workers", "1"]);
    let mut idle: Vec<_> = (0..10).map(|_| server.connect()).collect();
    assert!(
        idle.iter_mut()
            .all(|client| client.get("/").unwrap().status == 200)
    );
    assert_eq!(server.connect().get("/").unwrap().status, 200);
    idle.iter().for_each(|client| {
        client
            .socket()
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap()
    });
    let closed = idle
        .iter_mut()
        .filter_map(|client| client.try_answer(true).ok())
        .count();
    assert!((1..5).contains(&closed), "{closed} of 10 had to go for one");
}

#[test]
fn ten_thousand_idle_connections_cost_two_kilobytes_each_and_give_them_back() {
    let count: u64 = 10_000;
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, wanted).unwrap();
    if limit
        .maximum
        .is_some_and(|maximum| maximum < 2 * count + 100)
    {
        eprintln!(
            "did not run, because this process may open only {:?} descriptors",
            limit.maximum
        );
        return;
    }
    let server = Server::start(&[]);
    assert_eq!(server.connect().get("/").unwrap().status, 200);
    let before = memory_kb(&server);
    let mut idle: Vec<_> = (0..count)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    for stream in &mut idle {
        stream.write_all(GET.as_bytes()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 100);
    }
    // Long enough for every connection to have given its buffers back.
    std::thread::sleep(Duration::from_millis(3500));
    let each = (memory_kb(&server) - before) * 1024 / count;
    assert!(each <= 2048, "{each} bytes each");
    assert_eq!(server.connect().get("/").unwrap().status, 200);
    drop(idle);
    let start = Instant::now();
    while server.connections() > 0 && start.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.connections(), 0);
}

/// The memory that is the server's own, in kB.
fn memory_kb(server: &Server) -> u64 {
    let smaps = fs::read_to_string(format!("/proc/{}/smaps_rollup", server.pid())).unwrap();
    let line = smaps
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
