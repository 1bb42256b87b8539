//! Where a body ends: lengths, chunks, and requests that two readers could understand differently.

use super::*;

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
