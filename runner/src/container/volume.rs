//! What `-v` and `--tmpfs` ask for.

use std::path::{Path, PathBuf};

use super::name::ContainerName;
use super::record::Volume;

/// A text that describes no volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no volume: {reason}", .text.escape_debug())]
pub struct InvalidVolume {
    text: String,
    reason: String,
}

/// Reads a `-v` argument: `source:target[:options]`. A source with a slash is a path of the host,
/// which must be there; one without is the name of a volume, which is kept below `volumes`.
///
/// # Errors
/// [`InvalidVolume`], which says what is wrong.
pub fn parse(text: &str, volumes: &Path) -> Result<Volume, InvalidVolume> {
    let refuse = |reason: String| InvalidVolume {
        text: text.to_owned(),
        reason,
    };
    let mut parts = text.split(':');
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        return Err(refuse(
            "a host path or a name, \":\" and a path inside are expected".to_owned(),
        ));
    };
    let read_only = read_options(parts.next().unwrap_or("")).map_err(refuse)?;
    if parts.next().is_some() {
        return Err(refuse("it has more than three parts".to_owned()));
    }
    let target = check_target(target).map_err(refuse)?;
    if source.contains('/') || source == "." || source == ".." {
        let source = std::path::absolute(source)
            .and_then(|path| path.canonicalize())
            .map_err(|_| {
                refuse(format!(
                    "there is no {} on this machine",
                    source.escape_debug()
                ))
            })?;
        return Ok(Volume::Bind {
            source,
            target,
            read_only,
        });
    }
    // The same letters are legal in both, and both become a path.
    let name: ContainerName = source
        .parse()
        .map_err(|_| refuse("a volume's name has letters, digits, '_', '.' and '-'".to_owned()))?;
    Ok(Volume::Named {
        source: volumes.join(name.as_str()).join("_data"),
        name: name.to_string(),
        target,
        read_only,
    })
}

fn read_options(text: &str) -> Result<bool, String> {
    let mut read_only = false;
    for option in text.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            // What every volume is here anyway, or what means nothing without SELinux.
            "rw" | "z" | "Z" | "rbind" | "bind" | "nosuid" | "nodev" | "private" | "rprivate" => {}
            other => return Err(format!("the option {} is unknown", other.escape_debug())),
        }
    }
    Ok(read_only)
}

/// Reads a `--tmpfs` argument: `target[:options]`.
///
/// # Errors
/// [`InvalidVolume`], which says what is wrong.
pub fn parse_tmpfs(text: &str) -> Result<Volume, InvalidVolume> {
    let refuse = |reason: String| InvalidVolume {
        text: text.to_owned(),
        reason,
    };
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let target = check_target(target).map_err(refuse)?;
    let options: Vec<String> = options
        .split(',')
        .filter(|option| !option.is_empty())
        .map(str::to_owned)
        .collect();
    for option in &options {
        let key = option.split('=').next().unwrap_or("");
        let known = [
            "size",
            "mode",
            "nr_inodes",
            "uid",
            "gid",
            "ro",
            "rw",
            "exec",
            "noexec",
        ];
        let implied = [
            "nosuid",
            "nodev",
            "tmpcopyup",
            "notmpcopyup",
            "rprivate",
            "private",
        ];
        if !known.contains(&key) && !implied.contains(&key) {
            return Err(refuse(format!(
                "the option {} is unknown",
                option.escape_debug()
            )));
        }
    }
    Ok(Volume::Tmpfs { target, options })
}

/// A path inside: absolute, without `..`, and not `/` itself.
pub(super) fn check_target(target: &str) -> Result<String, String> {
    let path = PathBuf::from(target);
    let mut parts = path.components();
    let plain = |part: std::path::Component<'_>| {
        matches!(
            part,
            std::path::Component::Normal(_) | std::path::Component::RootDir
        )
    };
    if !path.is_absolute() || target.contains('\0') {
        Err("the path inside must begin with /".to_owned())
    } else if !parts.all(plain) {
        Err("the path inside must not contain \"..\"".to_owned())
    } else if path.components().count() < 2 {
        Err("the path inside must not be / itself".to_owned())
    } else {
        Ok(target.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names_are_told_apart() {
        let volumes = Path::new("/store/volumes");
        assert_eq!(
            parse("/tmp:/data:ro", volumes),
            Ok(Volume::Bind {
                source: "/tmp".into(),
                target: "/data".to_owned(),
                read_only: true,
            })
        );
        assert_eq!(
            parse("db:/var/lib/db", volumes),
            Ok(Volume::Named {
                name: "db".to_owned(),
                source: "/store/volumes/db/_data".into(),
                target: "/var/lib/db".to_owned(),
                read_only: false,
            })
        );
    }

    #[test]
    fn what_is_no_volume_is_refused() {
        let volumes = Path::new("/store/volumes");
        for text in [
            "",
            "/tmp",
            "/tmp:data",
            "/tmp:/",
            "/tmp:/a/../b",
            "/not/there:/a",
            "/tmp:/a:rw:x",
            "/tmp:/a:what",
            "..:x",
            "-v:/a",
            "a b:/a",
        ] {
            assert!(parse(text, volumes).is_err(), "{text}");
        }
        for text in ["", "tmp", "/tmp:what", "/", "/a/../b:size=1m"] {
            assert!(parse_tmpfs(text).is_err(), "{text}");
        }
    }
}
