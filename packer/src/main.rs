//! The `packer` command.
fn main() {}
