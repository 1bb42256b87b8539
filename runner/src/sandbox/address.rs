//! The addresses of a container's own network. Each container has a network of its own, so all
//! have the same.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The container's own address; none of the loopback range, so that a connection from outside
/// never looks like one from inside.
pub const CONTAINER_V4: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 2);
/// The address that carried connections come from, podman's for a gateway.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
/// The container's own address in version 6 of the protocol (a unique local one, RFC 4193).
pub const CONTAINER_V6: Ipv6Addr = Ipv6Addr::new(0xfd88, 0, 0, 0, 0, 0, 0, 2);
/// The address that carried connections come from in version 6.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd88, 0, 0, 0, 0, 0, 0, 1);
