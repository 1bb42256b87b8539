//! A rootless, daemonless container engine.

pub mod container;
pub mod monitor;
pub mod network;
pub mod paths;
pub mod sandbox;
pub mod signal;
pub mod store;
pub mod template;
