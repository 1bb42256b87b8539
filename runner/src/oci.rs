//! The OCI runtime: a second front door to the sandbox.
//!
//! podman, dockerd, containerd and Kubernetes describe a container as a *bundle*: a root file system
//! and a `config.json`. What that says is translated into the sandbox's own specification
//! ([`translate`]) and applied by the same steps as a container of this engine. The command line
//! is runc's; a container's state lies in a folder below the runtime's root ([`state`]).

pub mod config;
pub mod container;
pub mod features;
pub mod log;
pub mod process;
pub mod resources;
pub mod state;
pub mod template;
pub mod translate;

mod console;
mod listener;
mod mount_options;

/// The version of the runtime specification that is followed.
pub const VERSION: &str = "1.2.0";
