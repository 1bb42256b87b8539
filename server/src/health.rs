//! `server health`: a client that asks a running server how it is, for health checks in images
//! that have neither a shell nor curl.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::listen::Endpoint;

/// How long each step may take; a health check that hangs is a failed one.
const PATIENCE: Duration = Duration::from_secs(2);

/// No more of an answer is read: the status is in its first line.
const ENOUGH: u64 = 64;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A server that is not well; prints as one line.
#[derive(Debug)]
pub struct Unhealthy {
    endpoint: Endpoint,
    reason: String,
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server at {} is not healthy: {}",
            self.endpoint, self.reason
        )
    }
}

impl std::error::Error for Unhealthy {}

/// Asks the server that listens at `endpoint`; a port alone is one of this host.
pub fn check(endpoint: &Endpoint) -> Result<(), Unhealthy> {
    let answer = match endpoint {
        Endpoint::Any(port) => ask_tcp((Ipv4Addr::LOCALHOST, *port).into())
            .or_else(|_| ask_tcp((Ipv6Addr::LOCALHOST, *port).into())),
        Endpoint::Inet(address) => ask_tcp(reachable(*address)),
        Endpoint::Unix(path) => UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            ask(stream)
        }),
        Endpoint::Fd(_) => Err(io::ErrorKind::Unsupported.into()),
    };
    let reason = match answer {
        Ok(line) if line.starts_with("HTTP/1.1 200 ") => return Ok(()),
        Ok(line) => format!("it answered {:?}", line.lines().next().unwrap_or_default()),
        Err(error) => error.to_string(),
    };
    Err(Unhealthy {
        endpoint: endpoint.clone(),
        reason,
    })
}

/// Where a server is asked that listens on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask_tcp(address: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    ask(stream)
}

fn ask(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    stream.take(ENOUGH).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn check_against(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Any(listener.local_addr().unwrap().port());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let result = check(&endpoint).map_err(|error| error.to_string());
        server.join().unwrap();
        result
    }

    #[test]
    fn a_server_that_answers_200_is_healthy() {
        assert_eq!(check_against("HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
    }

    #[test]
    fn any_other_answer_is_named() {
        let error = check_against("HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert!(error.contains("503 Service Unavailable"), "{error}");
        assert!(check_against("").is_err());
    }

    #[test]
    fn nobody_there_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Inet(listener.local_addr().unwrap());
        drop(listener);
        let error = check(&endpoint).unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }
}
