//! Programs that keep credentials: `docker-credential-NAME`.
//!
//! The program gets one word and reads from standard input; what it knows it writes as JSON.
//!
//! Source: the protocol of docker's credential helpers (docker-credential-helpers, README).

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde::{Deserialize, Serialize};

use super::{Credentials, Error};

/// The user name that marks an identity token.
const TOKEN_USER: &str = "<token>";

/// What helpers answer when they have nothing.
const NOT_FOUND: &str = "credentials not found";

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "ServerURL", default)]
    server: String,
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// What the helper `name` knows about `server`.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Credentials>, Error> {
    let output = call(name, "get", server.as_bytes())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return match said.to_lowercase().contains(NOT_FOUND) {
            true => Ok(None),
            false => Err(failed(name, &output)),
        };
    }
    let entry: Entry = serde_json::from_str(&said).map_err(|_| Error::Helper {
        program: program(name),
        reason: "it did not answer with JSON that has Username and Secret".to_owned(),
    })?;
    Ok(match (entry.user.as_str(), entry.secret.as_str()) {
        ("", "") => None,
        (TOKEN_USER, _) => Some(Credentials::IdentityToken(entry.secret)),
        _ => Some(Credentials::Password {
            user: entry.user,
            password: entry.secret,
        }),
    })
}

pub(super) fn store(name: &str, server: &str, user: &str, password: &str) -> Result<(), Error> {
    let entry = Entry {
        server: server.to_owned(),
        user: user.to_owned(),
        secret: password.to_owned(),
    };
    let entry = serde_json::to_vec(&entry).unwrap_or_default();
    expect_success(name, &call(name, "store", &entry)?)
}

pub(super) fn erase(name: &str, server: &str) -> Result<(), Error> {
    expect_success(name, &call(name, "erase", server.as_bytes())?)
}

fn expect_success(name: &str, output: &Output) -> Result<(), Error> {
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(name, output)),
    }
}

fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

fn call(name: &str, verb: &str, input: &[u8]) -> Result<Output, Error> {
    let program = program(name);
    let failed = |error: std::io::Error| Error::Helper {
        program: program.clone(),
        reason: match error.kind() {
            std::io::ErrorKind::NotFound => "it is not on the PATH".to_owned(),
            _ => error.to_string(),
        },
    };
    // A name is a part of a file name and never a path.
    if name.contains('/') {
        return Err(failed(std::io::ErrorKind::NotFound.into()));
    }
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read says why in its answer.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output().map_err(failed)
}

/// What the helper said, on one line; its output is never shown, since it may be a secret.
fn failed(name: &str, output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| !line.trim().is_empty());
    Error::Helper {
        program: program(name),
        reason: match line {
            Some(line) => line
                .chars()
                .take(200)
                .collect::<String>()
                .escape_debug()
                .to_string(),
            None => output.status.to_string(),
        },
    }
}
