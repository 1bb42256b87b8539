//! Capabilities by name (capabilities(7)).

use std::fmt;

use rustix::thread::CapabilitySet as Bits;
use serde::{Deserialize, Serialize};

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CapabilitySet(u64);

/// Names in the order of their numbers, without `CAP_`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl CapabilitySet {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// What podman gives a container by default: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL,
    /// NET_BIND_SERVICE, SETFCAP, SETGID, SETPCAP, SETUID, SYS_CHROOT.
    #[must_use]
    pub fn container_default() -> Self {
        let bits = Bits::CHOWN
            | Bits::DAC_OVERRIDE
            | Bits::FOWNER
            | Bits::FSETID
            | Bits::KILL
            | Bits::NET_BIND_SERVICE
            | Bits::SETFCAP
            | Bits::SETGID
            | Bits::SETPCAP
            | Bits::SETUID
            | Bits::SYS_CHROOT;
        Self(bits.bits())
    }

    /// Every capability that has a name here.
    #[must_use]
    pub fn all() -> Self {
        Self((1 << NAMES.len()) - 1)
    }

    /// Reads `NET_RAW`, `cap_net_raw` or `ALL`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        if name == "ALL" {
            return Some(Self::all());
        }
        let number = NAMES.iter().position(|known| *known == name)?;
        Some(Self(1 << number))
    }

    /// Those that this process may use; none if the kernel does not say.
    #[must_use]
    pub fn own() -> Self {
        let own = rustix::thread::capabilities(None);
        Self(own.map_or(0, |own| own.permitted.bits()))
    }

    /// Both sets together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// This set without the other.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names with `CAP_`, in the order of their numbers.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        (0..NAMES.len())
            .filter(|number| self.0 & 1 << number != 0)
            .map(|number| format!("CAP_{}", NAMES[number]))
            .collect()
    }

    pub(super) fn bits(self) -> Bits {
        Bits::from_bits_retain(self.0)
    }

    /// One bit a capability, each alone, for calls that take one at a time.
    pub(super) fn each(self) -> impl Iterator<Item = Bits> {
        (0..64)
            .filter(move |number| self.0 & 1 << number != 0)
            .map(|number| Bits::from_bits_retain(1 << number))
    }
}

impl fmt::Display for CapabilitySet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.names().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_spelling_and_written_back() {
        for text in ["NET_RAW", "cap_net_raw", "CAP_NET_RAW", "net_raw"] {
            assert_eq!(CapabilitySet::parse(text).unwrap().names(), ["CAP_NET_RAW"]);
        }
        assert_eq!(CapabilitySet::parse("NET_RAWW"), None);
    }

    #[test]
    fn the_names_stand_at_the_numbers_of_the_kernel() {
        for (name, bit) in [
            ("CHOWN", Bits::CHOWN),
            ("SYS_ADMIN", Bits::SYS_ADMIN),
            ("SETFCAP", Bits::SETFCAP),
            ("CHECKPOINT_RESTORE", Bits::CHECKPOINT_RESTORE),
        ] {
            assert_eq!(CapabilitySet::parse(name).unwrap().bits(), bit, "{name}");
        }
    }

    #[test]
    fn the_default_set_is_podmans() {
        assert_eq!(CapabilitySet::container_default().0, 0x0000_0000_8004_05fb);
    }
}
