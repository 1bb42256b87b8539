//! The container's own network: a loopback that is up, and on it a second address that is none of
//! the loopback range, so that a connection from outside never looks like one from inside.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::net::{
    AddressFamily as SocketFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send,
    socket_with,
};

use super::super::address::{CONTAINER_V4, CONTAINER_V6, GATEWAY_V4, GATEWAY_V6};
use super::super::failure::{Context, Failure};
use super::super::spec::Network;
use super::Setup;

/// The first interface of every network namespace (`LOOPBACK_IFINDEX` of the kernel).
const LOOPBACK: u32 = 1;

pub(super) fn raise(setup: &Setup) -> Result<(), Failure> {
    let what = || "cannot set up the container's network".to_owned();
    if setup.spec.network == Network::Host {
        return Ok(());
    }
    let socket = Route::open().context(what)?;
    socket.send(loopback_up()).context(what)?;
    if setup.spec.network == Network::None {
        return Ok(());
    }
    for address in [CONTAINER_V4, GATEWAY_V4] {
        socket
            .send(add_address(IpAddr::V4(address)))
            .context(what)?;
    }
    for address in [CONTAINER_V6, GATEWAY_V6] {
        // A kernel without IPv6 has no such family; the first version of the protocol is enough.
        let _ = socket.send(add_address(IpAddr::V6(address)));
    }
    Ok(())
}

fn loopback_up() -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = LOOPBACK;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    RouteNetlinkMessage::SetLink(link)
}

fn add_address(address: IpAddr) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.index = LOOPBACK;
    message.header.scope = AddressScope::Universe;
    (message.header.family, message.header.prefix_len) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    if address.is_ipv6() {
        // Usable at once: nobody else can have it here, so nobody needs to be asked.
        message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    RouteNetlinkMessage::NewAddress(message)
}

/// A socket to the kernel's routing tables (rtnetlink(7)).
struct Route(rustix::fd::OwnedFd);

impl Route {
    fn open() -> io::Result<Self> {
        let socket = socket_with(
            SocketFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE is number 0.
            None,
        )?;
        Ok(Self(socket))
    }

    /// Sends one message and waits for its acknowledgement.
    fn send(&self, message: RouteNetlinkMessage) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK;
        if matches!(message, RouteNetlinkMessage::NewAddress(_)) {
            header.flags |= NLM_F_CREATE | NLM_F_EXCL;
        }
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        send(&self.0, &bytes, SendFlags::empty())?;
        let mut answer = vec![0; 4096];
        let (length, _) = recv(&self.0, answer.as_mut_slice(), RecvFlags::empty())?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer[..length])
            .map_err(io::Error::other)?;
        match answer.payload {
            NetlinkPayload::Error(error) => match error.code {
                None => Ok(()),
                Some(_) => Err(error.to_io()),
            },
            _ => Ok(()),
        }
    }
}
