//! Support for the end-to-end suites and the benchmarks.
//!
//! A test gets a [`World`]: an account to run as, a new home, a new runtime folder and a clean
//! environment. In it the test starts our programs and the real clients ([`client`]) with
//! [`command::Run`], on images that are built by hand ([`fixture`]). When the world ends it looks for what was left
//! behind ([`leaks`]). What cannot run on this machine is said, and counted ([`missing`]).

pub mod account;
pub mod attack;
pub mod binaries;
pub mod browser;
pub mod client;
pub mod clone;
pub mod command;
pub mod decider;
pub mod disk;
pub mod engine;
pub mod figures;
pub mod fixture;
pub mod janitor;
pub mod leaks;
pub mod missing;
pub mod peak;
pub mod processes;
pub mod random;
pub mod ratio;
pub mod scripted;
pub mod svg;
pub mod toolchain;
pub mod wait;
pub mod world;

pub use account::Mode;
pub use command::{Outcome, Run, Running};
pub use engine::Engine;
pub use missing::Missing;
pub use random::Random;
pub use world::World;
