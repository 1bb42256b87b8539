//! Python: its standard library, and the libraries that its modules need.
//!
//! The bytecode beside the modules is left out: it names the time of its source, so it differs from
//! machine to machine and would be out of date in the image. Packages that were installed beside
//! Python (`site-packages`, `dist-packages`) are not its own; those of the virtual environment that
//! the interpreter lies in are meant to go with it.

use super::{Needs, Profile};
use crate::closure::host::Host;
use crate::closure::process::{Process, file_name};
use crate::closure::{ClosureError, folder_of};

/// What is no part of a program that runs: bytecode, and what other programs are linked with.
const WITHOUT: [&str; 3] = ["__pycache__", "dist-packages", "site-packages"];

/// Python from 3 on.
pub(super) const PYTHON: Profile = Profile {
    name: "python",
    applies: |process| version(process).is_some(),
    needs: |host, process| {
        let Some(version) = version(process) else {
            return Ok(Needs::default());
        };
        let library = format!("lib/python{version}");
        let mut data = Vec::new();
        for prefix in prefixes(host, process)? {
            if host.is_file(&format!("{prefix}/{library}/os.py"))? {
                data.push(format!("{prefix}/{library}"));
                break;
            }
        }
        let mut needs = Needs {
            data,
            without: WITHOUT.to_vec(),
            ..Needs::default()
        };
        needs.data.extend(environment(host, process, &library)?);
        Ok(needs)
    },
};

/// `3.11` for `python3.11` and `libpython3.11.so.1.0`.
fn version(process: &Process) -> Option<String> {
    let name = file_name(&process.objects[0].host);
    let name = match name.strip_prefix("python") {
        Some(rest) => rest,
        None => file_name(&process.named("libpython")?.host).strip_prefix("libpython")?,
    };
    let mut numbers = name.split('.');
    let (major, minor) = (numbers.next()?, numbers.next()?);
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    (major == "3" && !minor.is_empty()).then(|| format!("3.{minor}"))
}

/// The folders that an installation may have been made below: up from the interpreter, and `/usr`.
fn prefixes(host: &Host, process: &Process) -> Result<Vec<String>, ClosureError> {
    let mut prefixes = Vec::new();
    let mut objects = vec![process.objects[0].host.as_str()];
    objects.extend(
        process
            .named("libpython")
            .map(|library| library.host.as_str()),
    );
    for object in objects {
        let real = host
            .find(object)?
            .map_or(object.to_owned(), |found| found.path);
        let mut folder = folder_of(&real);
        while folder != "/" {
            folder = folder_of(folder);
            prefixes.push(folder.trim_end_matches('/').to_owned());
        }
    }
    prefixes.push("/usr".to_owned());
    Ok(prefixes)
}

/// What lies around an interpreter in a virtual environment (PEP 405).
fn environment(host: &Host, process: &Process, library: &str) -> Result<Vec<String>, ClosureError> {
    let prefix = folder_of(folder_of(&process.asked));
    let settings = format!("{prefix}/pyvenv.cfg");
    Ok(match host.is_file(&settings)? {
        true => vec![settings, format!("{prefix}/{library}/site-packages")],
        false => Vec::new(),
    })
}
