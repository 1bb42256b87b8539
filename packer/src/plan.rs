//! The whole way from a request to an image, in two steps.
//!
//! [`prepare`] finds the package, obtains its program and plans the image; [`Plan::write`] packs it
//! into any place. Between the two a caller can ask for the [`Plan::fingerprint`]: it is made of
//! everything that determines the bytes of the image, so an image that was made of the same
//! fingerprint need not be made again.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod bundle;
mod error;
mod onto;
mod recipe;
mod tree;

pub use bundle::{Bundle, Packed, PackedImage};
pub use error::Error;

use crate::base::{Base, BaseError, BaseName};
use crate::bom::{self, Bill};
use crate::digest::{Digest, DigestWriter};
use crate::epoch::Epoch;
use crate::image::{self, Descriptor, ImageConfig, Platform, media_type};
use crate::layer::{self, Compression};
use crate::name::ImageName;
use crate::package::{Choice, Package, PackageError, System};
use crate::place::{self, Image, Sink};
use crate::program::Program;
use crate::progress::Progress;
use crate::registry::{self, Access};
use crate::rootfs::Tree;
use crate::scratch::Scratch;

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
    /// The image that it is put on, and not the one that its definition names.
    pub base: Option<BaseName>,
    /// How registries are asked for a base image.
    pub registries: registry::Options,
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
            base: None,
            registries: registry::Options::default(),
        }
    }
}

/// An image that is ready to be written.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it is called when nobody names it.
    title: String,
    /// What was put together, with the programs; the first one gives the image its name.
    pub(crate) parts: Vec<(Package, Option<Program>)>,
    /// The image that it stands on.
    pub(crate) base: Option<Arc<Base>>,
    /// What is in its own layer.
    tree: Tree,
    /// The config, but for the own layer.
    config: ImageConfig,
    annotations: BTreeMap<String, String>,
    names: Vec<ImageName>,
    compression: Compression,
    pub(crate) epoch: Option<Epoch>,
    /// Where files of the tree are, as long as this lives.
    _files: Option<Arc<Scratch>>,
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
        let program = obtain(&package, system, progress)?;
        let here = || system.map_or_else(Platform::host, System::platform);
        let platform = program
            .as_ref()
            .map_or_else(here, |program| program.platform.clone());
        let base = match request.base.as_ref().or(package.base.as_ref()) {
            None => None,
            Some(name) => {
                let access = Access::new(request.registries.clone()).map_err(BaseError::from)?;
                let base = Base::find(name, &platform, &access, progress);
                let of_the_package = request.base.is_none();
                let location = package.locations.get("base").filter(|_| of_the_package);
                Some(Arc::new(base.map_err(|cause| Error::at(location, cause))?))
            }
        };
        let mut tree = tree::tree(&package, program.as_ref(), base.as_deref(), progress)?;
        let mut parts = vec![(package.clone(), program.clone())];
        for package in &self.also {
            let program = obtain(package, system, progress)?;
            tree::add(&mut tree, package, program.as_ref(), progress)?;
            parts.push((package.clone(), program));
        }
        match &base {
            Some(_) => [&package]
                .into_iter()
                .chain(&self.also)
                .try_for_each(|package| onto::check(&tree, package))?,
            None => {
                let environment = tree::complete(&mut tree, &package, &self.also, &platform)?;
                for (name, value) in environment {
                    package.environment.entry(name).or_insert(value);
                }
            }
        }
        tree::check_entrypoint(&package, &tree)?;
        let below = base.as_ref().map(|base| &base.image().config);
        let mut annotations = image::annotations(&package, request.epoch);
        annotations.extend(base.iter().flat_map(|base| onto::annotations(base)));
        annotations.extend(package.annotations.clone());
        Ok(Plan {
            config: image::config(&package, &platform, below, request.epoch),
            annotations,
            base,
            tree,
            names: match request.tags.as_slice() {
                [] => vec![package.name.parse()?],
                tags => tags.to_vec(),
            },
            compression: request
                .compression
                .or(package.compression)
                .unwrap_or_default(),
            title: package.name,
            parts,
            epoch: request.epoch,
            _files: None,
        })
    }
}

/// The program of a package; an error says where the definition names it.
fn obtain(
    package: &Package,
    system: Option<System>,
    progress: &dyn Progress,
) -> Result<Option<Program>, Error> {
    Program::of(package, system, progress).map_err(Error::of_key(package, "program"))
}

fn find(subject: &Subject, name: Option<&str>) -> Result<Package, PackageError> {
    match subject {
        Subject::Folder { path, choice } => Package::in_folder(path, choice)?.renamed(name),
        Subject::Word { word, choice } => Package::named(word, choice)?.renamed(name),
        Subject::File(path) => Package::of_file(path, name),
    }
}

impl Plan {
    /// What it is called when nobody names it: as the package is.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
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

    /// What the image is made of. Cargo is asked about the packages that it compiled.
    ///
    /// # Errors
    /// [`bom::Error`].
    pub fn bill(&self) -> Result<Bill, bom::Error> {
        Bill::of(self)
    }

    /// The architecture that it runs on, as images name it.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.config.architecture
    }

    /// The planned tree.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// A digest of everything that determines the bytes of the image: the program, the definition,
    /// the compression, the date, and the version of the packer. The names are no part of it.
    ///
    /// # Errors
    /// What reading the files of the tree gives.
    pub fn fingerprint(&self) -> io::Result<Digest> {
        // Manifest and config as they will be, but for what only packing can tell.
        let unknown = Descriptor::new(media_type::CONFIG, Digest::of(b""), 0);
        let manifest = image::manifest(self.annotations.clone(), unknown, self.layers_below());
        let epoch = self.epoch.map_or(String::new(), |epoch| epoch.to_string());
        let version = env!("CARGO_PKG_VERSION");
        let mut hash = DigestWriter::new(io::sink());
        writeln!(hash, "packer {version} {} {epoch}", self.compression)?;
        self.tree.describe(&mut hash)?;
        hash.write_all(&image::to_json(&self.config))?;
        hash.write_all(&image::to_json(&manifest))?;
        Ok(hash.finish().1)
    }

    fn layers_below(&self) -> Vec<Descriptor> {
        self.base
            .as_ref()
            .map_or_else(Vec::new, |base| base.layers())
    }

    /// Packs the image into `place`: first the layer, then the image with its names.
    ///
    /// # Errors
    /// [`Error::Write`] when the place cannot take it, or when the program was changed meanwhile.
    pub fn write(&self, place: &mut dyn Sink, progress: &dyn Progress) -> Result<Image, Error> {
        self.write_into(place, progress)
            .map_err(|cause| Error::Write {
                name: self.title.clone(),
                cause,
            })
    }

    fn write_into(&self, place: &mut dyn Sink, progress: &dyn Progress) -> io::Result<Image> {
        let mut image = self.write_layers(place, progress)?;
        image.names.clone_from(&self.names);
        place.put_image(&image)?;
        Ok(image)
    }

    /// Puts the layers into `place`, and gives the image that they belong to, without names.
    fn write_layers(&self, place: &mut dyn Sink, progress: &dyn Progress) -> io::Result<Image> {
        let mut layers = self.layers_below();
        if let Some(base) = &self.base {
            let image = std::slice::from_ref(base.image());
            place::copy_layers(image, &**base, place, &mut |_| {})?;
        }
        let mut config = self.config.clone();
        // What only says how an image is run has no layer.
        if !self.tree.is_empty() {
            let (layer, diff_id) = self.write_layer(place, progress)?;
            layers.push(layer);
            image::add_layer(&mut config, diff_id, self.epoch);
        }
        let config_bytes = image::to_json(&config);
        let described = Descriptor::new(
            media_type::CONFIG,
            Digest::of(&config_bytes),
            config_bytes.len() as u64,
        );
        let manifest = image::manifest(self.annotations.clone(), described, layers);
        Ok(Image {
            names: Vec::new(),
            manifest_bytes: image::to_json(&manifest),
            manifest,
            config,
            config_bytes,
        })
    }

    /// Puts the own layer into `place`; its descriptor and diff id.
    fn write_layer(
        &self,
        place: &mut dyn Sink,
        progress: &dyn Progress,
    ) -> io::Result<(Descriptor, Digest)> {
        let mut diff_id = None;
        let (digest, size) = place.put_blob(&mut |out| {
            let id = layer::write(&self.tree, self.compression, self.epoch, out, progress)?;
            diff_id = Some(id);
            Ok(())
        })?;
        let diff_id = diff_id.ok_or_else(|| io::Error::other("the place took no layer"))?;
        let layer = Descriptor::new(self.compression.media_type(), digest, size);
        Ok((layer, diff_id))
    }
}

#[cfg(test)]
mod tests;
