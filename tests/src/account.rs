//! Whom a test runs as: root, a user with subordinate ids, or a user without.
//!
//! A suite that root started makes two throw-away users and drops to them; they are removed when
//! the suite ends. A suite that a user started runs as that user, who is one of the two kinds.

use std::fs;
use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use crate::command::Run;
use crate::{Missing, client, janitor};

/// The three kinds of account that behave differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Root.
    Root,
    /// A user with lines in `/etc/subuid` and `/etc/subgid`, and newuidmap installed.
    Mapped,
    /// A user who has only a single id to map.
    Single,
}

/// An account that tests run as.
#[derive(Debug)]
pub struct Account {
    /// Its kind.
    pub mode: Mode,
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
    /// The ids that it may map besides its own.
    pub subordinate: Range<u32>,
    /// Held by the test that uses the account: what it leaves must not be taken for another's.
    pub(crate) in_use: Mutex<()>,
}

/// Whether the suite was started by root, and so can be anybody.
#[must_use]
pub fn we_are_root() -> bool {
    rustix::process::getuid().is_root()
}

impl Account {
    /// The account of this kind, made if there is none yet.
    ///
    /// # Errors
    /// Why this suite cannot have one.
    pub fn of(mode: Mode) -> Result<&'static Self, Missing> {
        static ACCOUNTS: [OnceLock<Result<Account, Missing>>; 3] = [const { OnceLock::new() }; 3];
        let account = ACCOUNTS[mode as usize].get_or_init(|| {
            if we_are_root() {
                Self::made_by_root(mode)
            } else {
                Self::oneself(mode)
            }
        });
        account.as_ref().map_err(Clone::clone)
    }

    fn made_by_root(mode: Mode) -> Result<Self, Missing> {
        if mode == Mode::Root {
            return Self::named("root", mode);
        }
        client::find("useradd")?;
        let name = format!("tests-{}-{mode:?}", std::process::id()).to_lowercase();
        let none = ["-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0"];
        let subordinate = match mode {
            Mode::Mapped => {
                client::find("newuidmap")?;
                &none[..0]
            }
            _ => &none[..],
        };
        let add = || {
            let run = Run::new("useradd").args(["-M", "-d", "/nonexistent", "-s", "/bin/sh"]);
            run.args(subordinate).args([&name]).finish()
        };
        // Another suite may hold the lock of the password file.
        let added = (0..20).map(|_| add()).find(|outcome| outcome.code == 0);
        if added.is_none() {
            return Err(Missing::because(format!(
                "useradd failed: {}",
                add().stderr.trim()
            )));
        }
        janitor::at_the_end(&format!(
            "for i in 1 2 3 4 5 6 7 8 9; do userdel {name} && break; sleep 0.2; done"
        ));
        let account = Self::named(&name, mode)?;
        janitor::at_the_end(&format!("pkill -KILL -U {}", account.uid));
        Ok(account)
    }

    fn oneself(mode: Mode) -> Result<Self, Missing> {
        let uid = rustix::process::getuid().as_raw();
        let name = passwd_field(0, |fields| fields.get(2) == Some(&uid.to_string().as_str()))
            .ok_or_else(|| Missing::because(format!("user id {uid} has no name")))?;
        let mapped = !subordinate_ids(&name).is_empty() && client::find("newuidmap").is_ok();
        match (mode, mapped) {
            (Mode::Root, _) => Err(Missing::because("root did not start the tests")),
            (Mode::Mapped, false) => Err(Missing::because(format!(
                "{name} has no subordinate ids, or newuidmap is not installed"
            ))),
            (Mode::Single, true) => Err(Missing::because(format!(
                "{name} has subordinate ids, and root did not start the tests"
            ))),
            _ => Self::named(&name, mode),
        }
    }

    fn named(name: &str, mode: Mode) -> Result<Self, Missing> {
        let number = |field| {
            passwd_field(field, |fields| fields.first() == Some(&name))
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Missing::because(format!("{name} is not in /etc/passwd")))
        };
        let subordinate = if mode == Mode::Mapped {
            subordinate_ids(name)
        } else {
            0..0
        };
        Ok(Self {
            mode,
            name: name.to_owned(),
            uid: number(2)?,
            gid: number(3)?,
            subordinate,
            in_use: Mutex::new(()),
        })
    }

    /// Whether `uid` is its own, or one of its subordinate ones.
    #[must_use]
    pub fn has(&self, uid: u32) -> bool {
        uid == self.uid || self.subordinate.contains(&uid)
    }
}

/// A field of the first line of `/etc/passwd` that `wanted` takes.
fn passwd_field(field: usize, wanted: impl Fn(&[&str]) -> bool) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        wanted(&fields).then(|| fields.get(field).map(|text| (*text).to_owned()))?
    })
}

fn subordinate_ids(name: &str) -> Range<u32> {
    let table = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let range = table.lines().find_map(|line| {
        let (first, count) = line
            .strip_prefix(name)?
            .strip_prefix(':')?
            .split_once(':')?;
        let first: u32 = first.parse().ok()?;
        Some(first..first.checked_add(count.parse().ok()?)?)
    });
    range.unwrap_or(0..0)
}
