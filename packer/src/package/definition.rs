//! A definition: what a `packer.toml`, or `[package.metadata.packer]` in a `Cargo.toml`, says. Read
//! strictly, because a misspelt key that is ignored shows only when the image runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::document::{Table, Value};
use super::files::AbsolutePath;
use super::invalid::{InvalidDefinition, Location};
use super::{Files, HealthCheck, Port, StopSignal, System, User};
use crate::base::BaseName;
use crate::layer::Compression;

/// The keys of both forms.
const KEYS: [&str; 26] = [
    "annotations",
    "args",
    "base",
    "certificates",
    "compress",
    "description",
    "entrypoint",
    "env",
    "files",
    "health-check",
    "home-page",
    "labels",
    "license",
    "name",
    "ports",
    "source",
    "stop-signal",
    "synopsis",
    "systems",
    "time-zones",
    "user",
    "version",
    "volumes",
    "working-dir",
    // Only one form has each of these; see `Form`.
    "bin",
    "program",
];

/// What only packing finds wrong.
const LATER: [&str; 3] = ["base", "entrypoint", "program"];

/// Where a definition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In a `Cargo.toml`: cargo compiles the program, and `bin` says which.
    Cargo,
    /// In a file of its own: `program` is a file.
    File,
}

/// A definition, its values understood; everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) args: Vec<String>,
    pub(super) base: Option<BaseName>,
    pub(super) bin: Option<String>,
    pub(super) certificates: Option<bool>,
    pub(super) compress: Option<Compression>,
    pub(super) description: Option<String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) files: Vec<Files>,
    pub(super) health_check: Option<HealthCheck>,
    pub(super) home_page: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) license: Option<String>,
    /// Where the keys of [`LATER`] are.
    pub(super) locations: BTreeMap<&'static str, Location>,
    pub(super) name: Option<String>,
    pub(super) ports: Vec<Port>,
    pub(super) program: Option<PathBuf>,
    pub(super) source: Option<String>,
    pub(super) stop_signal: Option<StopSignal>,
    pub(super) synopsis: Option<String>,
    pub(super) systems: Option<Vec<System>>,
    pub(super) time_zones: Option<bool>,
    pub(super) user: Option<User>,
    pub(super) version: Option<String>,
    pub(super) volumes: Vec<String>,
    pub(super) working_dir: Option<String>,
}

impl Definition {
    /// Reads a definition of this form; relative paths in it lie below `folder`.
    pub(super) fn read(
        table: &Table<'_>,
        form: Form,
        folder: &Path,
    ) -> Result<Self, InvalidDefinition> {
        let foreign = match form {
            Form::Cargo => "program",
            Form::File => "bin",
        };
        let keys: Vec<_> = KEYS.into_iter().filter(|key| *key != foreign).collect();
        table.allow(&keys)?;
        let line = |key| Ok(table.text(key)?.map(|text| text.trim().to_owned()));
        let program = table.text("program")?;
        let files = table.list("files")?;
        let files = files
            .iter()
            .map(|value| Files::read(&value.table()?, folder));
        let health_check = table.table("health-check")?;
        Ok(Self {
            annotations: table.map("annotations")?,
            args: table.texts("args")?.unwrap_or_default(),
            base: table
                .get("base")
                .map(|value| base(&value, folder))
                .transpose()?,
            bin: line("bin")?,
            certificates: table.switch("certificates")?,
            compress: table.parsed("compress")?,
            description: line("description")?,
            entrypoint: table.texts("entrypoint")?.unwrap_or_default(),
            env: variables(table)?,
            files: files.collect::<Result<_, _>>()?,
            health_check: health_check.as_ref().map(HealthCheck::read).transpose()?,
            home_page: line("home-page")?,
            labels: table.map("labels")?,
            license: line("license")?,
            locations: LATER
                .iter()
                .filter_map(|key| Some((*key, table.get(key)?.location())))
                .collect(),
            name: table.get("name").map(|value| name(&value)).transpose()?,
            ports: ports(table)?,
            program: program.map(|program| folder.join(program)),
            source: line("source")?,
            stop_signal: table.parsed("stop-signal")?,
            synopsis: line("synopsis")?,
            systems: systems(table)?,
            time_zones: table.switch("time-zones")?,
            user: table.parsed("user")?,
            version: line("version")?,
            volumes: volumes(table)?,
            working_dir: table
                .get("working-dir")
                .map(|value| path(&value))
                .transpose()?,
        })
    }
}

fn base(value: &Value<'_>, folder: &Path) -> Result<BaseName, InvalidDefinition> {
    BaseName::parse(value.text()?.trim(), folder).map_err(|error| value.bad(error))
}

fn name(value: &Value<'_>) -> Result<String, InvalidDefinition> {
    super::checked(&value.text()?).map_err(|error| value.bad(error))
}

fn path(value: &Value<'_>) -> Result<String, InvalidDefinition> {
    let AbsolutePath(path) = value.text()?.parse().map_err(|error| value.bad(error))?;
    Ok(path.to_string_lossy().into_owned())
}

fn variables(table: &Table<'_>) -> Result<BTreeMap<String, String>, InvalidDefinition> {
    let variables = table.map("env")?;
    match variables
        .keys()
        .find(|name| name.is_empty() || name.contains('='))
    {
        None => Ok(variables),
        Some(name) => {
            let value = table.get("env").expect("it was read");
            let name = name.escape_debug();
            Err(value.bad(format!("\"{name}\" cannot be the name of a variable")))
        }
    }
}

/// Each port once, in order.
fn ports(table: &Table<'_>) -> Result<Vec<Port>, InvalidDefinition> {
    let ports = table.list("ports")?;
    let mut ports: Vec<Port> = ports.iter().map(Value::parsed).collect::<Result<_, _>>()?;
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

fn systems(table: &Table<'_>) -> Result<Option<Vec<System>>, InvalidDefinition> {
    let systems = |value: Value<'_>| value.list()?.iter().map(Value::parsed).collect();
    table.get("systems").map(systems).transpose()
}

fn volumes(table: &Table<'_>) -> Result<Vec<String>, InvalidDefinition> {
    table.list("volumes")?.iter().map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::*;

    fn read(text: &str, form: Form) -> Result<Definition, String> {
        let document = Document::parse(Path::new("p.toml"), text).map_err(|e| e.to_string())?;
        Definition::read(&document.root(), form, Path::new("/here")).map_err(|e| e.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let text = super::super::init::with_every_key();
        let read = read(&text, Form::File).unwrap();
        let empty = Definition::default();
        macro_rules! assert_read {
            ($($field:ident)*) => { $(assert_ne!(read.$field, empty.$field);)* };
        }
        assert_read!(annotations args base certificates compress description entrypoint env files
            health_check home_page labels license name ports program source stop_signal synopsis
            systems time_zones user version volumes working_dir);
    }

    #[test]
    fn a_program_is_a_key_of_a_file_and_a_binary_one_of_cargo() {
        assert!(read("bin = \"b\"", Form::File).is_err());
        assert!(read("bin = \"b\"", Form::Cargo).is_ok());
        assert!(read("program = \"b\"", Form::Cargo).is_err());
        let definition = read("program = \"b\"", Form::File).unwrap();
        assert_eq!(definition.program, Some(PathBuf::from("/here/b")));
    }

    #[test]
    fn a_wrong_value_is_an_error_with_its_place() {
        for text in [
            "ports = 8080",
            "ports = [0]",
            "ports = [80.5]",
            "user = \"root\"",
            "base = \"ftp://x.example/a\"",
            "env = [\"A=b\"]",
            "env = { \"A=B\" = \"c\" }",
            "labels = { a = 1 }",
            "args = \"-v\"",
            "volumes = [\"data\"]",
            "working-dir = \"..\"",
            "systems = [\"x86\"]",
            "stop-signal = \"SIGNAL\"",
            "health-check = {}",
            "health-check = { command = [] }",
            "health-check = { command = \"x\", interval = \"soon\" }",
            "files = [{ source = \"a\" }]",
            "name = \"A b\"",
            "compress = \"zip\"",
            "compress = \"zstd:99\"",
            "certificates = \"yes\"",
            "prts = []",
        ] {
            let error = read(text, Form::File).unwrap_err();
            assert!(error.starts_with("p.toml:1:"), "{text}: {error}");
        }
    }
}
