//! From a program to an OCI image: package definition, root file system, layer, image, archive.
//!
//! The modules follow the road: a [`package`](self) says what is packed, the image model
//! ([`image`]) is what travels, and a place that takes or gives images ([`place`]) is where the
//! road leads: an archive, and in other crates a store.

pub mod digest;
pub mod image;
pub mod name;
pub mod place;

pub use digest::Digest;
pub use name::ImageName;
