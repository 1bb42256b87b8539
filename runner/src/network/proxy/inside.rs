//! Connections to the program inside: where they may go, and how far one has come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use super::Route;
use crate::sandbox::{self, address};

/// Where a program may listen, and what a connection to there comes from: first at the container's
/// own address, then, for clients of this machine only, on loopback.
const PLACES: [(IpAddr, Option<IpAddr>); 4] = [
    (
        IpAddr::V4(address::CONTAINER_V4),
        Some(IpAddr::V4(address::GATEWAY_V4)),
    ),
    (
        IpAddr::V6(address::CONTAINER_V6),
        Some(IpAddr::V6(address::GATEWAY_V6)),
    ),
    (IpAddr::V4(Ipv4Addr::LOCALHOST), None),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), None),
];

/// How many of them are open to clients from elsewhere.
const FOR_ALL: usize = 2;

/// A connection that was not refused.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) socket: OwnedFd,
    /// Which of the places it goes to.
    pub(super) place: usize,
    /// Whether it is made already; else its socket becomes writable when it is, or has failed.
    pub(super) made: bool,
}

/// Connects to the program at the first of its places, from number `first` on, that does not
/// refuse at once.
pub(super) fn try_places(route: &Route, first: usize) -> Result<Attempt, Errno> {
    let count = if route.local { PLACES.len() } else { FOR_ALL };
    let mut failure = Errno::CONNREFUSED;
    for (place, &(target, source)) in PLACES.iter().enumerate().take(count).skip(first) {
        match start(SocketAddr::new(target, route.port), source) {
            Ok((socket, made)) => {
                return Ok(Attempt {
                    socket,
                    place,
                    made,
                });
            }
            Err(error) if nobody_listens(error) => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Whether this says that nobody listens there, or that there is no such protocol or address here.
pub(super) fn nobody_listens(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNREFUSED | Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::NETUNREACH
    )
}

fn start(target: SocketAddr, source: Option<IpAddr>) -> Result<(OwnedFd, bool), Errno> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    if let Some(source) = source {
        if target.is_ipv4() {
            // The kernel chooses the source port at connect, so that more than one connection
            // may have the same one (ip(7), IP_BIND_ADDRESS_NO_PORT).
            let _ = sandbox::choose_port_at_connect(&socket);
        }
        bind(&socket, &SocketAddr::new(source, 0))?;
    }
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    match connect(&socket, &target) {
        Ok(()) => Ok((socket, true)),
        // Within one machine the answer is nearly always there already; it is looked at and not
        // foretold. It may be late on a busy machine, and while the program's queue is full.
        Err(Errno::INPROGRESS) => {
            sockopt::socket_error(&socket)??;
            let made = is_writable(&socket);
            Ok((socket, made))
        }
        Err(error) => Err(error),
    }
}

fn is_writable(socket: &OwnedFd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut set = [PollFd::new(socket, PollFlags::OUT)];
    poll(&mut set, Some(&now)).is_ok() && set[0].revents() == PollFlags::OUT
}
