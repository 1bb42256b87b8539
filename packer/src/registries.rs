//! Which registry is meant, and where it is: `registries.conf`, as podman and skopeo read it.
//!
//! The file completes short names (aliases, registries that are searched), moves registries to
//! other places and to mirrors, and says which are blocked and which may be asked without TLS.
//! Nothing of it has to exist.
//!
//! Source: containers-registries.conf(5), with version 1 of the format; containers-registries.conf.d(5).

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::reference::{InvalidReference, Reference, is_registry};

mod file;
mod pattern;

use file::{Mirror, Rule};

/// What the configuration files say about registries.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    /// Where names without a registry are looked for, in this order.
    search: Vec<String>,
    /// The file that said so.
    search_file: PathBuf,
    /// Short names, what they mean, and the file that says so.
    aliases: BTreeMap<String, (String, PathBuf)>,
    rules: Vec<Rule>,
    /// Helpers that keep credentials, for every registry.
    credential_helpers: Vec<String>,
}

/// What a typed name may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// Complete references, the likeliest first; at least one.
    pub candidates: Vec<Reference>,
    /// How they were found.
    pub how: How,
}

/// How a typed name became complete; the paths are the files that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It began with a registry.
    Complete,
    /// It is an alias.
    Alias(PathBuf),
    /// It is looked for in the registries that are searched.
    Search(PathBuf),
}

/// One place where an image may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The image there.
    pub reference: Reference,
    /// Whether plain HTTP and unknown certificates are allowed.
    pub insecure: bool,
}

/// Why nobody is asked for an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration file cannot be read or says something impossible.
    #[error("{} is not understood: {reason}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What was typed is no reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// A short name, and no registry to look in.
    #[error(
        "\"{name}\" names no registry: write for example docker.io/{name}, or set \
         unqualified-search-registries in registries.conf"
    )]
    Short {
        /// The name.
        name: String,
    },
    /// The registry must not be used.
    #[error(
        "{reference} is blocked: registries.conf has a rule with blocked = true for \"{prefix}\""
    )]
    Blocked {
        /// What was asked for.
        reference: String,
        /// The prefix of the rule.
        prefix: String,
    },
}

impl Registries {
    /// Reads the configuration of this user and of the system.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn load() -> Result<Self, Error> {
        let mut registries = Self::default();
        for path in file::paths() {
            registries.merge(file::read(&path)?, &path)?;
        }
        if let Some(cache) = file::alias_cache().filter(|cache| cache.is_file()) {
            let cached = file::read(&cache)?;
            for (name, target) in cached.aliases {
                let entry = registries.aliases.entry(name);
                entry.or_insert_with(|| (target, cache.clone()));
            }
        }
        Ok(registries)
    }

    /// Adds what a later file says: lists replace lists, rules replace rules for the same prefix.
    fn merge(&mut self, later: file::File, path: &std::path::Path) -> Result<(), Error> {
        if let Some(search) = later.search {
            self.search = search;
            path.clone_into(&mut self.search_file);
        }
        if let Some(helpers) = later.credential_helpers {
            self.credential_helpers = helpers;
        }
        for (name, target) in later.aliases {
            // An empty target takes an alias back.
            match target.is_empty() {
                true => self.aliases.remove(&name),
                false => self.aliases.insert(name, (target, path.to_owned())),
            };
        }
        for rule in later.rules {
            rule.check().map_err(|reason| Error::Config {
                path: path.to_owned(),
                reason,
            })?;
            self.rules.retain(|known| known.prefix() != rule.prefix());
            self.rules.push(rule);
        }
        Ok(())
    }

    /// The names of the helpers that keep credentials, in the order in which they are asked; empty
    /// when only files do.
    #[must_use]
    pub fn credential_helpers(&self) -> &[String] {
        &self.credential_helpers
    }

    /// Where names without a registry are looked for, in this order.
    #[must_use]
    pub fn search(&self) -> &[String] {
        &self.search
    }

    /// What a typed name may mean, the likeliest first: itself when it begins with a registry, else
    /// its alias, else one reference for each registry that is searched.
    ///
    /// # Errors
    /// [`Error::Reference`] for what is no reference, [`Error::Short`] when there is nowhere to look.
    pub fn candidates(&self, typed: &str) -> Result<Vec<Reference>, Error> {
        Ok(self.meaning(typed)?.candidates)
    }

    /// The same, with how it was found.
    ///
    /// # Errors
    /// As [`Registries::candidates`].
    pub fn meaning(&self, typed: &str) -> Result<Meaning, Error> {
        let first = typed.split_once('/').map_or("", |(first, _)| first);
        if is_registry(first) {
            return Ok(Meaning {
                candidates: vec![typed.parse()?],
                how: How::Complete,
            });
        }
        // Whatever is wrong with the name is told before it is looked for.
        let complete: Reference = format!("localhost/{typed}")
            .parse()
            .map_err(|error: InvalidReference| error.without_prefix("localhost/"))?;
        let (name, rest) = typed.split_at(complete.repository().len());
        let place = |place: &str| format!("{place}{rest}").parse().map_err(Error::from);
        if let Some((target, path)) = self.aliases.get(name) {
            return Ok(Meaning {
                candidates: vec![place(target)?],
                how: How::Alias(path.clone()),
            });
        }
        if self.search.is_empty() {
            let name = typed.to_owned();
            return Err(Error::Short { name });
        }
        let search = self.search.iter();
        let candidates = search.map(|registry| place(&format!("{registry}/{name}")));
        Ok(Meaning {
            candidates: candidates.collect::<Result<_, Error>>()?,
            how: How::Search(self.search_file.clone()),
        })
    }

    /// Where an image is asked for when it is pulled: the mirrors in their order, then the registry.
    ///
    /// # Errors
    /// [`Error::Blocked`].
    pub fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, Error> {
        let itself = self.endpoint(reference)?;
        let mut endpoints = Vec::new();
        if let Some(rule) = self.rule(reference) {
            for mirror in rule.mirrors(reference.digest().is_some()) {
                let Mirror {
                    location, insecure, ..
                } = mirror;
                endpoints.push(Endpoint {
                    reference: rule.moved(reference, location)?,
                    insecure: *insecure,
                });
            }
        }
        endpoints.push(itself);
        Ok(endpoints)
    }

    /// The registry itself, where it is moved to; what a push goes to.
    ///
    /// # Errors
    /// [`Error::Blocked`].
    pub fn endpoint(&self, reference: &Reference) -> Result<Endpoint, Error> {
        let Some(rule) = self.rule(reference) else {
            return Ok(Endpoint {
                reference: reference.clone(),
                insecure: false,
            });
        };
        if rule.blocked {
            return Err(Error::Blocked {
                reference: reference.to_string(),
                prefix: rule.prefix().to_owned(),
            });
        }
        Ok(Endpoint {
            reference: match &rule.location {
                Some(location) => rule.moved(reference, location)?,
                None => reference.clone(),
            },
            insecure: rule.insecure,
        })
    }

    /// The rule with the longest prefix that matches.
    fn rule(&self, reference: &Reference) -> Option<&Rule> {
        let text = reference.to_string();
        self.rules
            .iter()
            .filter(|rule| pattern::matched(rule.prefix(), &text).is_some())
            .max_by_key(|rule| rule.prefix().len())
    }
}

#[cfg(test)]
mod tests;
