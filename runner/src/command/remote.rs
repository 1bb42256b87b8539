//! What the verbs that speak to registries have in common: their flags, the search for an image,
//! and the way of one into the store.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use packer::archive::Archive;
use packer::credentials::Credentials;
use packer::image::Platform;
use packer::place::Image;
use packer::reference::Reference;
use packer::registry::{Access, Download, Options, Pull, RETRIES, Verify};
use packer::transport::{Found, Transport};

use super::watch::Watch;
use crate::store::{Digests, Owners, Store, StoredImage};
use crate::trust::{Origin, Provenance, Trust, lookaside};

// How registries are asked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RegistryArguments {
    /// Whether the registry must prove who it is; false allows plain HTTP too [default: true, and
    /// plain HTTP on this machine]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls_verify: Option<bool>,

    /// Read credentials from this file and no other
    #[arg(long, value_name = "FILE")]
    pub(super) authfile: Option<PathBuf>,

    /// Use certificates from this folder
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
}

impl RegistryArguments {
    /// The way to registries.
    pub(super) fn access(
        &self,
        creds: Option<&Credentials>,
        retries: u32,
    ) -> anyhow::Result<Access> {
        if let Some(file) = &self.authfile {
            check_authfile(file)?;
        }
        self.access_with(creds, retries)
    }

    /// The same for who writes the file with the credentials, which need not be there yet.
    pub(super) fn access_for_login(&self) -> anyhow::Result<Access> {
        self.access_with(None, RETRIES)
    }

    fn access_with(&self, creds: Option<&Credentials>, retries: u32) -> anyhow::Result<Access> {
        Ok(Access::new(Options {
            verify: match self.tls_verify {
                None => Verify::Default,
                Some(true) => Verify::Always,
                Some(false) => Verify::Never,
            },
            authfile: self.authfile.clone(),
            credentials: creds.cloned(),
            certificates: self.cert_dir.clone(),
            retries,
            ..Options::default()
        })?)
    }
}

/// podman has no tag for the image of a layout that is called as its folder.
pub(super) fn name_as_podman(image: &mut Image, archive: &Archive) {
    for name in &mut image.names {
        if let Some(folder) = archive.folder_name()
            && name.untagged() == format!("localhost/{folder}")
            && let Ok(latest) = name.with_tag("latest")
        {
            *name = latest;
        }
    }
}

/// The address of a web server, where it stands in the place of a file.
pub(super) fn url(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    (text.starts_with("http://") || text.starts_with("https://")).then_some(text)
}

/// Begins to fetch what is at `url`.
pub(super) fn download(url: &str) -> anyhow::Result<Download> {
    Download::open(url)?.with_context(|| {
        let url = url.escape_debug();
        format!("{url} is not there: the server answered with 404, so look at the address")
    })
}

/// Refuses a file with credentials that is not there: nobody would be asked for without them.
pub(super) fn check_authfile(file: &Path) -> anyhow::Result<()> {
    let found = file.metadata();
    let shown = file.display();
    found.with_context(|| {
        format!("cannot read --authfile {shown}: log in with it first, or leave it away")
    })?;
    Ok(())
}

/// The way to registries that nobody said anything about.
pub(super) fn usual_access() -> anyhow::Result<Access> {
    Ok(Access::new(Options {
        retries: RETRIES,
        ..Options::default()
    })?)
}

/// `OS/ARCHITECTURE[/VARIANT]` of a command line.
pub(super) fn platform(text: &str) -> Result<Platform, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (os, architecture, variant) = match parts.as_slice() {
        [os, architecture] => (*os, *architecture, None),
        [os, architecture, variant] => (*os, *architecture, Some(*variant)),
        _ => return Err("OS/ARCHITECTURE[/VARIANT] is expected, such as linux/arm64".to_owned()),
    };
    Ok(Platform {
        architecture: architecture.to_owned(),
        os: os.to_owned(),
        variant: variant.map(ToOwned::to_owned),
    })
}

/// When a registry is asked for an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Policy {
    /// When it is not there
    #[default]
    Missing,
    /// In any case
    Always,
    /// In any case, and it is taken when it is another one than the one that is there; that a
    /// registry does not answer is no error then
    Newer,
    /// Never
    Never,
}

/// An image that was found and that the policy accepts, with how it comes here.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) found: Found,
    provenance: Provenance,
}

impl Accepted {
    /// Asks the policy about an image before anything of it is fetched but its manifest; `place` is
    /// where it was found.
    pub(super) fn new(found: Found, place: &Transport) -> anyhow::Result<Self> {
        let trust = Trust::load()?;
        let path = match place {
            Transport::Registry(_) => None,
            Transport::Archive { path, .. } | Transport::Folder { path, .. } => Some(&**path),
        };
        let mut provenance = Provenance::unsigned(Origin::of(&found, path));
        let digest = found.image().digest();
        if trust.needs_signatures(&provenance.origin) {
            provenance.signatures = lookaside::gather(&provenance.origin, found.pull(), &digest)?;
        }
        trust.check(&digest, &provenance)?;
        Ok(Self { found, provenance })
    }

    /// Brings it into the store. This process must be where the owners of its files exist.
    pub(super) fn store(
        &self,
        store: &Store,
        owners: Owners,
        quiet: bool,
    ) -> anyhow::Result<StoredImage> {
        let mut watch = Watch::new(quiet);
        let mut writer = store
            .writer(owners)?
            .coming_from(vec![self.provenance.clone()])
            .known_by(self.digests());
        let source = self.found.source();
        Ok(writer.load(&self.image(), source, &mut |step| watch.show(step))?)
    }

    /// The name under which it is kept.
    pub(super) fn name(&self) -> Option<Reference> {
        let tagged = || self.image().names.first().map(Reference::from);
        self.digests().pinned.or_else(tagged)
    }

    /// The image as it is kept: a tag beside a digest is only there to be read, as podman has it.
    fn image(&self) -> Image {
        let mut image = self.found.image().clone();
        if self.digests().pinned.is_some() {
            image.names.clear();
        }
        if let Some(archive) = self.found.archive() {
            name_as_podman(&mut image, archive);
        }
        image
    }

    /// By what a registry knows it beside a tag.
    fn digests(&self) -> Digests {
        let Some(pull) = self.found.pull() else {
            return Digests::default();
        };
        let own = self.found.image().digest();
        let pinned = |pull: &Pull| Some(pull.asked().with_digest(pull.asked().digest()?));
        Digests {
            index: Some(pull.digest()).filter(|digest| *digest != own),
            pinned: pinned(pull),
        }
    }
}
