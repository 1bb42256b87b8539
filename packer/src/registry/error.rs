//! What can go wrong between us and a registry. Every error is one line.

use std::io;

use crate::digest::Digest;

/// A registry that did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something went wrong with one registry.
    #[error("the registry {registry} {problem}")]
    Registry {
        /// The registry, as it is written in references.
        registry: String,
        /// What went wrong.
        problem: Problem,
    },
    /// Something went wrong with a web server that is no registry.
    #[error("{url} cannot be fetched: the server {problem}")]
    Web {
        /// What was to be fetched.
        url: String,
        /// What went wrong.
        problem: Box<Problem>,
    },
    /// The configuration of registries.
    #[error(transparent)]
    Registries(#[from] crate::registries::Error),
    /// The files with credentials.
    #[error(transparent)]
    Credentials(#[from] crate::credentials::Error),
    /// No registry that was asked has the image.
    #[error("{typed} was not found: {tried}")]
    Nowhere {
        /// What was typed.
        typed: String,
        /// What each registry answered.
        tried: String,
    },
    /// What is pushed could not be read.
    #[error("{what} cannot be read: {cause}")]
    Read {
        /// What it is.
        what: String,
        /// Why not.
        cause: io::Error,
    },
}

/// What went wrong. Each reads as the end of a sentence that begins with "the registry NAME".
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is no connection.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// A connection ended, or what came over it was not HTTP.
    #[error("broke the connection off: {0}")]
    Broken(String),
    /// It was silent for too long.
    #[error("has not answered for {0} seconds")]
    Stalled(u64),
    /// It is not who it should be.
    #[error(
        "cannot be trusted: {0}; put the certificate of its authority into certs.d, or use \
         --tls-verify=false"
    )]
    Tls(String),
    /// It speaks plain HTTP, and that was not allowed.
    #[error(
        "does not speak TLS: plain HTTP is used only with --tls-verify=false, or insecure = true \
         in registries.conf"
    )]
    NotTls,
    /// Files with certificates cannot be used.
    #[error("cannot be asked: {0}")]
    Certificates(String),
    /// 401.
    #[error("wants to know who asks for {what}: {hint}")]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// What to do.
        hint: String,
    },
    /// 403.
    #[error("does not allow this for {what}{said}")]
    Forbidden {
        /// What was asked for.
        what: String,
        /// What it said, in brackets, or nothing.
        said: String,
    },
    /// 404.
    #[error("has no {0}")]
    NotFound(String),
    /// 429.
    #[error("answers that it is asked too often, {0} times: try again later, or log in")]
    TooOften(u32),
    /// Any other status.
    #[error("answered {status} to the request for {what}{said}")]
    Status {
        /// Number and words.
        status: String,
        /// What was asked for.
        what: String,
        /// What it said, in brackets, or nothing.
        said: String,
    },
    /// An answer that makes no sense.
    #[error("answered with something that is not understood: {0}")]
    Malformed(String),
    /// Other bytes than were asked for.
    #[error("sent wrong bytes: {what} should have the digest {expected} and has {found}")]
    Digest {
        /// What it is.
        what: String,
        /// The digest by which it was asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// More or fewer bytes than were announced.
    #[error("sent {what} with a wrong length: {expected} bytes were expected")]
    Length {
        /// What it is.
        what: String,
        /// What was announced, in bytes.
        expected: u64,
    },
    /// More than is reasonable.
    #[error("is refused: {what} has more than {limit} MiB")]
    TooBig {
        /// What it is.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A way that is not followed.
    #[error("is refused: it leads to {to}, {why}")]
    Redirect {
        /// Where to.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// It has the image for other platforms only.
    #[error("has no image for {wanted}, only for {there}")]
    Platform {
        /// The platform that was asked for.
        wanted: String,
        /// The platforms that there are.
        there: String,
    },
}

impl Problem {
    /// The same problem, of this registry.
    pub(super) fn of(self, registry: &str) -> Error {
        Error::Registry {
            registry: registry.to_owned(),
            problem: self,
        }
    }

    /// Whether the same request may do better in a moment.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Stalled(_))
    }
}

impl Error {
    /// Whether the registry is there and does not have what was asked for.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Nowhere { .. }
                | Self::Registry {
                    problem: Problem::NotFound(_),
                    ..
                }
        )
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

/// What somebody else wrote, in a form that fits into a line of ours.
pub(super) fn quoted(text: &str) -> String {
    text.chars()
        .take(200)
        .collect::<String>()
        .escape_debug()
        .to_string()
}
