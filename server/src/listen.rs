//! The listening sockets. A TCP address is opened once for each worker with `SO_REUSEPORT`, so
//! that the kernel spreads the connections and no worker waits for another. A unix socket and a
//! descriptor that was handed in are one socket that all workers share.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::RawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::adopt;

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
    /// A unix socket.
    Unix(PathBuf),
    /// A listening socket that whoever started the server opened, by its descriptor.
    Fd(RawFd),
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORMS: &str = "is not PORT, ADDRESS:PORT (IPv6 in brackets), unix:PATH or fd:NUMBER";
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("names no path")
            } else {
                Ok(Endpoint::Unix(path.into()))
            };
        }
        if let Some(number) = text.strip_prefix("fd:") {
            return match number.parse() {
                Ok(number) if number >= 0 => Ok(Endpoint::Fd(number)),
                _ => Err("is no descriptor"),
            };
        }
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
            return Ok(Endpoint::Any(port));
        }
        match text.parse() {
            Ok(SocketAddr::V6(address)) if *address.ip() == Ipv6Addr::UNSPECIFIED => {
                Ok(Endpoint::Any(address.port()))
            }
            Ok(address) => Ok(Endpoint::Inet(address)),
            Err(_) => Err(FORMS),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Any(port) => write!(f, "[::]:{port}"),
            Endpoint::Inet(address) => address.fmt(f),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::Fd(number) => write!(f, "fd:{number}"),
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
        match (endpoint, source.kind()) {
            (_, io::ErrorKind::AddrInUse) => {
                write!(
                    f,
                    "another program does already; stop it or choose another place with --listen"
                )
            }
            (Endpoint::Any(_) | Endpoint::Inet(_), io::ErrorKind::PermissionDenied) => {
                write!(
                    f,
                    "not permitted ({source}); choose a port above 1023 with --listen"
                )
            }
            (_, io::ErrorKind::AddrNotAvailable) => write!(f, "this host has no such address"),
            _ => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// For TCP.
    Tcp(TcpListener),
    /// For a unix socket.
    Unix(UnixListener),
}

impl Listener {
    fn try_clone(&self) -> io::Result<Listener> {
        match self {
            Listener::Tcp(listener) => listener.try_clone().map(Listener::Tcp),
            Listener::Unix(listener) => listener.try_clone().map(Listener::Unix),
        }
    }

    fn address(&self) -> io::Result<Endpoint> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(Endpoint::Inet),
            Listener::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(Endpoint::Unix(
                    address.as_pathname().unwrap_or(Path::new("")).into(),
                ))
            }
        }
    }
}

/// The sockets of one endpoint.
#[derive(Debug)]
pub struct Listeners {
    /// Where they listen: the port is the real one even if port 0 was asked for.
    pub address: Endpoint,
    /// One socket for each worker.
    pub sockets: Vec<Listener>,
    /// The file that a unix socket of our own leaves behind.
    pub file: Option<PathBuf>,
}

impl Listeners {
    /// The address as a browser on this host wants it.
    pub fn url(&self) -> String {
        match &self.address {
            Endpoint::Inet(address) if address.ip().is_unspecified() => {
                format!("http://localhost:{}", address.port())
            }
            Endpoint::Inet(address) => format!("http://{address}"),
            other => other.to_string(),
        }
    }

    /// One socket that `workers` share.
    fn shared(socket: Listener, workers: usize, file: Option<PathBuf>) -> io::Result<Listeners> {
        let address = socket.address()?;
        let mut sockets = vec![socket];
        for _ in 1..workers {
            sockets.push(sockets[0].try_clone()?);
        }
        Ok(Listeners {
            address,
            sockets,
            file,
        })
    }
}

/// Opens every endpoint once for each of `workers`.
pub fn open(endpoints: &[Endpoint], workers: usize) -> Result<Vec<Listeners>, ListenError> {
    // Descriptors first: what we open ourselves could get the number that was meant.
    let (handed_in, own): (Vec<_>, Vec<_>) = endpoints
        .iter()
        .partition(|endpoint| matches!(endpoint, Endpoint::Fd(_)));
    let in_order = handed_in.into_iter().chain(own);
    in_order
        .map(|endpoint| {
            let opened = match endpoint {
                Endpoint::Fd(number) => open_fd(*number, workers),
                Endpoint::Unix(path) => open_unix(path, workers),
                Endpoint::Inet(address) => open_tcp(*address, workers),
                Endpoint::Any(port) => open_any(*port, workers),
            };
            opened.map_err(|source| ListenError {
                endpoint: endpoint.clone(),
                source,
            })
        })
        .collect()
}

fn open_any(port: u16, workers: usize) -> io::Result<Listeners> {
    open_tcp((Ipv6Addr::UNSPECIFIED, port).into(), workers).or_else(|error| {
        match error.raw_os_error() {
            Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => {
                open_tcp((Ipv4Addr::UNSPECIFIED, port).into(), workers)
            }
            _ => Err(error),
        }
    })
}

/// The first socket is bound without `SO_REUSEPORT`, so it fails if anyone else listens there,
/// and gets the option afterwards: a second copy of this program never shares the port by
/// accident, and there is no moment at which it could.
fn open_tcp(address: SocketAddr, workers: usize) -> io::Result<Listeners> {
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
    let sockets = sockets
        .into_iter()
        .map(|socket| Listener::Tcp(socket.into()))
        .collect();
    Ok(Listeners {
        address: Endpoint::Inet(address),
        sockets,
        file: None,
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

/// A file that an earlier server left behind is replaced; one that a server still listens on, or
/// that is no socket, is not touched.
fn open_unix(path: &Path, workers: usize) -> io::Result<Listeners> {
    let listener = UnixListener::bind(path).or_else(|error| {
        let is_left_behind = error.kind() == io::ErrorKind::AddrInUse
            && UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            && is_socket(path);
        if !is_left_behind {
            return Err(error);
        }
        std::fs::remove_file(path)?;
        UnixListener::bind(path)
    })?;
    listener.set_nonblocking(true)?;
    Listeners::shared(Listener::Unix(listener), workers, Some(path.into()))
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn open_fd(number: RawFd, workers: usize) -> io::Result<Listeners> {
    let socket = Socket::from(adopt::descriptor(number)?);
    if !socket.is_listener()? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a socket, but it does not listen",
        ));
    }
    socket.set_nonblocking(true)?;
    let listener = if socket.domain()? == Domain::UNIX {
        Listener::Unix(socket.into())
    } else {
        socket.set_tcp_nodelay(true)?;
        Listener::Tcp(socket.into())
    };
    Listeners::shared(listener, workers, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::os::fd::IntoRawFd;

    fn open_one(
        endpoint: Endpoint,
        workers: usize,
    ) -> Result<(SocketAddr, Listeners), ListenError> {
        let mut listeners = open(&[endpoint], workers)?.remove(0);
        let Endpoint::Inet(address) = listeners.address else {
            panic!("not TCP: {listeners:?}")
        };
        listeners.sockets.truncate(workers);
        Ok((address, listeners))
    }

    fn loopback() -> Endpoint {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn endpoints_are_read_in_every_form() {
        for (text, endpoint) in [
            ("8080", Endpoint::Any(8080)),
            (":8080", Endpoint::Any(8080)),
            ("[::]:8080", Endpoint::Any(8080)),
            ("0.0.0.0:1", Endpoint::Inet("0.0.0.0:1".parse().unwrap())),
            ("[::1]:0", Endpoint::Inet("[::1]:0".parse().unwrap())),
            ("unix:/run/a:b", Endpoint::Unix("/run/a:b".into())),
            ("fd:3", Endpoint::Fd(3)),
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
            "unix:",
            "fd:",
            "fd:-1",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn workers_share_a_port_that_a_second_copy_does_not_get() {
        let (address, first) = open_one(loopback(), 3).unwrap();
        assert_eq!(first.sockets.len(), 3);
        for workers in [1, 3] {
            let error = open_one(Endpoint::Inet(address), workers).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains("another program"), "{error}");
        }
        drop(first);
    }

    #[test]
    fn every_worker_gets_connections() {
        let (address, listeners) = open_one(loopback(), 2).unwrap();
        let clients: Vec<_> = (0..64)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let accepted = listeners.sockets.iter().map(|socket| match socket {
            Listener::Tcp(socket) => std::iter::from_fn(|| socket.accept().ok()).count(),
            Listener::Unix(_) => 0,
        });
        let accepted: Vec<_> = accepted.collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn a_port_of_every_address_serves_ipv4() {
        let (address, _listeners) = open_one(Endpoint::Any(0), 1).unwrap();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).is_ok());
    }

    #[test]
    fn a_unix_socket_replaces_what_a_dead_server_left_and_nothing_else() {
        let path = std::env::temp_dir().join(format!("server-listen-test-{}", std::process::id()));
        let endpoint = [Endpoint::Unix(path.clone())];
        let first = open(&endpoint, 2).unwrap();
        let error = open(&endpoint, 1).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(open(&endpoint, 1).is_ok());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(open(&endpoint, 1).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_descriptor_is_adopted_only_if_it_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let adopted = open(&[Endpoint::Fd(listener.into_raw_fd())], 2).unwrap();
        assert_eq!(adopted[0].address, Endpoint::Inet(address));
        assert!(TcpStream::connect(address).is_ok());
        drop(adopted);
        assert!(
            TcpStream::connect(address).is_err(),
            "a copy of the descriptor stayed open"
        );

        let file = std::fs::File::open("/dev/null").unwrap();
        let error = open(&[Endpoint::Fd(file.into_raw_fd())], 1).unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(libc::ENOTSOCK));
        let error = open(&[Endpoint::Fd(1_000_000)], 1).unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(libc::EBADF));
    }
}
