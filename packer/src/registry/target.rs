//! Where a request goes: a scheme, a host and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use hyper::Uri;

use super::error::Problem;

/// A server. Two requests with the same target may use one connection and the same credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// The server of a registry as it is written in references.
    pub(super) fn of_registry(registry: &str, tls: bool) -> Self {
        // Docker Hub's name has another server.
        let registry = match registry {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let (host, port) = match registry.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (registry, None),
        };
        Self {
            tls,
            host: unbracketed(host).to_owned(),
            port: port.unwrap_or_else(|| default_port(tls)),
        }
    }

    /// The server of an absolute address; nothing for other schemes than HTTP's.
    pub(super) fn of_uri(uri: &Uri) -> Option<Self> {
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self {
            tls,
            host: unbracketed(uri.host()?).to_lowercase(),
            port: uri.port_u16().unwrap_or_else(|| default_port(tls)),
        })
    }

    /// What the `Host` field says.
    pub(super) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match self.port == default_port(self.tls) {
            true => host,
            false => format!("{host}:{}", self.port),
        }
    }

    /// Whether it is this machine: `localhost`, 127.0.0.0/8, ::1.
    pub(super) fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// The addresses of the host. It is looked up in this thread, because the caller may be about
    /// to change its user namespace, for which there must be no other one.
    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, Problem> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found: Vec<_> = found
            .map_err(|error| Problem::Unreachable(format!("{}: {error}", self.host)))?
            .collect();
        match found.is_empty() {
            true => Err(Problem::Unreachable(format!(
                "{} has no address",
                self.host
            ))),
            false => Ok(found),
        }
    }

    /// Whether credentials for `self` may be given to `other`: the same host, or one of the same
    /// domain, as `registry-1.docker.io` and `auth.docker.io` are. Never from TLS to plain HTTP.
    pub(super) fn trusts(&self, other: &Self) -> bool {
        if self.tls && !other.tls {
            return false;
        }
        if self.host == other.host {
            return true;
        }
        let is_address = |target: &Self| target.host.parse::<IpAddr>().is_ok();
        if is_address(self) || is_address(other) || !other.tls {
            return false;
        }
        match (domain(&self.host), domain(&other.host)) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.authority())
    }
}

/// Whether nobody but a machine itself and its own link is there: what a registry has no business
/// to send us to (the metadata services of clouds are at link-local addresses).
pub(super) fn is_private_to_host(address: &SocketAddr) -> bool {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

/// The last two labels.
fn domain(host: &str) -> Option<&str> {
    let (before, _) = host.rsplit_once('.')?;
    let start = before.rfind('.').map_or(0, |dot| dot + 1);
    Some(&host[start..])
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::of_uri(&uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_registry_is_a_host_and_a_port() {
        let written = |registry: &str| Target::of_registry(registry, true).to_string();
        assert_eq!(written("docker.io"), "https://registry-1.docker.io");
        assert_eq!(written("localhost:5000"), "https://localhost:5000");
        assert_eq!(written("[::1]:5000"), "https://[::1]:5000");
        assert_eq!(written("[::1]"), "https://[::1]");
    }

    #[test]
    fn credentials_stay_in_the_domain() {
        let trusts = |from: &str, to: &str| target(from).trusts(&target(to));
        assert!(trusts(
            "https://registry-1.docker.io",
            "https://auth.docker.io"
        ));
        assert!(trusts("https://registry.gitlab.com", "https://gitlab.com"));
        assert!(trusts("http://localhost:1", "http://localhost:2"));
        assert!(!trusts("https://a.example", "http://a.example"));
        assert!(!trusts("https://r.a.example", "https://r.b.example"));
        assert!(!trusts("https://localhost", "https://127.0.0.1"));
        assert!(!trusts("http://10.0.0.1", "http://20.0.0.1"));
        assert!(!trusts("http://r.a.example", "http://s.a.example"));
    }

    #[test]
    fn addresses_of_the_machine_and_its_link_are_known() {
        for address in [
            "127.0.0.2:1",
            "169.254.169.254:80",
            "[::1]:1",
            "[fe80::1]:1",
            "[::ffff:127.0.0.1]:1",
            "0.0.0.0:1",
        ] {
            assert!(is_private_to_host(&address.parse().unwrap()), "{address}");
        }
        assert!(!is_private_to_host(&"10.0.0.1:1".parse().unwrap()));
    }
}
