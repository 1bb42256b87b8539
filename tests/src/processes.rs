//! The process table, read from /proc.

use std::fs;

/// One process, as /proc shows it.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id in our pid namespace.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its real user id, as seen from our user namespace.
    pub uid: u32,
    /// The letter of its state: `Z` is a process that has ended.
    pub state: char,
    /// Its name of at most 15 characters.
    pub name: String,
    /// Its arguments, joined by spaces; empty if it has blanked them.
    pub arguments: String,
}

impl Process {
    /// Reads one process; nothing if there is none of this id.
    #[must_use]
    pub fn read(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Some(Self {
            pid,
            parent: field("PPid")?.parse().ok()?,
            uid: field("Uid")?.split_whitespace().next()?.parse().ok()?,
            state: field("State")?.chars().next()?,
            name: field("Name")?.to_owned(),
            arguments: String::from_utf8_lossy(&arguments)
                .replace('\0', " ")
                .trim()
                .to_owned(),
        })
    }

    /// Whether it has ended and only waits to be collected by its parent.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// The value of a variable in the environment that it was started with.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let entry = String::from_utf8_lossy(entry);
            Some(entry.strip_prefix(name)?.strip_prefix('=')?.to_owned())
        })
    }

    /// The identity of one of its namespaces, such as `net:[4026531840]`.
    #[must_use]
    pub fn namespace(&self, kind: &str) -> Option<String> {
        let link = fs::read_link(format!("/proc/{}/ns/{kind}", self.pid)).ok()?;
        Some(link.to_string_lossy().into_owned())
    }
}

/// Every process of the machine.
#[must_use]
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .collect()
}

/// The processes that descend from `ancestor`, with those between.
#[must_use]
pub fn descendants(ancestor: u32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            parents.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}
