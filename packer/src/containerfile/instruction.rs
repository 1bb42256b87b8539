//! From a logical line to an instruction.

use std::time::Duration;

use super::lines::{Heredoc, Line, is_heredoc};
use super::words::{self, first_word};
use crate::package::{Command, HealthCheck, nearest};

/// One instruction. Texts have their variables and quotes still in them, unless it is said that
/// nothing is replaced in this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `ADD`.
    Add(Copy),
    /// `ARG`.
    Arg(Vec<Argument>),
    /// `CMD`; nothing is replaced.
    Cmd(Command),
    /// `COPY`.
    Copy(Copy),
    /// `ENTRYPOINT`; nothing is replaced.
    Entrypoint(Command),
    /// `ENV`: names and values.
    Env(Vec<(String, String)>),
    /// `EXPOSE`: ports, each `8080`, `53/udp` or `1-5`.
    Expose(Vec<String>),
    /// `HEALTHCHECK`; nothing is `HEALTHCHECK NONE`.
    Healthcheck(Option<HealthCheck>),
    /// `LABEL`: names and values.
    Label(Vec<(String, String)>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `ONBUILD`, with the instruction that it keeps.
    Onbuild(String),
    /// `RUN`; nothing is replaced.
    Run {
        /// `--mount`, `--network` and the like.
        flags: Vec<Flag>,
        /// What is run.
        command: Command,
        /// The here-documents.
        heredocs: Vec<Heredoc>,
    },
    /// `SHELL`: what the shell forms of commands are given to.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    Stopsignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`: paths.
    Volume(Vec<String>),
    /// `WORKDIR`.
    Workdir(String),
}

/// A variable that whoever builds may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its value when nobody sets it.
    pub default: Option<String>,
}

/// `--name=value`; a flag alone is `true`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What `COPY` and `ADD` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// `--from`: a stage or an image, and not the context.
    pub from: Option<String>,
    /// `--chown`.
    pub owner: Option<String>,
    /// `--chmod`.
    pub mode: Option<String>,
    /// What is copied; at least one.
    pub sources: Vec<CopySource>,
    /// Where to.
    pub destination: String,
}

/// One source of a `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path, or a pattern.
    Path(String),
    /// A here-document.
    Here(Heredoc),
}

/// The first line of a stage.
pub(super) struct From {
    pub(super) image: String,
    pub(super) platform: Option<String>,
    pub(super) name: Option<String>,
}

/// Flags that docker has and podman has not, of `ADD` and `COPY`.
const DOCKERS: [&str; 5] = ["checksum", "exclude", "keep-git-dir", "parents", "unpack"];

const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

impl From {
    /// The `FROM` that a line is, if it is one.
    pub(super) fn parse(line: &Line, escape: char) -> Result<Option<Self>, String> {
        let (keyword, rest) = first_word(&line.text);
        if !keyword.eq_ignore_ascii_case("FROM") {
            return Ok(None);
        }
        let (flags, rest) = flags(rest, escape);
        let [platform] = known(flags, ["platform"])?;
        let words = words::split(rest, escape);
        let usage = "FROM IMAGE, or FROM IMAGE AS NAME, is expected";
        let (image, name) = match words.as_slice() {
            [image] => (image, None),
            [image, word, name] if word.eq_ignore_ascii_case("AS") => {
                (image, Some(name.to_lowercase()))
            }
            _ => return Err(usage.to_owned()),
        };
        if let Some(name) = &name {
            let legal = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
            if !name.starts_with(|letter: char| letter.is_ascii_lowercase())
                || !name.chars().all(legal)
            {
                return Err(format!(
                    "\"{}\" cannot be the name of a stage: it begins with a letter, and has letters, digits, \
                     -, _ and .",
                    name.escape_debug()
                ));
            }
        }
        Ok(Some(Self {
            image: image.clone(),
            platform,
            name,
        }))
    }
}

impl Instruction {
    pub(super) fn parse(line: &Line, escape: char) -> Result<Self, String> {
        let (keyword, rest) = first_word(&line.text);
        let keyword = keyword.to_ascii_uppercase();
        if NAMES.contains(&keyword.as_str()) && rest.is_empty() {
            return Err(format!("{keyword} needs more: what it is given is missing"));
        }
        let words = || words::json(rest).unwrap_or_else(|| words::split(rest, escape));
        Ok(match keyword.as_str() {
            "ADD" => Self::Add(Copy::parse(&keyword, rest, &line.heredocs, escape)?),
            "ARG" => Self::Arg(arguments(rest, escape)?),
            "CMD" => Self::Cmd(command(rest)),
            "COPY" => Self::Copy(Copy::parse(&keyword, rest, &line.heredocs, escape)?),
            "ENTRYPOINT" => Self::Entrypoint(command(rest)),
            "ENV" => Self::Env(pairs(&keyword, rest, escape)?),
            "EXPOSE" => Self::Expose(words::split(rest, escape)),
            "HEALTHCHECK" => Self::Healthcheck(health_check(rest, escape)?),
            "LABEL" => Self::Label(pairs(&keyword, rest, escape)?),
            "MAINTAINER" => Self::Maintainer(rest.to_owned()),
            "ONBUILD" => Self::Onbuild(onbuild(line, rest, escape)?),
            "RUN" => {
                let (flags, rest) = flags(rest, escape);
                Self::Run {
                    flags,
                    command: command(rest),
                    heredocs: line.heredocs.clone(),
                }
            }
            "SHELL" => match words::json(rest) {
                Some(words) if !words.is_empty() => Self::Shell(words),
                _ => return Err("SHELL is given a list: [\"/bin/sh\", \"-c\"]".to_owned()),
            },
            "STOPSIGNAL" => Self::Stopsignal(rest.to_owned()),
            "USER" => Self::User(rest.to_owned()),
            "VOLUME" => Self::Volume(words()),
            "WORKDIR" => Self::Workdir(rest.to_owned()),
            _ => {
                let nearest = nearest(&keyword, &NAMES);
                return Err(format!(
                    "there is no instruction \"{}\"; did you mean {nearest}?",
                    keyword.escape_debug()
                ));
            }
        })
    }
}

/// The instruction that `ONBUILD` keeps, which has to be one that whoever builds upon it can carry out.
fn onbuild(line: &Line, text: &str, escape: char) -> Result<String, String> {
    let (keyword, _) = first_word(text);
    let keyword = keyword.to_ascii_uppercase();
    if ["FROM", "MAINTAINER", "ONBUILD"].contains(&keyword.as_str()) {
        return Err(format!("{keyword} cannot stand behind ONBUILD"));
    }
    let kept = Line {
        text: text.to_owned(),
        ..line.clone()
    };
    Instruction::parse(&kept, escape)?;
    Ok(text.to_owned())
}

fn command(text: &str) -> Command {
    match words::json(text) {
        Some(words) => Command::Words(words),
        None => Command::Line(text.to_owned()),
    }
}

impl Copy {
    fn parse(
        keyword: &str,
        text: &str,
        heredocs: &[Heredoc],
        escape: char,
    ) -> Result<Self, String> {
        let (flags, rest) = flags(text, escape);
        // --link asks for a layer of its own, which is nothing that one can see in the image.
        let [from, owner, mode, _link] = known(flags, ["from", "chown", "chmod", "link"])?;
        if keyword == "ADD" && from.is_some() {
            return Err("ADD has no --from: COPY has".to_owned());
        }
        let mut words = words::json(rest).unwrap_or_else(|| words::split(rest, escape));
        let usage = || format!("{keyword} is given at least one source, and the destination");
        let destination = words.pop().ok_or_else(usage)?;
        if words.is_empty() {
            return Err(usage());
        }
        let mut heredocs = heredocs.iter().cloned();
        let source = |word: String| match is_heredoc(&word) {
            true => heredocs.next().map(CopySource::Here),
            false => Some(CopySource::Path(word)),
        };
        let sources = words.into_iter().map(source).collect::<Option<_>>();
        Ok(Self {
            from,
            owner,
            mode,
            sources: sources.ok_or_else(usage)?,
            destination,
        })
    }
}

/// Reads what stands behind `HEALTHCHECK`; nothing is `NONE`.
fn health_check(text: &str, escape: char) -> Result<Option<HealthCheck>, String> {
    let (flags, rest) = flags(text, escape);
    let names = [
        "interval",
        "timeout",
        "start-period",
        "start-interval",
        "retries",
    ];
    let [interval, timeout, start_period, start_interval, retries] = known(flags, names)?;
    let (kind, line) = first_word(rest);
    match (kind.to_ascii_uppercase().as_str(), line) {
        ("NONE", "") => return Ok(None),
        ("CMD", line) if !line.is_empty() => {}
        _ => return Err("HEALTHCHECK is given CMD and a command, or NONE".to_owned()),
    }
    let retries = retries.map(|text| {
        let refuse = |_| format!("\"{}\" is no number of retries", text.escape_debug());
        text.parse().map_err(refuse)
    });
    Ok(Some(HealthCheck {
        command: command(line),
        interval: duration(interval)?,
        timeout: duration(timeout)?,
        start_period: duration(start_period)?,
        start_interval: duration(start_interval)?,
        retries: retries.transpose()?,
    }))
}

/// A time as Go writes it: `1m30s`, `1.5h`, `500ms`.
fn duration(text: Option<String>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let refuse = || {
        format!(
            "\"{}\" is no time: 30s, 500ms or 1m30s is one",
            text.escape_debug()
        )
    };
    let (mut rest, mut seconds) = (text.as_str(), 0.0_f64);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| letter.is_ascii_alphabetic() || letter == 'µ');
        let (number, behind) = rest.split_at(end.ok_or_else(refuse)?);
        let end = behind.find(|letter: char| letter.is_ascii_digit() || letter == '.');
        let (unit, behind) = behind.split_at(end.unwrap_or(behind.len()));
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(refuse()),
        };
        let is_number = number.starts_with(|letter: char| letter.is_ascii_digit());
        let number: f64 = number.parse().map_err(|_| refuse())?;
        if !is_number {
            return Err(refuse());
        }
        seconds += number * factor;
        rest = behind;
    }
    match text.is_empty() {
        true => Err(refuse()),
        false => Duration::try_from_secs_f64(seconds)
            .map(Some)
            .map_err(|_| refuse()),
    }
}

fn arguments(text: &str, escape: char) -> Result<Vec<Argument>, String> {
    let argument = |word: String| {
        let (name, default) = match word.split_once('=') {
            Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
            None => (word, None),
        };
        match name.is_empty() {
            true => Err("ARG is given a name: ARG NAME, or ARG NAME=VALUE".to_owned()),
            false => Ok(Argument { name, default }),
        }
    };
    words::split(text, escape)
        .into_iter()
        .map(argument)
        .collect()
}

/// `NAME=VALUE …`, or the old form with one name and the rest of the line.
fn pairs(keyword: &str, text: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = words::split(text, escape);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (name, value) = first_word(text);
        return match value.is_empty() {
            true => Err(format!("{keyword} is given NAME=VALUE")),
            false => Ok(vec![(name.to_owned(), value.to_owned())]),
        };
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("\"{}\" is no NAME=VALUE", word.escape_debug())),
    };
    words.into_iter().map(pair).collect()
}

/// The flags at the beginning of a text, and what is behind them.
fn flags(text: &str, escape: char) -> (Vec<Flag>, &str) {
    let (mut flags, mut rest) = (Vec::new(), text);
    loop {
        let (word, behind) = words::next(rest, escape);
        let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
            return (flags, rest.trim_start());
        };
        let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
        flags.push(Flag {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        rest = behind;
    }
}

/// The values of these flags; every other one is an error.
fn known<const N: usize>(
    flags: Vec<Flag>,
    names: [&'static str; N],
) -> Result<[Option<String>; N], String> {
    let mut values = [const { None }; N];
    for Flag { name, value } in flags {
        let Some(place) = names.iter().position(|known| *known == name) else {
            let nearest = nearest(&name, &names);
            let name = name.escape_debug();
            return Err(match DOCKERS.contains(&name.to_string().as_str()) {
                true => format!("--{name} of newer dockers is not understood here: leave it out"),
                false => format!("there is no flag --{name} here; did you mean --{nearest}?"),
            });
        };
        if values[place].replace(value).is_some() {
            return Err(format!("--{name} is given twice"));
        }
    }
    Ok(values)
}
