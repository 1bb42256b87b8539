//! The executable that is packed: compiled from a package of Cargo, or a file that is there.
//!
//! Either way it has to be something that Linux can start: a static executable, a dynamic one, or a
//! script; what the latter two need beside them is found by [`crate::closure`]. The architecture is
//! read from the ELF header, of the interpreter for a script, and not taken from the host.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::closure::{ClosureError, HashBang};
pub use crate::elf::NoProgram;
use crate::elf::Object;
use crate::image::Platform;
use crate::package::{Origin, Package, PackageError, System};
use crate::progress::Progress;
use crate::rootfs::{Content, Entry, HostFile};

mod compile;
mod flags;
mod needs;
mod target;

pub use needs::Needs;

/// An executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The file.
    pub file: HostFile,
    /// What it runs on.
    pub platform: Platform,
    /// What it wants to find beside it.
    pub needs: Needs,
    /// The target triple that cargo compiled it for, if cargo did.
    pub target: Option<String>,
}

impl Program {
    /// Obtains the program of `package` for `system`, or for this host: compiles it, or takes the
    /// file. A package that consists of files has none.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn of(
        package: &Package,
        system: Option<System>,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, ProgramError> {
        let program = match &package.origin {
            Origin::File(path) => Self::from_file(path)?,
            Origin::Cargo { .. } => {
                let compiled = compile::compile(package, system, progress)?;
                Self {
                    target: Some(compiled.target),
                    ..Self::from_file(&compiled.executable)?
                }
            }
            Origin::Files => return Ok(None),
        };
        match system.filter(|system| program.platform != system.platform()) {
            None => Ok(Some(program)),
            Some(system) => Err(ProgramError::OtherSystem {
                path: program.file.path(),
                there: program.platform.architecture,
                wanted: system.architecture(),
            }),
        }
    }

    /// The program in a tree.
    #[must_use]
    pub fn entry(&self) -> Entry {
        Entry::new(0o755, Content::File(self.file.clone()))
    }

    /// Takes a file that has to be an executable for Linux.
    ///
    /// # Errors
    /// [`ProgramError`] when it cannot be read or is anything else.
    pub fn from_file(path: &Path) -> Result<Self, ProgramError> {
        let unreadable = |cause| ProgramError::Unreadable {
            path: path.to_owned(),
            cause,
        };
        let mut file = open_regular(path).map_err(unreadable)?;
        let script = HashBang::read(&file).map_err(unreadable)?;
        let platform = match script {
            Some(script) => script.platform(path)?,
            None => inspect(&file).map_err(|cause| ProgramError::NoProgram {
                path: path.to_owned(),
                cause,
            })?,
        };
        io::Seek::rewind(&mut file).map_err(unreadable)?;
        Ok(Self {
            file: HostFile::opened(path, &file).map_err(unreadable)?,
            platform,
            needs: Needs::of(&mut file).map_err(unreadable)?,
            target: None,
        })
    }
}

/// What an ELF file runs on, if it can be started.
fn inspect(file: &File) -> Result<Platform, NoProgram> {
    let object = Object::read(file)?;
    let starts = object.starts && object.needed.is_empty();
    if object.interpreter.is_none() && !starts {
        return Err(NoProgram::Unstartable("a shared library"));
    }
    object.machine.platform()
}

/// Opens a file for reading. A FIFO would keep us waiting for a writer, so nothing is waited for.
pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2) fits");
    OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
}

/// Opens a regular file for reading, without waiting.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = open_without_waiting(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a directory",
        ));
    }
    if !kind.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    Ok(file)
}

/// A program that could not be obtained.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The file could not be read.
    #[error("{} cannot be packed: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Not an executable for Linux.
    #[error("{} cannot be packed: {cause}", .path.display())]
    NoProgram {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        cause: NoProgram,
    },
    /// A script whose interpreter is not there.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// Cargo could not be started or asked.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// rustc could not be started or did not answer.
    #[error("rustc cannot be asked what it compiles for: {0}")]
    Rustc(String),
    /// A configuration file of cargo could not be understood.
    #[error("{}: {reason}", .path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Cargo's output could not be read.
    #[error("what cargo says while it compiles could not be read: {0}")]
    Output(io::Error),
    /// Compiling failed; cargo's own words were printed before.
    #[error("{package} was not packed: it does not compile for {target} (cargo says above why)")]
    Compile {
        /// The package.
        package: String,
        /// The target triple.
        target: String,
    },
    /// Cargo succeeded and made no executable.
    #[error("cargo compiled {package} and made no executable named \"{binary}\"")]
    NoExecutable {
        /// The package.
        package: String,
        /// The binary.
        binary: String,
    },
    /// It runs on something else than what was asked for.
    #[error("{} is a program for {there} and not for {wanted}", .path.display())]
    OtherSystem {
        /// The program.
        path: PathBuf,
        /// What it runs on.
        there: String,
        /// What it should run on.
        wanted: &'static str,
    },
    /// The toolchain cannot make static programs for another processor.
    #[error(
        "{package} cannot be compiled for {system}: install its target with `rustup target add {triple}`"
    )]
    NoTarget {
        /// The package.
        package: String,
        /// What it should run on.
        system: System,
        /// The target triple.
        triple: &'static str,
    },
    /// The toolchain has no linker that links for every processor.
    #[error(
        "{package} cannot be compiled for {system}: the toolchain has no rust-lld; use one of rustup"
    )]
    NoLinker {
        /// The package.
        package: String,
        /// What it should run on.
        system: System,
    },
    /// The definition leaves the system out.
    #[error("{package} is not meant for {system}: its systems are {systems}")]
    System {
        /// The package.
        package: String,
        /// The system.
        system: System,
        /// The systems that the definition names.
        systems: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for path in [fifo.as_path(), folder.path(), &folder.path().join("absent")] {
            let error = Program::from_file(path).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_text_without_an_interpreter_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("hello.scm");
        std::fs::write(&text, "(display 1)").unwrap();
        let error = Program::from_file(&text).unwrap_err().to_string();
        assert!(error.contains("a script that begins with"), "{error}");
    }
}
