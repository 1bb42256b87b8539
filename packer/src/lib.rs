//! From a program to an OCI image: package definition, root file system, layer, image, archive.
//!
//! The modules follow the road. A [`package`] says what is packed; [`program`] obtains its
//! executable, and [`closure`] what that needs beside it; [`rootfs`] plans the tree around it;
//! [`layer`] writes that tree down; the image model ([`image`]) is what travels; and a place that
//! takes or gives images ([`place`]) is where the road leads: an [`archive`], and in other crates a
//! store.
//!
//! Most callers need two calls: [`prepare`] compiles and plans, and [`Plan::write`] packs into any
//! place. Between the two stands [`Plan::fingerprint`]: when it has not changed, there is nothing
//! to pack.

mod answers;
pub mod archive;
pub mod base;
pub mod bom;
pub mod cache;
pub mod closure;
pub mod containerfile;
pub mod contents;
pub mod credentials;
pub mod difference;
pub mod digest;
mod elf;
pub mod epoch;
mod glob;
pub mod image;
pub mod import;
pub mod layer;
pub mod name;
pub mod package;
pub mod place;
pub mod plan;
pub mod program;
pub mod progress;
pub mod recompress;
pub mod reference;
pub mod registries;
pub mod registry;
pub mod rootfs;
mod scratch;
mod slice;
pub mod stages;
mod stamp;
pub mod transport;
mod ustar;

pub use digest::Digest;
pub use name::ImageName;
pub use plan::{Error, Plan, Request, prepare};
pub use progress::Progress;
pub use reference::Reference;
