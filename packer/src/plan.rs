//! The whole way from a request to an image, in two steps.
//!
//! [`prepare`] finds the package, obtains its program and plans the image; [`Plan::write`] packs it
//! into any place. Between the two a caller can ask for the [`Plan::fingerprint`]: it is made of
//! everything that determines the bytes of the image, so an image that was made of the same
//! fingerprint need not be made again.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::epoch::Epoch;
use crate::image::{self, Descriptor, Platform, media_type};
use crate::layer::{self, Compression};
use crate::name::{ImageName, InvalidName};
use crate::package::{Choice, Package, PackageError, User};
use crate::place::{Image, Sink};
use crate::program::{Program, ProgramError};
use crate::progress::Progress;
use crate::rootfs::{Clash, Content, HostError, SourceError, Tree};

/// What is to be packed, in a caller's words.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where the program comes from.
    pub subject: Subject,
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
    /// A static executable.
    File(PathBuf),
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

    /// The static executable `file`, gzip'd, without a date.
    #[must_use]
    pub fn file(file: &Path) -> Self {
        Self::new(Subject::File(file.to_owned()))
    }

    fn new(subject: Subject) -> Self {
        Self {
            subject,
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

/// Finds what `request` means, compiles it if it has to be compiled, and plans its image.
///
/// # Errors
/// [`Error`]; nothing was written then, but for cargo's own target folder.
pub fn prepare(request: &Request, progress: &dyn Progress) -> Result<Plan, Error> {
    let name = request.name.as_deref();
    let package = match &request.subject {
        Subject::Folder { path, choice } => Package::in_folder(path, choice)?.renamed(name)?,
        Subject::Word { word, choice } => Package::named(word, choice)?.renamed(name)?,
        Subject::File(path) => Package::of_file(path, name)?,
    };
    let names = match request.tags.as_slice() {
        [] => vec![package.name.parse()?],
        tags => tags.to_vec(),
    };
    if let Some(base) = &package.base {
        return Err(Error::Base {
            name: package.name.clone(),
            base: base.clone(),
        });
    }
    let program = Program::of(&package, progress)?;
    let tree = tree(&package, program.as_ref(), progress)?;
    let platform = program.map_or_else(Platform::host, |program| program.platform);
    let compression = request.compression.or(package.compression);
    Ok(Plan {
        package,
        platform,
        tree,
        names,
        compression: compression.unwrap_or_default(),
        epoch: request.epoch,
    })
}

/// The tree of an image: the program, what lies beside it, and what it needs.
fn tree(
    package: &Package,
    program: Option<&Program>,
    progress: &dyn Progress,
) -> Result<Tree, Error> {
    let mut tree = match program {
        Some(program) => Tree::around(program, package.program_name(), package.user),
        None => Tree::of_users(package.user),
    };
    for files in &package.files {
        tree.add(files)?;
    }
    let needs = program.map(|program| program.needs).unwrap_or_default();
    tree.add_from_host(package, needs, progress)?;
    let in_tree = |path: &str| PathBuf::from(path.trim_start_matches('/'));
    if let Some(path) = &package.working_dir {
        tree.ensure_directory(&in_tree(path), 0, 0)?;
    }
    let User { uid, gid } = package.user;
    for path in &package.volumes {
        // The user's own, because a new volume takes its owner from the image.
        tree.ensure_directory(&in_tree(path), uid, gid)?;
    }
    check_entrypoint(package, &tree)?;
    Ok(tree)
}

/// An entry point that nobody can start is better known before the image runs.
fn check_entrypoint(package: &Package, tree: &Tree) -> Result<(), Error> {
    let path = package.command().swap_remove(0);
    let Some(path) = path.strip_prefix('/') else {
        return Ok(());
    };
    // Behind a link it could be anywhere.
    let links = |path: &Path| {
        let entry = tree.get(path);
        entry.is_some_and(|entry| matches!(entry.content, Content::Symlink(_)))
    };
    if tree.get(path).is_some() || Path::new(path).ancestors().any(links) {
        return Ok(());
    }
    Err(Error::NoEntrypoint {
        name: package.name.clone(),
        path: path.to_owned(),
    })
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
        let image = Image {
            names: self.names.clone(),
            manifest_bytes: image::to_json(&manifest),
            manifest,
            config,
            config_bytes,
        };
        place.put_image(&image)?;
        Ok(image)
    }

    fn config(&self, diff_id: Digest) -> (Vec<u8>, image::ImageConfig) {
        let config = image::config(&self.package, &self.platform, diff_id, self.epoch);
        (image::to_json(&config), config)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::place::WriteBlob;
    use crate::progress::Silent;

    /// A place in memory.
    #[derive(Default)]
    struct Memory {
        blobs: BTreeMap<Digest, Vec<u8>>,
        images: Vec<Image>,
    }

    impl Sink for Memory {
        fn has_blob(&self, digest: &Digest) -> bool {
            self.blobs.contains_key(digest)
        }

        fn put_blob(&mut self, write: WriteBlob<'_>) -> io::Result<(Digest, u64)> {
            let mut bytes = Vec::new();
            write(&mut bytes)?;
            let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
            self.blobs.insert(digest, bytes);
            Ok((digest, size))
        }

        fn put_image(&mut self, image: &Image) -> io::Result<()> {
            self.images.push(image.clone());
            Ok(())
        }
    }

    /// No program, but a file: that is all that matters here.
    fn plan() -> Plan {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let mut file = std::fs::File::open(&path).unwrap();
        let (digest, size) = Digest::of_reader(&mut file).unwrap();
        let package = Package::of_file(Path::new("hello"), None).unwrap();
        let program = Program {
            path,
            platform: image::Platform::host(),
            digest,
            size,
            needs: crate::program::Needs::default(),
        };
        Plan {
            tree: Tree::around(&program, "hello", package.user),
            names: vec!["hello".parse().unwrap()],
            package,
            platform: program.platform,
            compression: Compression::GZIP,
            epoch: None,
        }
    }

    #[test]
    fn a_written_image_names_the_blobs_that_were_put() {
        let mut place = Memory::default();
        let image = plan().write(&mut place, &Silent).unwrap();
        let layer = &image.manifest.layers[0];
        assert_eq!(place.blobs[&layer.digest].len() as u64, layer.size);
        let diff_id = image.config.rootfs.diff_ids[0];
        let stored: Box<dyn io::Read> = Box::new(place.blobs[&layer.digest].as_slice());
        let mut tar = layer::decompress(stored).unwrap();
        assert_eq!(Digest::of_reader(&mut tar).unwrap().0, diff_id);
        assert_eq!(image.id(), Digest::of(&image.config_bytes));
        assert_eq!(
            place.images[0].names[0].to_string(),
            "localhost/hello:latest"
        );
    }

    #[test]
    fn the_fingerprint_changes_with_whatever_changes_the_image() {
        let plan = plan();
        let changed = |change: &dyn Fn(&mut Plan)| {
            let mut other = plan.clone();
            change(&mut other);
            other.fingerprint() != plan.fingerprint()
        };
        assert!(!changed(&|_| {}));
        assert!(changed(&|plan| plan.compression = Compression::None));
        assert!(changed(&|plan| plan.epoch = Some("0".parse().unwrap())));
        assert!(changed(
            &|plan| plan.package.ports = vec!["1".parse().unwrap()]
        ));
        assert!(changed(&|plan| plan.package.version = Some("2".to_owned())));
        assert!(changed(
            &|plan| plan.platform.architecture = "s390x".to_owned()
        ));
        assert!(changed(&|plan| {
            let other = Content::Bytes(b"other".to_vec());
            plan.tree
                .insert("bin/hello", crate::rootfs::Entry::new(0o755, other));
        }));
    }
}
