//! The runner library.

pub mod paths;
pub mod store;
pub mod template;
