//! A rootless, daemonless container engine.

pub mod command;
pub mod config;
pub mod container;
pub mod human;
pub mod monitor;
pub mod network;
#[cfg(test)]
mod noise;
pub mod oci;
pub mod paths;
pub mod profiles;
pub mod sandbox;
pub mod signal;
pub mod store;
pub mod template;
pub mod trust;
