//! What a program says itself about the crates that it was compiled from: cargo-auditable leaves
//! them in the section `.dep-v0`, as JSON, compressed with zlib.
//!
//! Source: the format of cargo-auditable, `PARSING.md` and `cargo-auditable.schema.json`.

use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;
use object::{Object, ObjectSection, ReadCache};
use serde::Deserialize;

use super::crates::escaped;
use super::{Component, Error, Kind};

const SECTION: &str = ".dep-v0";

/// The JSON may be as long as the reference implementation takes, in bytes.
const MOST_JSON: u64 = 8 << 20;

/// The section itself: nobody compresses eight megabytes into more.
const MOST_SECTION: u64 = MOST_JSON;

#[derive(Debug, Deserialize)]
struct Tree {
    packages: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    version: String,
    source: String,
    /// `build` for what is no part of the program.
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    dependencies: Vec<usize>,
    #[serde(default)]
    root: bool,
}

/// The crates of the program at `path`, which is the first one; nothing if it says nothing.
pub(super) fn read(path: &Path) -> Result<Option<Vec<Component>>, Error> {
    let invalid = |reason: String| Error::Section {
        path: path.to_owned(),
        reason,
    };
    let file = crate::program::open_regular(path).map_err(Error::unreadable(path))?;
    let cache = ReadCache::new(file);
    // Scripts have no sections, and those who strip programs may take the table of them away.
    let Ok(object) = object::File::parse(&cache) else {
        return Ok(None);
    };
    let Some(section) = object.section_by_name(SECTION) else {
        return Ok(None);
    };
    if section.size() > MOST_SECTION {
        return Err(invalid("it is too long".to_owned()));
    }
    let data = section.data().map_err(|error| invalid(error.to_string()))?;
    parse(data).map(Some).map_err(invalid)
}

fn parse(data: &[u8]) -> Result<Vec<Component>, String> {
    let mut json = Vec::new();
    ZlibDecoder::new(data)
        .take(MOST_JSON + 1)
        .read_to_end(&mut json)
        .map_err(|error| error.to_string())?;
    if json.len() as u64 > MOST_JSON {
        return Err("it is too long".to_owned());
    }
    let tree: Tree = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    let root = tree.packages.iter().position(|package| package.root);
    let root = root.ok_or("it names no root")?;
    // The root comes first, and what is no part of the program goes.
    let is_part = |package: &Listed| package.kind.as_deref() != Some("build");
    let others = (0..tree.packages.len()).filter(|&at| at != root && is_part(&tree.packages[at]));
    let order: Vec<usize> = std::iter::once(root).chain(others).collect();
    let mut places = vec![None; tree.packages.len()];
    for (place, &at) in order.iter().enumerate() {
        places[at] = Some(place);
    }
    let component = |&at: &usize| -> Result<Component, String> {
        let package = &tree.packages[at];
        let kind = if at == root {
            Kind::Program
        } else {
            Kind::Library
        };
        let mut component = Component::new(kind, &package.name);
        component.version = Some(package.version.clone());
        // Where from is not said of other registries and repositories, so they have no known name.
        let url = || format!("pkg:cargo/{}@{}", package.name, escaped(&package.version));
        component.purl = (package.source == "crates.io").then(url);
        for &needed in &package.dependencies {
            let place = places
                .get(needed)
                .ok_or("a crate needs one that is not there")?;
            component.needs.extend(place);
        }
        Ok(component)
    };
    order.iter().map(component).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn compressed(json: &str) -> Vec<u8> {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(json.as_bytes()).unwrap();
        zlib.finish().unwrap()
    }

    #[test]
    fn the_program_comes_first_and_what_only_builds_it_is_left_out() {
        let json = r#"{"packages":[
            {"name":"build","version":"1.0.0","source":"crates.io","kind":"build"},
            {"name":"lib","version":"2.0.0","source":"crates.io","dependencies":[0]},
            {"name":"tool","version":"3.0.0","source":"local","dependencies":[0,1],"root":true}]}"#;
        let components = parse(&compressed(json)).unwrap();
        assert_eq!(components.len(), 2);
        assert_eq!(
            (components[0].name.as_str(), components[0].kind),
            ("tool", Kind::Program)
        );
        assert_eq!(components[0].needs.iter().collect::<Vec<_>>(), [&1]);
        assert_eq!(components[1].purl.as_deref(), Some("pkg:cargo/lib@2.0.0"));
        assert!(components[1].needs.is_empty());
    }

    #[test]
    fn a_section_that_lies_is_refused() {
        let unknown = r#"{"packages":[{"name":"a","version":"1","source":"local","root":true,"dependencies":[7]}]}"#;
        for json in [unknown, r#"{"packages":[]}"#, "[]", ""] {
            assert!(parse(&compressed(json)).is_err(), "{json}");
        }
        assert!(parse(b"no zlib").is_err());
        let bomb = " ".repeat(9 << 20);
        assert!(parse(&compressed(&bomb)).unwrap_err().contains("too long"));
    }
}
