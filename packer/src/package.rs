//! The definition of what is packed: a package of Cargo, or a program that is there already.
//!
//! A package is found as cargo finds it: from a directory upwards. What packing needs beyond
//! `[package]` is written in `[package.metadata.packer]`; every key is optional:
//!
//! ```toml
//! [package.metadata.packer]
//! ports = [8080, "53/udp"]          # what the program listens on
//! args = ["--verbose"]              # arguments, until the command line names others
//! env = { RUST_LOG = "info" }
//! user = "65532:65532"              # numeric, so that a cluster can see that it is not root
//! labels = { "org.example.team" = "web" }
//! bin = "server"                    # which of several binaries
//! synopsis = "One line"             # else the first sentence of the description
//! description = "Several lines"     # else the description of [package]
//! systems = ["x86_64-linux"]        # what it can be packed for
//! ```
//!
//! Which member of a workspace is packed when nobody names one is said in its `Cargo.toml`:
//! `[workspace.metadata.packer] default = "server"`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) mod cargo;
mod definition;
mod error;
mod lock;
mod port;
mod recutils;
mod select;
mod user;

use definition::Definition;
pub use definition::InvalidDefinition;
pub use error::PackageError;
pub use port::{InvalidPort, Port, Protocol};
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
    /// What it can be packed for, in Guix's names: `x86_64-linux`.
    pub systems: Vec<String>,
    /// The packages that it is made of directly, as `name@version`.
    pub dependencies: Vec<String>,
    /// Where it is defined: `server/Cargo.toml:1:0`, line and column as Guix counts them.
    pub location: String,
    /// What it listens on.
    pub ports: Vec<Port>,
    /// Whom it runs as.
    pub user: User,
    /// Environment variables beside `PATH`.
    pub environment: BTreeMap<String, String>,
    /// Labels beside those that every image of ours has.
    pub labels: BTreeMap<String, String>,
    /// The arguments that it gets when the command line names none.
    pub arguments: Vec<String>,
    /// Where the program comes from.
    pub origin: Origin,
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
    /// Finds the package that `folder` belongs to.
    ///
    /// In a workspace this is the member that `folder` lies in, else the one that
    /// `[workspace.metadata.packer] default` names, else the only default member with a binary.
    ///
    /// # Errors
    /// [`PackageError`] when there is none, or several and `choice` names none.
    pub fn in_folder(folder: &Path, choice: &Choice) -> Result<Self, PackageError> {
        let workspace = cargo::metadata(folder)?;
        let (package, binary) = select::program(&workspace, folder, choice)?;
        Self::of_cargo(&workspace, package, Some(binary))
    }

    /// Finds a package in order to show it: by its name in the workspace that `folder` belongs to,
    /// or as [`Package::in_folder`] does. It need not have a binary.
    ///
    /// # Errors
    /// [`PackageError`] when there is none.
    pub fn to_show(folder: &Path, name: Option<&str>) -> Result<Self, PackageError> {
        let workspace = cargo::metadata(folder)?;
        let package = match name {
            Some(name) => select::named(&workspace, name)?,
            None => select::package(&workspace, folder, &Choice::default())?,
        };
        Self::of_cargo(&workspace, package, None)
    }

    /// The package around a program that is there already, called `name` or else as the file is.
    ///
    /// # Errors
    /// [`PackageError`] when that cannot be made the name of an image.
    pub fn of_file(file: &Path, name: Option<&str>) -> Result<Self, PackageError> {
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        let definition = Definition::default();
        Ok(Self {
            name: match name {
                Some(name) => checked(name)?,
                None => image_name(&file_name)
                    .ok_or_else(|| PackageError::NoImageName(file_name.to_string()))?,
            },
            version: None,
            synopsis: None,
            description: None,
            home_page: None,
            source: None,
            license: None,
            systems: Vec::new(),
            dependencies: Vec::new(),
            location: file.display().to_string(),
            ports: definition.ports,
            user: definition.user,
            environment: definition.env,
            labels: definition.labels,
            arguments: definition.args,
            origin: Origin::File(file.to_owned()),
        })
    }

    fn of_cargo(
        workspace: &cargo::Workspace,
        package: &cargo::Package,
        binary: Option<&str>,
    ) -> Result<Self, PackageError> {
        let definition = package.definition()?;
        let binary = match binary {
            Some(binary) => binary,
            None => select::binary(package, &definition, None).unwrap_or(&package.name),
        };
        let name = match package.binaries().count() {
            0 | 1 => &package.name,
            _ => binary,
        };
        let text = package.description.as_deref().map(str::trim);
        let text = text.filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        let synopsis = text.as_deref().map(first_sentence);
        Ok(Self {
            name: image_name(name).ok_or_else(|| PackageError::NoImageName(name.to_owned()))?,
            version: Some(package.version.clone()),
            synopsis: definition.synopsis.or(synopsis),
            description: definition.description.or(text),
            home_page: package.homepage.clone().or(package.repository.clone()),
            source: package.repository.clone(),
            license: package.license.clone(),
            systems: definition.systems,
            dependencies: lock::dependencies(workspace, package),
            location: package.location(workspace),
            ports: definition.ports,
            user: definition.user,
            environment: definition.env,
            labels: definition.labels,
            arguments: definition.args,
            origin: Origin::Cargo {
                manifest: package.manifest_path.clone(),
                workspace: workspace.workspace_root.clone(),
                package: package.name.clone(),
                binary: binary.to_owned(),
            },
        })
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
            Origin::File(_) => &self.name,
        }
    }

    /// What `show` prints: the fields of `guix show`, in its order, as a record of recutils.
    #[must_use]
    pub fn record(&self) -> String {
        recutils::record(self)
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
