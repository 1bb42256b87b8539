//! Request lines, targets and Host.

use super::*;

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
            "9113 3.3: the preface of HTTP/2, where it is not spoken",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            &[505],
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
            Must,
            "9112 3: a target beyond it",
            line("GET", &format!("/{}", "x".repeat(40_000))),
            &[414],
            Closed,
        ),
        case(
            Must,
            "9112 3: a target that never ends",
            format!("GET /{}", "x".repeat(40_000)),
            &[414],
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
