//! The bill of materials of an image: what it is made of, for whoever has to know whether a flaw in
//! some library concerns them.
//!
//! Crates come from cargo itself, with the features and for the target that the program was compiled
//! with ([`crates`]), or from the section that cargo-auditable leaves in a program ([`auditable`]);
//! every other file is named with its digest, and belongs to the package of the distribution that
//! brought it to this host, if one did ([`distribution`]). What is written ([`Format`]) has no random
//! number and no date of its own: the same image has the same bill.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::epoch::Epoch;
use crate::package::{Origin, Package, PackageError};
use crate::plan::Plan;
use crate::program::Program;
use crate::rootfs::{Content, HostFile, Tree};

mod auditable;
mod crates;
mod cyclonedx;
mod distribution;
mod format;
mod spdx;

pub use format::{Format, InvalidFormat};

/// What an image is made of. The first component is the image's own program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    components: Vec<Component>,
    epoch: Option<Epoch>,
}

/// One thing that an image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Component {
    kind: Kind,
    name: String,
    version: Option<String>,
    /// Its package URL, if it has a name that everybody knows.
    purl: Option<String>,
    /// An expression of SPDX.
    license: Option<String>,
    digest: Option<Digest>,
    /// What it needs, by index.
    needs: BTreeSet<usize>,
    /// What belongs to it, by index.
    parts: BTreeSet<usize>,
}

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program,
    Library,
    File,
    /// The image that it stands on.
    Image,
}

/// Why there is no bill.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cargo did not say what a program is made of.
    #[error(transparent)]
    Cargo(#[from] PackageError),
    /// A file could not be read.
    #[error("{} cannot be read for the bill of materials: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The section of a program is not what cargo-auditable writes.
    #[error("{}: its section .dep-v0 is not understood: {reason}", .path.display())]
    Section {
        /// The program.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A program that says nothing about itself.
    #[error(
        "{} does not say what it is made of: it was not compiled with `cargo auditable build`", .0.display()
    )]
    Silent(PathBuf),
}

fn digest_of(file: &HostFile) -> Result<Digest, Error> {
    file.digest().map_err(Error::unreadable(&file.path()))
}

impl Error {
    fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |cause| Self::Unreadable {
            path: path.to_owned(),
            cause,
        }
    }
}

impl Component {
    fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            version: None,
            purl: None,
            license: None,
            digest: None,
            needs: BTreeSet::new(),
            parts: BTreeSet::new(),
        }
    }
}

impl Bill {
    /// The bill of an image.
    pub(crate) fn of(plan: &Plan) -> Result<Self, Error> {
        let mut bill = Self {
            components: Vec::new(),
            epoch: plan.epoch,
        };
        let mut programs = BTreeMap::new();
        for (package, program) in &plan.parts {
            let at = bill.add_package(package, program.as_ref())?;
            if let Some(program) = program {
                programs.insert(program.file.path(), at);
            }
            if at > 0 {
                bill.components[0].parts.insert(at);
            }
        }
        if bill.components.is_empty() {
            bill.add(Component::new(Kind::Program, plan.title()));
        }
        if let Some(base) = &plan.base {
            let digest = base.image().digest();
            let name = base.name().unwrap_or_else(|| digest.to_string());
            let mut image = Component::new(Kind::Image, &name);
            image.digest = Some(digest);
            let image = bill.add(image);
            bill.components[0].needs.insert(image);
        }
        bill.add_files(plan.tree(), &programs)?;
        Ok(bill)
    }

    /// The bill of a program that says itself what it is made of.
    ///
    /// # Errors
    /// [`Error`].
    pub fn of_program(path: &Path) -> Result<Self, Error> {
        let mut file = crate::program::open_regular(path).map_err(Error::unreadable(path))?;
        let (digest, _) = Digest::of_reader(&mut file).map_err(Error::unreadable(path))?;
        let graph = auditable::read(path)?.ok_or_else(|| Error::Silent(path.to_owned()))?;
        let mut bill = Self {
            components: Vec::new(),
            epoch: None,
        };
        let root = bill.add_graph(graph, None);
        bill.components[root].digest = Some(digest);
        Ok(bill)
    }

    /// Adds a package with what its program was compiled from.
    fn add_package(
        &mut self,
        package: &Package,
        program: Option<&Program>,
    ) -> Result<usize, Error> {
        let graph = match (&package.origin, program) {
            (Origin::Cargo { .. }, Some(program)) => Some(crates::of(package, program)?),
            (Origin::File(path), Some(_)) => auditable::read(path)?,
            _ => None,
        };
        let mut named = Component::new(Kind::Program, &package.name);
        named.version.clone_from(&package.version);
        named.license = package.license.as_deref().map(crates::license);
        named.digest = program
            .map(|program| digest_of(&program.file))
            .transpose()?;
        Ok(match graph {
            Some(graph) => self.add_graph(graph, Some(named)),
            None => self.add(named),
        })
    }

    fn add(&mut self, component: Component) -> usize {
        self.components.push(component);
        self.components.len() - 1
    }

    /// Adds crates, each once however many programs are made of it. `named` stands for the first one,
    /// which is the program.
    fn add_graph(&mut self, graph: Vec<Component>, named: Option<Component>) -> usize {
        let mut places = Vec::new();
        for (at, component) in graph.iter().enumerate() {
            let mut component = component.clone();
            component.needs.clear();
            if let (0, Some(named)) = (at, &named) {
                component = named.clone();
            }
            let same = |other: &Component| {
                other.kind == Kind::Library
                    && component.kind == Kind::Library
                    && (&other.name, &other.version) == (&component.name, &component.version)
            };
            let known = self.components.iter().position(same);
            places.push(known.unwrap_or_else(|| self.add(component)));
        }
        for (at, component) in graph.iter().enumerate() {
            let needs = component.needs.iter().map(|&needed| places[needed]);
            self.components[places[at]].needs.extend(needs);
        }
        places[0]
    }

    /// Adds every file of the tree that is no program of its own, with the packages that brought them
    /// to this host.
    fn add_files(&mut self, tree: &Tree, programs: &BTreeMap<PathBuf, usize>) -> Result<(), Error> {
        let sources = tree
            .entries()
            .filter_map(|(_, entry)| match &entry.content {
                Content::File(file) => Some(file.path()),
                _ => None,
            });
        let installed = distribution::Installed::among(&sources.collect::<Vec<_>>())?;
        let mut packages = BTreeMap::new();
        for (path, entry) in tree.entries() {
            let (digest, source) = match &entry.content {
                Content::Bytes(bytes) => (Digest::of(bytes), None),
                Content::File(file) => (digest_of(file)?, Some(file.path())),
                Content::Directory | Content::Symlink(_) => continue,
            };
            let owner = source.as_ref().and_then(|source| installed.owner(source));
            let holder = match owner {
                None => 0,
                Some(package) => *packages
                    .entry(package.name.clone())
                    .or_insert_with(|| self.add(package.component())),
            };
            if let Some(&program) = source.and_then(|source| programs.get(&source)) {
                // The program stands for its file.
                if holder != 0 {
                    self.components[program].needs.insert(holder);
                }
                continue;
            }
            let name = format!("/{}", path.to_string_lossy());
            let mut file = Component::new(Kind::File, &name);
            file.digest = Some(digest);
            let file = self.add(file);
            self.components[holder].parts.insert(file);
            if holder != 0 {
                self.components[0].needs.insert(holder);
            }
        }
        Ok(())
    }

    /// The bill as a document.
    #[must_use]
    pub fn document(&self, format: Format) -> Vec<u8> {
        let mut text = match format {
            Format::Spdx => spdx::document(self),
            Format::CycloneDx => cyclonedx::document(self),
        };
        text.push('\n');
        text.into_bytes()
    }
}

/// A name that no other document has, and the same one for the same content: a UUID of version 8
/// (RFC 9562, 5.8), made of a digest.
fn unique(content: &str) -> String {
    let hex = Digest::of(content.as_bytes()).hex();
    format!(
        "{}-{}-8{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..15],
        &hex[15..18],
        &hex[18..30]
    )
}

#[cfg(test)]
mod tests;
