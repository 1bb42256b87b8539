//! Images in registries: the client's side of the OCI distribution specification.
//!
//! [`Access`] knows how registries are asked: configuration, credentials, certificates. With it,
//! [`Pull`] is a place that gives an image, and [`Push`] one that takes images. What they stand on
//! is one [`client`] a registry, which keeps connections and tokens and tries again, and the
//! requests of the specification: manifests, downloads, uploads.
//!
//! A registry is not believed: sizes are bounded, digests are checked while bytes arrive, redirects
//! lead neither to plain HTTP nor into this machine, and credentials go to no other host.
//!
//! Source: OCI distribution specification 1.1; the token authentication of the distribution project.

use std::path::PathBuf;
use std::time::Duration;

use crate::credentials::{Credentials, Keyring};
use crate::reference::Reference;
use crate::registries::{Endpoint, Registries};

mod answer;
mod attachment;
mod auth;
mod call;
mod challenge;
mod client;
mod connection;
mod copy;
mod download;
mod error;
mod fetch;
mod location;
mod login;
mod manifest;
mod patience;
mod platform;
mod prefetch;
mod pull;
mod push;
mod referrer;
mod repository;
mod stream;
mod target;
mod tls;
mod upload;

pub use attachment::Attachment;
pub use copy::{End, Extent, copy};
pub use error::{Error, Problem};
pub use fetch::{Download, fetch};
pub use login::Realm;
pub use manifest::{Content, Document};
pub use pull::Pull;
pub use push::{Push, Pushing, Watch};
pub use referrer::Artifact;
pub use repository::Repository;

use client::{Client, Settings};

/// Attempts after the first one, where nobody says otherwise; podman's number.
pub const RETRIES: u32 = 3;

/// How long a registry may be silent, where nobody says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a registry must prove who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verify {
    /// It must, unless it is this machine or `registries.conf` calls it insecure.
    #[default]
    Default,
    /// It must (`--tls-verify`).
    Always,
    /// It need not, and plain HTTP will do (`--tls-verify=false`).
    Never,
}

/// What a user may say about how registries are asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether a registry must prove who it is.
    pub verify: Verify,
    /// The only file with credentials (`--authfile`).
    pub authfile: Option<PathBuf>,
    /// These credentials and no others (`--creds`).
    pub credentials: Option<Credentials>,
    /// The folder with certificates (`--cert-dir`), in the place of those in `certs.d`.
    pub certificates: Option<PathBuf>,
    /// Attempts after the first one.
    pub retries: u32,
    /// How long a registry may be silent.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            verify: Verify::Default,
            authfile: None,
            credentials: None,
            certificates: None,
            retries: RETRIES,
            patience: PATIENCE,
        }
    }
}

/// The way to registries.
#[derive(Debug, Clone)]
pub struct Access {
    options: Options,
    registries: Registries,
    keyring: Keyring,
}

impl Access {
    /// Reads `registries.conf`; credentials and certificates are read when they are needed.
    ///
    /// # Errors
    /// [`Error::Registries`].
    pub fn new(options: Options) -> Result<Self, Error> {
        let registries = Registries::load()?;
        let keyring = Keyring::new(options.authfile.clone(), registries.credential_helpers());
        Ok(Self {
            options,
            registries,
            keyring,
        })
    }

    /// What the configuration says about registries.
    #[must_use]
    pub fn registries(&self) -> &Registries {
        &self.registries
    }

    /// The places where credentials are kept.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The repository of a reference, for whoever writes: no mirror.
    ///
    /// # Errors
    /// [`Error::Registries`] when it is blocked.
    pub fn repository(&self, reference: &Reference) -> Result<Repository, Error> {
        Ok(self.at(&self.registries.endpoint(reference)?, true))
    }

    /// The repositories that a reference may be read from: the mirrors, then the registry.
    ///
    /// # Errors
    /// [`Error::Registries`] when it is blocked.
    pub fn repositories(&self, reference: &Reference) -> Result<Vec<Repository>, Error> {
        let endpoints = self.registries.endpoints(reference)?;
        let last = endpoints.len() - 1;
        let places = endpoints.iter().enumerate();
        Ok(places
            .map(|(place, endpoint)| self.at(endpoint, place == last))
            .collect())
    }

    /// Credentials that were typed are for the registry itself and for no mirror.
    fn at(&self, endpoint: &Endpoint, is_registry: bool) -> Repository {
        let client = self.client(&endpoint.reference, endpoint.insecure);
        let typed = self.options.credentials.as_ref().filter(|_| is_registry);
        Repository::new(
            endpoint.reference.clone(),
            match typed {
                Some(credentials) => client.with_credentials(Some(credentials.clone())),
                None => client,
            },
        )
    }

    fn client(&self, reference: &Reference, insecure: bool) -> Client {
        let settings = Settings {
            verify: match (self.options.verify, insecure) {
                (Verify::Default, true) => Verify::Never,
                (verify, _) => verify,
            },
            certificates: self.options.certificates.clone(),
            retries: self.options.retries,
            patience: self.options.patience,
        };
        Client::new(reference, settings, self.keyring.clone())
    }
}
