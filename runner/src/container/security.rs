//! What a container may do to the kernel: the filter of its system calls, what it sees of `/proc`
//! and `/sys`, and whether it can get more rights.
//!
//! Everything here is shut unless it was asked for; what `--security-opt` opens is written down in the
//! container's record.

use std::fs;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};

use crate::profiles;
use crate::sandbox::capability::CapabilitySet;
use crate::sandbox::landlock::Scopes;
use crate::sandbox::spec::{Filter, Network};
use crate::sandbox::system_paths::{MASKED, READ_ONLY};

/// How a container is shut in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// The system calls that it may make.
    pub filter: Filter,
    /// Whether what it shares with the host is kept apart by Landlock, where the kernel can do that.
    #[serde(default = "yes")]
    pub landlock: bool,
    /// Whether no program in it can give more rights.
    pub no_new_privileges: bool,
    /// The AppArmor profile that its programs run under.
    pub apparmor: Option<String>,
    /// What it must not see.
    pub masked: Vec<String>,
    /// What it must not change.
    pub protected: Vec<String>,
    /// Options of its `/proc`.
    pub proc_options: Vec<String>,
    /// What was asked for, as it was typed.
    pub asked: Vec<String>,
}

impl Default for Security {
    fn default() -> Self {
        let own = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Self {
            filter: Filter::Baked,
            landlock: true,
            no_new_privileges: true,
            apparmor: None,
            masked: own(&MASKED),
            protected: own(&READ_ONLY),
            proc_options: Vec::new(),
            asked: Vec::new(),
        }
    }
}

/// For what was written down before there was a choice.
fn yes() -> bool {
    true
}

/// A `--security-opt` that can not be.
#[derive(Debug, thiserror::Error)]
pub enum BadSecurity {
    /// There is no such option.
    #[error(
        "--security-opt {}: seccomp=FILE|unconfined|baked, no-new-privileges[=false], mask=PATHS, \
         unmask=PATHS|ALL, apparmor=PROFILE|unconfined, label=disable, landlock=unconfined and \
         proc-opts=OPTIONS are known",
        .0.escape_debug()
    )]
    Unknown(String),
    /// No path.
    #[error("--security-opt: \"{}\" is no absolute path to a file or a folder", .0.escape_debug())]
    Path(String),
    /// The kernel has no AppArmor, or it is off.
    #[error("--security-opt apparmor={}: AppArmor is off on this machine: leave it out", .0.escape_debug())]
    NoAppArmor(String),
    /// Labels are not set here.
    #[error(
        "--security-opt label={}: containers get no SELinux label of their own here, and run with \
         yours: give label=disable, or leave it out",
        .0.escape_debug()
    )]
    Label(String),
    /// No option of proc.
    #[error("--security-opt proc-opts={}: hidepid=0|1|2|4 and subset=pid are known", .0.escape_debug())]
    ProcOption(String),
    /// The profile can not be used.
    #[error("cannot use the seccomp profile {}: {reason}", .path.display())]
    Profile {
        /// Its file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Where the filter comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// Our own profile.
    #[default]
    Baked,
    /// There is none.
    Unconfined,
    /// A profile in a file.
    File(PathBuf),
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Where the filter comes from.
    pub seccomp: Seccomp,
    /// `--security-opt`, each as it was typed.
    pub options: Vec<String>,
    /// Where compiled profiles are kept.
    pub cache: PathBuf,
}

impl Request {
    /// Decides everything, for a container with these capabilities.
    ///
    /// # Errors
    /// [`BadSecurity`].
    pub fn decide(&self, bounding: CapabilitySet) -> Result<Security, BadSecurity> {
        let mut security = Security {
            asked: self.options.clone(),
            ..Security::default()
        };
        let mut seccomp = self.seccomp.clone();
        for text in &self.options {
            let (key, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
            match (key, value) {
                ("seccomp", "unconfined") => seccomp = Seccomp::Unconfined,
                ("seccomp", "baked") => seccomp = Seccomp::Baked,
                ("seccomp", path) if !path.is_empty() => seccomp = Seccomp::File(path.into()),
                ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
                ("no-new-privileges", "false") => security.no_new_privileges = false,
                ("mask", paths) => {
                    for path in paths.split(':') {
                        security.masked.push(checked(path)?);
                    }
                }
                ("unmask", paths) => security.unmask(paths)?,
                ("systempaths", "unconfined") => security.unmask("ALL")?,
                ("apparmor", "unconfined") => security.apparmor = None,
                ("apparmor", profile) if !profile.is_empty() => {
                    security.apparmor = Some(profile_name(profile)?);
                }
                ("label", value) => check_label(value)?,
                ("landlock", "unconfined") => security.landlock = false,
                ("proc-opts", options) => {
                    for option in options.split(',') {
                        security.proc_options.push(proc_option(option)?);
                    }
                }
                _ => return Err(BadSecurity::Unknown(text.clone())),
            }
        }
        security.filter = match seccomp {
            Seccomp::Baked => Filter::Baked,
            Seccomp::Unconfined => Filter::Open,
            Seccomp::File(path) => self.custom(&path, bounding)?,
        };
        Ok(security)
    }

    /// The compiled profile, from where an earlier command has left it if there was one.
    fn custom(&self, path: &Path, bounding: CapabilitySet) -> Result<Filter, BadSecurity> {
        let refuse = |reason: String| BadSecurity::Profile {
            path: path.to_owned(),
            reason,
        };
        let text =
            fs::read(path).map_err(|error| refuse(crate::sandbox::failure::describe(&error)))?;
        let filter = profiles::filter(&text, bounding, &self.cache)
            .map_err(|error| refuse(error.to_string()))?;
        if let Some(listener) = filter.listener().filter(|one| !one.path.is_absolute()) {
            let listener = listener.path.display();
            return Err(refuse(format!(
                "its listenerPath \"{listener}\" is no absolute path"
            )));
        }
        Ok(filter)
    }
}

impl Security {
    /// What the processes of a container with this network reach only among themselves.
    ///
    /// Where it has a network of its own there is nothing to gain. Its processes always have a pid
    /// namespace of their own, in which they can name no process of the host.
    #[must_use]
    pub fn scopes(&self, network: Network) -> Scopes {
        Scopes {
            abstract_sockets: self.landlock && network == Network::Host,
            signals: false,
        }
    }

    fn unmask(&mut self, paths: &str) -> Result<(), BadSecurity> {
        if paths.eq_ignore_ascii_case("all") {
            self.masked.clear();
            self.protected.clear();
            return Ok(());
        }
        // Within a folder, as podman has it: /proc/* is no file below /proc/sys.
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::default()
        };
        for path in paths.split(':') {
            let path = checked(path)?;
            let pattern = Pattern::new(&path).map_err(|_| BadSecurity::Path(path.clone()))?;
            let stays = |known: &String| !pattern.matches_with(known, options);
            self.masked.retain(stays);
            self.protected.retain(stays);
        }
        Ok(())
    }
}

fn checked(path: &str) -> Result<String, BadSecurity> {
    let path = path.trim_end_matches('/');
    let is_plain = path.starts_with('/') && path.split('/').all(|part| part != "..");
    match is_plain {
        true => Ok(path.to_owned()),
        false => Err(BadSecurity::Path(path.to_owned())),
    }
}

fn profile_name(name: &str) -> Result<String, BadSecurity> {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    match enabled.is_ok_and(|text| text.trim() == "Y") {
        true => Ok(name.to_owned()),
        false => Err(BadSecurity::NoAppArmor(name.to_owned())),
    }
}

/// Without SELinux a label means nothing, as with podman.
fn check_label(value: &str) -> Result<(), BadSecurity> {
    match value == "disable" || !Path::new("/sys/fs/selinux/enforce").exists() {
        true => Ok(()),
        false => Err(BadSecurity::Label(value.to_owned())),
    }
}

fn proc_option(option: &str) -> Result<String, BadSecurity> {
    let known = [
        "hidepid=0",
        "hidepid=1",
        "hidepid=2",
        "hidepid=4",
        "hidepid=invisible",
        "hidepid=noaccess",
        "hidepid=ptraceable",
        "subset=pid",
    ];
    match known.contains(&option) {
        true => Ok(option.to_owned()),
        false => Err(BadSecurity::ProcOption(option.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(options: &[&str]) -> Result<Security, BadSecurity> {
        let options = options.iter().map(|text| (*text).to_owned()).collect();
        let request = Request {
            options,
            ..Request::default()
        };
        request.decide(CapabilitySet::container_default())
    }

    #[test]
    fn options_open_and_shut_what_they_name() {
        let security = decided(&[
            "seccomp=unconfined",
            "no-new-privileges:false",
            "mask=/etc/secret:/srv/",
            "unmask=/proc/kcore:/proc/sys",
            "proc-opts=hidepid=2",
            "apparmor=unconfined",
            "label=disable",
        ])
        .unwrap();
        assert_eq!(security.filter, Filter::Open);
        assert!(!security.no_new_privileges);
        assert!(security.masked.contains(&"/srv".to_owned()));
        assert!(!security.masked.contains(&"/proc/kcore".to_owned()));
        assert!(!security.protected.contains(&"/proc/sys".to_owned()));
        assert!(security.protected.contains(&"/proc/bus".to_owned()));
        assert_eq!(security.proc_options, ["hidepid=2"]);
        let kernel = decided(&["unmask=/proc/k*:/sys/*"]).unwrap();
        assert!(!kernel.masked.contains(&"/proc/kcore".to_owned()));
        assert!(!kernel.masked.contains(&"/sys/firmware".to_owned()));
        assert!(
            kernel
                .masked
                .contains(&"/sys/devices/virtual/powercap".to_owned())
        );
        assert!(kernel.protected.contains(&"/proc/sys".to_owned()));
        let open = decided(&["unmask=ALL"]).unwrap();
        assert!(open.masked.is_empty() && open.protected.is_empty());
        assert_eq!(decided(&[]).unwrap(), Security::default());
    }

    #[test]
    fn only_what_shares_the_network_of_the_host_is_kept_apart() {
        let scopes = |options: &[&str], network| decided(options).unwrap().scopes(network);
        assert!(scopes(&[], Network::Host).abstract_sockets);
        for network in [Network::Private, Network::None] {
            assert_eq!(scopes(&[], network), Scopes::default());
        }
        let open = ["landlock=unconfined"];
        assert_eq!(scopes(&open, Network::Host), Scopes::default());
    }

    #[test]
    fn a_profile_that_asks_is_compiled_each_time_and_names_whom() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.json");
        let request = Request {
            seccomp: Seccomp::File(path.clone()),
            cache: folder.path().join("cache"),
            ..Request::default()
        };
        let decide = |more: &str| {
            let text = format!(r#"{{"defaultAction":"SCMP_ACT_NOTIFY"{more}}}"#);
            fs::write(&path, text).unwrap();
            request.decide(CapabilitySet::EMPTY)
        };
        for _ in 0..2 {
            let security =
                decide(r#","listenerPath":"/run/one","listenerMetadata":"word""#).unwrap();
            let listener = security.filter.listener().unwrap();
            assert_eq!(
                (listener.path.as_path(), listener.metadata.as_str()),
                (Path::new("/run/one"), "word")
            );
        }
        assert!(!request.cache.exists());
        for more in [
            "",
            r#","listenerPath":"""#,
            r#","listenerPath":"one""#,
            r#","listenerPath":"/x","flags":["NONE"]"#,
        ] {
            assert!(decide(more).is_err(), "{more}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for option in [
            "secomp=unconfined",
            "seccomp=",
            "mask=etc",
            "mask=/",
            "mask=/a/../b",
            "unmask=x",
            "no-new-privileges=maybe",
            "proc-opts=gid=0",
            "landlock=off",
            "seccomp=/nonexistent",
            "",
        ] {
            assert!(decided(&[option]).is_err(), "{option}");
        }
    }
}
