//! What every container gets unless a flag says otherwise: `containers.conf`.
//!
//! Of podman's file the keys are read that this engine has a flag for; the others mean nothing here.
//! `limits = "best-effort"` in `[containers]` is our own: what `--limits` says for one container.
//!
//! Source: containers.conf(5).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The defaults of containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `pids_limit`.
    pub pids_limit: Option<i64>,
    /// `default_ulimits`.
    pub ulimits: Vec<String>,
    /// `cgroupns`.
    pub cgroupns: Option<String>,
    /// `limits`: whether a container starts without a limit that can not be enforced.
    pub best_effort: bool,
    /// `default_capabilities`, if it is there.
    pub capabilities: Option<Vec<String>>,
    /// `seccomp_profile`.
    pub seccomp_profile: Option<PathBuf>,
    /// `init`.
    pub init: bool,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file} is not understood: {reason} (containers.conf(5))")]
pub struct BadDefaults {
    file: String,
    reason: String,
}

impl Defaults {
    /// Reads the configuration that holds for the calling user: each file over the one before.
    ///
    /// # Errors
    /// [`BadDefaults`] for a file that is no TOML, or a key that is not of its type.
    pub fn load() -> Result<Self, BadDefaults> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let mut files: Vec<PathBuf> = Vec::new();
        if let Some(named) = variable("CONTAINERS_CONF") {
            files.push(named.into());
        } else {
            files.push("/usr/share/containers/containers.conf".into());
            files.push("/etc/containers/containers.conf".into());
            files.extend(fragments(Path::new("/etc/containers/containers.conf.d")));
            let home = || Some(PathBuf::from(variable("HOME")?).join(".config"));
            let user = variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
            if let Some(user) = user.filter(|_| !rustix::process::geteuid().is_root()) {
                files.push(user.join("containers/containers.conf"));
                files.extend(fragments(&user.join("containers/containers.conf.d")));
            }
        }
        let mut defaults = Self::default();
        for file in files {
            let refuse = |reason: String| BadDefaults {
                file: file.display().to_string(),
                reason,
            };
            match fs::read_to_string(&file) {
                Ok(text) => defaults.merge(&text).map_err(refuse)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(refuse(error.to_string())),
            }
        }
        Ok(defaults)
    }

    fn merge(&mut self, text: &str) -> Result<(), String> {
        let Some(section) = section(text, "[containers]") else {
            return Ok(());
        };
        let table: Table = toml::from_str(&section).map_err(|error| {
            error
                .message()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        })?;
        for (key, value) in &table {
            let wrong = || format!("{key} is of another type");
            let text = || value.as_str().map(str::to_owned).ok_or_else(wrong);
            match key.as_str() {
                "pids_limit" => self.pids_limit = Some(value.as_integer().ok_or_else(wrong)?),
                "default_ulimits" => self.ulimits = list(value).ok_or_else(wrong)?,
                "default_capabilities" => {
                    self.capabilities = Some(list(value).ok_or_else(wrong)?);
                }
                "cgroupns" => self.cgroupns = Some(text()?),
                "seccomp_profile" => {
                    self.seccomp_profile = Some(text()?.into()).filter(|path: &PathBuf| path != "");
                }
                "init" => self.init = value.as_bool().ok_or_else(wrong)?,
                "limits" => {
                    self.best_effort = match text()?.as_str() {
                        "best-effort" => true,
                        "strict" => false,
                        _ => return Err("limits: strict or best-effort".to_owned()),
                    };
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What stands in a section of a TOML file without its tables, if it is more than comments.
///
/// The file that distributions install is hundreds of comments and a few keys, and every start reads it: so
/// comments are left out here, and no parser sees them.
fn section(text: &str, heading: &str) -> Option<String> {
    let says_something = |line: &&str| {
        let first = line.trim_ascii_start().bytes().next();
        first.is_some_and(|byte| byte != b'#')
    };
    let lines = text.split_inclusive('\n');
    let inside = lines
        .skip_while(|line| !line.trim_ascii_start().starts_with(heading))
        .skip(1)
        // A list may begin a line with a bracket too, but then it is indented.
        .take_while(|line| !line.starts_with('['));
    let mut section: String = inside.clone().filter(says_something).collect();
    // In a text of several lines, what looks like a comment is none.
    if section.contains("\"\"\"") || section.contains("'''") {
        section = inside.collect();
    }
    (!section.is_empty()).then_some(section)
}

fn list(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?;
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// The files of a folder that end in `.conf`, in order.
fn fragments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_win_and_foreign_keys_mean_nothing() {
        let mut defaults = Defaults::default();
        defaults
            .merge("[engine]\nruntime = \"crun\"\n[containers]\npids_limit = 7\nnetns = \"x\"\n")
            .unwrap();
        defaults
            .merge("[containers]\ndefault_ulimits = [\n  \"nofile=5\",\n]\nlimits = \"best-effort\"\n[network]\nx = 1\n")
            .unwrap();
        assert_eq!(defaults.pids_limit, Some(7));
        assert_eq!(defaults.ulimits, ["nofile=5"]);
        assert!(defaults.best_effort);
        defaults
            .merge("[containers]\n# pids_limit = 9\n\n[engine]\nbroken =\n")
            .unwrap();
        assert_eq!(defaults.pids_limit, Some(7));
    }

    #[test]
    fn a_comment_is_passed_over_and_a_text_of_several_lines_is_whole() {
        let read = |text: &str| section(text, "[containers]");
        let commented =
            "[containers]\n#a = 1\n  # b\nc = [\n  # d\n  \"e\",\n]\n\n[engine]\nf = 1\n";
        assert_eq!(read(commented).unwrap(), "c = [\n  \"e\",\n]\n");
        assert_eq!(read("[containers]\n# a\n\n"), None);
        let text = "[containers]\na = \"\"\"\n# no comment\n\"\"\"\n";
        assert_eq!(read(text).unwrap(), &text["[containers]\n".len()..]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "pids_limit = \"x\"",
            "limits = \"none\"",
            "init =",
            "default_ulimits = [1]",
        ] {
            let mut defaults = Defaults::default();
            let text = format!("[containers]\n{text}\n");
            assert!(defaults.merge(&text).is_err(), "{text}");
        }
    }
}
