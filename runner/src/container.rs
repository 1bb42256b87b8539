//! Containers: what is written down of them, and what can be done with them.
//!
//! A container is a folder below the graph root. `config.json` says what it is and never changes,
//! `state.json` says what became of it and is written by its monitor alone, `lock` is locked while
//! a monitor lives. No process keeps anything that is not in these files.

mod accounts;
pub mod create;
pub mod folder;
pub mod id;
pub mod isolation;
pub mod listener;
pub mod log;
pub mod name;
pub mod record;
pub mod resources;
pub mod security;
pub mod spec;
pub mod state;
pub mod user;
pub mod volume;

pub use create::Options;
pub use folder::{Container, Containers};
pub use id::ContainerId;
pub use name::ContainerName;
pub use record::Record;
pub use state::{State, Status};
