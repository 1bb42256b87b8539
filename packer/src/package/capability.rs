//! File capabilities: what a program may do though it does not run as root.
//!
//! Source: capabilities(7), and `struct vfs_cap_data` in the kernel's `uapi/linux/capability.h`.

use std::fmt;
use std::num::NonZeroU64;

use super::nearest::nearest;

/// The names, in the order of their numbers, without `cap_`.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Version 2 of the structure, with the bit that makes the permitted set effective at once.
const HEAD: u32 = 0x0200_0000 | 1;

/// A set of capabilities that a file has, permitted and effective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(NonZeroU64);

/// A text that names no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no capability; did you mean \"cap_{nearest}\"?", .text.escape_debug())]
pub struct InvalidCapability {
    text: String,
    nearest: &'static str,
}

impl Capabilities {
    /// The set of these names, each with or without `cap_`; without names there is none.
    ///
    /// # Errors
    /// [`InvalidCapability`] for a name that is none.
    pub fn from_names(names: &[String]) -> Result<Option<Self>, InvalidCapability> {
        let mut set = 0;
        for text in names {
            let lower = text.to_ascii_lowercase();
            let bare = lower.strip_prefix("cap_").unwrap_or(&lower);
            let number = NAMES.iter().position(|name| *name == bare);
            let number = number.ok_or_else(|| InvalidCapability {
                text: text.clone(),
                nearest: nearest(bare, &NAMES),
            })?;
            set |= 1 << number;
        }
        Ok(NonZeroU64::new(set).map(Self))
    }

    /// The value of the attribute `security.capability`.
    #[must_use]
    pub fn attribute(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        let halves = self.0.get().to_le_bytes();
        bytes[..4].copy_from_slice(&HEAD.to_le_bytes());
        // Permitted and inheritable, first of the lower 32 numbers, then of the upper ones.
        bytes[4..8].copy_from_slice(&halves[..4]);
        bytes[12..16].copy_from_slice(&halves[4..]);
        bytes
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.iter().enumerate();
        let names: Vec<String> = names
            .filter(|(number, _)| self.0.get() >> number & 1 == 1)
            .map(|(_, name)| format!("cap_{name}"))
            .collect();
        formatter.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> Result<Capabilities, InvalidCapability> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Capabilities::from_names(&names).map(|set| set.expect("there are names"))
    }

    #[test]
    fn no_names_are_no_set() {
        assert_eq!(Capabilities::from_names(&[]), Ok(None));
    }

    /// `setcap cap_net_bind_service,cap_bpf=ep FILE; getfattr -e hex -n security.capability FILE`
    #[test]
    fn the_attribute_is_what_setcap_writes() {
        let set = set(&["CAP_NET_BIND_SERVICE", "bpf"]).unwrap();
        assert_eq!(
            set.attribute(),
            [
                1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0
            ]
        );
        assert_eq!(set.to_string(), "cap_net_bind_service,cap_bpf");
    }

    #[test]
    fn an_unknown_capability_is_an_error_that_names_the_nearest_one() {
        let error = set(&["net_bind"]).unwrap_err().to_string();
        assert!(error.contains("cap_net_bind_service"), "{error}");
    }
}
