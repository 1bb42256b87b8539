//! The hello HTTP server.
fn main() {}
