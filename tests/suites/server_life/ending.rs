//! How the server ends: draining, deadlines, signals, and as the first process of a container.

use super::*;

#[test]
fn without_clients_it_ends_at_once() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&[]);
        let start = Instant::now();
        server.signal(signal);
        assert_eq!(server.wait(SOON).unwrap().code(), Some(0), "{signal}");
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "{signal}: {:?}",
            start.elapsed()
        );
        assert_eq!(server.said(), "");
    }
}

#[test]
fn idle_clients_hold_it_for_less_than_a_second() {
    let mut server = Server::start(&[]);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    // Half of them have asked once; the others never did.
    for client in clients.iter_mut().skip(10) {
        assert_eq!(client.get("/").unwrap().status, 200);
    }
    let start = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait(SOON).unwrap().code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert!(clients.iter_mut().all(Client::is_closed));
}

#[test]
fn while_draining_requests_are_answered_and_readiness_fails() {
    let mut server = Server::start(&[]);
    let (mut early, mut late) = (server.connect(), server.connect());
    assert_eq!(early.get("/readyz").unwrap().status, 200);
    assert_eq!(late.get("/livez").unwrap().status, 200);
    server.signal("TERM");
    thread::sleep(Duration::from_millis(200));
    let answer = early.get("/readyz").unwrap();
    assert_eq!((answer.status, answer.is_last()), (503, true));
    let answer = late.get("/healthz").unwrap();
    assert_eq!((answer.status, answer.is_last()), (200, true));
    assert!(
        Client::try_connect(server.address).is_err(),
        "it still accepts"
    );
    assert_eq!(server.wait(SOON).unwrap().code(), Some(0));
}

#[test]
fn a_request_that_is_under_way_is_finished() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    thread::sleep(Duration::from_millis(100));
    server.signal("TERM");
    thread::sleep(Duration::from_secs(2));
    assert!(
        server.child.try_wait().unwrap().is_none(),
        "it did not wait for the body"
    );
    let answer = client.send("y").answer().unwrap();
    assert_eq!((answer.status, answer.is_last()), (200, true));
    drop(client);
    assert_eq!(server.wait(SOON).unwrap().code(), Some(0));
}

#[test]
fn the_deadline_ends_it_whoever_is_there() {
    let mut server = Server::start(&["--drain-timeout", "1"]);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait(SOON).unwrap().code(), Some(0));
    let elapsed = start.elapsed();
    assert!(
        elapsed > Duration::from_millis(900) && elapsed < Duration::from_secs(2),
        "{elapsed:?}"
    );
    assert!(server.said().contains("cut 1 connection"));
}

#[test]
fn a_second_signal_ends_it_with_its_number() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut server = Server::start(&[]);
        let mut client = server.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
        thread::sleep(Duration::from_millis(100));
        server.signal("TERM");
        thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        server.signal(signal);
        assert_eq!(server.wait(SOON).unwrap().code(), Some(code));
        assert!(
            start.elapsed() < Duration::from_millis(300),
            "{:?}",
            start.elapsed()
        );
    }
}

/// What clients under load saw: a request counts as lost if it was sent and not answered.
#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    lost: AtomicU64,
}

/// Asks again and again, on a kept connection or on a new one each time, until nobody accepts.
fn load(address: SocketAddr, keep: bool, seen: &Seen, stop: &AtomicBool) {
    let mut kept: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        let client = kept.take().map_or_else(|| Client::try_connect(address), Ok);
        // Refused is not lost: the client knows that nobody took its request.
        let Ok(mut client) = client else { return };
        match client.send(GET).try_answer(true) {
            Ok(Some(answer)) => {
                seen.answered.fetch_add(1, Ordering::Relaxed);
                if keep && !answer.is_last() {
                    kept = Some(client);
                }
            }
            _ => {
                seen.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn stopping_under_load_loses_no_request() {
    for _ in 0..5 {
        let mut server = Server::start(&[]);
        let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let clients: Vec<_> = (0..26)
            .map(|number| {
                let (seen, stop, address) = (seen.clone(), stop.clone(), server.address);
                thread::spawn(move || load(address, number % 2 == 0, &seen, &stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        server.signal("TERM");
        assert_eq!(server.wait(SOON).unwrap().code(), Some(0));
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        stop.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        assert!(seen.answered.load(Ordering::Relaxed) > 100);
        assert_eq!(seen.lost.load(Ordering::Relaxed), 0);
    }
}

/// Starts the server as PID 1 of a namespace; returns `unshare`'s child and the server's own pid.
fn start_as_pid_1(inside: &str) -> Option<(Server, i32)> {
    let flags = [
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    if !has("unshare", &[&flags[..], &["true"]].concat()) {
        return None;
    }
    let mut command = Command::new("unshare");
    command
        .args(flags)
        .args(["sh", "-c", inside])
        .arg(binary())
        .stdout(Stdio::null());
    let server = Server::spawn(command);
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).unwrap();
    let pid = children.trim().parse().unwrap();
    Some((server, pid))
}

#[test]
fn as_pid_1_it_ends_on_both_signals() {
    for signal in ["TERM", "INT"] {
        let Some((mut server, pid)) = start_as_pid_1("exec \"$0\" --listen 127.0.0.1:0") else {
            return;
        };
        assert_eq!(server.connect().get("/").unwrap().status, 200);
        let start = Instant::now();
        signal_process(pid, signal);
        assert_eq!(server.wait(SOON).unwrap().code(), Some(0), "{signal}");
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{signal}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn as_pid_1_a_second_signal_ends_it_too() {
    let Some((mut server, pid)) = start_as_pid_1("exec \"$0\" --listen 127.0.0.1:0") else {
        return;
    };
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    thread::sleep(Duration::from_millis(100));
    signal_process(pid, "TERM");
    thread::sleep(Duration::from_millis(100));
    signal_process(pid, "TERM");
    assert_eq!(server.wait(SOON).unwrap().code(), Some(143));
}

#[test]
fn as_pid_1_it_reaps_orphans() {
    // The subshell ends at once, so its children become those of PID 1.
    let inside = "(sleep 0.1 & sleep 0.2 & true); exec \"$0\" --listen 127.0.0.1:0";
    let Some((server, pid)) = start_as_pid_1(inside) else {
        return;
    };
    let children = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let start = Instant::now();
    while !children().trim().is_empty() {
        assert!(start.elapsed() < SOON, "left as zombies: {}", children());
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.connect().get("/").unwrap().status, 200);
}
