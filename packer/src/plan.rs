//! The whole way from a request to an image, in two steps.
//!
//! [`prepare`] finds the package, obtains its program and plans the image; [`Plan::write`] packs it
//! into any place. Between the two a caller can ask for the [`Plan::fingerprint`]: it is made of
//! everything that determines the bytes of the image, so an image that was made of the same
//! fingerprint need not be made again.

use std::io;
use std::path::{Path, PathBuf};

mod bundle;
mod tree;

pub use bundle::{Bundle, Packed, PackedImage};

use crate::closure::ClosureError;
use crate::digest::Digest;
use crate::epoch::Epoch;
use crate::image::{self, Descriptor, Platform, media_type};
use crate::layer::{self, Compression};
use crate::name::{ImageName, InvalidName};
use crate::package::{Choice, Package, PackageError, System};
use crate::place::{Image, Sink};
use crate::program::{Program, ProgramError};
use crate::progress::Progress;
use crate::rootfs::{Clash, HostError, SourceError, Tree};

/// What is to be packed, in a caller's words.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where the program comes from.
    pub subject: Subject,
    /// Packages whose programs and files are put into the same image.
    pub also: Vec<Subject>,
    /// What it is packed for; see [`Bundle`].
    pub targets: Targets,
    /// Another name than the package's or the file's for the image and, with a file, the program.
    pub name: Option<String>,
    /// The names that the image gets; none is `localhost/NAME:latest`.
    pub tags: Vec<ImageName>,
    /// How the layer is compressed; else as the package says, else gzip'd.
    pub compression: Option<Compression>,
    /// The time that the image carries; see [`Epoch::from_environment`].
    pub epoch: Option<Epoch>,
}

/// Where a request's program comes from.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The package that a folder belongs to.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Which package and which binary, where there are several.
        choice: Choice,
    },
    /// What a word means: the name of a package, or a path. See [`Package::named`].
    Word {
        /// The word.
        word: String,
        /// Which package and which binary, where there are several.
        choice: Choice,
    },
    /// An executable.
    File(PathBuf),
}

/// What an image is packed for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Targets {
    /// This host, or whatever a program that is there runs on.
    #[default]
    Host,
    /// Everything that the package's definition names.
    All,
    /// These, in this order.
    Listed(Vec<System>),
}

impl Request {
    /// The package that `folder` belongs to, gzip'd, without a date.
    #[must_use]
    pub fn folder(folder: &Path) -> Self {
        Self::new(Subject::Folder {
            path: folder.to_owned(),
            choice: Choice::default(),
        })
    }

    /// The executable `file`, gzip'd, without a date.
    #[must_use]
    pub fn file(file: &Path) -> Self {
        Self::new(Subject::File(file.to_owned()))
    }

    /// This subject, for this host, without a date.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            also: Vec::new(),
            targets: Targets::Host,
            name: None,
            tags: Vec::new(),
            compression: None,
            epoch: None,
        }
    }
}

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
    /// The definition names a base image, and nobody here puts a layer on one.
    #[error(
        "{name} is defined on the base image {base}, and can only be packed without one: remove base"
    )]
    Base {
        /// The package.
        name: String,
        /// The base image.
        base: String,
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

/// An image that is ready to be written.
#[derive(Debug, Clone)]
pub struct Plan {
    package: Package,
    platform: Platform,
    tree: Tree,
    names: Vec<ImageName>,
    compression: Compression,
    epoch: Option<Epoch>,
}

/// Finds what `request` means, compiles it for this host if it has to be compiled, and plans its
/// image.
///
/// # Errors
/// [`Error`]; nothing was written then, but for cargo's own target folder.
pub fn prepare(request: &Request, progress: &dyn Progress) -> Result<Plan, Error> {
    let packages = Packages::find(request)?;
    packages.plan(request, None, progress)
}

/// The packages of one image, found and not yet compiled.
#[derive(Debug)]
struct Packages {
    /// The one that the image is called after, and that runs.
    main: Package,
    also: Vec<Package>,
}

impl Packages {
    fn find(request: &Request) -> Result<Self, Error> {
        let main = find(&request.subject, request.name.as_deref())?;
        if let Some(base) = &main.base {
            return Err(Error::Base {
                name: main.name.clone(),
                base: base.clone(),
            });
        }
        let also = request.also.iter().map(|subject| find(subject, None));
        Ok(Self {
            main,
            also: also.collect::<Result<_, _>>()?,
        })
    }

    fn plan(
        &self,
        request: &Request,
        system: Option<System>,
        progress: &dyn Progress,
    ) -> Result<Plan, Error> {
        let mut package = self.main.clone();
        let program = Program::of(&package, system, progress)?;
        let mut tree = tree::tree(&package, program.as_ref(), progress)?;
        for package in &self.also {
            let program = Program::of(package, system, progress)?;
            tree::add(&mut tree, package, program.as_ref(), progress)?;
        }
        let here = || system.map_or_else(Platform::host, System::platform);
        let platform = program.map_or_else(here, |program| program.platform);
        let environment = tree::complete(&mut tree, &package, &self.also, &platform)?;
        for (name, value) in environment {
            package.environment.entry(name).or_insert(value);
        }
        let compression = request.compression.or(package.compression);
        Ok(Plan {
            names: match request.tags.as_slice() {
                [] => vec![package.name.parse()?],
                tags => tags.to_vec(),
            },
            package,
            platform,
            tree,
            compression: compression.unwrap_or_default(),
            epoch: request.epoch,
        })
    }
}

fn find(subject: &Subject, name: Option<&str>) -> Result<Package, PackageError> {
    match subject {
        Subject::Folder { path, choice } => Package::in_folder(path, choice)?.renamed(name),
        Subject::Word { word, choice } => Package::named(word, choice)?.renamed(name),
        Subject::File(path) => Package::of_file(path, name),
    }
}

impl Plan {
    /// The package that is packed.
    #[must_use]
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// The first of the image's names: `localhost/NAME:latest` unless the request says otherwise.
    #[must_use]
    pub fn name(&self) -> &ImageName {
        &self.names[0]
    }

    /// All names of the image; at least one.
    #[must_use]
    pub fn names(&self) -> &[ImageName] {
        &self.names
    }

    /// The planned tree.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// A digest of everything that determines the bytes of the image: the program, the definition,
    /// the compression, the date, and the version of the packer. The names are no part of it.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        // Config and manifest as they will be, but for the digests that only packing can tell.
        let unknown = Digest::of(b"");
        let (config, _) = self.config(unknown);
        let descriptor = Descriptor::new(self.compression.media_type(), unknown, 0);
        let manifest = image::manifest(&self.package, descriptor.clone(), descriptor, self.epoch);
        let mut text = format!("packer {}\n{}", env!("CARGO_PKG_VERSION"), self.tree).into_bytes();
        text.extend(config);
        text.extend(image::to_json(&manifest));
        text.extend(
            self.epoch
                .map_or(String::new(), |epoch| epoch.to_string())
                .bytes(),
        );
        Digest::of(&text)
    }

    /// Packs the image into `place`: first the layer, then the image with its names.
    ///
    /// # Errors
    /// [`Error::Write`] when the place cannot take it, or when the program was changed meanwhile.
    pub fn write(&self, place: &mut dyn Sink, progress: &dyn Progress) -> Result<Image, Error> {
        self.write_into(place, progress)
            .map_err(|cause| Error::Write {
                name: self.package.name.clone(),
                cause,
            })
    }

    fn write_into(&self, place: &mut dyn Sink, progress: &dyn Progress) -> io::Result<Image> {
        let mut image = self.write_layer(place, progress)?;
        image.names.clone_from(&self.names);
        place.put_image(&image)?;
        Ok(image)
    }

    /// Puts the layer into `place`, and gives the image that it belongs to, without names.
    fn write_layer(&self, place: &mut dyn Sink, progress: &dyn Progress) -> io::Result<Image> {
        let mut diff_id = None;
        let (digest, size) = place.put_blob(&mut |out| {
            let id = layer::write(&self.tree, self.compression, self.epoch, out, progress)?;
            diff_id = Some(id);
            Ok(())
        })?;
        let diff_id = diff_id.ok_or_else(|| io::Error::other("the place took no layer"))?;
        let layer = Descriptor::new(self.compression.media_type(), digest, size);
        let (config_bytes, config) = self.config(diff_id);
        let described = Descriptor::new(
            media_type::CONFIG,
            Digest::of(&config_bytes),
            config_bytes.len() as u64,
        );
        let manifest = image::manifest(&self.package, described, layer, self.epoch);
        Ok(Image {
            names: Vec::new(),
            manifest_bytes: image::to_json(&manifest),
            manifest,
            config,
            config_bytes,
        })
    }

    fn config(&self, diff_id: Digest) -> (Vec<u8>, image::ImageConfig) {
        let config = image::config(&self.package, &self.platform, diff_id, self.epoch);
        (image::to_json(&config), config)
    }
}

#[cfg(test)]
mod tests;
