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
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub(crate) mod cargo;
mod definition;
mod lock;
mod recutils;
mod select;

use definition::Definition;
pub use definition::InvalidDefinition;

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

/// A port that a program listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// What is spoken on it.
    pub protocol: Protocol,
}

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A text that is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no port: a number from 1 to 65535 is expected, with /tcp or /udp behind it if need be", .0.escape_debug())]
pub struct InvalidPort(String);

impl FromStr for Port {
    type Err = InvalidPort;

    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        let refuse = || InvalidPort(text.to_owned());
        let (number, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
            Some((number, "udp")) => (number, Protocol::Udp),
            Some(_) => return Err(refuse()),
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        match number.parse() {
            Ok(number) if number > 0 && digits => Ok(Self { number, protocol }),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(formatter, "{}/{protocol}", self.number)
    }
}

/// Whom a program runs as, by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Default for User {
    /// The number that "nonroot" images agree on.
    fn default() -> Self {
        Self {
            uid: 65532,
            gid: 65532,
        }
    }
}

/// A text that is no numeric user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no numeric user: UID or UID:GID is expected", .0.escape_debug())]
pub struct InvalidUser(String);

impl FromStr for User {
    type Err = InvalidUser;

    /// Reads `UID:GID`, or `UID` for a group of the same number.
    fn from_str(text: &str) -> Result<Self, InvalidUser> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        match (uid.parse(), gid.parse()) {
            // 2^32-1 means "no user" to the kernel.
            (Ok(uid), Ok(gid)) if uid != u32::MAX && gid != u32::MAX => Ok(Self { uid, gid }),
            _ => Err(InvalidUser(text.to_owned())),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.uid, self.gid)
    }
}

/// A package that could not be found or understood.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// There is no such folder.
    #[error("{}: {source}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why it could not be read.
        source: std::io::Error,
    },
    /// A file where a folder is expected.
    #[error("{0} is a file: pack a program with --file {0}, or name the folder of a package")]
    NotAFolder(String),
    /// No `Cargo.toml` there and above.
    #[error(
        "{0} is no package: neither it nor a folder above it has a Cargo.toml; go to a package, or \
         name a program with --file"
    )]
    NoManifest(String),
    /// Cargo could not be started.
    #[error("cargo cannot be started ({0}): install Rust, or name a program with --file")]
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
    #[error("the package {package} has several binaries: choose one with --bin: {known}")]
    SeveralBinaries {
        /// The package.
        package: String,
        /// The names that there are.
        known: String,
    },
    /// Several members.
    #[error(
        "the workspace has several programs: choose one with -p (or [workspace.metadata.packer] \
         default in its Cargo.toml): {0}"
    )]
    SeveralPackages(String),
    /// `[package.metadata.packer]` or `[workspace.metadata.packer]` is wrong.
    #[error("{manifest}: {source}")]
    Definition {
        /// The `Cargo.toml`.
        manifest: String,
        /// What is wrong.
        source: InvalidDefinition,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_with_and_without_protocol() {
        for (text, port) in [
            ("8080", "8080/tcp"),
            ("1/tcp", "1/tcp"),
            ("53/udp", "53/udp"),
        ] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), port);
        }
        for text in ["", "0", "65536", "+80", "80/", "80/sctp", "80/tcp/tcp", "a"] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_user_is_a_number_or_two() {
        assert_eq!("7".parse(), Ok(User { uid: 7, gid: 7 }));
        assert_eq!("7:8".parse(), Ok(User { uid: 7, gid: 8 }));
        for text in ["", "root", "1:", ":1", "-1", "4294967295", "1:2:3"] {
            assert!(text.parse::<User>().is_err(), "{text}");
        }
    }

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
