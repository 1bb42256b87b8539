//! How the server ends without losing a request that a client has already sent.
//!
//! Closing a listening socket resets the connections that wait in it, and closing an idle
//! connection loses a request that is on its way. So the end has a timetable: first every answer
//! says that it is the last of its connection, while new ones are still welcome; then those that
//! wait are let in and the door is shut; then clients that are silent get a moment in which their
//! request, if one is under way, still arrives; then whoever is silent goes; and at the deadline
//! the rest goes too.

use std::time::Duration;

/// How long new connections stay welcome after the first signal.
const WELCOME: Duration = Duration::from_millis(5);

/// How long silent connections stay open after the first signal.
const SILENCE: Duration = Duration::from_millis(500);

/// Where the server is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Serving.
    Open,
    /// Answers are the last of their connection; new connections are accepted.
    Announced,
    /// No new connections.
    Shut,
    /// Silent connections are closed.
    Silenced,
    /// Time is up.
    Over,
}

impl Stage {
    /// The stage at a time after the first signal, with a deadline for the whole.
    pub fn after(elapsed: Duration, deadline: Duration) -> Stage {
        match elapsed {
            _ if elapsed >= deadline => Stage::Over,
            _ if elapsed >= SILENCE => Stage::Silenced,
            _ if elapsed >= WELCOME => Stage::Shut,
            _ => Stage::Announced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timetable_goes_forward_and_ends_at_the_deadline() {
        let stage = |millis| Stage::after(Duration::from_millis(millis), Duration::from_secs(8));
        let stages = [0, 4, 5, 499, 500, 7999, 8000].map(stage);
        use Stage::{Announced, Over, Shut, Silenced};
        assert_eq!(
            stages,
            [Announced, Announced, Shut, Shut, Silenced, Silenced, Over]
        );
    }

    #[test]
    fn a_short_deadline_wins() {
        assert_eq!(Stage::after(Duration::ZERO, Duration::ZERO), Stage::Over);
    }
}
