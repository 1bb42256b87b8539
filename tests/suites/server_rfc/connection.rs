//! What every answer has, and when a connection goes on.

use super::*;

#[test]
fn persistence() {
    let with = |line: &str, connection: &str| {
        format!("{line}\r\nHost: a\r\nConnection: {connection}\r\n\r\n")
    };
    check(&[
        case(Must, "9112 9.3: HTTP/1.1 persists", GET, &[200], Open),
        case(
            Must,
            "9112 9.6: close",
            with("GET / HTTP/1.1", "close"),
            &[200],
            Closed,
        ),
        case(
            Must,
            "9112 9.6: close, in any case",
            with("GET / HTTP/1.1", "Close"),
            &[200],
            Closed,
        ),
        case(
            Must,
            "9112 9.6: close among others",
            with("GET / HTTP/1.1", "x, close"),
            &[200],
            Closed,
        ),
        case(
            Must,
            "9112 9.6: close beats keep-alive",
            with("GET / HTTP/1.1", "close\r\nConnection: keep-alive"),
            &[200],
            Closed,
        ),
        case(
            Must,
            "9112 9.3: HTTP/1.0 closes",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            &[200],
            Closed,
        ),
        case(
            Ours,
            "9112 9.3: HTTP/1.0 with keep-alive persists",
            with("GET / HTTP/1.0", "keep-alive"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 9.3.2: pipelined answers come in order",
            format!("{GET}TRACE / HTTP/1.1\r\nHost: a\r\n\r\n{GET}"),
            &[200, 405, 200],
            Open,
        ),
        case(Must, "9112 9.3.2", GET.repeat(100), &[200; 100], Open),
        case(
            Must,
            "9110 7.8: Upgrade may be ignored",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            &[200],
            Open,
        ),
        case(
            Must,
            "9110 7.8",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            &[200],
            Open,
        ),
        case(
            Must,
            "9110 10.1.1: continue",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
            &[100, 200],
            Open,
        ),
        case(
            Must,
            "9110 10.1.1: no continue when the body is not wanted",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n",
            &[413],
            Closed,
        ),
        case(
            Must,
            "9110 10.1.1: HTTP/1.0 gets no continue",
            "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
            &[200],
            Closed,
        ),
        case(
            Must,
            "9110 10.1.1: no body, no continue",
            with_fields("Expect: 100-continue"),
            &[200],
            Open,
        ),
        case(
            Ours,
            "9110 10.1.1: another expectation is ignored",
            with_fields("Expect: magic"),
            &[200],
            Open,
        ),
    ]);
}

#[test]
fn every_answer_has_what_it_must_have() {
    let server = Server::start(&[]);
    for (sent, status) in [
        (GET, 200),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n",
            413,
        ),
    ] {
        let answer = server.connect().send(sent).answer().unwrap();
        assert_eq!(answer.status, status, "{sent:?}");
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        assert_eq!(length, answer.body.len());
        // 9110 6.6.1: an origin server with a clock MUST send a date.
        assert!(
            answer.header("date").unwrap().ends_with(" GMT"),
            "{answer:?}"
        );
        // 9110 15.5.6: MUST say which methods are allowed.
        assert_eq!(
            answer.header("allow").is_some(),
            status == 405,
            "{answer:?}"
        );
    }
    let hello = server.connect().get("/").unwrap();
    assert_eq!(hello.body, b"Hello World!");
    assert_eq!(
        hello.header("content-type"),
        Some("text/plain;charset=utf-8")
    );
}

#[test]
fn head_says_what_get_would_and_sends_no_body() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(format!("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n{GET}"));
    let head = client.try_answer(false).unwrap().unwrap();
    let get = client.answer().unwrap();
    assert_eq!((head.status, head.headers), (get.status, get.headers));
}

#[test]
fn a_client_that_closes_its_half_gets_all_its_answers() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(GET.repeat(3)).finish();
    for _ in 0..3 {
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert!(client.is_closed());
}

#[test]
fn a_request_in_single_bytes_is_understood() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for byte in chunked("5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n").into_bytes() {
        client.send([byte]);
    }
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(client.get("/").unwrap().status, 200);
}

#[test]
fn a_body_that_ends_too_early_is_refused() {
    let server = Server::start(&[]);
    for framed in [
        post("Content-Length: 5", "hell"),
        chunked("5\r\nhell"),
        chunked("5\r\nhello\r\n"),
    ] {
        let mut client = server.connect();
        client.send(&framed).finish();
        assert_eq!(client.answer().unwrap().status, 400, "{framed:?}");
        assert!(client.is_closed());
    }
}
