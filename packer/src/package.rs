//! The definition of what is packed: a package of Cargo, or a program of any language.
//!
//! A package is found as cargo finds it, from a directory upwards, by a `packer.toml` or a
//! `Cargo.toml` (where both are, the former counts), or by its name through `PACKER_PACKAGE_PATH`.
//! What packing needs beyond `[package]` of a `Cargo.toml` is written in
//! `[package.metadata.packer]`; the same keys stand at the top of a `packer.toml`, where the program
//! is a file. Every key is optional, and `packer init` writes a definition that explains each:
//!
//! ```toml
//! [package.metadata.packer]
//! ports = [8080, "53/udp"]          # what the program listens on
//! args = ["--verbose"]              # arguments, until the command line names others
//! env = { RUST_LOG = "info" }
//! user = "65532:65532"              # numeric, so that a cluster can see that it is not root
//! files = [{ source = "static", destination = "/srv/static" }]
//! bin = "server"                    # which of several binaries
//! ```
//!
//! Which member of a workspace is packed when nobody names one is said in its `Cargo.toml`:
//! `[workspace.metadata.packer] default = "server"`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod capability;
pub(crate) mod cargo;
mod definition;
mod document;
mod error;
mod files;
mod health;
mod init;
mod invalid;
mod json;
mod list;
mod load;
pub(crate) mod lock;
mod nearest;
mod port;
mod recutils;
mod search;
mod select;
mod signal;
mod system;
mod user;

use crate::base::BaseName;
use crate::layer::Compression;
pub use capability::{Capabilities, InvalidCapability};
use definition::Definition;
pub use error::PackageError;
pub use files::Files;
pub use health::{Command, HealthCheck};
pub use init::init;
pub use invalid::{Fault, InvalidDefinition, Location};
pub use list::Listed;
pub(crate) use nearest::nearest;
pub use port::{InvalidPort, Port, Protocol};
pub use signal::{InvalidSignal, StopSignal};
pub use system::{InvalidSystem, System};
pub use user::{InvalidUser, User};

/// What is packed, and everything that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The image's name, and the program's name in the image.
    pub name: String,
    /// The version, if it has one.
    pub version: Option<String>,
    /// One line about it.
    pub synopsis: Option<String>,
    /// All about it, possibly in many lines.
    pub description: Option<String>,
    /// Where it lives on the web.
    pub home_page: Option<String>,
    /// Where its source lives.
    pub source: Option<String>,
    /// The licence, as an SPDX expression.
    pub license: Option<String>,
    /// What it can be packed for; nothing when that is not known.
    pub systems: Vec<System>,
    /// The packages that it is made of directly; with their versions, as `name@version`, only in what
    /// [`Package::to_show`] found.
    pub dependencies: Vec<String>,
    /// Where it is defined: `server/Cargo.toml:1:0`, line and column as Guix counts them.
    pub location: String,
    /// What it listens on.
    pub ports: Vec<Port>,
    /// Whom it runs as, if that is said.
    pub user: Option<User>,
    /// Environment variables beside `PATH`.
    pub environment: BTreeMap<String, String>,
    /// Labels beside those that every image of ours has.
    pub labels: BTreeMap<String, String>,
    /// Annotations beside those that every image of ours has.
    pub annotations: BTreeMap<String, String>,
    /// The program and its fixed arguments, where it is not just `/bin/NAME`.
    pub entrypoint: Vec<String>,
    /// The arguments that it gets when the command line names none.
    pub arguments: Vec<String>,
    /// Where it starts, if not in `/`.
    pub working_dir: Option<String>,
    /// Folders whose data outlives a container.
    pub volumes: Vec<String>,
    /// The signal that asks it to end, if not SIGTERM.
    pub stop_signal: Option<StopSignal>,
    /// How an engine asks it how it is.
    pub health_check: Option<HealthCheck>,
    /// What lies beside the program.
    pub files: Vec<Files>,
    /// The certificates of authorities that this host trusts: with, without, or as the program needs.
    pub certificates: Option<bool>,
    /// The time zones: with, without, or as the program needs.
    pub time_zones: Option<bool>,
    /// The image that this one is put on.
    pub base: Option<BaseName>,
    /// How its layer is compressed unless the command line says otherwise.
    pub compression: Option<Compression>,
    /// Where the program comes from.
    pub origin: Origin,
    /// Where the definition has those keys whose values are only understood later.
    pub(crate) locations: BTreeMap<&'static str, Location>,
}

/// Where a package's program comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Cargo compiles it.
    Cargo {
        /// The package's `Cargo.toml`.
        manifest: PathBuf,
        /// The root folder of the workspace.
        workspace: PathBuf,
        /// The package's name in the workspace.
        package: String,
        /// The binary target.
        binary: String,
    },
    /// It is this file.
    File(PathBuf),
    /// It is among the [`Package::files`], or in the base image; the entry point says where.
    Files,
}

/// What the words of a caller choose among several packages or binaries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The package's name.
    pub package: Option<String>,
    /// The binary's name.
    pub binary: Option<String>,
}

impl Package {
    /// The package around a program that is there already, called `name` or else as the file is.
    ///
    /// # Errors
    /// [`PackageError`] when that cannot be made the name of an image.
    pub fn of_file(file: &Path, name: Option<&str>) -> Result<Self, PackageError> {
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = match name {
            Some(name) => checked(name)?,
            None => legal_name(&file_name)?,
        };
        let location = file.display().to_string();
        Ok(Self::of_definition(
            Definition::default(),
            name,
            location,
            Origin::File(file.to_owned()),
        ))
    }

    /// What a definition says; what it leaves open is unknown.
    fn of_definition(
        definition: Definition,
        name: String,
        location: String,
        origin: Origin,
    ) -> Self {
        let text = definition.description.as_deref();
        let first = text.filter(|text| !text.is_empty()).map(first_sentence);
        Self {
            name: definition.name.unwrap_or(name),
            version: definition.version,
            synopsis: definition.synopsis.or(first),
            description: definition.description,
            home_page: definition.home_page.or_else(|| definition.source.clone()),
            source: definition.source,
            license: definition.license,
            systems: definition.systems.unwrap_or_default(),
            dependencies: Vec::new(),
            location,
            ports: definition.ports,
            user: definition.user,
            environment: definition.env,
            labels: definition.labels,
            annotations: definition.annotations,
            entrypoint: definition.entrypoint,
            arguments: definition.args,
            working_dir: definition.working_dir,
            volumes: definition.volumes,
            stop_signal: definition.stop_signal,
            health_check: definition.health_check,
            files: definition.files,
            certificates: definition.certificates,
            time_zones: definition.time_zones,
            base: definition.base,
            compression: definition.compress,
            origin,
            locations: definition.locations,
        }
    }

    /// The same package under another name, if there is one.
    ///
    /// # Errors
    /// [`PackageError::WrongName`] when `name` may not be the name of an image.
    pub fn renamed(mut self, name: Option<&str>) -> Result<Self, PackageError> {
        if let Some(name) = name {
            self.name = checked(name)?;
        }
        Ok(self)
    }

    /// The name of the program's file in the image.
    #[must_use]
    pub fn program_name(&self) -> &str {
        match &self.origin {
            Origin::Cargo { binary, .. } => binary,
            Origin::File(_) | Origin::Files => &self.name,
        }
    }

    /// The program and its fixed arguments, as an image's config has them; never empty.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        match self.entrypoint.as_slice() {
            [] => vec![format!("/bin/{}", self.program_name())],
            words => words.to_vec(),
        }
    }

    /// What `show` prints: the fields of `guix show`, in its order, as a record of recutils.
    #[must_use]
    pub fn record(&self) -> String {
        recutils::record(self)
    }

    /// What `show --json` prints: everything that is known, by the keys of a definition.
    #[must_use]
    pub fn json(&self) -> String {
        json::json(self)
    }
}

/// The text up to the end of its first sentence or line, without the full stop.
fn first_sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let end = line.find(". ").unwrap_or(line.len());
    line[..end].trim_end_matches('.').to_owned()
}

/// What is left of `name` when it has to be the name of an image: lower case, and a dash for
/// whatever may not be in one.
fn image_name(name: &str) -> Option<String> {
    let mut legal = String::new();
    for character in name.chars().flat_map(char::to_lowercase) {
        match character {
            'a'..='z' | '0'..='9' => legal.push(character),
            '.' | '_' | '-' if !legal.ends_with(['.', '-']) => legal.push(character),
            _ if !legal.ends_with(['.', '-']) => legal.push('-'),
            _ => {}
        }
    }
    let legal = legal.trim_matches(['.', '_', '-']);
    (!legal.is_empty() && legal.len() <= 128).then(|| legal.to_owned())
}

pub(crate) fn legal_name(name: &str) -> Result<String, PackageError> {
    image_name(name).ok_or_else(|| PackageError::NoImageName(name.to_owned()))
}

/// A name that somebody chose, which is taken as it is or not at all.
fn checked(name: &str) -> Result<String, PackageError> {
    match image_name(name) {
        Some(legal) if legal == name => Ok(legal),
        _ => Err(PackageError::WrongName(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_name_is_made_a_legal_image_name() {
        for (name, expected) in [
            ("server", "server"),
            ("My Program.bin", "my-program.bin"),
            ("_a__b_", "a__b"),
            ("a..b--c", "a.b-c"),
            ("x86_64", "x86_64"),
            ("Ünï", "n"),
        ] {
            let legal = image_name(name).unwrap();
            assert_eq!(legal, expected);
            assert!(legal.parse::<crate::ImageName>().is_ok());
        }
        assert_eq!(image_name("..."), None);
    }

    #[test]
    fn the_synopsis_is_the_first_sentence() {
        assert_eq!(first_sentence("Says hello. Twice."), "Says hello");
        assert_eq!(first_sentence("Version 1.2 of it"), "Version 1.2 of it");
        assert_eq!(first_sentence("One line\nand another"), "One line");
    }
}
