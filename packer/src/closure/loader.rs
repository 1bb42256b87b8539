//! Where a dynamic loader looks for libraries, in which order.
//!
//! Source: ld.so(8) and glibc's `elf/dl-load.c`; musl's `ldso/dynlink.c`. `LD_LIBRARY_PATH` is left
//! out on purpose: it belongs to whoever starts a program, is not there when the image is started,
//! and would make the image depend on the shell that it was packed in.

use super::host::Host;
use super::{ClosureError, Loaded, conf, folder_of, texts};

/// What glibc's loader falls back to, where its own list cannot be read in it.
const DEFAULTS: [&str; 4] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// What musl's loader falls back to without a path file.
const MUSL_DEFAULTS: &str = "/lib:/usr/local/lib:/usr/lib";

/// Libraries that are parts of musl's loader, whatever they are asked for.
const MUSL_PARTS: [&str; 7] = ["c", "pthread", "rt", "m", "dl", "util", "xnet"];

/// The file that a glibc loader finds other folders by.
const CACHE: &str = "/etc/ld.so.cache";

/// A dynamic loader.
#[derive(Debug)]
pub(super) enum Loader {
    /// glibc's.
    Glibc {
        /// `$LIB`.
        lib: String,
        /// The folders that it was compiled with.
        defaults: Vec<String>,
        /// The folders of `ld.so.conf`.
        configured: Vec<String>,
    },
    /// musl's.
    Musl {
        /// The only folders beside those that a library names.
        folders: Vec<String>,
        /// The file that names them, if there is one.
        path_file: Option<String>,
    },
}

/// A folder to look in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    /// Its path on this machine.
    pub(super) host: String,
    /// Its path in the image: another one only below a program that is moved.
    pub(super) image: String,
    /// Whether the loader knows it from its cache alone.
    pub(super) cached: bool,
}

impl Folder {
    fn fixed(path: &str, cached: bool) -> Self {
        Self {
            host: path.to_owned(),
            image: path.to_owned(),
            cached,
        }
    }
}

impl Loader {
    /// The loader at `path` (`PT_INTERP`); `real` is the same path without links.
    pub(super) fn of(host: &Host, path: &str, real: &str) -> Result<Self, ClosureError> {
        let name = path.rsplit('/').next().unwrap_or_default();
        match name.strip_prefix("ld-musl-") {
            Some(rest) => musl(host, path, rest.split('.').next().unwrap_or_default()),
            None => glibc(host, path, real),
        }
    }

    /// Where what `objects[index]` needs is looked for. The first object is the program.
    pub(super) fn folders(&self, objects: &[Loaded], index: usize) -> Vec<Folder> {
        let needing = &objects[index];
        let mut folders = Vec::new();
        match self {
            Self::Glibc {
                lib,
                defaults,
                configured,
            } => {
                // A DT_RPATH serves whatever is loaded below its owner; a DT_RUNPATH only its
                // owner, and makes the loader overlook every DT_RPATH.
                if needing.object.runpath.is_none() {
                    for above in chain(objects, index) {
                        if let (None, Some(rpath)) = (&above.object.runpath, &above.object.rpath) {
                            folders.extend(expand(rpath, above, Some(lib)));
                        }
                    }
                }
                if let Some(runpath) = &needing.object.runpath {
                    folders.extend(expand(runpath, needing, Some(lib)));
                }
                let without = needing.object.no_default_folders;
                let wanted = |folder: &&String| !without || !defaults.contains(folder);
                let fixed = |folder: &String| Folder::fixed(folder, !defaults.contains(folder));
                folders.extend(configured.iter().filter(wanted).map(fixed));
                folders.extend(defaults.iter().filter(wanted).map(fixed));
            }
            Self::Musl { folders: last, .. } => {
                for above in chain(objects, index) {
                    let own = above
                        .object
                        .runpath
                        .as_ref()
                        .or(above.object.rpath.as_ref());
                    folders.extend(own.into_iter().flat_map(|own| expand(own, above, None)));
                }
                folders.extend(last.iter().map(|folder| Folder::fixed(folder, false)));
            }
        }
        folders
    }

    /// Whether `name` is the loader itself, whatever file has that name.
    pub(super) fn is(&self, name: &str) -> bool {
        let part = name
            .strip_prefix("lib")
            .and_then(|name| name.split_once('.'));
        matches!(self, Self::Musl { .. })
            && part.is_some_and(|(part, rest)| MUSL_PARTS.contains(&part) && rest.starts_with("so"))
    }
}

/// The object and, in turn, the one that each was loaded for; at last the program.
fn chain(objects: &[Loaded], index: usize) -> impl Iterator<Item = &Loaded> {
    std::iter::successors(Some(index), |&index| objects[index].parent).map(|index| &objects[index])
}

fn glibc(host: &Host, path: &str, real: &str) -> Result<Loader, ClosureError> {
    let mut defaults = Vec::new();
    let mut complete = false;
    let mut reads_cache = false;
    if let Some(file) = host.open(path)? {
        // Its list is the first run of texts that are folders.
        let read = texts::each(file, |text| {
            reads_cache |= text == CACHE;
            let folder = text.strip_suffix('/').filter(|path| path.starts_with('/'));
            match folder {
                Some(folder) if !complete => defaults.push(folder.to_owned()),
                _ => complete |= !defaults.is_empty(),
            }
        });
        read.map_err(|error| ClosureError::unreadable(path, error))?;
    }
    if defaults.is_empty() {
        defaults = DEFAULTS.map(str::to_owned).to_vec();
    }
    let configured = match reads_cache {
        true => conf::folders(host, "/etc/ld.so.conf")?,
        false => Vec::new(),
    };
    Ok(Loader::Glibc {
        lib: lib(real),
        defaults,
        configured,
    })
}

/// `$LIB`: where the loader itself lies, below `/usr` or `/`. Debian has
/// `lib/x86_64-linux-gnu`, Fedora `lib64`.
fn lib(loader: &str) -> String {
    let folder = folder_of(loader);
    let folder = folder.strip_prefix("/usr/").unwrap_or(folder);
    folder.trim_start_matches('/').to_owned()
}

fn musl(host: &Host, path: &str, architecture: &str) -> Result<Loader, ClosureError> {
    let prefix = folder_of(folder_of(path)).trim_end_matches('/');
    let file = format!("{prefix}/etc/ld-musl-{architecture}.path");
    let text = host.text(&file)?;
    let folders = text.as_deref().unwrap_or(MUSL_DEFAULTS);
    Ok(Loader::Musl {
        folders: folders
            .split([':', '\n'])
            .filter(|folder| folder.starts_with('/'))
            .map(ToOwned::to_owned)
            .collect(),
        path_file: text.is_some().then_some(file),
    })
}

/// The folders of a `DT_RPATH` or `DT_RUNPATH` of `owner`. What is relative is left out: it would
/// be meant from wherever the program is started.
fn expand(paths: &str, owner: &Loaded, lib: Option<&str>) -> Vec<Folder> {
    let platform = owner.object.machine.platform_name();
    let expanded = |path: &str, origin: &str| {
        let path = replace(path, "ORIGIN", Some(origin))?;
        match lib {
            Some(_) => replace(&replace(&path, "LIB", lib)?, "PLATFORM", platform),
            // musl knows no other variable, and then takes nothing of the list.
            None => (!path.contains('$')).then_some(path),
        }
    };
    let folder = |path: &str| {
        let host = expanded(path, folder_of(&owner.host))?;
        let image = expanded(path, folder_of(&owner.image))?;
        let image = match owner.host == owner.image {
            true => image,
            false => plain(&image),
        };
        host.starts_with('/').then_some(Folder {
            host,
            image,
            cached: false,
        })
    };
    paths.split(':').filter_map(folder).collect()
}

/// Puts `value` where `$NAME` or `${NAME}` stands; `None` when it stands there and has no value.
fn replace(path: &str, name: &str, value: Option<&str>) -> Option<String> {
    let mut done = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let braced = format!("{{{name}}}");
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let bare = after
            .strip_prefix(name)
            .filter(|rest| !rest.starts_with(is_letter));
        done += before;
        match after.strip_prefix(&braced).or(bare) {
            Some(behind) => {
                done += value?;
                rest = behind;
            }
            None => {
                done.push('$');
                rest = after;
            }
        }
    }
    Some(done + rest)
}

/// The path without `.` and `..`, as its letters say.
pub(super) fn plain(path: &str) -> String {
    let mut plain = String::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => plain.truncate(plain.rfind('/').unwrap_or(0)),
            step => plain = format!("{plain}/{step}"),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_alone_or_in_braces() {
        let origin = |path| replace(path, "ORIGIN", Some("/a"));
        assert_eq!(origin("$ORIGIN/../lib").as_deref(), Some("/a/../lib"));
        assert_eq!(origin("${ORIGIN}x:$ORIGIN").as_deref(), Some("/ax:/a"));
        assert_eq!(origin("$ORIGINAL/$").as_deref(), Some("$ORIGINAL/$"));
        assert_eq!(replace("/x/$PLATFORM", "PLATFORM", None), None);
    }

    #[test]
    fn lib_is_where_the_loader_lies() {
        assert_eq!(
            lib("/usr/lib/x86_64-linux-gnu/ld.so"),
            "lib/x86_64-linux-gnu"
        );
        assert_eq!(lib("/usr/lib64/ld-linux-x86-64.so.2"), "lib64");
        assert_eq!(lib("/lib/ld.so"), "lib");
    }

    #[test]
    fn a_path_is_made_plain() {
        assert_eq!(plain("/bin/../lib/./x/"), "/lib/x");
        assert_eq!(plain("/../.."), "");
    }
}
