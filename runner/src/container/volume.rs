//! What `-v` and `--tmpfs` ask for.

use std::path::{Path, PathBuf};

use super::name::ContainerName;
use super::record::{Volume, VolumeOptions};
use crate::sandbox::spec::Propagation;

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
    let (read_only, options) = read_options(parts.next().unwrap_or("")).map_err(refuse)?;
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
            options,
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
        options,
    })
}

/// Words of which a volume has one at most, as podman has it.
const EXCLUSIVE: [&[&str]; 4] = [
    &["ro", "rw"],
    &["exec", "noexec"],
    &["suid", "nosuid"],
    &["dev", "nodev"],
];

/// Refuses two words that contradict each other, or one that stands twice.
fn check_exclusive(options: &[&str]) -> Result<(), String> {
    let is_twice = |group: &&&[&str]| {
        let found = options.iter().filter(|option| group.contains(option));
        found.count() > 1
    };
    match EXCLUSIVE.iter().find(is_twice) {
        Some(group) => Err(format!("it has more than one of {}", group.join(" and "))),
        None => Ok(()),
    }
}

/// Whether it can only be read, and what few ask for.
fn read_options(text: &str) -> Result<(bool, VolumeOptions), String> {
    let words: Vec<_> = text.split(',').filter(|word| !word.is_empty()).collect();
    check_exclusive(&words)?;
    let mut options = VolumeOptions::default();
    for word in &words {
        match *word {
            "noexec" => options.no_exec = true,
            "suid" => options.suid = true,
            "dev" => options.dev = true,
            "U" => options.own = true,
            "nocopy" => options.no_copy = true,
            // What every volume is here anyway, or what means nothing without SELinux.
            "ro" | "rw" | "z" | "Z" | "rbind" | "bind" | "nosuid" | "nodev" | "exec" | "copy" => {}
            other => {
                let travels = Propagation::parse(other);
                // What can not be bound is no volume.
                let travels = travels.filter(|(kind, _)| *kind != Propagation::Unbindable);
                let unknown = || format!("the option {} is unknown", other.escape_debug());
                options.propagation = Some(travels.ok_or_else(unknown)?);
            }
        }
    }
    Ok((words.contains(&"ro"), options))
}

/// Reads a `--mount` argument: `type=bind,source=/data,target=/data,readonly`, with podman's keys.
///
/// # Errors
/// [`InvalidVolume`], which says what is wrong.
pub fn parse_mount(text: &str, volumes: &Path) -> Result<Volume, InvalidVolume> {
    let refuse = |reason: String| InvalidVolume {
        text: text.to_owned(),
        reason,
    };
    let (mut kind, mut source, mut target) = ("volume", "", "");
    let mut options: Vec<String> = Vec::new();
    for part in text.split(',') {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (part, None),
        };
        let is_true = value.is_none_or(|value| value == "true");
        match (key, value) {
            ("type", Some(value)) => kind = value,
            ("source" | "src", Some(value)) => source = value,
            ("target" | "dst" | "destination", Some(value)) => target = value,
            ("readonly" | "ro", _) => options.push(if is_true { "ro" } else { "rw" }.to_owned()),
            ("rw", _) => options.push(if is_true { "rw" } else { "ro" }.to_owned()),
            ("bind-propagation", Some(value)) => options.push(value.to_owned()),
            // For SELinux, which changes nothing here, and for docker's machines.
            ("relabel" | "consistency", _) => {}
            ("U" | "chown", _) if !is_true => {}
            ("U" | "chown", _) => options.push("U".to_owned()),
            ("tmpfs-size", Some(value)) => options.push(format!("size={value}")),
            ("tmpfs-mode", Some(value)) => options.push(format!("mode={value}")),
            ("size" | "mode", Some(_)) => options.push(part.to_owned()),
            (_, None) => options.push(part.to_owned()),
            _ => {
                return Err(refuse(format!(
                    "the option {} is unknown",
                    part.escape_debug()
                )));
            }
        }
    }
    let options = options.join(",");
    let parsed = match kind {
        "tmpfs" if source.is_empty() => parse_tmpfs(&format!("{target}:{options}")),
        "tmpfs" => return Err(refuse("a tmpfs has no source".to_owned())),
        "bind" if !source.is_empty() => {
            // A name is a relative path here.
            let source = std::path::absolute(source).map_err(|error| refuse(error.to_string()))?;
            parse(&format!("{}:{target}:{options}", source.display()), volumes)
        }
        "volume" if !source.is_empty() && !source.contains('/') => {
            parse(&format!("{source}:{target}:{options}"), volumes)
        }
        "bind" | "volume" => return Err(refuse(format!("a {kind} needs source=…"))),
        other => {
            let other = other.escape_debug();
            return Err(refuse(format!(
                "type={other}: bind, tmpfs or volume is expected"
            )));
        }
    };
    parsed.map_err(|error| refuse(error.reason))
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
    let words: Vec<_> = options.iter().map(String::as_str).collect();
    check_exclusive(&words).map_err(refuse)?;
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
            "suid",
            "dev",
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
///
/// # Errors
/// What is wrong with it.
pub fn check_target(target: &str) -> Result<String, String> {
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
                options: VolumeOptions::default(),
            })
        );
        assert_eq!(
            parse("db:/var/lib/db", volumes),
            Ok(Volume::Named {
                name: "db".to_owned(),
                source: "/store/volumes/db/_data".into(),
                target: "/var/lib/db".to_owned(),
                read_only: false,
                options: VolumeOptions::default(),
            })
        );
    }

    #[test]
    fn options_say_what_may_be_done_with_the_files() {
        let volumes = Path::new("/store/volumes");
        let Ok(Volume::Bind {
            read_only, options, ..
        }) = parse("/tmp:/data:ro,noexec,suid,U,rslave,z", volumes)
        else {
            panic!("no bind");
        };
        assert!(read_only && options.no_exec && options.suid && options.own && !options.dev);
        assert_eq!(options.propagation, Some((Propagation::Slave, true)));
        let mount = |text| parse_mount(text, volumes);
        let long =
            "type=bind,source=/tmp,target=/data,ro,noexec,suid,chown,bind-propagation=rslave";
        assert_eq!(
            mount(long),
            parse("/tmp:/data:ro,noexec,suid,U,rslave", volumes)
        );
        assert_eq!(
            mount("src=db,dst=/data,ro=false"),
            parse("db:/data:rw", volumes)
        );
        let memory = "type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=700,notmpcopyup";
        assert_eq!(
            mount(memory),
            parse_tmpfs("/t:size=1m,mode=700,notmpcopyup")
        );
        for text in [
            "",
            "type=bind,target=/x",
            "type=tmpfs,source=/a,target=/x",
            "type=ramfs,target=/x",
            "type=bind,source=/tmp",
            "type=bind,source=/tmp,target=/x,color=red",
            "type=bind,source=/tmp,target=/x,bind-nonrecursive",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
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
            "/tmp:/a:ro,rw",
            "/tmp:/a:exec,noexec",
            "..:x",
            "-v:/a",
            "a b:/a",
        ] {
            assert!(parse(text, volumes).is_err(), "{text}");
        }
        for text in ["", "tmp", "/tmp:what", "/", "/a/../b:size=1m", "/tmp:ro,rw"] {
            assert!(parse_tmpfs(text).is_err(), "{text}");
        }
    }
}
