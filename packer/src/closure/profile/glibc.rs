//! What glibc opens: modules for names of users and hosts, character sets, locales.

use super::{Needs, Profile};
use crate::closure::host::Host;
use crate::closure::process::{Process, file_name};
use crate::closure::{ClosureError, Loaded, folder_of};

/// The C library's own file.
const LIBC: &str = "libc.so.6";

/// Users and groups are in the image's files; hosts there and in the DNS. What the machine's own
/// nsswitch.conf names beside them (mdns, systemd, sss, ldap) are services of that machine.
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
                        services: files\nprotocols: files\nnetworks: files\n";

/// Names of users, groups and hosts (nsswitch.conf(5)); and what threads are unwound with.
pub(super) const SYSTEM: Profile = Profile {
    name: "glibc",
    applies: |process| libc(process).is_some(),
    needs: |_, _| {
        Ok(Needs {
            // From glibc 2.34 on both are in libc itself. libgcc_s serves pthread_exit(3) and
            // pthread_cancel(3): without it they end the program.
            libraries: ["libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1"]
                .map(str::to_owned)
                .to_vec(),
            files: vec![("/etc/nsswitch.conf".to_owned(), NSSWITCH.into())],
            ..Needs::default()
        })
    },
};

/// Character sets beside UTF-8, UTF-16 and ASCII, for whatever converts between them (iconv(3)).
pub(super) const CHARACTER_SETS: Profile = Profile {
    name: "gconv",
    applies: |process| calls(process, &["iconv_open"]),
    needs: |host, process| {
        let folders = beside_libc(process, &["gconv"]);
        let data = existing(host, folders)?;
        Ok(Needs {
            data,
            ..Needs::default()
        })
    },
};

/// The locale that every image can have: C.UTF-8, the names of its letters and nothing of a country.
pub(super) const LOCALE: Profile = Profile {
    name: "locale",
    applies: |process| calls(process, &["setlocale", "newlocale"]),
    needs: |host, process| {
        let mut folders = beside_libc(process, &["locale/C.utf8", "locale/C.UTF-8"]);
        folders.push("/usr/lib/locale/C.utf8".to_owned());
        let data = existing(host, folders)?;
        let environment = match data.is_empty() {
            true => Vec::new(),
            false => vec![("LANG".to_owned(), "C.UTF-8".to_owned())],
        };
        Ok(Needs {
            data,
            environment: environment.into_iter().collect(),
            ..Needs::default()
        })
    },
};

fn libc<'a>(process: &'a Process<'_>) -> Option<&'a Loaded> {
    process.named(LIBC)
}

/// Whether anything but the C library itself, which offers them, has these functions.
fn calls(process: &Process, functions: &[&str]) -> bool {
    let others = process
        .objects
        .iter()
        .filter(|object| file_name(&object.host) != LIBC);
    libc(process).is_some()
        && others
            .into_iter()
            .any(|object| object.names_one_of(functions))
}

/// Folders in the folder of the C library, and in the same below `/usr`, where a machine whose
/// `/lib` is no link has them.
fn beside_libc(process: &Process, names: &[&str]) -> Vec<String> {
    let own = libc(process).map_or("/usr/lib", |libc| folder_of(&libc.host));
    let below_usr = format!("/usr{own}");
    [own, &below_usr]
        .iter()
        .flat_map(|folder| names.iter().map(move |name| format!("{folder}/{name}")))
        .collect()
}

/// The first of these folders that is there.
fn existing(host: &Host, folders: Vec<String>) -> Result<Vec<String>, ClosureError> {
    for folder in folders {
        if host.is_folder(&folder)? {
            return Ok(vec![folder]);
        }
    }
    Ok(Vec::new())
}
