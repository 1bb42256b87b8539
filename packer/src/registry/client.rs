//! Requests to one registry: connections that are used again, tokens, redirects, second attempts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use hyper::header::{
    AUTHORIZATION, HOST, HeaderValue, LINK, LOCATION, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, StatusCode, Uri};
use rustls::ClientConfig;

use super::answer::Answer;
use super::auth::{Auth, Scope};
use super::call::{Call, Place};
use super::challenge::{self, Challenge};
use super::connection::{Body, Connection, Upload};
use super::error::{Error, Problem, quoted};
use super::location::resolve;
use super::patience::{MOST_PAUSE, is_passing, pause, wait_for};
use super::target::{Target, is_private_to_host};
use super::{Verify, tls};
use crate::credentials::{Credentials, Keyring};
use crate::reference::Reference;

/// Redirects that are followed one after the other.
const MOST_REDIRECTS: usize = 8;

/// Connections that are kept for the next request.
const MOST_IDLE: usize = 8;

pub(super) const AGENT: &str = concat!("packer/", env!("CARGO_PKG_VERSION"));

/// How a registry is asked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) verify: Verify,
    /// `--cert-dir`.
    pub(super) certificates: Option<PathBuf>,
    /// Attempts after the first one.
    pub(super) retries: u32,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

/// One registry. Several threads may use it at once; each gets a connection of its own.
#[derive(Debug)]
pub(super) struct Client {
    /// The registry as it is written in references.
    registry: String,
    /// For which repository credentials are looked up.
    reference: Reference,
    settings: Settings,
    keyring: Keyring,
    /// The registry's server, once it is known whether it speaks TLS.
    origin: OnceLock<Target>,
    idle: Mutex<Vec<(Target, Connection)>>,
    tls: Mutex<BTreeMap<String, Arc<ClientConfig>>>,
    auth: Auth,
    credentials: OnceLock<Option<Credentials>>,
}

impl Client {
    /// `shown` is the registry in messages, and in which credentials are looked up.
    pub(super) fn new(reference: &Reference, settings: Settings, keyring: Keyring) -> Self {
        Self {
            registry: reference.registry().to_owned(),
            reference: reference.clone(),
            settings,
            keyring,
            origin: OnceLock::new(),
            idle: Mutex::default(),
            tls: Mutex::default(),
            auth: Auth::default(),
            credentials: OnceLock::new(),
        }
    }

    /// The same registry, asked with these credentials and no others.
    pub(super) fn with_credentials(self, credentials: Option<Credentials>) -> Self {
        Self {
            credentials: OnceLock::from(credentials),
            ..self
        }
    }

    pub(super) fn problem(&self, problem: Problem) -> Error {
        problem.of(&self.registry)
    }

    pub(super) fn retries(&self) -> u32 {
        self.settings.retries
    }

    pub(super) fn credentials(&self) -> Result<Option<Credentials>, Error> {
        if let Some(known) = self.credentials.get() {
            return Ok(known.clone());
        }
        let found = self.keyring.find(&self.reference)?;
        Ok(self.credentials.get_or_init(|| found).clone())
    }

    /// The registry's server. The first time, it is connected to: TLS is tried first, and plain
    /// HTTP only where that is allowed.
    pub(super) fn origin(&self) -> Result<Target, Error> {
        if let Some(known) = self.origin.get() {
            return Ok(known.clone());
        }
        let secure = Target::of_registry(&self.registry, true);
        let plain_allowed = match self.settings.verify {
            Verify::Always => false,
            Verify::Default => secure.is_loopback(),
            Verify::Never => true,
        };
        let (target, connection) = match self.dial(&secure, true) {
            Ok(connection) => (secure, connection),
            Err(problem) if plain_allowed && may_be_plain(&problem) => {
                let plain = Target::of_registry(&self.registry, false);
                let dialled = self.dial(&plain, true);
                let connection = dialled.map_err(|error| match error {
                    Problem::Unreachable(_) => self.problem(problem),
                    other => self.problem(other),
                })?;
                (plain, connection)
            }
            Err(problem) => return Err(self.problem(problem)),
        };
        self.keep(&target, connection);
        Ok(self.origin.get_or_init(|| target).clone())
    }

    /// Sends a request as often as it takes: after a challenge with credentials, after a passing
    /// trouble again. The answer may have any status but 401, 429 and those of redirects.
    pub(super) fn exchange(&self, call: &Call) -> Result<Answer<'_>, Error> {
        let mut was_challenged = false;
        loop {
            let answer = self.persist(call, true)?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
            let fields = answer.fields(&WWW_AUTHENTICATE);
            match challenge::parse(fields.iter().map(String::as_str)) {
                Some(challenge) if !was_challenged => {
                    self.auth.learn(challenge, &call.scope);
                    was_challenged = true;
                    answer.discard();
                }
                _ => return Err(self.unauthorized(call)),
            }
        }
    }

    /// The same for token servers.
    pub(super) fn exchange_without_auth(&self, call: &Call) -> Result<Answer<'_>, Error> {
        let answer = self.persist(call, false)?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => Err(self.unauthorized(call)),
            _ => Ok(answer),
        }
    }

    fn unauthorized(&self, call: &Call) -> Error {
        let hint = match self.credentials() {
            Ok(Some(_)) => "user name or password are wrong, or have no right to it",
            _ => "log in first, with the verb login",
        };
        self.problem(Problem::Unauthorized {
            what: call.what.clone(),
            hint: hint.to_owned(),
        })
    }

    /// Tries again what may go better the next time.
    fn persist(&self, call: &Call, with_auth: bool) -> Result<Answer<'_>, Error> {
        let mut attempt = 0;
        loop {
            let outcome = self.follow(call, with_auth);
            let pause = match &outcome {
                Ok(answer) if is_passing(answer.status()) => {
                    let asked = answer.field(&RETRY_AFTER).and_then(wait_for);
                    asked.unwrap_or_else(|| pause(attempt))
                }
                Err(Error::Registry { problem, .. }) if problem.is_passing() => pause(attempt),
                _ => return outcome,
            };
            if attempt == self.settings.retries || pause > MOST_PAUSE {
                return match outcome {
                    Ok(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS => {
                        Err(self.problem(Problem::TooOften(attempt + 1)))
                    }
                    outcome => outcome,
                };
            }
            drop(outcome);
            attempt += 1;
            sleep(pause);
        }
    }

    /// Follows redirects. Credentials stay where they belong.
    fn follow(&self, call: &Call, with_auth: bool) -> Result<Answer<'_>, Error> {
        let origin = self.origin()?;
        let (mut target, mut path) = self.place(&call.place)?;
        for _ in 0..=MOST_REDIRECTS {
            let mut fields = call.fields.clone();
            let authorization = match with_auth {
                true if target == origin => self.auth.header(self, &call.scope)?,
                true => None,
                false => call
                    .authorization
                    .clone()
                    .filter(|_| origin.trusts(&target)),
            };
            fields.extend(authorization.map(|value| (AUTHORIZATION, value)));
            let request = self.request(&call.method, &target, &path, fields)?;
            let answer = self.send(&target, &request, &call.content)?;
            if !is_redirect(answer.status()) {
                return Ok(answer);
            }
            let location = answer.field(&LOCATION).unwrap_or_default().to_owned();
            answer.discard();
            let here = Uri::try_from(format!("{target}{path}")).ok();
            (target, path) = self.redirected(here.as_ref(), &location)?;
        }
        Err(self.problem(Problem::Malformed(format!(
            "more than {MOST_REDIRECTS} redirects for {}",
            call.what
        ))))
    }

    /// Server and path of a place.
    fn place(&self, place: &Place) -> Result<(Target, String), Error> {
        match place {
            Place::Path(path) => Ok((self.origin()?, path.clone())),
            Place::At(uri) => self.redirected(None, &uri.to_string()),
        }
    }

    /// Server and path of an address that a server named, seen from `here`.
    fn redirected(&self, here: Option<&Uri>, location: &str) -> Result<(Target, String), Error> {
        let refuse = |why| {
            let to = quoted(location);
            self.problem(Problem::Redirect { to, why })
        };
        let uri = resolve(here, location).ok_or_else(|| refuse("which is no HTTP address"))?;
        let target = Target::of_uri(&uri).ok_or_else(|| refuse("which is no HTTP address"))?;
        let origin = self.origin()?;
        if !target.tls && origin.tls && self.settings.verify != Verify::Never {
            return Err(refuse("plain HTTP, which nobody protects"));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok((target, path.to_owned()))
    }

    /// Where an answer sends the next request to.
    pub(super) fn next_place(&self, answer: &Answer<'_>) -> Result<Uri, Error> {
        self.seen_from(answer, answer.field(&LOCATION).unwrap_or_default())
    }

    /// Where the next page of a list is; nothing behind the last one (RFC 8288).
    pub(super) fn next_page(&self, answer: &Answer<'_>) -> Result<Option<Uri>, Error> {
        let link = answer
            .field(&LINK)
            .filter(|link| link.contains("rel=\"next\""));
        let address = link
            .and_then(|link| link.trim_start().strip_prefix('<'))
            .and_then(|link| link.split_once('>'));
        let next = address.map(|(address, _)| self.seen_from(answer, address));
        next.transpose()
    }

    fn seen_from(&self, answer: &Answer<'_>, location: &str) -> Result<Uri, Error> {
        let here = Uri::try_from(format!("{}/", answer.target())).ok();
        let (target, path) = self.redirected(here.as_ref(), location)?;
        let uri = format!("{target}{path}").parse();
        uri.map_err(|_| self.problem(Problem::Malformed(quoted(location))))
    }

    /// Learns how the registry wants to be asked.
    pub(super) fn learn(&self, challenge: Challenge, scope: &Scope) {
        self.auth.learn(challenge, scope);
    }

    fn request(
        &self,
        method: &Method,
        target: &Target,
        path: &str,
        fields: Vec<(hyper::header::HeaderName, HeaderValue)>,
    ) -> Result<Request<()>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, target.authority())
            .header(USER_AGENT, AGENT);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.body(());
        request.map_err(|error| self.problem(Problem::Malformed(error.to_string())))
    }

    /// Sends a request over a connection that is there, or over a new one. A connection that was
    /// idle may have been closed in the meantime, which says nothing about the registry.
    fn send(
        &self,
        target: &Target,
        head: &Request<()>,
        content: &bytes::Bytes,
    ) -> Result<Answer<'_>, Error> {
        let request = || {
            let mut request = Request::new(Body::from(content.clone()));
            *request.method_mut() = head.method().clone();
            *request.uri_mut() = head.uri().clone();
            *request.headers_mut() = head.headers().clone();
            request
        };
        while let Some(mut connection) = self.idle_connection(target) {
            if let Ok(response) = connection.send(request()) {
                return Ok(Answer::new(self, target.clone(), connection, response));
            }
        }
        let mut connection = self
            .dial(target, false)
            .map_err(|problem| self.problem(problem))?;
        let response = connection
            .send(request())
            .map_err(|problem| self.problem(problem))?;
        Ok(Answer::new(self, target.clone(), connection, response))
    }

    /// Begins a request whose body is written piece by piece, on a new connection: it cannot be
    /// sent again when an old one turns out to be closed.
    pub(super) fn begin(&self, call: &Call, size: Option<u64>) -> Result<(Target, Upload), Error> {
        let (target, path) = self.place(&call.place)?;
        let mut fields = call.fields.clone();
        if target == self.origin()? {
            let authorization = self.auth.header(self, &call.scope)?;
            fields.extend(authorization.map(|value| (AUTHORIZATION, value)));
        }
        let head = self.request(&call.method, &target, &path, fields)?;
        let connection = self
            .dial(&target, false)
            .map_err(|problem| self.problem(problem))?;
        Ok((target, connection.begin(head, size)))
    }

    fn dial(&self, target: &Target, is_first: bool) -> Result<Connection, Problem> {
        let mut addresses = target.addresses()?;
        let is_origin = is_first
            || self
                .origin
                .get()
                .is_some_and(|origin| origin.host == target.host);
        if !is_origin && !Target::of_registry(&self.registry, true).is_loopback() {
            addresses.retain(|address| !is_private_to_host(address));
            if addresses.is_empty() {
                return Err(Problem::Redirect {
                    to: target.to_string(),
                    why: "an address that only this machine or its link has",
                });
            }
        }
        let tls = target.tls.then(|| self.tls_for(target)).transpose()?;
        Connection::open(target, &addresses, tls, self.settings.patience)
    }

    /// The certificates for a server; those of the registry are in a folder with its name.
    fn tls_for(&self, target: &Target) -> Result<Arc<ClientConfig>, Problem> {
        let is_registry = *target == Target::of_registry(&self.registry, true);
        let name = match is_registry {
            true => self.registry.clone(),
            false => target.authority(),
        };
        let mut known = lock(&self.tls);
        if let Some(config) = known.get(&name) {
            return Ok(Arc::clone(config));
        }
        let folder = self
            .settings
            .certificates
            .as_deref()
            .filter(|_| is_registry);
        let verify = self.settings.verify != Verify::Never;
        let config = tls::config(&name, folder, verify).map_err(Problem::Certificates)?;
        let config = Arc::new(config);
        known.insert(name, Arc::clone(&config));
        Ok(config)
    }

    fn idle_connection(&self, target: &Target) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        let place = idle.iter().position(|(known, _)| known == target)?;
        Some(idle.swap_remove(place).1)
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, target: &Target, connection: Connection) {
        let mut idle = lock(&self.idle);
        if idle.len() < MOST_IDLE {
            idle.push((target.clone(), connection));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a failed attempt at TLS may mean that the server speaks plain HTTP.
fn may_be_plain(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::NotTls | Problem::Broken(_) | Problem::Unreachable(_)
    )
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
