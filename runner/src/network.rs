//! How a container is reached: published ports.
//!
//! [`publish`] reads what the user asked for, [`listen`] opens the sockets on the host before anything
//! starts, and [`proxy`] carries each connection into the container's own network. There is no
//! way out yet: a container with a network of its own reaches nothing outside.

pub mod listen;
pub mod proxy;
pub mod publish;

pub use listen::Listener;
pub use publish::{PortMapping, Protocol};
