//! One file with credentials: `auth.json`, docker's `config.json`, or the old `.dockercfg`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Credentials, Error, base64, invalid};
use crate::reference::Reference;

/// The key under which docker keeps the credentials for Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";

/// A file, kept as JSON, so that writing it back loses nothing that others put there.
#[derive(Debug)]
pub(super) struct AuthFile {
    path: PathBuf,
    content: Map<String, Value>,
}

impl AuthFile {
    pub(super) fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            content: Map::new(),
        }
    }

    /// Reads the file; nothing if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            // A home that others may not enter has no file for us.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(cause) => {
                let path = path.to_owned();
                return Err(Error::Read { path, cause });
            }
        };
        let mut content = match text.trim() {
            "" => Map::new(),
            text => serde_json::from_str(text).map_err(|error| invalid(path, error))?,
        };
        if path.file_name().is_some_and(|name| name == ".dockercfg") {
            content = Map::from_iter([("auths".to_owned(), Value::Object(content))]);
        }
        let path = path.to_owned();
        Ok(Some(Self { path, content }))
    }

    /// The helper that keeps the credentials for `registry`.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let helpers = self.content.get("credHelpers");
        let own = helpers.and_then(|helpers| {
            helpers
                .get(registry)
                .or_else(|| helpers.get(server(registry)))
        });
        own.or_else(|| self.content.get("credsStore"))
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
    }

    /// The credentials for a reference: the entry with the longest path.
    pub(super) fn find(&self, reference: &Reference) -> Result<Option<Credentials>, Error> {
        let name = reference.untagged();
        let mut key = name.as_str();
        loop {
            if let Some(found) = self.entry(key)? {
                return Ok(Some(found));
            }
            match key.rsplit_once('/') {
                Some((shorter, _)) => key = shorter,
                None => return self.find_as_docker_wrote(reference.registry()),
            }
        }
    }

    /// The entry with exactly this key.
    pub(super) fn entry(&self, key: &str) -> Result<Option<Credentials>, Error> {
        match self.auths().and_then(|auths| auths.get(key)) {
            Some(entry) => self.credentials(key, entry),
            None => Ok(None),
        }
    }

    /// Docker's keys may be addresses, with a scheme and a path.
    fn find_as_docker_wrote(&self, registry: &str) -> Result<Option<Credentials>, Error> {
        for (key, entry) in self.auths().into_iter().flatten() {
            if host(key) == registry {
                let found = self.credentials(key, entry)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    fn credentials(&self, key: &str, entry: &Value) -> Result<Option<Credentials>, Error> {
        let text = |name: &str| {
            entry
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credentials::IdentityToken(token.to_owned())));
        }
        if let Some(encoded) = text("auth") {
            let decoded = base64::decode(encoded).and_then(|bytes| String::from_utf8(bytes).ok());
            let (user, password) = decoded
                .as_deref()
                .and_then(|pair| pair.split_once(':'))
                .ok_or_else(|| {
                    invalid(
                        &self.path,
                        format!("\"auth\" of {key:?} is no Base64 of user:password"),
                    )
                })?;
            return Ok(Some(Credentials::Password {
                user: user.to_owned(),
                // Some writers end it with NUL bytes.
                password: password.trim_end_matches('\0').to_owned(),
            }));
        }
        Ok(text("username")
            .zip(text("password"))
            .map(|(user, password)| Credentials::Password {
                user: user.to_owned(),
                password: password.to_owned(),
            }))
    }

    fn auths(&self) -> Option<&Map<String, Value>> {
        self.content.get("auths").and_then(Value::as_object)
    }

    pub(super) fn insert(&mut self, registry: &str, user: &str, password: &str) {
        let encoded = base64::encode(format!("{user}:{password}").as_bytes());
        let auths = self.content.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths[registry] = json!({ "auth": encoded });
    }

    pub(super) fn remove(&mut self, registry: &str) -> bool {
        let auths = self.content.get_mut("auths").and_then(Value::as_object_mut);
        auths.is_some_and(|auths| auths.remove(registry).is_some())
    }

    pub(super) fn clear(&mut self) {
        self.content.insert("auths".to_owned(), json!({}));
    }

    /// Writes the file anew, readable for its owner only; in a new folder, if it has to be.
    pub(super) fn write(&self) -> Result<(), Error> {
        self.replace().map_err(|cause| Error::Write {
            path: self.path.clone(),
            cause,
        })
    }

    fn replace(&self) -> io::Result<()> {
        // A link stays one: what it leads to is replaced.
        let path = self
            .path
            .canonicalize()
            .unwrap_or_else(|_| self.path.clone());
        // What is no file, such as /dev/null, is somebody's way to say that there are no credentials.
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            let message = "it is no file; name another one with --authfile";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".auth-")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        serde_json::to_writer_pretty(&mut file, &self.content)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// What a helper is asked for: Docker Hub has a name of its own.
pub(super) fn server(registry: &str) -> &str {
    match registry {
        "docker.io" => HUB,
        other => other,
    }
}

/// The registry that a key of docker's means.
fn host(key: &str) -> &str {
    let without_scheme = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let rest = without_scheme.unwrap_or(key);
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        // A path without a scheme is podman's, and was looked for as such.
        _ if without_scheme.is_none() && rest.contains('/') => "",
        host => host,
    }
}
