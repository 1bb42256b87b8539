//! Logging in and out: credentials are kept only after the registry has taken them.

use hyper::Method;

use super::Access;
use super::call::{Call, Place};
use super::error::Error;
use crate::credentials::Credentials;
use crate::reference::{InvalidReference, Reference};

/// A registry, or a part of one, that somebody logs in to: `docker.io`, `registry.example/team`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm {
    key: String,
    /// Any reference in it.
    inside: Reference,
}

impl std::str::FromStr for Realm {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = ["https://", "http://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let key = key.unwrap_or(text).trim_end_matches('/');
        let inside = match key.contains('/') {
            true => key.parse(),
            false => format!("{key}/any").parse(),
        };
        let inside = inside.map_err(|error: InvalidReference| error.without_suffix("/any"))?;
        let key = key.to_owned();
        Ok(Self { key, inside })
    }
}

impl Realm {
    /// The registry that it is in.
    #[must_use]
    pub fn host(&self) -> &str {
        self.inside.registry()
    }
}

impl std::fmt::Display for Realm {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.key)
    }
}

impl Access {
    /// Keeps user and password for a registry, if it takes them.
    ///
    /// # Errors
    /// [`Error`]; what was kept before stays then.
    pub fn login(&self, realm: &Realm, user: &str, password: &str) -> Result<(), Error> {
        let credentials = Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        self.check(realm, Some(credentials))?;
        Ok(self.keyring().store(&realm.key, user, password)?)
    }

    /// The user whom a pull from there would be, whichever file or helper knows it.
    ///
    /// # Errors
    /// [`Error::Credentials`].
    pub fn user(&self, realm: &Realm) -> Result<Option<String>, Error> {
        let found = self.keyring().find(&realm.inside)?;
        Ok(found.and_then(|found| match found {
            Credentials::Password { user, .. } => Some(user),
            Credentials::IdentityToken(_) => None,
        }))
    }

    /// Who is logged in to a registry, if the registry still takes the password.
    ///
    /// # Errors
    /// [`Error::Credentials`].
    pub fn logged_in(&self, realm: &Realm) -> Result<Option<String>, Error> {
        let user = self.user(realm)?;
        Ok(user.filter(|_| self.check(realm, None).is_ok()))
    }

    /// Forgets the credentials for a registry; returns whether there were any.
    ///
    /// # Errors
    /// [`Error::Credentials`].
    pub fn logout(&self, realm: &Realm) -> Result<bool, Error> {
        Ok(self.keyring().erase(&realm.key)?)
    }

    /// Asks a registry whether it takes these credentials, or those that are kept.
    fn check(&self, realm: &Realm, credentials: Option<Credentials>) -> Result<(), Error> {
        let endpoint = self.registries.endpoint(&realm.inside)?;
        let client = self.client(&endpoint.reference, endpoint.insecure);
        let client = match credentials {
            Some(credentials) => client.with_credentials(Some(credentials)),
            None => client,
        };
        let what = format!("a login to {realm}");
        let call = Call::new(Method::GET, Place::Path("/v2/".to_owned()), &what);
        let mut answer = client.exchange(&call)?;
        answer.expect(&call, &[200])
    }
}
