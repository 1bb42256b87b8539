//! `/etc/ld.so.conf`: the folders that an administrator added to those of the loader.
//!
//! The loader itself reads only `/etc/ld.so.cache`, which ldconfig makes of it. We read what the
//! cache is made of: it is the same list in the same order, it is never stale, and it can be read
//! for another processor, whose libraries a cache leaves out. Folders for variants of the processor
//! (`glibc-hwcaps`) are passed over: an image has to run on every machine of its architecture.
//!
//! Source: ldconfig(8), glibc's `elf/ldconfig.c`.

use super::ClosureError;
use super::host::Host;
use crate::glob::Pattern;

/// As deep as files may include one another.
const DEEPEST: usize = 10;

/// The folders, in order, each once.
pub(super) fn folders(host: &Host, file: &str) -> Result<Vec<String>, ClosureError> {
    let mut folders = Vec::new();
    read(host, file, 0, &mut folders)?;
    Ok(folders)
}

fn read(
    host: &Host,
    file: &str,
    depth: usize,
    folders: &mut Vec<String>,
) -> Result<(), ClosureError> {
    let Some(text) = host.text(file)?.filter(|_| depth < DEEPEST) else {
        return Ok(());
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        match words.next() {
            None | Some("hwcap") => {}
            Some("include") => {
                for pattern in words {
                    for included in files(host, &beside(file, pattern))? {
                        read(host, &included, depth + 1, folders)?;
                    }
                }
            }
            Some(_) => {
                // `/lib=libc6` once said which C library a folder is for.
                let folder = line.split('=').next().unwrap_or_default().trim();
                let folder = folder.trim_end_matches('/').to_owned();
                if folder.starts_with('/') && !folders.contains(&folder) {
                    folders.push(folder);
                }
            }
        }
    }
    Ok(())
}

/// A relative pattern is meant beside the file that includes it.
fn beside(file: &str, pattern: &str) -> String {
    match pattern.starts_with('/') {
        true => pattern.to_owned(),
        false => format!("{}/{pattern}", super::folder_of(file)),
    }
}

/// The files that fit a pattern, sorted.
fn files(host: &Host, pattern: &str) -> Result<Vec<String>, ClosureError> {
    let mut paths = vec![String::new()];
    for step in pattern.split('/').filter(|step| !step.is_empty()) {
        let Ok(step) = Pattern::new(step) else {
            return Ok(Vec::new());
        };
        let mut longer = Vec::new();
        for path in paths {
            let names = host.list(if path.is_empty() { "/" } else { &path })?;
            let fitting = names.iter().filter(|name| step.matches(name));
            longer.extend(fitting.map(|name| format!("{path}/{name}")));
        }
        paths = longer;
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_are_read_in_order_with_what_is_included() {
        let root = tempfile::tempdir().unwrap();
        let conf = root.path().join("etc/ld.so.conf.d");
        fs::create_dir_all(&conf).unwrap();
        let main = "# first\n/opt/a/lib/\ninclude ld.so.conf.d/*.conf\n/opt/z\nhwcap 1 x\nlib\n";
        fs::write(root.path().join("etc/ld.so.conf"), main).unwrap();
        fs::write(conf.join("b.conf"), "/opt/c # why\n/opt/a/lib\n").unwrap();
        fs::write(
            conf.join("a.conf"),
            "/opt/b=libc6\ninclude /etc/ld.so.conf\n",
        )
        .unwrap();
        fs::write(conf.join("c.conf.bak"), "/opt/no\n").unwrap();
        let host = Host::below(root.path());
        let found = folders(&host, "/etc/ld.so.conf").unwrap();
        assert_eq!(found, ["/opt/a/lib", "/opt/b", "/opt/c", "/opt/z"]);
        assert!(folders(&host, "/etc/none").unwrap().is_empty());
    }
}
