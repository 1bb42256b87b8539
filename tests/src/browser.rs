//! A GET as a browser sends it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::wait;

/// A server on the same machine that says nothing for this long hangs.
const SILENCE: Duration = Duration::from_secs(10);

/// How long a program may take from its start to its first page, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a current browser sends beside `Host`.
const HEADERS: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: none\r\n";

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Page {
    /// The value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(key, _)| key == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// Gets `path` from `address` and `port`.
///
/// # Errors
/// When nothing listens there, or what it says is no answer.
pub fn get(address: IpAddr, port: u16, path: &str) -> io::Result<Page> {
    let address = SocketAddr::new(address, port);
    let mut stream = TcpStream::connect_timeout(&address, SILENCE)?;
    stream.set_read_timeout(Some(SILENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{HEADERS}\r\n"
    )?;
    read_answer(BufReader::new(stream))
}

fn read_answer(mut stream: impl BufRead) -> io::Result<Page> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let status = read_line(&mut stream)?;
    let code = status
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let mut page = Page {
        status: code.ok_or_else(|| invalid(&status))?,
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let line = read_line(&mut stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
        page.headers
            .push((name.to_lowercase(), value.trim().to_owned()));
    }
    match page.header("content-length") {
        Some(length) => {
            let length: u64 = length.parse().map_err(|_| invalid("content-length"))?;
            stream.take(length).read_to_end(&mut page.body)?;
        }
        None => {
            stream.read_to_end(&mut page.body)?;
        }
    }
    Ok(page)
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Waits for the first answer to a GET of `/`.
///
/// A published port is open before the program behind it listens, so that a first connection may
/// be reset, as with any engine.
///
/// # Panics
/// When there is none for 20 seconds.
#[must_use]
pub fn first_page(address: IpAddr, port: u16) -> Page {
    let what = format!("a page at {address}, port {port}");
    wait::until(&what, PATIENCE, || get(address, port, "/").ok())
}

/// Waits for a page, and asserts that it is the one that the hello server promises.
///
/// # Panics
/// When there is none, or another.
pub fn expect_hello(address: IpAddr, port: u16) {
    let page = first_page(address, port);
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/plain;charset=utf-8")
    );
    assert_eq!(page.body, b"Hello World!");
}
