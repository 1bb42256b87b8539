//! The configuration files that this engine shares with podman.

pub mod containers;
pub mod storage;
