//! A process as its loader builds it: the program, then what it needs, then what those need, each
//! name once.

use std::collections::{BTreeMap, BTreeSet};

use super::host::Host;
use super::loader::Loader;
use super::{ClosureError, Loaded, Planned, texts};
use crate::elf::{Machine, Object};

/// A process with more objects is a mistake.
const MOST_OBJECTS: usize = 10_000;

/// A program that is followed while it loads.
#[derive(Debug)]
pub(super) struct Process<'a> {
    /// The program first; then the loader, if it has one; then libraries in the order of loading.
    pub(super) objects: Vec<Loaded>,
    /// The path that the program was started by, which may be a link.
    pub(super) asked: String,
    /// Libraries that the loader knows from its cache alone, by name.
    pub(super) cached: BTreeMap<String, String>,
    /// Every name that an object is known by.
    names: BTreeSet<String>,
    loader: Option<Loader>,
    planned: &'a Planned,
    /// As many objects have what they need.
    complete: usize,
}

impl<'a> Process<'a> {
    /// Starts the program at `place`: a planned one, whose path without links is `image`, else the
    /// one of this machine.
    pub(super) fn start(
        host: &Host,
        planned: &'a Planned,
        place: &str,
        image: String,
    ) -> Result<Self, ClosureError> {
        let program = match planned.object(place) {
            Some((object, path)) => Loaded {
                object,
                host: path,
                image,
                parent: None,
                planned: true,
            },
            None => of_host(host, place)?,
        };
        let interpreter = program.object.interpreter.clone();
        let mut process = Self {
            objects: vec![program],
            asked: place.to_owned(),
            cached: BTreeMap::new(),
            names: BTreeSet::new(),
            loader: None,
            planned,
            complete: 0,
        };
        if let Some(loader) = interpreter {
            process.load_loader(host, place, loader)?;
        }
        process.plugins(host)?;
        Ok(process)
    }

    fn load_loader(
        &mut self,
        host: &Host,
        program: &str,
        loader: String,
    ) -> Result<(), ClosureError> {
        let absent = || ClosureError::NoLoader {
            program: program.to_owned(),
            loader: loader.clone(),
        };
        let found = host.find(&loader)?.ok_or_else(absent)?;
        let object = host.object(&loader)?.ok_or_else(absent)?;
        self.loader = Some(Loader::of(host, &loader, &found.path)?);
        self.names.extend(object.soname.clone());
        self.objects.push(Loaded {
            object,
            host: loader.clone(),
            image: loader,
            parent: Some(0),
            planned: false,
        });
        Ok(())
    }

    /// What the program is for, and so everything that it loads.
    pub(super) fn machine(&self) -> Machine {
        self.objects[0].object.machine
    }

    /// Files that the loader reads.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        match &self.loader {
            Some(Loader::Musl { path_file, .. }) => path_file.as_deref(),
            _ => None,
        }
        .into_iter()
    }

    /// The object of this name, or of a name that begins so.
    pub(super) fn named(&self, start: &str) -> Option<&Loaded> {
        let is_named = |object: &&Loaded| file_name(&object.host).starts_with(start);
        self.objects.iter().find(is_named)
    }

    /// Loads what the objects need that are there, breadth first, as a loader does.
    pub(super) fn load(&mut self, host: &Host) -> Result<(), ClosureError> {
        while self.complete < self.objects.len() {
            for name in self.objects[self.complete].object.needed.clone() {
                if !self.try_load(host, &name, self.complete)? {
                    return Err(self.not_found(name));
                }
            }
            self.complete += 1;
            if self.objects.len() > MOST_OBJECTS {
                return Err(ClosureError::TooMany(MOST_OBJECTS));
            }
        }
        Ok(())
    }

    /// Loads a library as the program would with dlopen(3), if it is there.
    pub(super) fn open(&mut self, host: &Host, name: &str) -> Result<(), ClosureError> {
        self.try_load(host, name, 0).map(drop)
    }

    /// Loads the file at `path`, if it is a library for this processor.
    pub(super) fn add(&mut self, host: &Host, path: &str) -> Result<(), ClosureError> {
        let object = host.object(path)?;
        let Some(object) = object.filter(|object| object.machine == self.machine()) else {
            return Ok(());
        };
        if self.names.insert(path.to_owned()) {
            self.names.extend(object.soname.clone());
            self.objects.push(Loaded {
                object,
                host: path.to_owned(),
                image: path.to_owned(),
                parent: Some(0),
                planned: false,
            });
        }
        Ok(())
    }

    /// Libraries that the program names as a text, and finds by its own search path (`DT_RPATH`,
    /// `DT_RUNPATH`): it opens them itself.
    fn plugins(&mut self, host: &Host) -> Result<(), ClosureError> {
        let program = &self.objects[0];
        if program.object.rpath.is_none() && program.object.runpath.is_none() {
            return Ok(());
        }
        let path = program.host.clone();
        let mut names = BTreeSet::new();
        if let Some(file) = host.open(&path)? {
            texts::each(file, |text| {
                if (text.ends_with(".so") || text.contains(".so.")) && !text.contains('/') {
                    names.insert(text.to_owned());
                }
            })
            .map_err(|cause| ClosureError::unreadable(&path, cause))?;
        }
        for name in names.difference(&self.objects[0].object.needed.iter().cloned().collect()) {
            self.open(host, name)?;
        }
        Ok(())
    }

    fn try_load(&mut self, host: &Host, name: &str, needing: usize) -> Result<bool, ClosureError> {
        let Some(loader) = &self.loader else {
            return Ok(false);
        };
        if self.names.contains(name) || loader.is(name) {
            return Ok(true);
        }
        // A name with a slash is a path, and is looked for nowhere else.
        let places = match name.contains('/') {
            true => vec![(name.to_owned(), name.to_owned(), false)],
            false => {
                let folders = loader.folders(&self.objects, needing).into_iter();
                let within = |folder: &str| format!("{}/{name}", folder.trim_end_matches('/'));
                folders
                    .map(|folder| (within(&folder.host), within(&folder.image), folder.cached))
                    .collect()
            }
        };
        for (path, image, cached) in places {
            let (object, path, planned) = match self.planned.object(&image) {
                Some((object, path)) => (Some(object), path, true),
                None => (host.object(&path)?, path, false),
            };
            let Some(object) = object.filter(|object| object.machine == self.machine()) else {
                continue;
            };
            if cached {
                self.cached.insert(name.to_owned(), image.clone());
            }
            self.names.insert(name.to_owned());
            self.names.extend(object.soname.clone());
            self.objects.push(Loaded {
                object,
                host: path,
                image,
                parent: Some(needing),
                planned,
            });
            return Ok(true);
        }
        Ok(false)
    }

    fn not_found(&self, library: String) -> ClosureError {
        let folders = match &self.loader {
            Some(loader) if !library.contains('/') => loader.folders(&self.objects, self.complete),
            _ => Vec::new(),
        };
        let mut folders: Vec<String> = folders.into_iter().map(|folder| folder.host).collect();
        let mut seen = BTreeSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        ClosureError::NotFound {
            library,
            needed_by: self.objects[self.complete].host.clone(),
            folders: match folders.is_empty() {
                true => "no folder".to_owned(),
                false => folders.join(", "),
            },
        }
    }
}

/// A program of this machine. It finds its own place as `/proc/self/exe`: without links.
fn of_host(host: &Host, path: &str) -> Result<Loaded, ClosureError> {
    let refuse = || ClosureError::NoProgram(path.to_owned());
    let object = host.object(path)?.ok_or_else(refuse)?;
    let real = host.find(path)?.ok_or_else(refuse)?.path;
    Ok(Loaded {
        object,
        host: real.clone(),
        image: real,
        parent: None,
        planned: false,
    })
}

/// The last step of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

impl Loaded {
    /// Whether it calls, or offers, one of these functions.
    pub(super) fn names_one_of(&self, symbols: &[&str]) -> bool {
        let object: &Object = &self.object;
        symbols.iter().any(|symbol| object.names(symbol))
    }
}
