//! A small HTTP server whose every answer is `Hello World!`, and the model of a well-behaved
//! container process: it says one line when it is ready, answers each client however slow or
//! rude the others are, and ends when it is told to, as PID 1 too.
//!
//! The rooms, in the order in which a request meets them: [`config`] (what was asked for),
//! [`listen`] and [`accept`] (sockets), [`worker`] (one single-threaded runtime a core),
//! [`connection`], `greeter`, [`io`] and `memory` (one client), [`reaper`] (time limits), [`service`] (the pure function
//! from request to answer), [`access`] (the log), [`drain`] (the end). With the feature
//! `h2c` there is HTTP/2 too. [`health`] is the client for
//! health checks, [`ready`] tells the supervisor, [`timer`] waits, [`signals`] tells when to end, and
//! `adopt`, which takes over a socket that was handed in, is the only file with `unsafe` in it.

pub mod accept;
pub mod access;
mod adopt;
pub mod config;
pub mod connection;
pub mod drain;
mod greeter;
#[cfg(feature = "h2c")]
pub mod h2c;
pub mod health;
pub mod io;
pub mod listen;
mod memory;
pub mod ready;
pub mod reaper;
pub mod service;
pub mod signals;
pub mod timer;
pub mod worker;

/// Says a line on standard error, in one piece: who waits for our address never reads half of it.
/// Nobody may be listening there any more, which is no reason to end.
pub fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("server: {line}\n").as_bytes());
}
