//! What an executable needs beside itself: loader, libraries, interpreter, and the data that no ELF
//! header names.
//!
//! Libraries are looked for as the program's own loader would ([`loader`](self)), in the order in
//! which it would load them, because the first one of a name serves everybody. They are packed at
//! the paths where they were found, with every link on the way, so whatever the loader does in the
//! image is what it does here. Only what a package brings itself lies elsewhere in the image, and with
//! it what it finds from its own place (`$ORIGIN`): no path of the folder that it was built in gets
//! into the image.
//!
//! What is opened by name while a program runs stands in no header. For the libraries that are known
//! to do so there are profiles; a plugin that the program names as a text and finds
//! by its own search path is taken as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;

use crate::elf::Object;
use crate::program::open_regular;
use crate::rootfs::{Content, Entry, HostFile, Tree};

mod cache;
mod conf;
mod error;
mod host;
mod loader;
mod planned;
mod process;
mod profile;
mod script;
mod texts;

pub use error::ClosureError;
use host::{Found, Host};
use planned::Planned;
use process::Process;
pub use script::HashBang;

/// A closure of more files is a mistake: somebody's whole machine.
const MOST_FILES: usize = 200_000;

/// A tree of data that is deeper has a loop in it.
const DEEPEST: usize = 64;

/// What is packed beside a program.
#[derive(Debug, Default)]
pub struct Closure {
    /// Links, by their path.
    links: BTreeMap<String, String>,
    /// Files and folders, by their path without links.
    entries: BTreeMap<String, Entry>,
    /// What has to be in the program's environment, unless the package says otherwise.
    environment: BTreeMap<String, String>,
    /// Libraries that a loader knows from its cache alone, by name.
    cached: BTreeMap<String, String>,
    /// Whether certificates are packed.
    certificates: bool,
}

/// An object that a process has loaded.
#[derive(Debug)]
struct Loaded {
    object: Object,
    /// The path that it was opened by on this machine.
    host: String,
    /// The path that it is opened by in the image.
    image: String,
    /// For which other one it was loaded, by index; none for the program.
    parent: Option<usize>,
    /// Whether it is in the image already.
    planned: bool,
}

impl Closure {
    /// What the programs of a planned tree need beside it. `starts` are the programs that it is made
    /// for: each one of the tree, else one of this machine. Static programs need nothing.
    ///
    /// # Errors
    /// [`ClosureError`] when something that is needed is not on this machine or cannot be read.
    pub fn of(tree: &Tree, starts: &[String], certificates: bool) -> Result<Self, ClosureError> {
        Self::on(&Host::here(), tree, starts, certificates)
    }

    fn on(
        host: &Host,
        tree: &Tree,
        starts: &[String],
        certificates: bool,
    ) -> Result<Self, ClosureError> {
        let mut closure = Self {
            certificates,
            ..Self::default()
        };
        let planned = Planned::of(host, tree)?;
        for (place, (object, _)) in &planned.objects {
            if object.interpreter.is_some() {
                closure.merge_bin(host, place)?;
                closure.start(host, &planned, place)?;
            }
        }
        for start in starts {
            let places = script::places(start);
            let in_tree = |place: &&String| tree.get(relative(place)).is_some();
            match places.iter().find(in_tree) {
                Some(place) => closure.follow_script(host, &planned, place)?,
                None => closure.take(host, &places)?,
            }
        }
        Ok(closure)
    }

    /// Packs the interpreter of a planned program, if it has one.
    fn follow_script(
        &mut self,
        host: &Host,
        planned: &Planned,
        place: &str,
    ) -> Result<(), ClosureError> {
        let Some(script) = planned.script(place) else {
            return Ok(());
        };
        self.merge_bin(host, place)?;
        self.interpret(host, place, script, &mut BTreeSet::new())
    }

    /// Packs the first of these programs that this machine has.
    fn take(&mut self, host: &Host, places: &[String]) -> Result<(), ClosureError> {
        for place in places {
            if host.is_file(place)? {
                return self.start_or_interpret(host, place, &mut BTreeSet::new());
            }
        }
        Ok(())
    }

    /// A program in `/bin` lies where this machine has its `/bin`, so that both are one folder.
    fn merge_bin(&mut self, host: &Host, place: &str) -> Result<(), ClosureError> {
        match folder_of(place) {
            "/bin" => self.mirror(host, "/bin").map(drop),
            _ => Ok(()),
        }
    }

    /// The environment that the packed data wants.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Adds everything to a planned tree. What the tree has already is its own, and stays.
    pub fn add_to(&self, tree: &mut Tree) {
        for (path, target) in &self.links {
            tree.link(relative(path), target);
        }
        for (path, entry) in &self.entries {
            tree.complete(relative(path), entry.clone());
        }
    }

    /// Packs the interpreters of a script, and theirs.
    fn interpret(
        &mut self,
        host: &Host,
        path: &str,
        script: &HashBang,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), ClosureError> {
        for program in script.programs(host, path)? {
            if seen.insert(program.clone()) {
                self.start_or_interpret(host, &program, seen)?;
            }
        }
        Ok(())
    }

    /// Packs a program or script of this machine, and what it needs.
    fn start_or_interpret(
        &mut self,
        host: &Host,
        path: &str,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), ClosureError> {
        let file = host.open(path)?;
        let script = file.map(|file| HashBang::read(&file)).transpose();
        match script.map_err(|cause| ClosureError::unreadable(path, cause))? {
            Some(Some(script)) => {
                self.mirror(host, path)?;
                self.interpret(host, path, &script, seen)
            }
            _ => self.start(host, &Planned::default(), path),
        }
    }

    /// Packs the program at `place`, unless it is planned, and what it loads.
    fn start(&mut self, host: &Host, planned: &Planned, place: &str) -> Result<(), ClosureError> {
        let mut process = Process::start(host, planned, place, self.through_links(place))?;
        let mut done = BTreeSet::new();
        loop {
            process.load(host)?;
            let new = profile::ALL.into_iter().filter(|one| one.is_of(&process));
            let new: Vec<_> = new.filter(|one| done.insert(one.name)).collect();
            if new.is_empty() {
                break;
            }
            for profile in new {
                let needs = profile.needs(host, &process)?;
                self.provide(host, needs, &mut process)?;
            }
        }
        if !process.objects[0].planned {
            // With the links that it was started by.
            self.mirror(host, place)?;
        }
        for object in process.objects.iter().filter(|object| !object.planned) {
            self.place(host, &object.host, &object.image)?;
        }
        for file in process.files() {
            self.mirror(host, file)?;
        }
        self.cached.extend(process.cached.clone());
        if let Some(bytes) = cache::write(process.machine(), &self.cached) {
            self.bytes("/etc/ld.so.cache", bytes);
        }
        Ok(())
    }

    fn provide(
        &mut self,
        host: &Host,
        needs: profile::Needs,
        process: &mut Process,
    ) -> Result<(), ClosureError> {
        let mut data = needs.data;
        if self.certificates {
            data.extend(needs.certificates);
        }
        for path in data {
            self.data(host, &path, &needs.without, DEEPEST, process)?;
        }
        for name in needs.libraries {
            process.open(host, &name)?;
        }
        for (path, bytes) in needs.files {
            self.bytes(&path, bytes);
        }
        self.environment.extend(needs.environment);
        Ok(())
    }

    /// Packs a file, or a folder with all in it, where it is; its libraries are loaded.
    fn data(
        &mut self,
        host: &Host,
        path: &str,
        without: &[&str],
        depth: usize,
        process: &mut Process,
    ) -> Result<(), ClosureError> {
        let Some(found) = self.mirror(host, path)?.filter(|_| depth > 0) else {
            return Ok(());
        };
        if found.metadata.is_dir() {
            for name in host.list(&found.path)? {
                if !without.contains(&name.as_str()) {
                    let path = format!("{}/{name}", found.path);
                    self.data(host, &path, without, depth - 1, process)?;
                }
            }
        } else if found.path.ends_with(".so") || found.path.contains(".so.") {
            process.add(host, &found.path)?;
        }
        Ok(())
    }

    /// Packs the file, folder or link at `path` where it is, with every link on the way.
    fn mirror(&mut self, host: &Host, path: &str) -> Result<Option<Found>, ClosureError> {
        let Some(found) = host.find(path)? else {
            return Ok(None);
        };
        self.links.extend(found.links.iter().cloned());
        if found.metadata.is_dir() {
            let folder = || Entry::new(0o755, Content::Directory);
            if !found.path.is_empty() {
                self.entries
                    .entry(found.path.clone())
                    .or_insert_with(folder);
            }
        } else if found.metadata.is_file() && !self.entries.contains_key(&found.path) {
            let entry = file_entry(&host.real(&found.path), &found.path)?;
            self.entries.insert(found.path.clone(), entry);
        }
        self.bounded()?;
        Ok(Some(found))
    }

    /// Packs the file at `path` as `image`.
    fn place(&mut self, host: &Host, path: &str, image: &str) -> Result<(), ClosureError> {
        if path == image {
            return self.mirror(host, path).map(drop);
        }
        let image = self.through_links(image);
        let entry = file_entry(&host.real(path), path)?;
        if let Some(other) = self.entries.get(&image)
            && !same_content(other, &entry)
                .map_err(|cause| ClosureError::unreadable(path, cause))?
        {
            return Err(ClosureError::Collision(image));
        }
        self.entries.insert(image, entry);
        self.bounded()
    }

    fn bytes(&mut self, path: &str, bytes: Vec<u8>) {
        let entry = Entry::new(0o644, Content::Bytes(bytes));
        self.entries.insert(path.to_owned(), entry);
    }

    /// Where `path` leads through the links of the image, as far as its folder goes.
    fn through_links(&self, path: &str) -> String {
        let folder = folder_of(path);
        match self.links.get(folder) {
            Some(target) if target.starts_with('/') => format!("{target}{}", &path[folder.len()..]),
            Some(target) => {
                let name = &path[folder.len()..];
                loader::plain(&format!("{}/{target}{name}", folder_of(folder)))
            }
            None => path.to_owned(),
        }
    }

    fn bounded(&self) -> Result<(), ClosureError> {
        match self.entries.len() > MOST_FILES {
            true => Err(ClosureError::TooMany(MOST_FILES)),
            false => Ok(()),
        }
    }
}

/// A file of the host as an entry. Owner and set-id bits stay behind; that it may be executed goes
/// along.
fn file_entry(real: &Path, path: &str) -> Result<Entry, ClosureError> {
    let read = || -> io::Result<Entry> {
        use std::os::unix::fs::PermissionsExt;
        let file: File = open_regular(real)?;
        let executable = file.metadata()?.permissions().mode() & 0o111 != 0;
        let content = Content::File(HostFile::opened(real, &file)?);
        Ok(Entry::new(if executable { 0o755 } else { 0o644 }, content))
    };
    read().map_err(|cause| ClosureError::unreadable(path, cause))
}

fn same_content(one: &Entry, other: &Entry) -> io::Result<bool> {
    Ok(match (&one.content, &other.content) {
        (Content::File(one), Content::File(other)) => {
            one == other || one.size() == other.size() && one.digest()? == other.digest()?
        }
        _ => one == other,
    })
}

/// The folder that an absolute path lies in; `/` for what lies there.
fn folder_of(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

/// A path as a tree has it.
fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests;
