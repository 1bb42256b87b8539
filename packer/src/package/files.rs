//! The files and folders that a definition puts beside the program.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::User;
use super::capability::Capabilities;
use super::document::{Table, Value};
use super::invalid::{Fault, InvalidDefinition, Location};

const KEYS: [&str; 5] = ["capabilities", "destination", "mode", "owner", "source"];

/// A file or a folder of the host, and where it goes in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The file or the folder on this host.
    pub source: PathBuf,
    /// Where it goes, relative to the root of the image.
    pub destination: PathBuf,
    /// The permission bits of the file, or of every file of the folder. By default 0755 for what
    /// its owner may execute, and 0644.
    pub mode: Option<u32>,
    /// Who owns it all; by default root.
    pub owner: User,
    /// The capabilities that the file gives to whoever runs it.
    pub capabilities: Option<Capabilities>,
    /// Where the definition names the source.
    pub location: Option<Location>,
}

impl Files {
    /// Reads one entry of `files`; a relative source lies below `folder`.
    pub(super) fn read(table: &Table<'_>, folder: &Path) -> Result<Self, InvalidDefinition> {
        table.allow(&KEYS)?;
        let missing = "an entry of files needs a source: the file or the folder that is copied";
        let source = table
            .text("source")?
            .ok_or_else(|| table.refuse(Fault::Missing(missing)))?;
        let missing = "an entry of files needs a destination: \"/etc/program.conf\"";
        let destination = table
            .get("destination")
            .ok_or_else(|| table.refuse(Fault::Missing(missing)))?;
        Ok(Self {
            destination: in_image(&destination, Path::new(&source))?,
            source: folder.join(source),
            location: table.get("source").map(|value| value.location()),
            mode: table.get("mode").map(|value| value.mode()).transpose()?,
            owner: table.parsed("owner")?.unwrap_or(User { uid: 0, gid: 0 }),
            capabilities: table
                .texts("capabilities")?
                .map(|names| Capabilities::from_names(&names))
                .transpose()
                .map(Option::flatten)
                .map_err(|error| table.get("capabilities").expect("it was read").bad(error))?,
        })
    }
}

/// A destination, relative to the root; one that ends with a slash is the folder for the source.
fn in_image(value: &Value<'_>, source: &Path) -> Result<PathBuf, InvalidDefinition> {
    let text = value.text()?;
    let AbsolutePath(mut path) = text.parse().map_err(|error| value.bad(error))?;
    if text.ends_with('/')
        && let Some(name) = source.file_name()
    {
        path.push(name);
    }
    let path = path.strip_prefix("/").expect("it is absolute").to_owned();
    Ok(path)
}

/// A path in an image: absolute, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AbsolutePath(pub(super) PathBuf);

/// A text that is no path in an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no path in an image: it begins with / and has no . or .. in it", .0.escape_debug())]
pub(super) struct InvalidPath(String);

impl FromStr for AbsolutePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let path = Path::new(text);
        let plain = path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        // `components` forgets a `.` in the middle.
        if path.is_absolute() && plain && !text.split('/').any(|part| part == ".") {
            return Ok(Self(path.components().collect()));
        }
        Err(InvalidPath(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::*;

    fn read(text: &str) -> Result<Files, String> {
        let document = Document::parse(Path::new("p.toml"), text).unwrap();
        Files::read(&document.root(), Path::new("/here")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_destination_with_a_slash_at_its_end_is_the_folder() {
        for (destination, expected) in [
            ("/etc/x.conf", "etc/x.conf"),
            ("/etc/", "etc/a.conf"),
            ("//etc//x", "etc/x"),
        ] {
            let text = format!("source = \"conf/a.conf\"\ndestination = \"{destination}\"");
            let files = read(&text).unwrap();
            assert_eq!(files.destination, Path::new(expected));
            assert_eq!(files.source, Path::new("/here/conf/a.conf"));
        }
    }

    #[test]
    fn a_destination_stays_in_the_image() {
        for destination in ["etc/x", "/../x", "/a/../../b", "/a/./b", ""] {
            let text = format!("source = \"a\"\ndestination = \"{destination}\"");
            assert!(read(&text).is_err(), "{destination}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(read("source = \"a\"").unwrap_err().contains("destination"));
        assert!(read("destination = \"/a\"").unwrap_err().contains("source"));
    }
}
