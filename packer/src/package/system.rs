//! What can be packed for: one processor, by its names in Guix, in images and in rustup.

use std::fmt;
use std::str::FromStr;

use super::nearest::nearest;
use crate::image::Platform;

/// A processor that images are made for, with Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct System(&'static Names);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Names {
    /// Guix's name.
    guix: &'static str,
    /// Go's name, which images have.
    architecture: &'static str,
    variant: Option<&'static str>,
    /// The target of Rust that makes static programs with rustup alone.
    musl: &'static str,
}

const fn names(
    guix: &'static str,
    architecture: &'static str,
    variant: Option<&'static str>,
    musl: &'static str,
) -> Names {
    Names {
        guix,
        architecture,
        variant,
        musl,
    }
}

static SYSTEMS: [Names; 6] = [
    names("x86_64-linux", "amd64", None, "x86_64-unknown-linux-musl"),
    names("aarch64-linux", "arm64", None, "aarch64-unknown-linux-musl"),
    names("i686-linux", "386", None, "i686-unknown-linux-musl"),
    names(
        "armhf-linux",
        "arm",
        Some("v7"),
        "armv7-unknown-linux-musleabihf",
    ),
    names(
        "powerpc64le-linux",
        "ppc64le",
        None,
        "powerpc64le-unknown-linux-musl",
    ),
    names(
        "riscv64-linux",
        "riscv64",
        None,
        "riscv64gc-unknown-linux-musl",
    ),
];

/// A text that names no system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no system; did you mean \"{nearest}\"?", .text.escape_debug())]
pub struct InvalidSystem {
    text: String,
    nearest: &'static str,
}

impl System {
    /// The system that this program runs on, if images are made for it.
    #[must_use]
    pub fn host() -> Option<Self> {
        Self::of(&Platform::host())
    }

    /// The system of a platform.
    #[must_use]
    pub fn of(platform: &Platform) -> Option<Self> {
        let is_it = |names: &&Names| names.architecture == platform.architecture;
        SYSTEMS.iter().find(is_it).map(Self)
    }

    /// What every package of cargo can be packed for unless its definition says otherwise: the two
    /// that rust's own linker makes static programs for, and that most machines are.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        SYSTEMS[..2].iter().map(Self).collect()
    }

    /// Its platform in an image.
    #[must_use]
    pub fn platform(self) -> Platform {
        Platform {
            architecture: self.0.architecture.to_owned(),
            os: "linux".to_owned(),
            variant: self.0.variant.map(ToOwned::to_owned),
        }
    }

    /// The target of Rust for static programs: `x86_64-unknown-linux-musl`.
    #[must_use]
    pub fn musl_target(self) -> &'static str {
        self.0.musl
    }

    /// Go's name, by which images, docker and podman call it: `amd64`.
    #[must_use]
    pub fn architecture(self) -> &'static str {
        self.0.architecture
    }
}

impl fmt::Display for System {
    /// Guix's name.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.guix)
    }
}

impl FromStr for System {
    type Err = InvalidSystem;

    /// Reads any of its names: `amd64`, `linux/amd64`, `x86_64-linux`, `x86_64`,
    /// `x86_64-unknown-linux-musl`.
    fn from_str(text: &str) -> Result<Self, InvalidSystem> {
        let bare = text.strip_prefix("linux/").unwrap_or(text);
        let is_it = |names: &&Names| {
            let processor = names.guix.trim_end_matches("-linux");
            [names.guix, names.architecture, names.musl, processor].contains(&bare)
        };
        SYSTEMS.iter().find(is_it).map(Self).ok_or_else(|| {
            let known: Vec<_> = SYSTEMS
                .iter()
                .flat_map(|names| [names.architecture, names.guix])
                .collect();
            InvalidSystem {
                text: text.to_owned(),
                nearest: nearest(bare, &known),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_has_many_names() {
        for name in [
            "arm64",
            "linux/arm64",
            "aarch64",
            "aarch64-linux",
            "aarch64-unknown-linux-musl",
        ] {
            let system: System = name.parse().unwrap();
            assert_eq!(system.to_string(), "aarch64-linux");
            assert_eq!(system.platform().architecture, "arm64");
            assert_eq!(System::of(&system.platform()), Some(system));
        }
        let error = "amd46".parse::<System>().unwrap_err();
        assert!(error.to_string().contains("did you mean \"amd64\""));
    }
}
