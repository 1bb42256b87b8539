//! The server against the letter of RFC 9110 and RFC 9112: requests as bytes, what must come back,
//! and whether the connection is usable afterwards. Every case names its section, and whether the
//! RFC says MUST or SHOULD or leaves it open (then it is our own decision that is held to).

#[path = "server_rfc/connection.rs"]
mod connection;
#[path = "server_rfc/fields.rs"]
mod fields;
#[path = "server_rfc/framing.rs"]
mod framing;
#[path = "server_rfc/requests.rs"]
mod requests;
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
