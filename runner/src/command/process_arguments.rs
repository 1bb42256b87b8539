//! The flags about what surrounds a container's processes, for `run` and `create`: what few ask for.

use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::container::create::Surroundings;
use crate::container::record::Volume;
use crate::container::volume;
use crate::human;
use crate::sandbox::parameters;
use crate::sandbox::spec::{Isolation, Namespace, Namespaces, Network};

// What few ask for.
#[derive(Debug, Args)]
pub(super) struct ProcessArguments {
    /// Permission bits that new files do not get, in octal digits [default: 0022].
    #[arg(long, value_name = "MASK")]
    umask: Option<String>,

    /// How readily the kernel kills the container when memory runs out: -1000 to 1000; less than this
    /// command's own only for root.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    oom_score_adj: Option<i32>,

    /// One more group of its processes: a name of the image or a number.
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,

    /// Set a kernel parameter of the container's own namespaces: net.ipv4.ip_forward=1.
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,

    /// The size of /dev/shm [default: 64m].
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,

    /// Add a line to /etc/hosts.
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,

    /// Leave out a variable of the image.
    #[arg(long, value_name = "NAME")]
    unsetenv: Vec<String>,

    /// Leave out every variable of the image.
    #[arg(long)]
    unsetenv_all: bool,
}

impl ProcessArguments {
    /// What was asked for, for a container with these walls.
    pub(super) fn read(
        &self,
        isolation: Isolation,
        network: Network,
    ) -> anyhow::Result<Surroundings> {
        if let Some(number) = self.oom_score_adj {
            ensure!(
                (-1000..=1000).contains(&number),
                "--oom-score-adj {number}: -1000 to 1000"
            );
        }
        let namespaces = namespaces(isolation, network);
        let sysctl = self.sysctl.iter().map(|text| parameter(text, &namespaces));
        Ok(Surroundings {
            umask: self.umask.as_deref().map(umask).transpose()?,
            oom_score_adjustment: self.oom_score_adj,
            groups: self.group_add.clone(),
            parameters: sysctl.collect::<anyhow::Result<_>>()?,
            hosts: self
                .add_host
                .iter()
                .map(|text| host(text))
                .collect::<anyhow::Result<_>>()?,
            unset: self.unsetenv.clone(),
            unset_all: self.unsetenv_all,
        })
    }

    /// The file system in the place of the usual `/dev/shm`, if another size was asked for.
    pub(super) fn shared_memory(&self) -> anyhow::Result<Option<Volume>> {
        let Some(text) = &self.shm_size else {
            return Ok(None);
        };
        let size = human::parse_size(text).with_context(|| {
            let shown = text.escape_debug();
            format!("--shm-size {shown}: a number with one of the letters b, k, m, g is expected")
        })?;
        let text = format!("/dev/shm:size={size},mode=1777");
        Ok(Some(volume::parse_tmpfs(&text)?))
    }
}

/// The namespaces that a container with these walls has of its own.
fn namespaces(isolation: Isolation, network: Network) -> Namespaces {
    let mut namespaces = match isolation {
        Isolation::Namespaces => Namespaces::private(),
        Isolation::Chroot => Namespaces::none(),
    };
    if network != Network::Host {
        namespaces.new.push(Namespace::Network);
    }
    namespaces
}

fn parameter(text: &str, namespaces: &Namespaces) -> anyhow::Result<(String, String)> {
    let (name, value) = text
        .split_once('=')
        .with_context(|| format!("--sysctl {}: NAME=VALUE is expected", text.escape_debug()))?;
    let path = parameters::path(name, namespaces);
    let path = path.map_err(|error| anyhow::anyhow!("--sysctl: {error}"))?;
    Ok((path, value.to_owned()))
}

fn umask(text: &str) -> anyhow::Result<u32> {
    let is_octal =
        (1..=4).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    let mask = u32::from_str_radix(text, 8).ok().filter(|_| is_octal);
    mask.with_context(|| {
        format!(
            "--umask {}: one to four octal digits are expected",
            text.escape_debug()
        )
    })
}

/// A line of `/etc/hosts` from `name:address`; the address may be of either kind.
fn host(text: &str) -> anyhow::Result<String> {
    let line = || {
        let (name, address) = text.split_once(':')?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let address: IpAddr = address.parse().ok()?;
        (!name.is_empty() && name.bytes().all(legal)).then(|| format!("{address}\t{name}"))
    };
    line().with_context(|| {
        format!(
            "--add-host {}: NAME:ADDRESS is expected",
            text.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_hosts_are_read() {
        assert_eq!(umask("0027").unwrap(), 0o27);
        assert_eq!(umask("7").unwrap(), 7);
        for text in ["", "8", "00022", "+22", "u=rwx"] {
            assert!(umask(text).is_err(), "{text}");
        }
        assert_eq!(host("db:10.0.0.2").unwrap(), "10.0.0.2\tdb");
        assert_eq!(host("db:fd00::2").unwrap(), "fd00::2\tdb");
        for text in [
            "db",
            "db:",
            ":10.0.0.2",
            "d b:10.0.0.2",
            "db:10.0.0.2\n1.1.1.1 x",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_parameters_of_its_own_can_be_set() {
        let own = namespaces(Isolation::Namespaces, Network::Private);
        let read = parameter("net.ipv4.ip_forward=1", &own).unwrap();
        assert_eq!(read, ("net/ipv4/ip_forward".to_owned(), "1".to_owned()));
        let host = namespaces(Isolation::Namespaces, Network::Host);
        let chroot = namespaces(Isolation::Chroot, Network::Host);
        assert!(parameter("net.ipv4.ip_forward=1", &host).is_err());
        assert!(parameter("kernel.shmmax=1", &chroot).is_err());
        for text in ["vm.swappiness=1", "net.ipv4.ip_forward", "=1"] {
            assert!(parameter(text, &own).is_err(), "{text}");
        }
    }
}
