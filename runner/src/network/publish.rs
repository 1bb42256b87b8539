//! What `-p` asks for: `[[address:][host port]:]container port[/protocol]`, with ranges.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("tcp")
    }
}

/// One port of a container and where it appears on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortMapping {
    /// The host's address; `None` is every address.
    pub address: Option<IpAddr>,
    /// The host's port; 0 is any free one.
    pub host_port: u16,
    /// The port that the program listens on.
    pub container_port: u16,
    /// The protocol of both.
    pub protocol: Protocol,
}

/// A text that describes no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no port to publish: {reason}", .text.escape_debug())]
pub struct InvalidPort {
    text: String,
    reason: String,
}

/// Reads one `-p` argument; a range gives several mappings.
///
/// # Errors
/// [`InvalidPort`], which says what is wrong.
pub fn parse(text: &str) -> Result<Vec<PortMapping>, InvalidPort> {
    parse_parts(text).map_err(|reason| InvalidPort {
        text: text.to_owned(),
        reason,
    })
}

fn parse_parts(text: &str) -> Result<Vec<PortMapping>, String> {
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, name)) => (rest, parse_protocol(name)?),
        None => (text, Protocol::Tcp),
    };
    let (rest, container) = match rest.rsplit_once(':') {
        Some((rest, container)) => (Some(rest), container),
        None => (None, rest),
    };
    let (address, host) = match rest {
        None => (None, ""),
        Some(rest) => split_address(rest)?,
    };
    let container = parse_range(container)?;
    if container.0 == 0 {
        return Err("a container's port is a number from 1 to 65535".to_owned());
    }
    let count = container.1 - container.0;
    let host = if host.is_empty() {
        None
    } else {
        let host = parse_range(host)?;
        if host.1 - host.0 != count {
            return Err("the two ranges differ in length".to_owned());
        }
        Some(host.0)
    };
    Ok((0..=count)
        .map(|offset| PortMapping {
            address,
            host_port: host.map_or(0, |first| first + offset),
            container_port: container.0 + offset,
            protocol,
        })
        .collect())
}

/// Reads a port of an image's `ExposedPorts`: `8080` or `8080/tcp`. `None` for another protocol.
#[must_use]
pub fn exposed(text: &str) -> Option<u16> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    (protocol.eq_ignore_ascii_case("tcp"))
        .then(|| port.parse().ok())
        .flatten()
        .filter(|&port| port > 0)
}

fn parse_protocol(name: &str) -> Result<Protocol, String> {
    match name {
        "tcp" => Ok(Protocol::Tcp),
        other => Err(format!(
            "the protocol {other} can not be published, only tcp"
        )),
    }
}

fn split_address(text: &str) -> Result<(Option<IpAddr>, &str), String> {
    let (address, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("a \"]\" is missing")?;
        (address, port.strip_prefix(':').unwrap_or(port))
    } else {
        match text.rsplit_once(':') {
            Some(parts) => parts,
            // An address alone or a port alone: only an address has dots.
            None if text.contains('.') => (text, ""),
            None => return Ok((None, text)),
        }
    };
    if address.is_empty() {
        return Ok((None, port));
    }
    let parsed = address
        .parse()
        .map_err(|_| format!("{} is no IP address", address.escape_debug()))?;
    Ok((Some(parsed), port))
}

fn parse_range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| format!("{} is no port from 0 to 65535", text.escape_debug()))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = (number(first)?, number(last)?);
    if range.0 > range.1 {
        return Err("the range ends before it begins".to_owned());
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(address: Option<&str>, host_port: u16, container_port: u16) -> PortMapping {
        PortMapping {
            address: address.map(|text| text.parse().unwrap()),
            host_port,
            container_port,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("80", mapping(None, 0, 80)),
            ("8080:80", mapping(None, 8080, 80)),
            ("8080:80/tcp", mapping(None, 8080, 80)),
            (":80", mapping(None, 0, 80)),
            ("127.0.0.1:8080:80", mapping(Some("127.0.0.1"), 8080, 80)),
            ("127.0.0.1::80", mapping(Some("127.0.0.1"), 0, 80)),
            ("[::1]:8080:80", mapping(Some("::1"), 8080, 80)),
            ("[::1]::80", mapping(Some("::1"), 0, 80)),
        ] {
            assert_eq!(parse(text), Ok(vec![expected]), "{text}");
        }
    }

    #[test]
    fn a_range_is_read_port_by_port() {
        let expected = vec![mapping(None, 8000, 80), mapping(None, 8001, 81)];
        assert_eq!(parse("8000-8001:80-81"), Ok(expected));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            "x",
            "0",
            "80:",
            "70000:80",
            "8080:80/udp",
            "8080:80/x",
            "1-2:3",
            "2-1:2-1",
            "host:80:80",
            "1:2:3:4",
            "[::1:80:80",
            "-1:80",
            "80/",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
