//! Published ports: what a client says reaches the program, byte for byte, and back.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tests::binaries::server_archive;
use tests::fixture::busybox;
use tests::{Engine, Missing, Mode, World, browser, for_each_account, require, wait};

/// A program that says nothing for this long hangs.
const SILENCE: Duration = Duration::from_secs(20);

/// A listener inside, whose port is published on a free port outside until this is dropped.
struct Published<'e> {
    runner: &'e Engine<'e>,
    address: SocketAddr,
}

impl<'e> Published<'e> {
    /// Runs `script` for each connection, its input and output being the connection.
    fn new(runner: &'e Engine<'e>, script: &str) -> Result<Self, Missing> {
        runner.load(&busybox::image()?.docker());
        let port = wait::free_port();
        let publish = format!("127.0.0.1:{port}:7000");
        let listen = ["nc", "-ll", "-p", "7000", "-e", "sh", "-c", script];
        let options = [
            "run",
            "-d",
            "--name",
            "listener",
            "-p",
            &publish,
            busybox::NAME,
        ];
        runner.to(&[&options[..], &listen].concat());
        let published = Self {
            runner,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        };
        published.wait_for_the_program();
        Ok(published)
    }

    /// The port is open before the program listens behind it; an answer says that it does.
    fn wait_for_the_program(&self) {
        wait::until("the program behind the port", SILENCE, || {
            let mut stream = TcpStream::connect(self.address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            stream.write_all(b"1\n").ok()?;
            stream.shutdown(Shutdown::Write).ok()?;
            stream.read_exact(&mut [0]).ok()
        });
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the published port");
        stream.set_read_timeout(Some(SILENCE)).expect("a socket");
        stream
    }

    fn log_has(&self, text: &str) {
        self.runner.wait_for_log("listener", text);
    }
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        self.runner.try_to(&["rm", "-f", "-t", "0", "listener"]);
    }
}

fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream
        .read_to_end(&mut all)
        .expect("the rest of the connection");
    all
}

/// Ten megabytes that are not the same everywhere.
fn ten_megabytes() -> Vec<u8> {
    (0_u32..2_500_000)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

for_each_account! {
    fn the_end_of_the_request_reaches_the_program_and_its_answer_comes_back(world) {
        let runner = world.runner();
        // wc answers when its input has ended, and not before.
        let published = require!(Published::new(&runner, "wc -c"));
        let mut stream = published.connect();
        stream.write_all(b"twelve bytes").expect("a connection");
        stream.shutdown(Shutdown::Write).expect("a connection");
        assert_eq!(read_all(&mut stream), b"12\n");
    }
}

#[test]
fn the_end_of_the_answer_reaches_the_client_who_may_go_on_sending() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    runner.load(&require!(busybox::image()).docker());
    let port = wait::free_port();
    let publish = format!("127.0.0.1:{port}:7000");
    // nc tells the other side when its own input has ended, and reads on.
    let serve = "echo answer | nc -l -p 7000 > /tmp/rest; echo got $(wc -c < /tmp/rest)";
    let script = format!("while :; do {serve}; done");
    let options = [
        "run",
        "-d",
        "--name",
        "listener",
        "-p",
        &publish,
        busybox::NAME,
    ];
    runner.to(&[&options[..], &["sh", "-c", &script]].concat());
    let mut stream = wait::until("the answer and its end", SILENCE, || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        (answer == b"answer\n").then_some(stream)
    });
    stream
        .write_all(&[b'x'; 4321])
        .expect("the other direction is still open");
    drop(stream);
    runner.wait_for_log("listener", "got 4321");
    runner.to(&["rm", "-f", "-t", "0", "listener"]);
}

#[test]
fn ten_megabytes_go_through_in_both_directions_unchanged() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let published = require!(Published::new(&runner, "cat"));
    let mut stream = published.connect();
    let mut sender = stream.try_clone().expect("a socket");
    let sent = ten_megabytes();
    let copy = sent.clone();
    let thread = std::thread::spawn(move || {
        sender
            .write_all(&copy)
            .and_then(|()| sender.shutdown(Shutdown::Write))
    });
    let received = read_all(&mut stream);
    thread.join().expect("no panic").expect("all was sent");
    assert!(
        received == sent,
        "{} bytes came back of {}",
        received.len(),
        sent.len()
    );
}

#[test]
fn a_slow_reader_gets_everything_and_slows_nobody() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let published = require!(Published::new(
        &runner,
        "read size; head -c $size /dev/zero"
    ));
    let mut slow = published.connect();
    slow.write_all(b"10000000\n").expect("a connection");
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..5 {
        let mut quick = published.connect();
        quick.write_all(b"100\n").expect("a connection");
        assert_eq!(read_all(&mut quick).len(), 100);
    }
    assert_eq!(read_all(&mut slow).len(), 10_000_000);
}

#[test]
fn a_client_that_resets_ends_the_connection_inside() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    let script = "while echo tick; do sleep 0.05; done; echo over >&2";
    let published = require!(Published::new(&runner, &format!("trap '' PIPE; {script}")));
    let mut stream = published.connect();
    stream.read_exact(&mut [0; 5]).expect("a tick");
    // Closing without lingering sends a reset.
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
    drop(stream);
    published.log_has("over");
}

#[test]
fn a_program_that_resets_ends_the_connection_outside() {
    let world = require!(World::of_a_user());
    let runner = world.runner();
    // Ending with something unread makes the kernel send a reset.
    let published = require!(Published::new(&runner, "head -c 1; exit 0"));
    let mut stream = published.connect();
    let _ = stream.write_all(&[b'x'; 100_000]);
    let mut answer = Vec::new();
    // An end or a reset: both say that it is over, silence would not.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer == b"x");
    assert!(
        stream
            .write_all(&[b'x'; 100_000])
            .and_then(|()| stream.write_all(&[b'x'; 100_000]))
            .is_err()
    );
}

/// The hello server, published by its image alone or on this address.
fn server<'w>(world: &'w World, options: &[&str]) -> Engine<'w> {
    let runner = world.runner();
    let archive = server_archive().to_str().expect("a plain path");
    runner.to(&["load", "-i", archive]);
    runner.to(&[
        &["run", "-d", "--name", "hello"][..],
        options,
        &["localhost/server"],
    ]
    .concat());
    runner
}

for_each_account! {
    fn a_thousand_connections_at_once_are_answered(world) {
        let port = wait::free_port();
        let runner = server(world, &["-p", &format!("127.0.0.1:{port}:8080")]);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        browser::expect_hello(address.ip(), port);
        let _ = rustix::process::setrlimit(
            rustix::process::Resource::Nofile,
            rustix::process::Rlimit { current: Some(4096), maximum: Some(4096) },
        );
        let connections: Vec<TcpStream> =
            (0..1000).map(|_| TcpStream::connect(address).expect("a connection")).collect();
        for mut stream in &connections {
            stream.set_read_timeout(Some(SILENCE)).expect("a socket");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a connection");
        }
        for (number, mut stream) in connections.iter().enumerate() {
            let mut answer = Vec::new();
            while !answer.ends_with(b"Hello World!") {
                let mut piece = [0; 512];
                let length = stream.read(&mut piece).unwrap_or_else(|error| panic!("{number}: {error}"));
                assert!(length > 0, "connection {number} was closed");
                answer.extend_from_slice(&piece[..length]);
            }
        }
        drop(connections);
        browser::expect_hello(address.ip(), port);
        runner.to(&["rm", "-f", "-t", "0", "hello"]);
    }
}

for_each_account! {
    fn a_port_without_an_address_is_open_on_every_address_of_both_kinds(world) {
        let port = wait::free_port();
        let runner = server(world, &["-p", &format!("{port}:8080")]);
        let addresses = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
            IpAddr::from(Ipv4Addr::new(127, 0, 0, 2)),
        ];
        for address in addresses {
            browser::expect_hello(address, port);
        }
        runner.to(&["rm", "-f", "-t", "0", "hello"]);
    }
}

/// The addresses of this machine that are not its own loopback.
fn other_addresses() -> BTreeSet<IpAddr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    let local = lines
        .windows(2)
        .filter(|pair| pair[1].contains("host LOCAL"));
    local
        .filter_map(|pair| pair[0].strip_prefix("|-- ")?.parse::<IpAddr>().ok())
        .filter(|address| !address.is_loopback())
        .collect()
}

for_each_account! {
    fn a_client_from_elsewhere_does_not_look_like_localhost_to_the_program(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let found = other_addresses().pop_first();
        let address =
            require!(found.ok_or_else(|| Missing::because("this machine has no address but loopback")));
        let port = wait::free_port();
        // A program that tells who calls, as a program that trusts localhost would look at it.
        let listen = [
            "nc",
            "-ll",
            "-p",
            "7000",
            "-e",
            "sh",
            "-c",
            "netstat -tn | grep :7000",
        ];
        let options = [
            "run",
            "-d",
            "--name",
            "listener",
            "-p",
            &format!("{port}:7000"),
            busybox::NAME,
        ];
        runner.to(&[&options[..], &listen].concat());
        let said = wait::until("who calls", SILENCE, || {
            let mut stream = TcpStream::connect((address, port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
            let mut said = String::new();
            stream.read_to_string(&mut said).ok()?;
            said.contains("ESTABLISHED").then_some(said)
        });
        let callers: Vec<&str> = said
            .lines()
            .filter_map(|line| line.split_whitespace().nth(4))
            .collect();
        assert!(
            !callers.is_empty() && callers.iter().all(|caller| !caller.contains("127.0.0.1")),
            "{said}"
        );
        assert!(
            callers.iter().all(|caller| !caller.contains("::1:")),
            "{said}"
        );
        runner.to(&["rm", "-f", "-t", "0", "listener"]);
    }
}

#[test]
fn an_image_of_our_packer_is_published_on_loopback_without_being_asked() {
    let world = require!(World::of_a_user());
    let runner = server(&world, &[]);
    let published = runner.to(&["port", "hello"]);
    let port: u16 = published
        .lines()
        .find_map(|line| line.rsplit(':').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no port in {published:?}"));
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        browser::expect_hello(address, port);
    }
    if let Some(other) = other_addresses().pop_first() {
        assert!(
            TcpStream::connect((other, port)).is_err(),
            "{other}:{port} is open too"
        );
    }
    runner.to(&["rm", "-f", "-t", "0", "hello"]);
}

#[test]
fn with_the_hosts_network_nothing_is_published_and_the_program_is_reached() {
    let world = require!(World::of_a_user());
    let port = wait::free_port();
    let runner = server(
        &world,
        &["--network", "host", "-e", &format!("PORT={port}")],
    );
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    browser::expect_hello(address.ip(), port);
    assert_eq!(runner.to(&["port", "hello"]), "");
    runner.to(&["rm", "-f", "-t", "0", "hello"]);
}

#[test]
fn a_port_is_free_again_when_its_container_is_gone() {
    let world = require!(World::new(Mode::Mapped));
    let port = wait::free_port();
    let publish = format!("127.0.0.1:{port}:8080");
    let runner = server(&world, &["-p", &publish]);
    for _ in 0..3 {
        runner.to(&["rm", "-f", "-t", "0", "hello"]);
        runner.to(&[
            "run",
            "-d",
            "--name",
            "hello",
            "-p",
            &publish,
            "localhost/server",
        ]);
    }
    runner.to(&["rm", "-f", "-t", "0", "hello"]);
}
