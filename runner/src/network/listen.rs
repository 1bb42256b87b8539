//! Sockets on the host for published ports, opened before a container starts, so that a port that
//! is taken is an error at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt,
};

use super::publish::PortMapping;
use crate::sandbox::failure::describe;

/// How many connections may wait to be accepted; the kernel takes less if it is set to
/// (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// An open socket and the port of the container that it leads to.
#[derive(Debug)]
pub struct Listener {
    /// The mapping, with the port that was really taken.
    pub mapping: PortMapping,
    socket: OwnedFd,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A port that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has it.
    #[error(
        "cannot publish port {port} on {address}: it is in use; end the program that has it, or \
         choose another one with -p PORT:{container_port}"
    )]
    InUse {
        /// The host's port.
        port: u16,
        /// The host's address.
        address: IpAddr,
        /// The container's port.
        container_port: u16,
    },
    /// It takes privilege.
    #[error(
        "cannot publish port {port}: ports below {first} are the administrator's \
         (net.ipv4.ip_unprivileged_port_start); choose a higher one with -p PORT:{container_port}"
    )]
    Privileged {
        /// The host's port.
        port: u16,
        /// The first port that an ordinary user may have.
        first: u16,
        /// The container's port.
        container_port: u16,
    },
    /// Anything else.
    #[error("cannot publish port {port} on {address}: {reason}")]
    Other {
        /// The host's port.
        port: u16,
        /// The host's address.
        address: IpAddr,
        /// What the kernel said.
        reason: String,
    },
}

/// Opens every mapping, or none.
///
/// # Errors
/// [`ListenError`] for the first that can not be opened.
pub fn open_all(mappings: &[PortMapping]) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for mapping in mappings {
        open(mapping, &mut listeners)?;
    }
    Ok(listeners)
}

/// Opens ports that nobody asked for by number, on the two loopback addresses: each under its own
/// number if that is free, else under any.
///
/// # Errors
/// [`ListenError`] when no port is free at all.
pub fn open_implied(ports: &[u16]) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for &port in ports {
        let open_pair = |host_port| open_loopbacks(host_port, port);
        let pair = open_pair(port).or_else(|error| match error {
            ListenError::InUse { .. } | ListenError::Privileged { .. } => {
                // A port may be free on one of the two addresses only: try a few.
                (0..16).find_map(|_| open_pair(0).ok()).ok_or(error)
            }
            other => Err(other),
        })?;
        listeners.extend(pair);
    }
    Ok(listeners)
}

fn open_loopbacks(host_port: u16, container_port: u16) -> Result<Vec<Listener>, ListenError> {
    let mut mapping = PortMapping {
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host_port,
        container_port,
        protocol: super::Protocol::Tcp,
    };
    let first = open_one(&mapping, IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    mapping.host_port = first.mapping.host_port;
    mapping.address = Some(IpAddr::V6(Ipv6Addr::LOCALHOST));
    match open_one(&mapping, IpAddr::V6(Ipv6Addr::LOCALHOST)) {
        Ok(second) => Ok(vec![first, second]),
        // A host without IPv6.
        Err(ListenError::Other { .. }) => Ok(vec![first]),
        Err(error) => Err(error),
    }
}

fn open(mapping: &PortMapping, listeners: &mut Vec<Listener>) -> Result<(), ListenError> {
    if let Some(address) = mapping.address {
        listeners.push(open_one(mapping, address)?);
        return Ok(());
    }
    let first = open_one(mapping, IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
    let mapping = first.mapping.clone();
    listeners.push(first);
    match open_one(&mapping, IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
        Ok(second) => listeners.push(second),
        // A host without IPv6, or a port of our own choice that is taken there.
        Err(ListenError::Other { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn open_one(mapping: &PortMapping, address: IpAddr) -> Result<Listener, ListenError> {
    let socket = open_socket(SocketAddr::new(address, mapping.host_port));
    let (socket, port) = socket.map_err(|error| explain(&error, mapping, address))?;
    Ok(Listener {
        mapping: PortMapping {
            host_port: port,
            ..mapping.clone()
        },
        socket,
    })
}

fn open_socket(address: SocketAddr) -> io::Result<(OwnedFd, u16)> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    if address.is_ipv6() {
        // The first version of the protocol has a socket of its own.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Connections of an earlier container that linger in TIME_WAIT do not take the port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    let bound = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((socket, bound.port()))
}

fn explain(error: &io::Error, mapping: &PortMapping, address: IpAddr) -> ListenError {
    let (port, container_port) = (mapping.host_port, mapping.container_port);
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse {
            port,
            address,
            container_port,
        },
        io::ErrorKind::PermissionDenied => ListenError::Privileged {
            port,
            first: first_unprivileged_port(),
            container_port,
        },
        _ => ListenError::Other {
            port,
            address,
            reason: describe(error),
        },
    }
}

fn first_unprivileged_port() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}
