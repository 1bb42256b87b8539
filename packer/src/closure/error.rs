//! Why a closure could not be found: each one line that says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Something that a program needs is not there or cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// A library that is nowhere.
    #[error(
        "{library} was not found, which {needed_by} needs; it was looked for in {folders}: install \
         the package that has it"
    )]
    NotFound {
        /// Its name.
        library: String,
        /// Who needs it.
        needed_by: String,
        /// Where it was looked for, in order.
        folders: String,
    },
    /// A loader that is not there.
    #[error(
        "{program} cannot be packed: its loader {loader} is not on this machine; install the C \
         library that it was linked with"
    )]
    NoLoader {
        /// The program.
        program: String,
        /// Its `PT_INTERP`.
        loader: String,
    },
    /// An interpreter that is not there.
    #[error(
        "{script} cannot be packed: it is a script for \"{}\", which is not on this machine",
        .interpreter.escape_debug()
    )]
    NoInterpreter {
        /// The script.
        script: String,
        /// What its first line names.
        interpreter: String,
    },
    /// An interpreter that is no program.
    #[error("{0} is no executable for Linux, and cannot be packed as one")]
    NoProgram(String),
    /// Two different files for one place.
    #[error("two different files would be {0} in the image: move one of them on this machine")]
    Collision(String),
    /// More than anybody meant.
    #[error(
        "more than {0} files would be packed: a link in one of the packed folders leads too far"
    )]
    TooMany(usize),
    /// A path that an image cannot have.
    #[error("{} cannot be packed: its name is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// A file that cannot be read.
    #[error("{} cannot be packed: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl ClosureError {
    pub(super) fn unreadable(path: impl AsRef<Path>, cause: io::Error) -> Self {
        let path = path.as_ref().to_owned();
        Self::Unreadable { path, cause }
    }
}
