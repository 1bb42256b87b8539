//! Why nothing was packed.

use std::io;

use crate::base::BaseError;
use crate::closure::ClosureError;
use crate::name::InvalidName;
use crate::package::{Location, Package, PackageError};
use crate::program::ProgramError;
use crate::rootfs::{Clash, HostError, SourceError};
use crate::stages::StageError;

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The package was not found or not understood.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The program could not be obtained.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A file of the definition could not be packed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Two things want one place.
    #[error(transparent)]
    Clash(#[from] Clash),
    /// Something that was asked for is not on this host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The base image was not found, or is for another platform.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A Containerfile could not be carried out.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A program needs something that the base image does not have.
    #[error(
        "{program} would not start on this base: it needs {needed}, which the base does not have; \
         link it statically, add the file, or take another base"
    )]
    NotOnBase {
        /// The program.
        program: String,
        /// The library, loader or interpreter.
        needed: String,
    },
    /// What a definition names could not be packed.
    #[error("{location}: {cause}")]
    Defined {
        /// Where the definition names it.
        location: Location,
        /// Why.
        cause: Box<Self>,
    },
    /// Two programs with one name in one image.
    #[error("two programs of one image are called {0}: give one of them another name")]
    SameName(String),
    /// The entry point is no program of the image.
    #[error(
        "{name} would not start: its entrypoint is /{path}, and nothing in the image has this path"
    )]
    NoEntrypoint {
        /// The package.
        name: String,
        /// The first word of the entry point.
        path: String,
    },
    /// Something that the program needs was not found.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// The name that was asked for is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Packing failed.
    #[error("{name} was not packed: {cause}")]
    Write {
        /// The package.
        name: String,
        /// Why.
        cause: io::Error,
    },
}

impl Error {
    /// An error about what a definition names at `location`, if a definition does.
    pub(super) fn at(location: Option<&Location>, cause: impl Into<Self>) -> Self {
        let cause = cause.into();
        match location {
            None => cause,
            Some(location) => Self::Defined {
                location: location.clone(),
                cause: Box::new(cause),
            },
        }
    }

    /// An error about the value of `key` in a package's definition, if that has the key.
    pub(super) fn of_key<E: Into<Self>>(package: &Package, key: &str) -> impl FnOnce(E) -> Self {
        move |cause| Self::at(package.locations.get(key), cause)
    }
}
