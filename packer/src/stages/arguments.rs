//! `ARG`s: what whoever builds may set.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::containerfile::{Argument, Containerfile, Fault, expand};
use crate::image::Platform;

/// Arguments that docker knows though no `ARG` names them; they matter to commands alone.
const PREDEFINED: [&str; 5] = [
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
];

/// What holds for a whole file.
pub(super) struct Global {
    given: BTreeMap<String, String>,
    /// `TARGETPLATFORM` and the like.
    platforms: BTreeMap<String, String>,
    /// What stands before the first `FROM`.
    declared: BTreeMap<String, String>,
    /// Of those that were given.
    used: RefCell<BTreeSet<String>>,
}

impl Global {
    pub(super) fn of(
        file: &Containerfile,
        given: &BTreeMap<String, String>,
        target: &Platform,
    ) -> Result<Self, Fault> {
        let mut global = Self {
            given: given.clone(),
            platforms: platforms("TARGET", target)
                .into_iter()
                .chain(platforms("BUILD", &Platform::host()))
                .collect(),
            declared: BTreeMap::new(),
            used: RefCell::default(),
        };
        for (position, arguments) in &file.arguments {
            for argument in arguments {
                let value = global.value(argument, file.escape, &|name| global.get(name));
                let fault = |message| Fault {
                    position: *position,
                    message,
                };
                if let Some(value) = value.map_err(fault)? {
                    global.declared.insert(argument.name.clone(), value);
                }
            }
        }
        Ok(global)
    }

    /// What a variable in a `FROM` means.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let declared = self.declared.get(name);
        declared.or_else(|| self.platforms.get(name)).cloned()
    }

    /// The value of an argument that is declared now: what was given, else its default, else what
    /// holds for the whole file.
    pub(super) fn value(
        &self,
        argument: &Argument,
        escape: char,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, String> {
        if let Some(given) = self.given.get(&argument.name) {
            self.used.borrow_mut().insert(argument.name.clone());
            return Ok(Some(given.clone()));
        }
        match &argument.default {
            Some(default) => expand(default, escape, lookup).map(Some),
            None => Ok(self.get(&argument.name)),
        }
    }

    /// Arguments that were given for nothing.
    pub(super) fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let is_known = |name: &str| PREDEFINED.contains(&name.to_ascii_uppercase().as_str());
        let given = self.given.keys();
        given
            .filter(|name| !used.contains(*name) && !is_known(name))
            .cloned()
            .collect()
    }
}

fn platforms(prefix: &str, platform: &Platform) -> Vec<(String, String)> {
    let Platform {
        architecture,
        os,
        variant,
    } = platform;
    let variant = variant.clone().unwrap_or_default();
    let behind = match variant.as_str() {
        "" => String::new(),
        variant => format!("/{variant}"),
    };
    let values = [
        ("PLATFORM", format!("{os}/{architecture}{behind}")),
        ("OS", os.clone()),
        ("ARCH", architecture.clone()),
        ("VARIANT", variant),
    ];
    values
        .map(|(key, value)| (format!("{prefix}{key}"), value))
        .into()
}
