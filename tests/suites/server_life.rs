//! The server from its start to its end: where it listens, what it says, how it stops, and that
//! stopping loses no request. As an ordinary process and as PID 1.

#[path = "server_life/ending.rs"]
mod ending;
#[path = "server_support.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Client, SOON, Server, binary, signal_process};
use tests::Missing;
use tests::missing::did_not_run;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn run(arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .env_remove("PORT")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Whether a program is here; what needs it says so if not.
fn has(program: &str, arguments: &[&str]) -> bool {
    let found = Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        let line = format!("`{program} {}` does not work here", arguments.join(" "));
        did_not_run("server_life", &Missing::because(line));
    }
    found
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (flag, beginning) in [
        ("--help", "A small HTTP server"),
        ("-h", "A small HTTP server"),
        ("--version", "server 0."),
        ("-V", "server 0."),
    ] {
        let output = run(&[flag]);
        assert!(
            output.status.success() && text(&output.stdout).starts_with(beginning),
            "{flag}: {output:?}"
        );
        assert!(output.stderr.is_empty(), "{flag}: {output:?}");
    }
}

#[test]
fn bad_usage_is_one_line_and_exit_code_2() {
    for arguments in [
        &["--nonsense"][..],
        &["--listen", "nowhere"],
        &["--listen"],
        &["--max-head", "x"],
        &["health", "1", "2"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert_eq!(
            text(&output.stderr).lines().count(),
            1,
            "{arguments:?}: {output:?}"
        );
    }
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let first = Server::start(&[]);
    for taken in [first.address.to_string(), first.address.port().to_string()] {
        let output = run(&["--listen", &taken]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = text(&output.stderr);
        assert!(
            said.lines().count() == 1 && said.contains(&taken) && said.contains("another program"),
            "{said}"
        );
    }
    assert_eq!(first.connect().get("/").unwrap().status, 200);
}

#[test]
fn every_address_means_both_families() {
    let mut command = Command::new(binary());
    command.args(["--listen", "0"]).stdout(Stdio::null());
    let server = Server::spawn(command);
    let port = server.address.port();
    assert_eq!(server.connect().get("/").unwrap().status, 200);
    if let Ok(mut client) = Client::try_connect(SocketAddr::new("::1".parse().unwrap(), port)) {
        assert_eq!(client.get("/").unwrap().status, 200);
    } else {
        eprintln!("did not run, because there is no IPv6 here");
    }
}

/// A network namespace of its own in which IPv6 is switched off, as administrators do it.
#[test]
fn with_ipv6_switched_off_the_default_serves_ipv4() {
    let unshare = ["--map-root-user", "--user", "--net", "--mount"];
    if !has("unshare", &[&unshare[..], &["true"]].concat()) || !has("busybox", &["true"]) {
        return;
    }
    let script = "busybox ip link set lo up; mount -t proc proc /proc;
        echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; \"$0\" & sleep 0.5;
        busybox wget -q -O - http://127.0.0.1:8080/; kill $!";
    let output = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", script])
        .arg(binary())
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "Hello World!", "{output:?}");
}

/// A kernel that was built or started without IPv6: `strace` answers in its place.
#[test]
fn without_ipv6_in_the_kernel_the_default_is_ipv4_alone() {
    if !has("strace", &["-f", "true"]) {
        return;
    }
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=socket",
        "-e",
        "inject=socket:error=EAFNOSUPPORT:when=1",
    ]);
    command
        .arg(binary())
        .args(["--listen", "0"])
        .stdout(Stdio::null());
    let mut server = Server::spawn(command);
    assert_eq!(server.connect().get("/").unwrap().status, 200);
    // strace hands the signal on to nobody, so the server gets it itself.
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).unwrap();
    signal_process(children.trim().parse().unwrap(), "TERM");
    assert_eq!(server.wait(SOON).unwrap().code(), Some(0));
}

#[test]
fn the_port_comes_from_the_environment() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut command = Command::new(binary());
    command.env("PORT", free.to_string()).stdout(Stdio::null());
    let server = Server::spawn(command);
    assert_eq!(server.address.port(), free);
    assert!(
        Command::new(binary())
            .arg("health")
            .env("PORT", free.to_string())
            .status()
            .unwrap()
            .success()
    );
    let output = Command::new(binary()).env("PORT", "http").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// Starts a server that listens where TCP is not, and waits until it is ready.
fn start_elsewhere(mut command: Command, is_ready: impl Fn() -> bool) -> std::process::Child {
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !is_ready() {
        assert!(start.elapsed() < SOON, "never ready: {command:?}");
        thread::sleep(Duration::from_millis(5));
    }
    child
}

fn ask(mut stream: impl Read + Write) -> String {
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("server-life-{name}-{}", std::process::id()))
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let path = temporary("unix");
    let place = format!("unix:{}", path.display());
    let mut command = Command::new(binary());
    command.args(["--listen", &place]);
    let mut child = start_elsewhere(command, || UnixStream::connect(&path).is_ok());
    assert!(ask(UnixStream::connect(&path).unwrap()).ends_with("\r\n\r\nHello World!"));
    assert!(run(&["health", &place]).status.success());
    signal_process(child.id().try_into().unwrap(), "TERM");
    assert!(child.wait().unwrap().success());
    assert!(!path.exists());
    let output = run(&["health", &place]);
    assert_eq!(
        (output.status.code(), text(&output.stderr).lines().count()),
        (Some(1), 1),
        "{output:?}"
    );
}

/// `sh` hands a descriptor on under the number that systemd would use.
fn hand_in(descriptor: i32, arguments: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("exec 3<&{descriptor}; {arguments}"))
        .arg(binary());
    command
}

#[test]
fn a_socket_that_was_handed_in_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).unwrap();
    let number = listener.as_raw_fd();
    for arguments in [
        "exec \"$0\" --listen fd:3",
        "LISTEN_PID=$$ LISTEN_FDS=1 PORT=1 exec \"$0\"",
    ] {
        let server = Server::spawn(hand_in(number, arguments));
        assert_eq!(server.address, address);
        assert_eq!(server.connect().get("/").unwrap().status, 200);
    }
    let path = temporary("fd");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).unwrap();
    let command = hand_in(listener.as_raw_fd(), "exec \"$0\" --listen fd:3");
    let mut child = start_elsewhere(command, || true);
    assert!(ask(UnixStream::connect(&path).unwrap()).ends_with("Hello World!"));
    signal_process(child.id().try_into().unwrap(), "TERM");
    assert!(child.wait().unwrap().success());
    assert!(path.exists(), "the socket belongs to whoever handed it in");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_descriptor_that_is_no_listening_socket_is_one_line() {
    for (place, why) in [("fd:0", "fd:0"), ("fd:77", "fd:77")] {
        let output = Command::new(binary())
            .args(["--listen", place])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.lines().count() == 1 && said.contains(why),
            "{output:?}"
        );
    }
}

#[test]
fn a_supervisor_is_told() {
    let path = temporary("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(SOON)).unwrap();
    let mut command = Command::new(binary());
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null());
    let server = Server::spawn(command);
    let heard = || {
        let mut state = [0; 64];
        let length = supervisor.recv(&mut state).unwrap();
        text(&state[..length])
    };
    assert_eq!(heard(), "READY=1");
    server.signal("TERM");
    assert_eq!(heard(), "STOPPING=1");
    fs::remove_file(path).unwrap();
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_all_of_them_at_the_end() {
    let path = temporary("log");
    let mut command = Command::new(binary());
    command
        .args(["--listen", "127.0.0.1:0", "--access-log"])
        .stdout(fs::File::create(&path).unwrap());
    let mut server = Server::spawn(command);
    let mut client = server.connect();
    for number in 0..500 {
        client.get(&format!("/{number}"));
    }
    client.send("TRACE /\x1b HTTP/1.1\r\nHost: a\r\n\r\n");
    client
        .send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok")
        .answer();
    server.signal("TERM");
    assert!(server.wait(SOON).unwrap().success());
    let log = fs::read_to_string(&path).unwrap();
    fs::remove_file(path).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert!(
        lines[0].starts_with("127.0.0.1 - - [")
            && lines[0].ends_with("] \"GET /0 HTTP/1.1\" 200 12"),
        "{}",
        lines[0]
    );
    assert!(
        lines[499].contains("\"GET /499 HTTP/1.1\""),
        "{}",
        lines[499]
    );
    assert!(!log.contains('\x1b'));
}

#[test]
fn a_log_that_nobody_reads_does_not_stop_the_server() {
    let mut command = Command::new(binary());
    command
        .args(["--listen", "127.0.0.1:0", "--access-log"])
        .stdout(Stdio::piped());
    let mut server = Server::spawn(command);
    let unread = server.child.stdout.take();
    let mut client = server.connect();
    for _ in 0..10_000 {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    drop(client);
    let start = Instant::now();
    server.signal("TERM");
    // The lines that wait may have until the deadline, and no longer.
    assert!(server.wait(Duration::from_secs(12)).unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(unread);
}

#[test]
fn it_serves_and_ends_well_when_nobody_hears_what_it_says() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut command = Command::new(binary());
    command.args([
        "--listen",
        &free.to_string(),
        "--drain-timeout",
        "1",
        "--access-log",
    ]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let start = Instant::now();
    let mut client = loop {
        match Client::try_connect(free) {
            Ok(client) => break client,
            Err(error) => assert!(start.elapsed() < SOON, "{error}"),
        }
    };
    assert_eq!(client.get("/").unwrap().status, 200);
    // It will want to say that it cut this one.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    thread::sleep(Duration::from_millis(100));
    signal_process(child.id().try_into().unwrap(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn health_is_0_for_a_server_and_1_for_none() {
    let server = Server::start(&[]);
    assert!(
        run(&["health", &server.address.to_string()])
            .status
            .success()
    );
    assert!(
        run(&["health", &server.address.port().to_string()])
            .status
            .success()
    );
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    let output = run(&["health", &silent.local_addr().unwrap().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "it waited for {:?}",
        start.elapsed()
    );
}

/// What Chromium sends, byte for byte, with the connections that it opens ahead.
#[test]
fn a_browser_gets_the_page() {
    let server = Server::start(&[]);
    let _ahead = (
        TcpStream::connect(server.address).unwrap(),
        TcpStream::connect(server.address).unwrap(),
    );
    let mut client = server.connect();
    for path in ["/", "/favicon.ico"] {
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n\
             sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
             sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
             Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
             Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n\
             Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n"
        ));
        let answer = client.answer().unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, b"Hello World!".as_slice())
        );
    }
}
