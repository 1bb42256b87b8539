//! The user's own terminal: its size, and the raw mode in which every key goes to the container.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The size of the caller's terminal as rows and columns; what a terminal has had since the
/// VT100 if there is none.
#[must_use]
pub fn own_size() -> (u16, u16) {
    [
        io::stdout().as_fd(),
        io::stdin().as_fd(),
        io::stderr().as_fd(),
    ]
    .iter()
    .find_map(|fd| tcgetwinsize(fd).ok())
    .filter(|size| size.ws_row > 0 && size.ws_col > 0)
    .map_or((24, 80), |size| (size.ws_row, size.ws_col))
}

/// The caller's terminal in raw mode, until this value is dropped.
#[derive(Debug)]
pub struct RawMode(Termios);

impl RawMode {
    /// Switches standard input to raw mode; `None` if it is no terminal.
    #[must_use]
    pub fn enter() -> Option<Self> {
        let input = io::stdin();
        if !input.is_terminal() {
            return None;
        }
        let before = tcgetattr(&input).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&input, OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
