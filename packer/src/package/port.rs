//! Ports that programs listen on, as images write them: `8080/tcp`.

use std::fmt;
use std::str::FromStr;

/// A port that a program listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// What is spoken on it.
    pub protocol: Protocol,
}

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A text that is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no port: a number from 1 to 65535 is expected, with /tcp or /udp behind it if need be", .0.escape_debug())]
pub struct InvalidPort(String);

impl FromStr for Port {
    type Err = InvalidPort;

    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        let refuse = || InvalidPort(text.to_owned());
        let (number, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
            Some((number, "udp")) => (number, Protocol::Udp),
            Some(_) => return Err(refuse()),
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        match number.parse() {
            Ok(number) if number > 0 && digits => Ok(Self { number, protocol }),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(formatter, "{}/{protocol}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_with_and_without_protocol() {
        for (text, port) in [
            ("8080", "8080/tcp"),
            ("1/tcp", "1/tcp"),
            ("53/udp", "53/udp"),
        ] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), port);
        }
        for text in ["", "0", "65536", "+80", "80/", "80/sctp", "80/tcp/tcp", "a"] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }
}
