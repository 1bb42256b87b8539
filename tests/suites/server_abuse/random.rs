//! Requests that nobody wrote down beforehand.

use super::*;

/// Requests that are nearly right: pieces of good ones, cut, repeated, swapped and with bytes
/// changed. Whatever comes, each answer is well formed and the server stays.
#[test]
fn random_requests_never_break_it() {
    const PIECES: &[&str] = &[
        GET,
        "GET /x HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\n",
        "HEAD / HTTP/1.0\r\n",
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "X: y\r\n",
        " ",
        ":",
        "\0",
        "\u{ff}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "Upgrade: h2c\r\n",
        "ffffffffffffffff\r\n",
    ];
    let mut random = Random::new();
    let mut server = Server::start(&["--head-timeout", "1", "--body-timeout", "1"]);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        let mut sent = Vec::new();
        for _ in 0..random.below(12) {
            sent.extend_from_slice(PIECES[random.below(PIECES.len())].as_bytes());
        }
        for _ in 0..random.below(3) {
            if let Some(byte) = {
                let at = random.below(sent.len().max(1));
                sent.get_mut(at)
            } {
                *byte = u8::try_from(random.below(256)).unwrap();
            }
        }
        let mut client = server.connect();
        client.send(&sent).finish();
        let has_head = sent.windows(4).any(|window| window == b"HEAD");
        loop {
            match client.try_answer(!has_head) {
                Ok(None) => break,
                Ok(Some(answer)) => assert!(
                    [100, 200, 400, 405, 408, 413, 431, 501, 505].contains(&answer.status),
                    "{answer:?} to {}",
                    sent.escape_ascii()
                ),
                // The answers to HEAD and to others cannot be told apart here.
                Err(_) if has_head => break,
                Err(error) => panic!("{error} after {}", sent.escape_ascii()),
            }
        }
    }
    assert_eq!(server.connect().get("/").unwrap().status, 200);
    server.child.kill().unwrap();
    assert_eq!(server.said(), "");
}

/// A connection remembers its last exchange; a server that logs does not, because it needs every
/// request's parts. Clients that repeat themselves, in whatever pieces, hear the same from both.
#[test]
fn what_is_remembered_changes_no_answer() {
    const REQUESTS: &[&str] = &[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /readyz HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    let mut random = Random::new();
    let servers = [Server::start(&[]), Server::start(&["--access-log"])];
    let compare = |pieces: &[Vec<u8>]| {
        let [with, without] = servers
            .each_ref()
            .map(|server| conversation(server, pieces));
        assert_eq!(with, without, "{}", pieces.concat().escape_ascii());
    };
    // A body that looks like what may stand before a request.
    let (head, body) = REQUESTS[10].split_at(REQUESTS[10].len() - 4);
    compare(&[head, body, REQUESTS[5]].map(|piece| piece.as_bytes().to_vec()));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let few = [(); 2].map(|()| REQUESTS[random.below(REQUESTS.len())]);
        let mut pieces = Vec::new();
        for _ in 0..random.below(5) + 1 {
            let batch = few[random.below(10) / 9]
                .repeat(random.below(4) + 1)
                .into_bytes();
            // Anywhere, nowhere, or between a head and its body.
            let end = batch.windows(4).position(|four| four == b"\r\n\r\n");
            let cut = match random.below(3) {
                0 => random.below(batch.len()),
                1 => end.map_or(0, |end| end + 4),
                _ => 0,
            };
            pieces.extend([batch[..cut].to_vec(), batch[cut..].to_vec()]);
        }
        compare(&pieces);
    }
}

/// Everything that the server says to a client that sends `pieces` one by one, without the dates.
fn conversation(server: &Server, pieces: &[Vec<u8>]) -> String {
    let mut client = server.connect();
    for piece in pieces {
        client.send(piece);
        // So that it arrives by itself, mostly.
        std::thread::sleep(Duration::from_micros(500));
    }
    let mut said = Vec::new();
    let _ = client.finish().socket().read_to_end(&mut said);
    let said = String::from_utf8(said).unwrap();
    let lines = said
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("date: "));
    lines.collect()
}
