//! The access log: one line a request on standard output, in the Common Log Format that every log
//! tool reads. Workers hand lines to a thread that writes; a reader that is too slow loses lines,
//! and is told how many, but never stops the server.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use httpdate::HttpDate;
use hyper::{Method, StatusCode, Version};

use crate::accept::Client;
use crate::say;
use crate::service::{HELLO, Head};

/// How many lines may wait to be written.
const WAITING: usize = 4096;

/// How much is collected before it is written.
const COLLECT: usize = 32 * 1024;

/// The first part of a line, made when the request comes: who asked for what.
#[derive(Debug)]
pub struct Line {
    text: String,
    is_head: bool,
}

impl Line {
    /// Notes a request.
    pub fn new(client: Client, head: Head<'_>) -> Line {
        let client = client.map_or_else(
            || "unix".into(),
            |client| client.ip().to_canonical().to_string(),
        );
        let mut text = format!(
            "{client} - - [{}] \"{} ",
            common_date(SystemTime::now()),
            head.method
        );
        escape(&head.uri.to_string(), &mut text);
        let version = if head.version == Version::HTTP_2 {
            "HTTP/2.0".into()
        } else {
            format!("{:?}", head.version)
        };
        text.push(' ');
        text.push_str(&version);
        Line {
            text,
            is_head: *head.method == Method::HEAD,
        }
    }

    fn finish(mut self, status: StatusCode) -> String {
        let length = match status {
            _ if self.is_head => 0,
            StatusCode::OK => HELLO.len(),
            other => other.canonical_reason().unwrap_or_default().len(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "\" {} {length}", status.as_u16());
        self.text
    }
}

/// Escapes what could end the field, or say something to a terminal.
fn escape(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => into.extend(['\\', char::from(byte)]),
            b' '..=b'~' => into.push(char::from(byte)),
            _ => {
                let _ = write!(into, "\\x{byte:02x}");
            }
        }
    }
}

/// `23/Nov/2026:16:44:11 +0000`, out of `Mon, 23 Nov 2026 16:44:11 GMT`.
fn common_date(time: SystemTime) -> String {
    let date = HttpDate::from(time).to_string();
    format!(
        "{}/{}/{}:{} +0000",
        &date[5..7],
        &date[8..11],
        &date[12..16],
        &date[17..25]
    )
}

/// Where workers leave their lines.
#[derive(Clone, Debug)]
pub struct Log {
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// Starts the thread that writes. It ends when the last `Log` is gone and all is written.
    pub fn start() -> io::Result<(Log, JoinHandle<()>)> {
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let log = Log {
            lines,
            lost: lost.clone(),
        };
        let writer = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(&waiting, &lost))?;
        Ok((log, writer))
    }

    /// Leaves the line of a request that was answered with `status`.
    pub fn write(&self, line: Line, status: StatusCode) {
        if self.lines.try_send(line.finish(status)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_all(waiting: &Receiver<String>, lost: &AtomicU64) {
    while let Ok(mut text) = waiting.recv() {
        while text.len() < COLLECT {
            match waiting.try_recv() {
                Ok(line) => text.push_str(&line),
                Err(_) => break,
            }
        }
        // Whoever closed our standard output does not want to know.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => say(format_args!(
                "{lost} lines of the access log were lost: its reader is too slow"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;
    use std::time::Duration;

    fn line(method: &str, target: &str, status: u16) -> String {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .body(())
            .unwrap();
        let line = Line::new("[::ffff:10.0.0.1]:1".parse().ok(), Head::of(&request));
        line.finish(StatusCode::from_u16(status).unwrap())
    }

    #[test]
    fn lines_have_the_common_format() {
        let hello = line("GET", "/a?b", 200);
        assert!(hello.starts_with("10.0.0.1 - - ["), "{hello}");
        assert!(
            hello.ends_with("] \"GET /a?b HTTP/1.1\" 200 12\n"),
            "{hello}"
        );
        assert!(line("HEAD", "/", 200).ends_with("\" 200 0\n"));
        assert!(line("GET", "/readyz", 503).ends_with("\" 503 19\n"));
    }

    #[test]
    fn a_target_cannot_break_out_of_its_field() {
        let mut escaped = String::new();
        escape("/\"\\\n\u{1b}ü", &mut escaped);
        assert_eq!(escaped, r#"/\"\\\x0a\x1b\xc3\xbc"#);
    }

    #[test]
    fn dates_have_the_common_format() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(common_date(time), "06/Nov/1994:08:49:37 +0000");
    }
}
