//! A new definition, with a word about each key.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::load::FILE;
use super::{PackageError, image_name};
use crate::archive::NewFile;

/// What only a definition of its own says; in a `Cargo.toml` these are keys of `[package]`.
const IDENTITY: &str = r#"# The name of the image, and of the program in it.
name = "NAME"
# The file that is packed; a relative path is one from this file.
program = "./NAME"

#version = "1.0.0"
#license = "Apache-2.0"
#home-page = "https://example.org"
#source = "https://example.org/source"
# All about it; one line about it is enough.
#description = "Says hello. It does so to everybody."
"#;

/// What both forms have. A line that begins with `#` and no space is a key to be uncommented.
const KEYS: &str = r#"# One line about it; else the first sentence of the description.
#synopsis = "Says hello"
# What it can be packed for.
#systems = ["x86_64-linux", "aarch64-linux"]

# What it listens on; /udp is said, /tcp is meant.
#ports = [8080, "53/udp"]
# Arguments, until a command line names others.
#args = ["--verbose"]
# The program and its fixed arguments, if that is not just /bin/NAME.
#entrypoint = ["/bin/NAME", "--foreground"]
#env = { LANG = "C.UTF-8" }
# Where it starts.
#working-dir = "/srv"
# Whom it runs as, in numbers, so that a cluster can see that it is not root.
#user = "1000:1000"
# Folders whose data outlives a container.
#volumes = ["/var/lib/NAME"]
# What asks it to end, if not SIGTERM.
#stop-signal = "SIGQUIT"
#health-check = { command = ["/bin/NAME", "--check"], interval = "30s", timeout = "5s", start-interval = "1s", retries = 3 }

# Files and folders beside it. A set-uid bit and capabilities are in the image only if they stand here:
# mode = "4755", capabilities = ["net_bind_service"].
#files = [{ source = "static", destination = "/srv/static", mode = "0644", owner = "0:0" }]
# The certificates of this host's authorities, and the time zones: true or false; else as the program
# seems to need them.
#certificates = true
#time-zones = true

# What registries and engines show.
#labels = { "org.example.team" = "web" }
#annotations = { "org.example.team" = "web" }
# The image that it is put on; else it stands alone.
#base = "registry.example.org/base:1"
# gzip, gzip:1 to gzip:9, zstd, zstd:1 to zstd:19, none.
#compress = "gzip:9"
"#;

const CARGO_HEAD: &str =
    "\n# How `packer build` makes an image of this package.\n[package.metadata.packer]\n";

/// Writes a new definition for `folder` and returns the file that it is in: a `packer.toml`, or in a
/// package of cargo its `Cargo.toml`.
///
/// # Errors
/// [`PackageError`] when there is one already, or when it cannot be written.
pub fn init(folder: &Path) -> Result<PathBuf, PackageError> {
    let own = folder.join(FILE);
    if own.symlink_metadata().is_ok() {
        return Err(PackageError::Defined(own));
    }
    let manifest = folder.join("Cargo.toml");
    let (file, text) = match manifest.is_file() {
        true => (manifest.clone(), in_manifest(&manifest)?),
        false => (own, new_file(&name_of(folder)?)),
    };
    write(folder, &file, &text).map_err(|cause| PackageError::Unwritable {
        file: file.clone(),
        cause,
    })?;
    Ok(file)
}

fn name_of(folder: &Path) -> Result<String, PackageError> {
    let absolute = folder
        .canonicalize()
        .map_err(|cause| PackageError::Folder {
            folder: folder.to_owned(),
            cause,
        })?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy();
    Ok(image_name(&name).unwrap_or_else(|| "program".to_owned()))
}

fn new_file(name: &str) -> String {
    let head = "# How `packer build` makes an image of this program.\n\n";
    format!("{head}{IDENTITY}{KEYS}").replace("NAME", name)
}

/// The manifest with a table for us behind all others.
fn in_manifest(manifest: &Path) -> Result<String, PackageError> {
    let mut text = super::load::read(manifest)?;
    let table: toml::Table = text.parse().map_err(|_| {
        let folder = manifest.parent().unwrap_or(manifest);
        PackageError::Cargo(folder.display().to_string())
    })?;
    let package = table.get("package");
    let Some(package) = package else {
        return Err(PackageError::Virtual(manifest.to_owned()));
    };
    if package
        .get("metadata")
        .and_then(|metadata| metadata.get("packer"))
        .is_some()
    {
        return Err(PackageError::Defined(manifest.to_owned()));
    }
    let name = package.get("name").and_then(toml::Value::as_str);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let keys = KEYS.replace("NAME", name.unwrap_or("program"));
    let _ = write!(text, "{CARGO_HEAD}{keys}");
    Ok(text)
}

fn write(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    // What a link leads to is changed, and the link stays one.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(folder);
    let new = NewFile::in_folder(folder)?;
    io::Write::write_all(&mut new.file(), text.as_bytes())?;
    if let Ok(old) = fs::metadata(&path) {
        new.file().set_permissions(old.permissions())?;
    }
    new.place(&path)
}

/// A new definition in which every key is uncommented.
#[cfg(test)]
pub(super) fn with_every_key() -> String {
    let text = new_file("hello");
    let uncommented = text.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key,
        _ => line,
    });
    uncommented.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::Package;
    use super::*;

    #[test]
    fn a_new_definition_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("My Program");
        fs::create_dir(&home).unwrap();
        let file = init(&home).unwrap();
        let package = Package::defined_in(&file).unwrap();
        assert_eq!(package.name, "my-program");
        let error = init(&home).unwrap_err().to_string();
        assert!(error.contains("packer.toml"), "{error}");
    }

    #[test]
    fn the_definition_of_a_package_of_cargo_is_in_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("Cargo.toml");
        fs::write(&manifest, "[package]\nname = \"x\"\n[dependencies]").unwrap();
        assert_eq!(init(folder.path()).unwrap(), manifest);
        let table: toml::Table = fs::read_to_string(&manifest).unwrap().parse().unwrap();
        assert!(table["package"]["metadata"]["packer"].is_table());
        assert!(init(folder.path()).is_err());
        fs::write(&manifest, "[workspace]\n").unwrap();
        assert!(init(folder.path()).is_err());
        assert_eq!(fs::read_to_string(&manifest).unwrap(), "[workspace]\n");
    }
}
