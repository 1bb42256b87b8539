//! The container's own network: a loopback that is up, and on it a second address that is none of
//! the loopback range, so that a connection from outside never looks like one from inside.
//!
//! Five messages to the kernel's routing tables are all that it takes (rtnetlink(7)), so they are
//! put together here: the library for them is longer than the rest of this program.

use std::io;
use std::net::IpAddr;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use super::super::address::{CONTAINER_V4, CONTAINER_V6, GATEWAY_V4, GATEWAY_V6};
use super::super::failure::{Context, Failure};
use super::super::spec::Network;
use super::Setup;

/// The first interface of every network namespace (`LOOPBACK_IFINDEX` of the kernel).
const LOOPBACK: u32 = 1;

pub(super) fn raise(setup: &Setup<'_>) -> Result<(), Failure> {
    let what = || "cannot set up the container's network".to_owned();
    if setup.spec.network == Network::Host {
        return Ok(());
    }
    let is_up = setup.ahead.is_some();
    if is_up && setup.spec.network == Network::None {
        return Ok(());
    }
    let routes = Routes::open().context(what)?;
    if !is_up {
        routes.change(&loopback_up()).context(what)?;
    }
    if setup.spec.network == Network::None {
        return Ok(());
    }
    for address in [CONTAINER_V4, GATEWAY_V4] {
        routes
            .change(&add_address(IpAddr::V4(address)))
            .context(what)?;
    }
    for address in [CONTAINER_V6, GATEWAY_V6] {
        // A kernel without IPv6 has no such family; the first version of the protocol is enough.
        let _ = routes.change(&add_address(IpAddr::V6(address)));
    }
    Ok(())
}

/// Brings up the loopback of the network that this process is in.
pub(in crate::sandbox) fn bring_up() -> io::Result<()> {
    Routes::open()?.change(&loopback_up())
}

/// A change to the routing tables: its kind, its flags and what follows the header.
struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

// linux/netlink.h and linux/rtnetlink.h
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const IFF_UP: u32 = 0x1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Usable at once: nobody else can have the address here, so nobody needs to be asked.
const IFA_F_NODAD: u8 = 0x2;

/// `struct ifinfomsg`: family, padding, type, index, flags, and which flags are meant.
fn loopback_up() -> Message {
    let mut body = vec![0; 4];
    for word in [LOOPBACK, IFF_UP, IFF_UP] {
        body.extend(word.to_ne_bytes());
    }
    Message {
        kind: RTM_SETLINK,
        flags: 0,
        body,
    }
}

/// `struct ifaddrmsg`: family, length of the prefix, flags, scope, index; then the address, twice.
fn add_address(address: IpAddr) -> Message {
    let (family, octets, flags) = match address {
        IpAddr::V4(address) => (AddressFamily::INET, address.octets().to_vec(), 0),
        IpAddr::V6(address) => (AddressFamily::INET6, address.octets().to_vec(), IFA_F_NODAD),
    };
    let [family, _] = family.as_raw().to_le_bytes();
    let bits = if octets.len() == 4 { 32 } else { 128 };
    let mut body = vec![family, bits, flags, 0];
    body.extend(LOOPBACK.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        let length = if octets.len() == 4 { 8_u16 } else { 20 };
        body.extend(length.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(&octets);
    }
    Message {
        kind: RTM_NEWADDR,
        flags: NLM_F_CREATE | NLM_F_EXCL,
        body,
    }
}

/// A socket to the kernel's routing tables.
struct Routes(OwnedFd);

impl Routes {
    fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        // The default protocol of this family is the routing tables.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        Ok(Self(socket))
    }

    /// Sends one message and waits until the kernel says that it is done.
    fn change(&self, message: &Message) -> io::Result<()> {
        let length = u32::try_from(16 + message.body.len()).map_err(io::Error::other)?;
        let mut packet = length.to_ne_bytes().to_vec();
        packet.extend(message.kind.to_ne_bytes());
        packet.extend((message.flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        // Sequence number and port: there is only one question and one who asks.
        packet.extend([0; 8]);
        packet.extend(&message.body);
        send(&self.0, &packet, SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (length, _) = recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        match error_of(&answer[..length]) {
            Some(0) => Ok(()),
            Some(code) => Err(Errno::from_raw_os_error(-code).into()),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The error code in an acknowledgement (`struct nlmsgerr`): 0, or an error number below 0.
fn error_of(answer: &[u8]) -> Option<i32> {
    let kind: [u8; 2] = answer.get(4..6)?.try_into().ok()?;
    let code: [u8; 4] = answer.get(16..20)?.try_into().ok()?;
    (u16::from_ne_bytes(kind) == NLMSG_ERROR).then(|| i32::from_ne_bytes(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_laid_out_as_the_kernel_reads_it() {
        let body = add_address(IpAddr::V4(CONTAINER_V4)).body;
        let expected = [
            &[2, 32, 0, 0, 1, 0, 0, 0][..],
            &[8, 0, 2, 0, 10, 88, 0, 2],
            &[8, 0, 1, 0, 10, 88, 0, 2],
        ];
        assert_eq!(body, expected.concat());
        assert_eq!(add_address(IpAddr::V6(CONTAINER_V6)).body.len(), 8 + 2 * 20);
    }

    #[test]
    fn an_acknowledgement_is_read_and_rubbish_is_not() {
        let mut answer = vec![36, 0, 0, 0, 2, 0];
        answer.extend([0; 10]);
        answer.extend((-17_i32).to_ne_bytes());
        assert_eq!(error_of(&answer), Some(-17));
        assert_eq!(error_of(&answer[..18]), None);
        answer[4] = 3;
        assert_eq!(error_of(&answer), None);
    }
}
