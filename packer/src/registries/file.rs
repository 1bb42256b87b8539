//! One configuration file: where it is, and what it may say.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Error, pattern};
use crate::reference::{InvalidReference, Reference};

const SYSTEM: &str = "/etc/containers";

/// What one file says. Keys that do not concern an image's place are left to those who know them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct File {
    #[serde(rename = "unqualified-search-registries")]
    pub(super) search: Option<Vec<String>>,
    pub(super) credential_helpers: Option<Vec<String>>,
    #[serde(default)]
    pub(super) aliases: BTreeMap<String, String>,
    #[serde(default, rename = "registry")]
    pub(super) rules: Vec<Rule>,
    /// Version 1 of the format.
    registries: Option<Version1>,
}

/// `[registries.search]` and its like: all that version 1 of the format can say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version1 {
    search: List,
    insecure: List,
    block: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    registries: Vec<String>,
}

impl Version1 {
    /// A rule for each registry of which something is said.
    fn rules(&self) -> Vec<Rule> {
        let mut rules: BTreeMap<&str, Rule> = BTreeMap::new();
        for registry in &self.insecure.registries {
            rules.entry(registry).or_default().insecure = true;
        }
        for registry in &self.block.registries {
            rules.entry(registry).or_default().blocked = true;
        }
        let located = |(location, rule): (&str, Rule)| Rule {
            location: Some(location.to_owned()),
            ..rule
        };
        rules.into_iter().map(located).collect()
    }
}

/// A `[[registry]]`: what holds for all images whose references begin with its prefix.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Rule {
    prefix: Option<String>,
    /// Where the registry is in truth.
    pub(super) location: Option<String>,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    mirror_by_digest_only: bool,
    #[serde(rename = "mirror")]
    mirrors: Vec<Mirror>,
}

/// A `[[registry.mirror]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Mirror {
    pub(super) location: String,
    #[serde(default)]
    pub(super) insecure: bool,
    pull_from_mirror: Option<PullFromMirror>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFromMirror {
    All,
    DigestOnly,
    TagOnly,
}

impl Rule {
    /// The prefix, which is the location where none is written.
    pub(super) fn prefix(&self) -> &str {
        let prefix = self.prefix.as_ref().or(self.location.as_ref());
        prefix.map_or("", |prefix| prefix.trim_end_matches('/'))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.prefix().is_empty() {
            return Err("a [[registry]] has neither prefix nor location".to_owned());
        }
        if self.mirror_by_digest_only
            && self
                .mirrors
                .iter()
                .any(|mirror| mirror.pull_from_mirror.is_some())
        {
            let prefix = self.prefix();
            return Err(format!(
                "the mirrors of \"{prefix}\" have pull-from-mirror, so mirror-by-digest-only must not be set"
            ));
        }
        Ok(())
    }

    /// The mirrors that an image may be pulled from, by its digest or by its tag.
    pub(super) fn mirrors(&self, by_digest: bool) -> impl Iterator<Item = &Mirror> {
        let rule = match self.mirror_by_digest_only {
            true => PullFromMirror::DigestOnly,
            false => PullFromMirror::All,
        };
        self.mirrors.iter().filter(
            move |mirror| match mirror.pull_from_mirror.unwrap_or(rule) {
                PullFromMirror::All => true,
                PullFromMirror::DigestOnly => by_digest,
                PullFromMirror::TagOnly => !by_digest,
            },
        )
    }

    /// `reference` with `location` in the place of the prefix.
    pub(super) fn moved(
        &self,
        reference: &Reference,
        location: &str,
    ) -> Result<Reference, InvalidReference> {
        let name = reference.untagged();
        let length = pattern::matched(self.prefix(), &name).unwrap_or(0);
        let location = location.trim_end_matches('/');
        reference.at(&format!("{location}{}", &name[length..]))
    }
}

/// The files that there are, the one that goes before last.
pub(super) fn paths() -> Vec<PathBuf> {
    let variable = std::env::var_os("CONTAINERS_REGISTRIES_CONF").filter(|path| !path.is_empty());
    if let Some(path) = variable {
        return vec![path.into()];
    }
    let system = PathBuf::from(SYSTEM);
    let user = user_folder();
    let main = user
        .iter()
        .chain([&system])
        .map(|folder| folder.join("registries.conf"))
        .find(|path| path.is_file());
    let mut paths: Vec<PathBuf> = main.into_iter().collect();
    for folder in [&system].into_iter().chain(&user) {
        let mut found = files_of(&folder.join("registries.conf.d"));
        found.sort();
        paths.append(&mut found);
    }
    paths
}

fn user_folder() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    config
        .map(PathBuf::from)
        .or_else(home)
        .map(|folder| folder.join("containers"))
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_conf = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "conf")
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_conf)
        .collect()
}

/// Where podman remembers what a user chose for a short name.
pub(super) fn alias_cache() -> Option<PathBuf> {
    const NAME: &str = "containers/short-name-aliases.conf";
    if rustix::process::geteuid().is_root() {
        return Some(Path::new("/var/cache").join(NAME));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(cache.map(PathBuf::from).or_else(home)?.join(NAME))
}

pub(super) fn read(path: &Path) -> Result<File, Error> {
    let refuse = |reason: String| Error::Config {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read_to_string(path).map_err(|error: io::Error| refuse(error.to_string()))?;
    parse(&text).map_err(refuse)
}

pub(super) fn parse(text: &str) -> Result<File, String> {
    let mut file: File = toml::from_str(text).map_err(|error| one_line(&error, text))?;
    if let Some(old) = file.registries.take() {
        if file.search.is_some() || !file.rules.is_empty() {
            return Err(
                "it mixes version 1 of the format ([registries.…]) with version 2: use [[registry]] and \
                 unqualified-search-registries alone"
                    .to_owned(),
            );
        }
        file.rules = old.rules();
        file.search = Some(old.search.registries);
    }
    Ok(file)
}

fn one_line(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..start]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1;
    let message = error.message().lines().next().unwrap_or_default();
    format!("line {line}: {message}")
}
