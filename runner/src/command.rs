//! What the user asks for: one file a verb.

pub mod images;
pub mod inspect_image;
pub mod load;
pub mod rmi;
