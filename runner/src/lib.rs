//! A rootless, daemonless container engine.

pub mod sandbox;
