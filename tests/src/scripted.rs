//! A web server that answers as a test tells it, also wrongly, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A client that says nothing for so long is left alone.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// With the query: `/v2/a?b=c`.
    pub path: String,
    /// The fields as they came.
    pub fields: Vec<(String, String)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// How many requests were before this one.
    pub number: usize,
}

impl Request {
    /// A field, whatever the case of its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.fields
            .iter()
            .find(named)
            .map(|(_, value)| value.as_str())
    }

    /// Method and path.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// The server.
#[derive(Debug)]
pub struct Scripted {
    /// Its port on 127.0.0.1.
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Scripted {
    /// Answers every request with what `answer` writes; the connection is closed behind it.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        // It lives as long as the suite.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Self { port, requests }
    }

    /// Everything that was asked until now, in this order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }

    /// A reference in the registry that it plays.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request, &mut TcpStream),
) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let Some(request) = read(&mut stream, seen) else {
        return;
    };
    answer(&request, &mut stream);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    // What is unread would turn the end into a reset, and the answer would be lost with it.
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

/// Reads one request; nothing if it is none, such as the beginning of TLS.
fn read(stream: &mut TcpStream, seen: &Mutex<Vec<Request>>) -> Option<Request> {
    let mut first = [0];
    if stream.peek(&mut first).ok()? == 0 || !first[0].is_ascii_uppercase() {
        // As servers of plain HTTP do.
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        return None;
    }
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(ToOwned::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => fields.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let mut request = Request {
        method,
        path,
        fields,
        body: Vec::new(),
        number: 0,
    };
    let length = request
        .field("content-length")
        .and_then(|length| length.parse().ok());
    let _ = reader
        .take(length.unwrap_or(0))
        .read_to_end(&mut request.body);
    let mut seen = lock(seen);
    request.number = seen.len();
    seen.push(request.clone());
    Some(request)
}

/// Writes an answer with this status, these fields and this body.
pub fn reply(stream: &mut TcpStream, status: u16, fields: &[(&str, &str)], body: &[u8]) {
    let length = body.len().to_string();
    let mut head = format!("HTTP/1.1 {status} So\r\nConnection: close\r\n");
    let has_length = |(name, _): &(&str, &str)| {
        ["content-length", "transfer-encoding"].contains(&name.to_lowercase().as_str())
    };
    let own = [("Content-Length", length.as_str())];
    let own = own.iter().filter(|_| !fields.iter().any(has_length));
    for (name, value) in fields.iter().chain(own) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    // A client that has read enough is none of our business.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
