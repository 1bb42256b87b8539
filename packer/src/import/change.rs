//! `--change`: one instruction in the syntax of a Dockerfile, with a space or `=` behind the word.

use std::str::FromStr;

use crate::image::{Empty, RunConfig};
use crate::package::Port;

/// One thing that an image's config is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The arguments that a command line replaces.
    Cmd(Vec<String>),
    /// The program and its fixed arguments.
    Entrypoint(Vec<String>),
    /// A variable of the environment, as `NAME=value`.
    Env(String),
    /// A port that the program listens on.
    Expose(Port),
    /// A label.
    Label(String, String),
    /// The signal that `stop` sends first.
    StopSignal(String),
    /// `user[:group]`.
    User(String),
    /// Directories with data that outlives the container.
    Volume(Vec<String>),
    /// Where the program starts.
    WorkDir(String),
}

/// A text that is no change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid change \"{}\": {reason}", .change.escape_debug())]
pub struct InvalidChange {
    change: String,
    reason: String,
}

impl Change {
    pub(super) fn apply(&self, config: &mut RunConfig) {
        match self {
            Self::Cmd(words) => config.cmd.clone_from(words),
            Self::Entrypoint(words) => config.entrypoint.clone_from(words),
            Self::Env(variable) => {
                let name = |text: &str| text.split('=').next().map(ToOwned::to_owned);
                config.env.retain(|other| name(other) != name(variable));
                config.env.push(variable.clone());
            }
            Self::Expose(port) => {
                config.exposed_ports.insert(port.to_string(), Empty {});
            }
            Self::Label(key, value) => {
                config.labels.insert(key.clone(), value.clone());
            }
            Self::StopSignal(signal) => config.stop_signal.clone_from(signal),
            Self::User(user) => config.user.clone_from(user),
            Self::Volume(paths) => {
                let paths = paths.iter().map(|path| (path.clone(), Empty {}));
                config.volumes.extend(paths);
            }
            Self::WorkDir(path) => config.working_dir.clone_from(path),
        }
    }
}

impl FromStr for Change {
    type Err = InvalidChange;

    fn from_str(text: &str) -> Result<Self, InvalidChange> {
        let refuse = |reason: &str| InvalidChange {
            change: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (word, value) = text
            .split_once(' ')
            .or_else(|| text.split_once('='))
            .ok_or_else(|| refuse("an instruction and its value are expected, as CMD /bin/sh"))?;
        let value = value.trim();
        if value.is_empty() {
            return Err(refuse("the value is missing"));
        }
        match word.trim().to_ascii_uppercase().as_str() {
            "CMD" => Ok(Self::Cmd(command(value))),
            "ENTRYPOINT" => Ok(Self::Entrypoint(command(value))),
            "ENV" => match value.split_once('=') {
                Some(("", _)) => Err(refuse("the variable has no name")),
                Some(_) => Ok(Self::Env(value.to_owned())),
                None => Ok(Self::Env(format!("{value}="))),
            },
            "EXPOSE" => match value.parse() {
                Ok(port) => Ok(Self::Expose(port)),
                Err(error) => Err(refuse(&error.to_string())),
            },
            "LABEL" => match value.split_once('=') {
                None | Some(("", _)) => Err(refuse("a label is KEY=VALUE")),
                Some((key, value)) => Ok(Self::Label(unquoted(key), unquoted(value))),
            },
            "STOPSIGNAL" => Ok(Self::StopSignal(value.to_owned())),
            "USER" => Ok(Self::User(value.to_owned())),
            "VOLUME" => Ok(Self::Volume(list(value).unwrap_or_else(|| {
                value.split_whitespace().map(ToOwned::to_owned).collect()
            }))),
            "WORKDIR" => Ok(Self::WorkDir(value.to_owned())),
            _ => Err(refuse(
                "the instructions are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME \
                 and WORKDIR",
            )),
        }
    }
}

/// A JSON list of words, or a line for the shell.
fn command(value: &str) -> Vec<String> {
    list(value).unwrap_or_else(|| ["/bin/sh", "-c", value].map(ToOwned::to_owned).to_vec())
}

fn list(value: &str) -> Option<Vec<String>> {
    serde_json::from_str(value).ok()
}

fn unquoted(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(changes: &[&str]) -> RunConfig {
        let mut config = RunConfig::default();
        for change in changes {
            change.parse::<Change>().unwrap().apply(&mut config);
        }
        config
    }

    /// Each line gives what podman 4.3.1 makes of it.
    #[test]
    fn instructions_mean_what_they_mean_to_podman() {
        let config = applied(&["CMD=/bin/sh", "ENTRYPOINT [\"/a\",\"b\"]"]);
        assert_eq!(config.cmd, ["/bin/sh", "-c", "/bin/sh"]);
        assert_eq!(config.entrypoint, ["/a", "b"]);
        let config = applied(&["ENV X=1 Y=2", "ENV=Z=1", "env Z=2", "ENV E"]);
        assert_eq!(config.env, ["X=1 Y=2", "Z=2", "E="]);
        let config = applied(&["LABEL a=b c=d", "label e=\"f g\"", "EXPOSE 80"]);
        assert_eq!(config.labels["a"], "b c=d");
        assert_eq!(config.labels["e"], "f g");
        assert!(config.exposed_ports.contains_key("80/tcp"));
        let config = applied(&["VOLUME /a /b", "VOLUME [\"/c\"]", "USER 5", "WORKDIR=/x"]);
        assert_eq!(config.volumes.len(), 3);
        assert_eq!((&*config.user, &*config.working_dir), ("5", "/x"));
    }

    #[test]
    fn what_is_no_instruction_is_refused() {
        for text in ["", "CMD", "FOO=1", "USER ", "EXPOSE x", "ENV =X", "LABEL a"] {
            assert!(text.parse::<Change>().is_err(), "{text:?}");
        }
    }
}
