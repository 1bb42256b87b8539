//! Errors that cross process boundaries: one line of text and an exit code.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// Why a container could not be started, in one line, and the exit code that says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One line: what, where, what to do.
    pub message: String,
    /// podman's exit code: 125 for the engine, 126 and 127 for the program.
    pub code: u8,
    /// Whether the kernel refused an overlay mount, so that a copy could be tried.
    #[serde(default)]
    pub no_overlay: bool,
    /// Whether the namespaces of a container can not be had here, so that a root could do without.
    #[serde(default)]
    pub no_namespaces: bool,
}

impl Failure {
    /// The engine itself failed: exit code 125.
    pub fn engine(message: impl Into<String>) -> Self {
        Self::with_code(message, 125)
    }

    /// The container can not be started as it was asked for (a port, a user, a directory), or its
    /// program is there and can not be executed: exit code 126.
    pub fn not_startable(message: impl Into<String>) -> Self {
        Self::with_code(message, 126)
    }

    /// The program is not there: exit code 127.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::with_code(message, 127)
    }

    /// The kernel gives this user no namespaces: exit code 125.
    pub(super) fn without_namespaces(message: impl Into<String>) -> Self {
        Self {
            no_namespaces: true,
            ..Self::engine(message)
        }
    }

    fn with_code(message: impl Into<String>, code: u8) -> Self {
        Self {
            message: message.into(),
            code,
            no_overlay: false,
            no_namespaces: false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Adds to an error of a system call what was called with what.
pub(crate) trait Context<T> {
    /// Turns an error into a [`Failure`] that reads `what: error`.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::engine(format!("{}: {}", what(), describe(&error.into()))))
    }
}

/// The text of an error of the operating system without "(os error N)".
pub(crate) fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}
