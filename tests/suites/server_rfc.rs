//! The server against the letter of RFC 9110 and RFC 9112: requests as bytes, what must come back,
//! and whether the connection is usable afterwards. Every case names its section, and whether the
//! RFC says MUST or SHOULD or leaves it open (then it is our own decision that is held to).

#[path = "server_support.rs"]
mod support;

use std::fmt;

use support::{Client, Server};

#[derive(Clone, Copy, Debug)]
enum Level {
    Must,
    Should,
    Ours,
}
use Level::{Must, Ours, Should};

/// What the connection is afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Another request is answered.
    Open,
    /// The server closes, without answering anything more.
    Closed,
}
use Then::{Closed, Open};

struct Case {
    level: Level,
    section: &'static str,
    sent: Vec<u8>,
    statuses: Vec<u16>,
    then: Then,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.sent.escape_ascii().to_string();
        let shown = shown.get(..200).unwrap_or(&shown);
        write!(
            f,
            "{:?} {}: {shown}\n    expected {:?}, then {:?}",
            self.level, self.section, self.statuses, self.then
        )
    }
}

fn case(
    level: Level,
    section: &'static str,
    sent: impl Into<Vec<u8>>,
    statuses: &[u16],
    then: Then,
) -> Case {
    Case {
        level,
        section,
        sent: sent.into(),
        statuses: statuses.into(),
        then,
    }
}

/// A request line that is good in itself, with header lines as given.
fn with_fields(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

fn with_host(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n")
}

fn with_line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

/// A POST with a body, framed by the given header lines.
fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends every case to a server of the suite's own and reports all that fail at once.
fn check(cases: &[Case]) {
    let mut server = Server::start(&[]);
    let failures: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            check_one(&mut server.connect(), case)
                .err()
                .map(|what| format!("{case}\n    {what}"))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    assert!(
        server.child.try_wait().unwrap().is_none(),
        "the server ended"
    );
}

fn check_one(client: &mut Client, case: &Case) -> Result<(), String> {
    client.send(&case.sent);
    for expected in &case.statuses {
        match client
            .try_answer(!case.sent.starts_with(b"HEAD"))
            .map_err(|error| format!("no answer: {error}"))?
        {
            Some(answer) if answer.status == *expected => {
                let says_so = answer.is_last();
                if case.then == Closed
                    && Some(expected) == case.statuses.last()
                    && !says_so
                    && *expected != 200
                {
                    return Err(format!("got {expected} without connection: close"));
                }
            }
            Some(answer) => return Err(format!("got {}", answer.status)),
            None => return Err("the server closed".into()),
        }
    }
    match case.then {
        Closed if !client.is_closed() => {
            Err("the connection stayed open, or more was answered".into())
        }
        Open => match client.send(GET).try_answer(true) {
            Ok(Some(answer)) if answer.status == 200 && answer.body == b"Hello World!" => Ok(()),
            other => Err(format!("the next request got {other:?}")),
        },
        Closed => Ok(()),
    }
}

#[test]
fn request_lines() {
    let mut cases = vec![
        case(Must, "9112 3", GET, &[200], Open),
        case(
            Must,
            "9112 2.2: empty lines before the request line are ignored",
            format!("\r\n{GET}"),
            &[200],
            Open,
        ),
        case(
            Ours,
            "9112 2.2: a bare LF may end a line",
            "GET / HTTP/1.1\nHost: a\n\n",
            &[200],
            Open,
        ),
        // 9110 2.5 says SHOULD be served as HTTP/1.1; hyper refuses, which is the safe side.
        case(
            Ours,
            "9110 2.5: a higher minor version",
            with_line("GET / HTTP/1.2"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 2.3",
            with_line("GET / HTTP/1.10"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 2.3: the name is case-sensitive",
            with_line("GET / http/1.1"),
            &[400],
            Closed,
        ),
        case(Must, "9112 2.3", with_line("GET / HTP/1.1"), &[400], Closed),
        case(Must, "9112 2.3", with_line("GET / HTTP/1"), &[400], Closed),
        case(Must, "9112 2.3", with_line("GET / HTTP/1."), &[400], Closed),
        case(
            Must,
            "9112 2.3",
            with_line("GET / HTTP/1,1"),
            &[400],
            Closed,
        ),
        case(Must, "9112 2.3", with_line("GET / HTTP/11"), &[400], Closed),
        case(
            Must,
            "9112 2.3",
            with_line("GET / HTTP/-1.1"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "9110 15.6.6: 505 is possible, not asked for",
            with_line("GET / HTTP/2.0"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "9110 15.6.6: 505 is possible, not asked for",
            with_line("GET / HTTP/3.0"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "9110 15.6.6: 505 is possible, not asked for",
            with_line("GET / HTTP/0.9"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "9112 3: HTTP/0.9 is not spoken",
            "GET /\r\n\r\n",
            &[400],
            Closed,
        ),
        case(
            Should,
            "9112 3: whitespace in the target",
            with_line("GET /a b HTTP/1.1"),
            &[400],
            Closed,
        ),
        case(
            Should,
            "9112 3",
            with_line("GET  / HTTP/1.1"),
            &[400],
            Closed,
        ),
        case(
            Should,
            "9112 3",
            with_line("GET /  HTTP/1.1"),
            &[400],
            Closed,
        ),
        case(
            Should,
            "9112 3",
            with_line("GET\t/ HTTP/1.1"),
            &[400],
            Closed,
        ),
        case(
            Should,
            "9112 3",
            with_line("GET / HTTP/1.1 "),
            &[400],
            Closed,
        ),
        case(
            Should,
            "9112 3",
            with_line(" GET / HTTP/1.1"),
            &[400],
            Closed,
        ),
        case(Should, "9112 3", with_line("GET"), &[400], Closed),
        case(Should, "9112 3", with_line("GET HTTP/1.1"), &[400], Closed),
        case(Should, "9112 3", "\0\r\n\r\n", &[400], Closed),
        case(
            Ours,
            "9110 9.1: a method we do not know is greeted too",
            with_line("BREW / HTTP/1.1"),
            &[200],
            Open,
        ),
        case(
            Ours,
            "9110 9.1: methods are case-sensitive",
            with_line("get / HTTP/1.1"),
            &[200],
            Open,
        ),
        case(
            Should,
            "9110 9.1: a method is a token",
            with_line("GE(T / HTTP/1.1"),
            &[400],
            Closed,
        ),
        case(
            Should,
            "9110 9.1",
            with_line("G\u{e4}T / HTTP/1.1"),
            &[400],
            Closed,
        ),
        case(
            Should,
            "TLS to a plain port",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            &[400],
            Closed,
        ),
    ];
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND",
    ] {
        cases.push(case(
            Ours,
            "9110 9: every method",
            with_line(&format!("{method} /x HTTP/1.1")),
            &[200],
            Open,
        ));
    }
    for method in ["TRACE", "CONNECT"] {
        let target = if method == "CONNECT" { "a:80" } else { "/" };
        let line = with_line(&format!("{method} {target} HTTP/1.1"));
        cases.push(case(
            Ours,
            "9110 15.5.6",
            line,
            &[405],
            if method == "CONNECT" { Closed } else { Open },
        ));
    }
    check(&cases);
}

#[test]
fn targets() {
    let line = |method: &str, target: &str| with_line(&format!("{method} {target} HTTP/1.1"));
    let mut cases = vec![
        case(
            Must,
            "9112 3.2.2: absolute-form",
            line("GET", "http://b/x"),
            &[200],
            Open,
        ),
        case(Must, "9112 3.2.2", line("GET", "http://b"), &[200], Open),
        case(
            Must,
            "9112 3.2.2",
            line("GET", "HTTP://B:80/"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 3.2.2: Host is still needed",
            "GET http://b/ HTTP/1.1\r\n\r\n",
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 3.2.4: asterisk-form",
            line("OPTIONS", "*"),
            &[200],
            Open,
        ),
        case(
            Ours,
            "9112 3.2.4: for OPTIONS only",
            line("GET", "*"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "9112 3.2.3: authority-form is for CONNECT",
            line("GET", "a:80"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "9112 3.2.3: CONNECT needs a port",
            line("CONNECT", "a"),
            &[400],
            Closed,
        ),
        case(Ours, "9112 3.2.3", line("CONNECT", "/"), &[400], Closed),
        case(
            Must,
            "9110 4.2.1: an http URI without host",
            line("GET", "http:///x"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "9112 3.2: a fragment is cut off",
            line("GET", "/a#b"),
            &[200],
            Open,
        ),
        case(Ours, "9110 4.1", line("GET", "/%2e%2e/%00"), &[200], Open),
        case(Ours, "9110 4.1", line("GET", "/?a=b&c=%20"), &[200], Open),
        case(Ours, "9110 4.1", line("GET", "//"), &[200], Open),
        case(
            Ours,
            "9112 3: a long target within the limit of the head",
            line("GET", &format!("/{}", "x".repeat(8000))),
            &[200],
            Open,
        ),
        case(
            Should,
            "9112 3: a target beyond it",
            line("GET", &format!("/{}", "x".repeat(40_000))),
            &[431],
            Closed,
        ),
    ];
    for byte in ["\0", "\x01", "\x7f", "\"", "<", "\\", "^", "`", "|"] {
        // RFC 3986 allows none of them; what browsers send in queries without escaping is let through.
        let lenient = ["\\", "^", "`", "|"].contains(&byte);
        let (status, then) = if lenient { (200, Open) } else { (400, Closed) };
        cases.push(case(
            Ours,
            "3986 2",
            line("GET", &format!("/?{byte}")),
            &[status],
            then,
        ));
    }
    check(&cases);
}

#[test]
fn hosts() {
    let mut cases = vec![
        case(
            Must,
            "9112 3.2: missing",
            "GET / HTTP/1.1\r\n\r\n",
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 3.2: missing",
            "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n",
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 3.2: twice",
            with_fields("Host: a"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 3.2: twice",
            with_fields("Host: b"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 3.2: twice, apart",
            with_fields("X: y\r\nhOST: b"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 3.2: HTTP/1.0 needs none",
            "GET / HTTP/1.0\r\n\r\n",
            &[200],
            Closed,
        ),
        case(
            Ours,
            "9112 3.2: HTTP/1.0 may not have two",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 3.2: the next request needs one too",
            format!("{GET}GET / HTTP/1.1\r\n\r\n"),
            &[200, 400],
            Closed,
        ),
    ];
    for good in [
        "",
        "a",
        " a.b.c",
        "\ta\t",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:8080",
        "a:",
        "a_b",
        "%61",
        "[v1.a]",
    ] {
        cases.push(case(Must, "9110 7.2: valid", with_host(good), &[200], Open));
    }
    for bad in [
        "a b", "a:b", "a:1:2", "[::1", "::1", "[::1]a", "[a]", "[]", "a/", "u@a", "http://a",
        "a%4", "a, b", "a\\b", "\u{e4}", "a?b", "a#b", "<a>", "a:999999",
    ] {
        cases.push(case(
            Must,
            "9112 3.2: invalid value",
            with_host(bad),
            &[400],
            Closed,
        ));
    }
    check(&cases);
}

#[test]
fn fields() {
    let mut cases = vec![
        case(
            Must,
            "9112 5.1: no whitespace before the colon",
            with_fields("X : y"),
            &[400],
            Closed,
        ),
        case(Must, "9112 5.1", with_fields("X\t: y"), &[400], Closed),
        case(
            Must,
            "9112 5.1",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 5.2: obs-fold",
            with_fields("X: y\r\n z"),
            &[400],
            Closed,
        ),
        case(Must, "9112 5.2", with_fields("X: y\r\n\tz"), &[400], Closed),
        case(
            Must,
            "9112 2.2: whitespace after the request line",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 2.2",
            "GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 5: a line without colon",
            with_fields("X"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 5: an empty name",
            with_fields(": y"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 2.2: a bare CR in a value",
            with_fields("X: y\rz"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 2.2: a bare CR in a name",
            with_fields("X\rY: z"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 2.2: a bare CR instead of a line end",
            with_fields("X: y\rTransfer-Encoding: chunked"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9110 5.5: NUL",
            with_fields("X: y\0z"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "9110 5.5: obs-text",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe4\xff\r\n\r\n".to_vec(),
            &[200],
            Open,
        ),
        case(
            Must,
            "9110 5.5: an empty value",
            with_fields("X:"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9110 5.5: a tab in a value",
            with_fields("X: a\tb"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9110 5.1: names are case-insensitive",
            "GET / HTTP/1.1\r\nhOsT: a\r\n\r\n",
            &[200],
            Open,
        ),
        case(
            Ours,
            "6585 5: 100 headers",
            with_fields(&lines(99)),
            &[200],
            Open,
        ),
        case(
            Should,
            "6585 5: 101 headers",
            with_fields(&lines(100)),
            &[431],
            Closed,
        ),
        case(
            Ours,
            "6585 5: a long value within the limit",
            with_fields(&format!("X: {}", "y".repeat(30_000))),
            &[200],
            Open,
        ),
        case(
            Should,
            "6585 5: a value beyond it",
            with_fields(&format!("X: {}", "y".repeat(40_000))),
            &[431],
            Closed,
        ),
        case(
            Should,
            "6585 5: a name beyond it",
            with_fields(&format!("{}: y", "X".repeat(100_000))),
            &[431],
            Closed,
        ),
        case(
            Should,
            "6585 5: an endless line",
            with_line(&format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(200_000))),
            &[431],
            Closed,
        ),
    ];
    for byte in [
        "(", ")", ",", "/", ";", "<", "=", ">", "?", "@", "[", "\\", "]", "{", "}", "\"", " ",
        "\x7f", "\x01", "\u{e4}",
    ] {
        cases.push(case(
            Must,
            "9110 5.1: a name is a token",
            with_fields(&format!("X{byte}Y: z")),
            &[400],
            Closed,
        ));
    }
    for byte in [1_u8, 8, 11, 12, 27, 127] {
        let field = [b"X: a".as_slice(), &[byte], b"b"].concat();
        let sent = [
            b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(),
            &field,
            b"\r\n\r\n",
        ]
        .concat();
        cases.push(case(
            Ours,
            "9110 5.5: control characters",
            sent,
            &[400],
            Closed,
        ));
    }
    check(&cases);
}

fn lines(count: usize) -> String {
    (0..count)
        .map(|number| format!("X-{number}: y"))
        .collect::<Vec<_>>()
        .join("\r\n")
}

#[test]
fn lengths() {
    let length = |value: &str, body: &str| post(&format!("Content-Length:{value}"), body);
    let mut cases = vec![
        case(Must, "9112 6.3", length("5", "hello"), &[200], Open),
        case(Must, "9112 6.3", length("0", ""), &[200], Open),
        case(
            Must,
            "9112 6.3: no length is no body",
            format!("POST / HTTP/1.1\r\nHost: a\r\n\r\n{GET}"),
            &[200, 200],
            Open,
        ),
        case(
            Ours,
            "9110 8.6: leading zeros",
            length("0005", "hello"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 6.3: a GET may have a body",
            format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{GET}"),
            &[200, 200],
            Open,
        ),
        case(
            Must,
            "9112 6.3: HEAD may have one too",
            "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            &[200],
            Open,
        ),
        case(
            Ours,
            "9110 8.6: the same length twice",
            post("Content-Length: 5\r\nContent-Length: 5", "hello"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 6.3: different lengths",
            post("Content-Length: 5\r\nContent-Length: 6", "hello"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3: different lengths",
            post("Content-Length: 6\r\nContent-Length: 5", "hello"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3: and one of them is zero",
            post("Content-Length: 0\r\nContent-Length: 42", GET),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3: a valid and an invalid one",
            post("Content-Length: 5\r\nContent-Length: x", "hello"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "15.5.14: within the limit",
            length("1048576", &"x".repeat(1 << 20)),
            &[200],
            Open,
        ),
        case(
            Ours,
            "15.5.14: beyond it, before the body is sent",
            length("1048577", ""),
            &[413],
            Closed,
        ),
        case(
            Ours,
            "15.5.14: beyond it, while the body is sent",
            length("3000000", &"x".repeat(3_000_000)),
            &[413],
            Closed,
        ),
    ];
    for bad in [
        "-1",
        "+5",
        "5x",
        "0x5",
        "5 5",
        "5, 6",
        "5;",
        "1e1",
        "5.0",
        "\"5\"",
        "99999999999999999999",
        "18446744073709551616",
        "",
        "\u{661}",
    ] {
        cases.push(case(
            Must,
            "9112 6.3: invalid",
            length(bad, "hello"),
            &[400],
            Closed,
        ));
    }
    check(&cases);
}

#[test]
fn chunks() {
    let big = format!("{:x}\r\n{}\r\n0\r\n\r\n", 2 << 20, "x".repeat(2 << 20));
    let mut cases = vec![
        case(
            Must,
            "9112 7.1",
            chunked("5\r\nhello\r\n0\r\n\r\n"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 7.1: none but the last",
            chunked("0\r\n\r\n"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 7.1: several",
            chunked("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 7.1: hexadecimal in both cases",
            chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 7.1: leading zeros",
            chunked("005\r\nhello\r\n000\r\n\r\n"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 7.1.1: unknown extensions are ignored",
            chunked("5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 7.1.2: trailers",
            chunked("0\r\nX: y\r\n\r\n"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9110 10.1.4: codings are case-insensitive",
            post("Transfer-Encoding: CHUNKED", "0\r\n\r\n"),
            &[200],
            Open,
        ),
        case(
            Must,
            "9112 7.1: the next request follows at once",
            chunked(&format!("0\r\n\r\n{GET}")),
            &[200, 200],
            Open,
        ),
        case(
            Ours,
            "9110 15.5.14: too much in all",
            chunked(&big),
            &[413],
            Closed,
        ),
        case(
            Must,
            "9112 7.1.2: a trailer is a field",
            chunked("0\r\nX y\r\n\r\n"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 7.1.1: extensions are bounded",
            chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000))),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 7.1.2: trailers are bounded",
            chunked(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(100_000))),
            &[400],
            Closed,
        ),
    ];
    for bad in [
        "x\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n",
        "10000000000000000\r\nx",
        "fffffffffffffffff\r\nx",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "0\r\n\rX",
        "0\n\r\n",
        "5,\r\nhello\r\n0\r\n\r\n",
        "5_0\r\n",
        "\"5\"\r\nhello\r\n",
    ] {
        cases.push(case(
            Must,
            "9112 7.1: malformed",
            chunked(bad),
            &[400],
            Closed,
        ));
    }
    check(&cases);
}

/// Whatever two parsers could understand in two ways: the request that hides behind it must never
/// be answered.
#[test]
fn smuggling() {
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let te = |fields: &str| post(fields, &format!("0\r\n\r\n{hidden}"));
    check(&[
        case(
            Must,
            "9112 6.1: both; served as chunked, then closed",
            te("Content-Length: 4\r\nTransfer-Encoding: chunked"),
            &[200],
            Closed,
        ),
        case(
            Must,
            "9112 6.1: both, the other way round",
            te("Transfer-Encoding: chunked\r\nContent-Length: 4"),
            &[200],
            Closed,
        ),
        case(
            Must,
            "9112 6.3: the last coding is not chunked",
            te("Transfer-Encoding: chunked, gzip"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3",
            te("Transfer-Encoding: gzip"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3",
            te("Transfer-Encoding: identity"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3",
            te("Transfer-Encoding: xchunked"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3",
            te("Transfer-Encoding: chunkedx"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3",
            te("Transfer-Encoding: \"chunked\""),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3",
            te("Transfer-Encoding: chunked;q=1"),
            &[400],
            Closed,
        ),
        case(Must, "9112 6.3", te("Transfer-Encoding:"), &[400], Closed),
        case(
            Must,
            "9112 6.3",
            te("Transfer-Encoding: \x0bchunked"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3",
            te("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
            &[400],
            Closed,
        ),
        case(
            Should,
            "9112 6.1: a coding that we do not know",
            te("Transfer-Encoding: gzip, chunked"),
            &[501],
            Closed,
        ),
        case(
            Must,
            "9112 7.1: chunked is applied once",
            te("Transfer-Encoding: chunked, chunked"),
            &[501],
            Closed,
        ),
        case(
            Must,
            "9112 7.1",
            te("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            &[501],
            Closed,
        ),
        case(
            Must,
            "9112 6.1: not in HTTP/1.0",
            format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 5.1: a space before the colon",
            te("Transfer-Encoding : chunked"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 5.2: folded",
            te("Transfer-Encoding:\r\n chunked"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 2.2: a bare CR",
            te("X: y\rTransfer-Encoding: chunked"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9110 5.5: NUL",
            te("Transfer-Encoding: chunked\0"),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 6.3: an invalid length beside chunked",
            te("Content-Length: x\r\nTransfer-Encoding: chunked"),
            &[400],
            Closed,
        ),
        case(
            Ours,
            "9110 5.6.2: an underscore is another header",
            te("Transfer_Encoding: chunked"),
            &[200, 400],
            Closed,
        ),
        case(
            Must,
            "9112 6: what follows a refused body is not read",
            format!(
                "POST * HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{hidden}",
                hidden.len()
            ),
            &[400],
            Closed,
        ),
        case(
            Must,
            "9112 9.6: after close nothing is answered",
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{hidden}"),
            &[200],
            Closed,
        ),
    ]);
}

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
