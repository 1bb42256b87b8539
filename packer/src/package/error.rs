//! Why a package was not found or not understood: each one line that says what to do.

use std::path::PathBuf;

use super::InvalidDefinition;

/// A package that could not be found or understood.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// There is no such folder.
    #[error("{}: {cause}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why it could not be read.
        cause: std::io::Error,
    },
    /// A file where a folder is expected.
    #[error(
        "{0} is no definition (they end with .toml): `packer build --file {0}` packs a program; or name the folder of a package"
    )]
    NotAFolder(String),
    /// No `Cargo.toml` there and above.
    #[error(
        "{0} is no package: neither it nor a folder above it has a Cargo.toml or a packer.toml; go \
         to the folder of a package (`packer init` writes a packer.toml for any program)"
    )]
    NoManifest(String),
    /// Cargo could not be started.
    #[error(
        "cargo cannot be started ({0}): install Rust (`packer build --file` packs a program without it)"
    )]
    NoCargo(std::io::Error),
    /// Cargo refused; its own words were printed before.
    #[error("cargo could not read the package in {0}: it says above why")]
    Cargo(String),
    /// Cargo's answer was not understood.
    #[error("what cargo says about the package was not understood: {0}")]
    Answer(serde_json::Error),
    /// No member of this name.
    #[error("there is no package \"{name}\" in this workspace: choose one of {known}")]
    NoSuchPackage {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A library.
    #[error("the package {0} has no binary: a program needs a src/main.rs or a [[bin]]")]
    NoBinary(String),
    /// No member has a binary.
    #[error(
        "no package of the workspace {0} has a binary: a program needs a src/main.rs or a [[bin]]"
    )]
    NoBinaryAnywhere(String),
    /// No binary of this name.
    #[error("the package {package} has no binary \"{name}\": choose one of {known}")]
    NoSuchBinary {
        /// The package.
        package: String,
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// Several binaries.
    #[error(
        "the package {package} has several binaries: choose one with `packer build --bin NAME`: {known}"
    )]
    SeveralBinaries {
        /// The package.
        package: String,
        /// The names that there are.
        known: String,
    },
    /// Several members.
    #[error(
        "the workspace has several programs: choose one with `packer build -p NAME`, or for good \
         with default in [workspace.metadata.packer] of its Cargo.toml: {0}"
    )]
    SeveralPackages(String),
    /// A `packer.toml`, `[package.metadata.packer]` or `[workspace.metadata.packer]` is wrong.
    #[error(transparent)]
    Definition(#[from] InvalidDefinition),
    /// A definition cannot be read.
    #[error("{} cannot be read: {cause}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// No package of this name.
    #[error(
        "there is no package \"{}\": none here has this name, there is no such folder, and {searched}",
        .name.escape_debug()
    )]
    NotFound {
        /// The name that was asked for.
        name: String,
        /// Where else it was looked for.
        searched: String,
    },
    /// `init` where a definition is.
    #[error("{} defines a package already", .0.display())]
    Defined(PathBuf),
    /// `init` in a workspace without a package.
    #[error("{} has no [package]: run packer init in the folder of a member", .0.display())]
    Virtual(PathBuf),
    /// A definition cannot be written.
    #[error("{} cannot be written: {cause}", .file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Nothing of the name may be in an image's name.
    #[error("\"{}\" cannot be made the name of an image: choose one with --name", .0.escape_debug())]
    NoImageName(String),
    /// A chosen name that may not be the name of an image.
    #[error(
        "\"{}\" cannot be the name of a package: it has lower-case letters, digits, '.', '_' and '-'",
        .0.escape_debug()
    )]
    WrongName(String),
}
