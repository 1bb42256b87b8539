//! Where an image is, as skopeo and podman write it: `docker://alpine`, `oci-archive:image.tar`.
//!
//! What begins with no transport is a path when it looks like one or is one, and else a reference.
//!
//! Source: containers-transports(5).

use std::fmt;
use std::path::{Path, PathBuf};

use crate::archive::{Archive, ArchiveError, Layout};
use crate::image::Platform;
use crate::place::{Held, Image, Source};
use crate::registry::{self, Access, Pull};

/// A place that was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// A reference in a registry, as it was typed; it may be a short name.
    Registry(String),
    /// An archive; a name chooses one of its images.
    Archive {
        /// The file; `-` is standard input or output.
        path: PathBuf,
        /// The name or tag of one image.
        name: Option<String>,
    },
    /// A folder.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What it looks like; a folder that is read shows that itself.
        layout: Layout,
        /// The name or tag of one image.
        name: Option<String>,
    },
}

/// Why there is no image at a place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was typed names nothing.
    #[error("\"{}\" is no place of an image: {reason}", .text.escape_debug())]
    Invalid {
        /// What was typed.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An archive or a folder.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// An archive has several images, or not the one that was named.
    #[error("{place} holds {held}: choose one, as in {place}:NAME")]
    Choose {
        /// The archive.
        place: String,
        /// The names of its images.
        held: String,
    },
}

/// An image that was found, with the place that gives its layers.
#[derive(Debug)]
pub struct Found {
    place: Place,
    held: Held,
}

#[derive(Debug)]
enum Place {
    Archive(Box<Archive>),
    Registry(Box<Pull>),
}

impl Transport {
    /// Reads what was typed where a file or a folder is as likely as an image of a registry.
    /// Nothing but the existence of a path is looked at.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_path = |text: &str| looks_like_a_path(text) || Path::new(text).exists();
        Self::parse_as(text, is_path, Path::new(""))
    }

    /// Reads the name of an image, which means the same in every folder: a folder `nginx` with
    /// files for the image `nginx` is not taken for it. A path says that it is one.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn parse_name(text: &str) -> Result<Self, Error> {
        Self::parse_name_below(text, Path::new(""))
    }

    /// The same for what stands in a file: its relative paths lie below `root`.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn parse_name_below(text: &str, root: &Path) -> Result<Self, Error> {
        Self::parse_as(text, looks_like_a_path, root)
    }

    fn parse_as(text: &str, is_path: impl Fn(&str) -> bool, root: &Path) -> Result<Self, Error> {
        let refuse = |reason| Error::Invalid {
            text: text.to_owned(),
            reason,
        };
        let whole = |rest: &str| (PathBuf::from(rest), None);
        let divided = |rest: &str| match rest.split_once(':') {
            Some((path, name)) => (PathBuf::from(path), Some(name.to_owned())),
            None => whole(rest),
        };
        let folder = |layout, (path, name)| Self::Folder { path, layout, name };
        let archive = |(path, name)| Self::Archive { path, name };
        let place = if let Some(rest) = text.strip_prefix("docker://") {
            Self::Registry(rest.to_owned())
        } else if let Some(rest) = text.strip_prefix("docker-archive:") {
            archive(divided(rest))
        } else if let Some(rest) = text.strip_prefix("oci-archive:") {
            archive(divided(rest))
        } else if let Some(rest) = text.strip_prefix("oci:") {
            folder(Layout::Oci, divided(rest))
        } else if let Some(rest) = text.strip_prefix("dir:") {
            folder(Layout::Directory, whole(rest))
        } else if text.contains("://") {
            return Err(refuse(
                "the transports are docker://, docker-archive:, oci-archive:, oci: and dir:",
            ));
        } else if is_path(text) {
            match root.join(text).is_dir() {
                true => folder(Layout::Oci, whole(text)),
                false => archive(whole(text)),
            }
        } else {
            Self::Registry(text.to_owned())
        };
        match &place {
            Self::Registry(typed) if typed.is_empty() => Err(refuse("there is no reference in it")),
            Self::Archive { path, .. } | Self::Folder { path, .. }
                if path.as_os_str().is_empty() =>
            {
                Err(refuse("there is no path in it"))
            }
            _ => Ok(place.below(root)),
        }
    }

    fn below(mut self, folder: &Path) -> Self {
        if let Self::Archive { path, .. } | Self::Folder { path, .. } = &mut self
            && path.as_os_str() != "-"
        {
            *path = folder.join(&path);
        }
        self
    }

    /// Finds the image: in a registry the one for `platform`, in an archive the one that was named,
    /// or the only one. What has to be kept meanwhile lies in `temporary`, in files without names.
    ///
    /// # Errors
    /// [`Error`].
    pub fn find(
        &self,
        access: &Access,
        platform: &Platform,
        temporary: &Path,
    ) -> Result<Found, Error> {
        let (path, name) = match self {
            Self::Registry(typed) => {
                return Ok(Pull::find(access, typed, platform, temporary)?.into());
            }
            Self::Archive { path, name } | Self::Folder { path, name, .. } => (path, name),
        };
        let archive = match path.as_os_str() == "-" {
            true => {
                Archive::from_reader("standard input", &mut std::io::stdin().lock(), temporary)?
            }
            false => Archive::open_for(path, temporary, platform)?,
        };
        let images = archive.images().iter().cloned().map(Box::new);
        let held = self.choose(images.map(Held::Image).collect(), name.as_deref())?;
        let place = Place::Archive(Box::new(archive));
        Ok(Found { place, held })
    }

    /// Finds all that is meant: of an index the images for all platforms.
    ///
    /// # Errors
    /// [`Error`].
    pub fn find_whole(&self, access: &Access, temporary: &Path) -> Result<Found, Error> {
        let (path, name) = match self {
            Self::Registry(typed) => {
                return Ok(Pull::find_whole(access, typed, temporary)?.into());
            }
            Self::Archive { path, name } | Self::Folder { path, name, .. } => (path, name),
        };
        let (archive, held) = match path.as_os_str() == "-" {
            true => Archive::whole_from_reader(
                "standard input",
                &mut std::io::stdin().lock(),
                temporary,
            )?,
            false => Archive::open_whole(path, temporary)?,
        };
        let held = self.choose(held, name.as_deref())?;
        let place = Place::Archive(Box::new(archive));
        Ok(Found { place, held })
    }

    /// The one that was named, or the only one.
    fn choose(&self, mut all: Vec<Held>, wanted: Option<&str>) -> Result<Held, Error> {
        match choose(&all, wanted) {
            Some(chosen) => Ok(all.swap_remove(chosen)),
            None => Err(Error::Choose {
                place: self.to_string(),
                held: names(&all),
            }),
        }
    }
}

impl From<Pull> for Found {
    fn from(pull: Pull) -> Self {
        Self {
            held: pull.held().clone(),
            place: Place::Registry(Box::new(pull)),
        }
    }
}

impl Found {
    /// The image; of an index the first.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.held.images()[0]
    }

    /// All that was found.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The place that gives its layers.
    #[must_use]
    pub fn source(&self) -> &(dyn Source + Sync) {
        match &self.place {
            Place::Archive(archive) => &**archive,
            Place::Registry(pull) => &**pull,
        }
    }

    /// The archive or the folder that it comes from, if it comes from one.
    #[must_use]
    pub fn archive(&self) -> Option<&Archive> {
        match &self.place {
            Place::Archive(archive) => Some(archive),
            Place::Registry(_) => None,
        }
    }

    /// The registry that it comes from, if it comes from one.
    #[must_use]
    pub fn pull(&self) -> Option<&Pull> {
        match &self.place {
            Place::Registry(pull) => Some(pull),
            Place::Archive(_) => None,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(typed) => formatter.write_str(typed),
            Self::Archive { path, .. } | Self::Folder { path, .. } => path.display().fmt(formatter),
        }
    }
}

/// Whether a text without a transport can only be meant as a path. What ends as archives do is one
/// even if nothing is there: who mistypes the name of a file wants to hear of files and not of
/// registries.
fn looks_like_a_path(text: &str) -> bool {
    let starts = ["/", "./", "../"];
    let ends = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz"];
    starts.iter().any(|start| text.starts_with(start))
        || ends.iter().any(|end| text.ends_with(end))
        || ["-", ".", ".."].contains(&text)
}

fn choose(all: &[Held], wanted: Option<&str>) -> Option<usize> {
    match (wanted, all) {
        (None, [_]) => Some(0),
        (None, _) => None,
        (Some(wanted), all) => {
            let whole = wanted.parse().ok();
            let has = |held: &Held| {
                let mut names = held.names().iter();
                names.any(|name| Some(name) == whole.as_ref() || name.tag() == wanted)
            };
            all.iter().position(has)
        }
    }
}

fn names(all: &[Held]) -> String {
    let names = all.iter().flat_map(Held::names).map(ToString::to_string);
    match names.take(20).collect::<Vec<_>>() {
        names if names.is_empty() => format!("{} images without names", all.len()),
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(path: &str, name: Option<&str>) -> Transport {
        Transport::Archive {
            path: path.into(),
            name: name.map(ToOwned::to_owned),
        }
    }

    fn folder(path: &str, layout: Layout, name: Option<&str>) -> Transport {
        Transport::Folder {
            path: path.into(),
            layout,
            name: name.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn transports_are_those_of_skopeo() {
        for (text, place) in [
            (
                "docker://alpine:3",
                Transport::Registry("alpine:3".to_owned()),
            ),
            ("docker-archive:a.tar", archive("a.tar", None)),
            (
                "docker-archive:a.tar:x/y:1",
                archive("a.tar", Some("x/y:1")),
            ),
            ("oci-archive:/b/a.tar:1", archive("/b/a.tar", Some("1"))),
            ("oci:layout:1", folder("layout", Layout::Oci, Some("1"))),
            ("dir:/x", folder("/x", Layout::Directory, None)),
        ] {
            assert_eq!(Transport::parse(text).unwrap(), place, "{text}");
        }
    }

    #[test]
    fn a_folder_that_is_called_as_an_image_is_not_taken_for_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("nginx")).unwrap();
        std::fs::write(root.path().join("alpine"), "").unwrap();
        for name in ["nginx", "alpine", "nginx:1"] {
            let place = Transport::parse_name_below(name, root.path()).unwrap();
            assert_eq!(place, Transport::Registry(name.to_owned()));
        }
        let place = Transport::parse_name_below("./nginx", root.path()).unwrap();
        let path = root.path().join("./nginx");
        assert_eq!(place, folder(path.to_str().unwrap(), Layout::Oci, None));
        let place = Transport::parse_name_below("base.tar.gz", root.path()).unwrap();
        let path = root.path().join("base.tar.gz");
        assert_eq!(place, archive(path.to_str().unwrap(), None));
    }

    #[test]
    fn without_a_transport_it_is_a_path_or_a_reference() {
        let reference = |text: &str| Transport::Registry(text.to_owned());
        assert_eq!(
            Transport::parse("./a.tar").unwrap(),
            archive("./a.tar", None)
        );
        assert_eq!(Transport::parse("-").unwrap(), archive("-", None));
        assert_eq!(
            Transport::parse("absent.tar").unwrap(),
            archive("absent.tar", None)
        );
        assert_eq!(
            Transport::parse("/").unwrap(),
            folder("/", Layout::Oci, None)
        );
        assert_eq!(
            Transport::parse("x.example/a:1").unwrap(),
            reference("x.example/a:1")
        );
        assert_eq!(
            Transport::parse("localhost:5000/a").unwrap(),
            reference("localhost:5000/a")
        );
        for text in ["", "docker://", "dir:", "ftp://x.example/a", "oci:"] {
            assert!(Transport::parse(text).is_err(), "{text}");
        }
    }
}
