//! The crates that cargo compiled a program from: exactly those that become part of it, with its
//! features and for its target; nothing that only builds or tests it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use super::{Component, Error, Kind};
use crate::digest::Digest;
use crate::package::lock::{Lock, Locked};
use crate::package::{Origin, Package, PackageError, cargo};
use crate::program::Program;

/// What stands between the name of a crate and its licence in a line of cargo's; no licence has it.
const SEPARATOR: char = '|';

/// What cargo writes behind a crate whose needs were printed before.
const REPEATED: &str = " (*)";

/// The crates of a program; it is the first one.
pub(super) fn of(package: &Package, program: &Program) -> Result<Vec<Component>, Error> {
    let Origin::Cargo {
        manifest,
        workspace,
        package: name,
        ..
    } = &package.origin
    else {
        return Ok(Vec::new());
    };
    let mut command = cargo::command(manifest.parent().unwrap_or(Path::new("/")));
    command
        .args(["tree", "--package", name, "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "depth", "--format"])
        .arg(format!("{{p}}{SEPARATOR}{{l}}"))
        .arg("--manifest-path")
        .arg(manifest);
    if let Some(target) = &program.target {
        command.args(["--target", target]);
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(PackageError::NoCargo)?;
    if !output.status.success() {
        return Err(PackageError::Cargo(manifest.display().to_string()).into());
    }
    let path = workspace.join("Cargo.lock");
    let lock = Lock::read(&path).map_err(Error::unreadable(&path))?;
    Ok(read(&String::from_utf8_lossy(&output.stdout), &lock))
}

/// Reads the lines of cargo's: depth, name, version, in brackets where it is from unless that is the
/// usual registry, and the licence.
fn read(text: &str, lock: &Lock) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    // The crate at each depth above the line.
    let mut above: Vec<usize> = Vec::new();
    for line in text.lines() {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let (Ok(depth), Some((crate_, license))) = (
            line[..digits].parse(),
            line[digits..].rsplit_once(SEPARATOR),
        ) else {
            continue;
        };
        let license = license.strip_suffix(REPEATED).unwrap_or(license);
        let at = *known.entry(crate_.to_owned()).or_insert_with(|| {
            components.push(component(crate_, license, lock));
            components.len() - 1
        });
        above.truncate(depth);
        if let Some(&parent) = above.last() {
            components[parent].needs.insert(at);
        }
        above.push(at);
    }
    components
}

fn component(crate_: &str, terms: &str, lock: &Lock) -> Component {
    let mut words = crate_.splitn(3, ' ');
    let name = words.next().unwrap_or_default();
    let version = words.next().unwrap_or_default().trim_start_matches('v');
    let is_usual = words.next().is_none();
    let mut component = Component::new(Kind::Library, name);
    component.version = Some(version.to_owned());
    component.license = (!terms.is_empty()).then(|| license(terms));
    let is_it = |locked: &&Locked| locked.name == name && locked.version == version;
    let Some(locked) = lock.package.iter().find(is_it) else {
        return component;
    };
    let checksum = locked.checksum.as_deref();
    component.digest = checksum.and_then(|hex| Digest::from_hex(hex).ok());
    component.purl = locked
        .source
        .as_deref()
        .map(|source| purl(name, version, source, is_usual));
    component
}

/// The package URL of a crate (purl specification, type "cargo").
fn purl(name: &str, version: &str, source: &str, is_usual: bool) -> String {
    let plain = format!("pkg:cargo/{name}@{}", escaped(version));
    match source.split_once('+') {
        _ if is_usual => plain,
        Some(("git", _)) => format!("{plain}?vcs_url={}", escaped(&source.replace('#', "@"))),
        Some((_, registry)) => format!("{plain}?repository_url={}", escaped(registry)),
        None => plain,
    }
}

/// Percent-encoding of what is no letter, digit or one of `.-_~:/`, as package URLs have it.
pub(super) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' | b'/' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
        escaped
    })
}

/// A licence as an expression: old manifests have a slash for "or".
pub(super) fn license(text: &str) -> String {
    text.split('/')
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0tool v0.1.0 (/somewhere/tool)|Apache-2.0\n\
        1serde v1.0.1|MIT/Apache-2.0\n2core v2.0.0+x (registry `own`)|MIT\n\
        1forked v3.0.0 (https://example.org/forked#0123)|\n2serde v1.0.1|MIT/Apache-2.0 (*)\n";

    const LOCK: &str = "[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+https://usual\"\n\
        checksum = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n\
        [[package]]\nname = \"core\"\nversion = \"2.0.0+x\"\nsource = \"sparse+https://own.example/index/\"\n\
        [[package]]\nname = \"forked\"\nversion = \"3.0.0\"\nsource = \"git+https://example.org/forked#0123\"\n";

    #[test]
    fn the_lines_of_cargo_are_a_graph() {
        let components = read(TREE, &toml::from_str(LOCK).unwrap());
        let names: Vec<_> = components.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["tool", "serde", "core", "forked"]);
        let needs = |at: usize| components[at].needs.iter().copied().collect::<Vec<_>>();
        assert_eq!(
            (needs(0), needs(1), needs(3)),
            (vec![1, 3], vec![2], vec![1])
        );
        assert_eq!(components[0].purl, None);
        assert_eq!(components[1].license.as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(components[1].digest, Some(Digest::of(b"")));
        let purls: Vec<_> = components
            .iter()
            .filter_map(|one| one.purl.clone())
            .collect();
        assert_eq!(
            purls,
            [
                "pkg:cargo/serde@1.0.1",
                "pkg:cargo/core@2.0.0%2Bx?repository_url=https://own.example/index/",
                "pkg:cargo/forked@3.0.0?vcs_url=git%2Bhttps://example.org/forked%400123",
            ]
        );
    }
}
