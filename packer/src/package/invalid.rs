//! What is wrong in a definition, and where.

use std::fmt;

/// Where something stands in a definition: `FILE:LINE:COLUMN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, as errors call it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column } = self;
        write!(formatter, "{file}:{line}:{column}")
    }
}

/// A definition that was not understood: `FILE:LINE:COLUMN: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {fault}")]
pub struct InvalidDefinition {
    /// Where.
    pub location: Location,
    /// What is wrong there.
    pub fault: Fault,
}

/// What can be wrong in a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No TOML.
    #[error("{0}")]
    Syntax(String),
    /// No such key.
    #[error("there is no key \"{}\"; did you mean \"{nearest}\"?", .key.escape_debug())]
    UnknownKey {
        /// The key, with the tables that it is in.
        key: String,
        /// The known key that looks most like it.
        nearest: &'static str,
    },
    /// A key that has to be there.
    #[error("{0}")]
    Missing(&'static str),
    /// A value of another kind.
    #[error("{} must be {expected}", .key.escape_debug())]
    WrongKind {
        /// The key.
        key: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A value of the right kind that is none.
    #[error("{}: {cause}", .key.escape_debug())]
    BadValue {
        /// The key.
        key: String,
        /// Why.
        cause: String,
    },
}
