//! Images made by hand, in the shape of each program that writes archives.
//!
//! Nothing of the packer is used, so that these say what the specifications say and not what we think.

pub mod archive;
pub mod bundle;
pub mod busybox;
pub mod confined;
pub mod layer;
pub mod probe;

pub use archive::Archive;
pub use layer::Layer;
