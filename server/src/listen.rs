//! The listening sockets. A TCP address is opened once for each worker with `SO_REUSEPORT`, so
//! that the kernel spreads the connections and no worker waits for another.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections the kernel keeps ready for a worker that is busy; it caps this at
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A place to listen on, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A port on every address of the host: IPv6 and IPv4, or IPv4 where there is no IPv6.
    Any(u16),
    /// One address and port.
    Inet(SocketAddr),
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
            return Ok(Endpoint::Any(port));
        }
        match text.parse() {
            Ok(SocketAddr::V6(address)) if *address.ip() == Ipv6Addr::UNSPECIFIED => {
                Ok(Endpoint::Any(address.port()))
            }
            Ok(address) => Ok(Endpoint::Inet(address)),
            Err(_) => Err("is neither PORT nor ADDRESS:PORT (an IPv6 address stands in brackets)"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Any(port) => write!(f, "[::]:{port}"),
            Endpoint::Inet(address) => address.fmt(f),
        }
    }
}

/// An endpoint that could not be opened; prints as one line.
#[derive(Debug)]
pub struct ListenError {
    endpoint: Endpoint,
    source: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListenError { endpoint, source } = self;
        write!(f, "cannot listen on {endpoint}: ")?;
        match source.kind() {
            io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "another program does already; stop it or choose another port with --listen"
                )
            }
            io::ErrorKind::PermissionDenied => {
                write!(
                    f,
                    "not permitted ({source}); choose a port above 1023 with --listen"
                )
            }
            io::ErrorKind::AddrNotAvailable => write!(f, "this host has no such address"),
            _ => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The sockets of one endpoint.
#[derive(Debug)]
pub struct Listeners {
    /// Where they listen: the port is the real one even if port 0 was asked for.
    pub address: SocketAddr,
    /// One socket for each worker.
    pub sockets: Vec<TcpListener>,
}

impl Listeners {
    /// The address as a browser on this host wants it.
    pub fn url(&self) -> String {
        match self.address {
            address if address.ip().is_unspecified() => {
                format!("http://localhost:{}", address.port())
            }
            address => format!("http://{address}"),
        }
    }
}

/// Opens `endpoint` once for each of `workers`.
pub fn open(endpoint: &Endpoint, workers: usize) -> Result<Listeners, ListenError> {
    let result =
        match *endpoint {
            Endpoint::Inet(address) => open_address(address, workers),
            Endpoint::Any(port) => open_address((Ipv6Addr::UNSPECIFIED, port).into(), workers)
                .or_else(|error| match error.raw_os_error() {
                    Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => {
                        open_address((Ipv4Addr::UNSPECIFIED, port).into(), workers)
                    }
                    _ => Err(error),
                }),
        };
    result.map_err(|source| ListenError {
        endpoint: endpoint.clone(),
        source,
    })
}

/// The first socket is bound without `SO_REUSEPORT`, so it fails if anyone else listens there,
/// and gets the option afterwards: a second copy of this program never shares the port by
/// accident, and there is no moment at which it could.
fn open_address(address: SocketAddr, workers: usize) -> io::Result<Listeners> {
    let first = bind(address, false)?;
    first.set_reuse_port(true)?;
    let address = first
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::Unsupported)?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(bind(address, true)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(Listeners {
        address,
        sockets: sockets.into_iter().map(TcpListener::from).collect(),
    })
}

fn bind(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if let IpAddr::V6(ip) = address.ip() {
        // `[::]` serves IPv4 as well, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(!ip.is_unspecified())?;
    }
    // Restarting must not wait for old connections in TIME_WAIT; a listener still conflicts.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    // Accepted sockets inherit it, which saves a system call for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_in_every_form() {
        for (text, endpoint) in [
            ("8080", Endpoint::Any(8080)),
            (":8080", Endpoint::Any(8080)),
            ("[::]:8080", Endpoint::Any(8080)),
            ("0.0.0.0:1", Endpoint::Inet("0.0.0.0:1".parse().unwrap())),
            ("[::1]:0", Endpoint::Inet("[::1]:0".parse().unwrap())),
        ] {
            assert_eq!(text.parse(), Ok(endpoint), "{text}");
        }
        for text in [
            "",
            "65536",
            "-1",
            "::1:80",
            "localhost",
            "1.2.3.4",
            "1.2.3.4:",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn workers_share_a_port_that_a_second_copy_does_not_get() {
        let first = open(&"127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(first.sockets.len(), 3);
        for workers in [1, 3] {
            let error = open(&Endpoint::Inet(first.address), workers).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains("another program"), "{error}");
        }
        drop(first);
    }

    #[test]
    fn every_worker_gets_connections() {
        let listeners = open(&"127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let clients: Vec<_> = (0..64)
            .map(|_| std::net::TcpStream::connect(listeners.address).unwrap())
            .collect();
        let accepted: Vec<_> = listeners
            .sockets
            .iter()
            .map(|socket| std::iter::from_fn(|| socket.accept().ok()).count())
            .collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn a_port_of_every_address_serves_ipv4() {
        let listeners = open(&Endpoint::Any(0), 1).unwrap();
        let port = listeners.address.port();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
