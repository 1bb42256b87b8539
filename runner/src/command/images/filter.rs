//! `--filter` of the commands that list images: `key=value` or `key!=value`.
//!
//! As in podman, several filters with the same key are alternatives, and every key has to fit.
//!
//! Source: podman-images(1), "--filter".

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail, ensure};
use packer::Digest;
use packer::reference::Reference;

use super::created;
use crate::human::parse_time;
use crate::store::{ListedImage, Resolved, Store};

/// What a list is narrowed down to.
#[derive(Debug, Default)]
pub(in crate::command) struct Filters(BTreeMap<&'static str, Vec<Filter>>);

#[derive(Debug)]
struct Filter {
    negated: bool,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    /// Was made before then.
    Before(SystemTime),
    /// Was made after then.
    Since(SystemTime),
    /// Has no name.
    Dangling(bool),
    /// Has an id with this beginning.
    Id(String),
    /// Was made by a build on its way. There are none here.
    Intermediate(bool),
    /// Has this label, with this value if one is given.
    Label(String, Option<String>),
    /// Lies in a store that is only read. There is none here.
    ReadOnly(bool),
    /// Has a name that fits this pattern, or the id that it is.
    Reference(String, Option<Digest>),
    /// Is used by a container.
    Containers(bool),
}

impl Filters {
    /// Reads what was typed.
    ///
    /// # Errors
    /// A filter that is none, or names an image that is not there.
    pub(in crate::command) fn parse(texts: &[String], store: &Store) -> anyhow::Result<Self> {
        let mut filters = Self::default();
        for text in texts {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                anyhow!(
                    "invalid image filter \"{}\": must be in the format \"filter=value or \
                     filter!=value\"",
                    text.escape_debug()
                )
            })?;
            let (key, negated) = match key.strip_suffix('!') {
                Some(key) => (key, true),
                None => (key, false),
            };
            let (key, wanted) = wanted(key, value, store)
                .with_context(|| format!("the filter \"{}\"", text.escape_debug()))?;
            filters
                .0
                .entry(key)
                .or_default()
                .push(Filter { negated, wanted });
        }
        Ok(filters)
    }

    /// Whether the image fits; `used` says whether a container uses it.
    pub(in crate::command) fn fit(&self, listed: &ListedImage, used: bool) -> bool {
        self.0.values().all(|alternatives| {
            alternatives
                .iter()
                .any(|filter| filter.wanted.fits(listed, used) != filter.negated)
        })
    }
}

fn wanted(key: &str, value: &str, store: &Store) -> anyhow::Result<(&'static str, Wanted)> {
    let time_of = |value: &str| -> anyhow::Result<SystemTime> {
        let id = store.resolve(value)?.image.id;
        let images = store.images()?;
        let listed = images.iter().find(|listed| listed.id == id);
        Ok(listed.map_or(SystemTime::UNIX_EPOCH, time))
    };
    Ok(match key {
        "before" => ("before", Wanted::Before(time_of(value)?)),
        "since" | "after" => ("since", Wanted::Since(time_of(value)?)),
        "until" => ("until", Wanted::Before(moment(value)?)),
        "dangling" => ("dangling", Wanted::Dangling(boolean(value)?)),
        "id" => (
            "id",
            Wanted::Id(value.trim_start_matches("sha256:").to_owned()),
        ),
        "intermediate" => ("intermediate", Wanted::Intermediate(boolean(value)?)),
        "label" => {
            let (key, value) = match value.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (value, None),
            };
            ("label", Wanted::Label(key.to_owned(), value))
        }
        "readonly" => ("readonly", Wanted::ReadOnly(boolean(value)?)),
        "reference" => {
            // An id is no pattern of a name.
            let by_id = |found: &Resolved| found.name.is_none();
            let found = store.resolve(value).ok().filter(by_id);
            let id = found.map(|found| found.image.id);
            ("reference", Wanted::Reference(value.to_owned(), id))
        }
        "containers" => ("containers", Wanted::Containers(boolean(value)?)),
        _ => bail!(
            "is not one of before, since, until, dangling, id, intermediate, label, readonly, \
             reference and containers"
        ),
    })
}

impl Wanted {
    fn fits(&self, listed: &ListedImage, used: bool) -> bool {
        match self {
            Self::Before(limit) => time(listed) < *limit,
            Self::Since(limit) => time(listed) > *limit,
            Self::Dangling(wanted) => listed.names.is_empty() == *wanted,
            Self::Id(start) => listed.id.hex().starts_with(start.as_str()),
            Self::Intermediate(wanted) | Self::ReadOnly(wanted) => !wanted,
            Self::Label(key, value) => {
                let found = listed.labels.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Self::Reference(pattern, id) => {
                let fits = |name: &Reference| {
                    spellings(name)
                        .iter()
                        .any(|spelling| matches(pattern, spelling))
                };
                *id == Some(listed.id) || listed.names.iter().any(fits)
            }
            Self::Containers(wanted) => used == *wanted,
        }
    }
}

/// When an image was made, or else when it came.
pub(super) fn time(listed: &ListedImage) -> SystemTime {
    let loaded = std::time::Duration::from_secs(listed.loaded);
    created(listed).unwrap_or(SystemTime::UNIX_EPOCH + loaded)
}

/// A date, a number of seconds since 1970, or a duration before now, as `10m`.
pub(in crate::command) fn moment(text: &str) -> anyhow::Result<SystemTime> {
    if let Ok(seconds) = text.parse() {
        return Ok(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    }
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(SystemTime::now() - ago);
    }
    let day = format!("{text}T00:00:00Z");
    let time = parse_time(text).or_else(|| parse_time(&day));
    time.ok_or_else(|| anyhow!("needs a date, as 2026-11-23, or a duration, as 24h"))
}

fn boolean(text: &str) -> anyhow::Result<bool> {
    let lower = text.to_ascii_lowercase();
    ensure!(
        ["true", "false", "1", "0", "t", "f"].contains(&lower.as_str()),
        "needs true or false"
    );
    Ok(["true", "1", "t"].contains(&lower.as_str()))
}

/// What a pattern may mean: the name whole, without the registry, and the last part alone, each with
/// and without its tag or digest.
fn spellings(name: &Reference) -> [String; 6] {
    let (all, whole, path) = (name.to_string(), name.untagged(), name.repository());
    let rest = &all[whole.len()..];
    let last = path.rsplit('/').next().unwrap_or(path);
    [
        format!("{path}{rest}"),
        format!("{last}{rest}"),
        path.to_owned(),
        last.to_owned(),
        whole,
        all.clone(),
    ]
}

/// Whether `text` fits a pattern of the shell, in which `*` and `?` stop at a slash (`path.Match` of
/// Go).
fn matches(pattern: &str, text: &str) -> bool {
    let mut characters = pattern.chars();
    match characters.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = characters.as_str();
            let end = text.find('/').unwrap_or(text.len());
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.take_while(|at| *at <= end)
                .any(|at| matches(rest, &text[at..]))
        }
        Some(first) => {
            let mut others = text.chars();
            let Some(found) = others.next() else {
                return false;
            };
            let (fits, rest) = match first {
                '?' => (found != '/', characters.as_str()),
                '[' => match characters.as_str().split_once(']') {
                    Some((set, rest)) => (in_set(set, found), rest),
                    None => return false,
                },
                '\\' => (characters.next() == Some(found), characters.as_str()),
                first => (first == found, characters.as_str()),
            };
            fits && matches(rest, others.as_str())
        }
    }
}

/// Whether a set such as `a-cx` or `^0-9` has the character.
fn in_set(set: &str, found: char) -> bool {
    let (set, negated) = match set.strip_prefix('^') {
        Some(set) => (set, true),
        None => (set, false),
    };
    let set: Vec<char> = set.chars().collect();
    let mut at = 0;
    let mut inside = false;
    while at < set.len() {
        let is_range = set.get(at + 1) == Some(&'-') && at + 2 < set.len();
        let last = if is_range { set[at + 2] } else { set[at] };
        inside |= (set[at]..=last).contains(&found);
        at += if is_range { 3 } else { 1 };
    }
    inside != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_the_shell() {
        for (pattern, text) in [
            ("localhost/*", "localhost/a"),
            ("*", "a"),
            ("a?c", "abc"),
            ("*/ml", "localhost/ml"),
            ("m[a-l]*", "ml:1"),
            ("[^x]", "a"),
            ("a*b*c", "a-b-c"),
            (r"\*", "*"),
            ("", ""),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("*", "a/b"),
            ("a?c", "a/c"),
            ("a", "ab"),
            ("ab", "a"),
            ("[^a]", "a"),
            ("[a", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_moment_is_a_date_a_number_or_a_duration() {
        for text in [
            "2026-11-23",
            "2026-11-23T10:00:00Z",
            "1700000000",
            "24h",
            "10m",
        ] {
            assert!(
                moment(text).unwrap()
                    < SystemTime::now() + std::time::Duration::from_secs(86_400 * 365 * 50)
            );
        }
        assert!(moment("yesterday").is_err());
    }
}
