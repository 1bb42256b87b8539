//! Header fields: names, values, folding, and how many and how large they may be.

use super::*;

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
