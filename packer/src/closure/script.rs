//! The first line of a script, which names its interpreter.
//!
//! Source: execve(2), "Interpreter scripts"; env(1) of coreutils for `-S`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::ClosureError;
use super::host::Host;
use crate::image::Platform;
use crate::program::{Program, ProgramError};

/// The kernel reads so much of a file to find the end of the line (`BINPRM_BUF_SIZE`).
const LONGEST_LINE: usize = 256;

/// An interpreter may be a script itself, so many times (execve(2)).
const DEEPEST: usize = 4;

/// Where a container looks for programs; `env` is asked to look there too.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// What stands behind `#!`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashBang {
    /// The interpreter's path.
    pub interpreter: String,
    /// Everything behind it, which is one argument.
    pub argument: Option<String>,
}

/// Where a container looks for a program of this name.
pub(super) fn places(name: &str) -> Vec<String> {
    match name.contains('/') {
        true => vec![name.to_owned()],
        false => FOLDERS.map(|folder| format!("{folder}/{name}")).to_vec(),
    }
}

impl HashBang {
    /// Reads the first line of `file`; `None` when it does not begin with `#!`.
    ///
    /// # Errors
    /// What reading gives.
    pub(crate) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut start = [0; LONGEST_LINE];
        let mut length = 0;
        while length < start.len() {
            match file.read_at(&mut start[length..], length as u64)? {
                0 => break,
                count => length += count,
            }
        }
        let line = start[..length].split(|&byte| byte == b'\n').next();
        let line = line.and_then(|line| line.strip_prefix(b"#!"));
        Ok(line.and_then(|line| Self::parse(&String::from_utf8_lossy(line))))
    }

    fn parse(line: &str) -> Option<Self> {
        let blank = [' ', '\t'];
        let line = line.trim_matches(blank);
        let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let argument = argument.trim_start_matches(blank);
        (!interpreter.is_empty()).then(|| Self {
            interpreter: interpreter.to_owned(),
            argument: (!argument.is_empty()).then(|| argument.to_owned()),
        })
    }

    /// What the interpreter of `script` runs on.
    pub(crate) fn platform(&self, script: &Path) -> Result<Platform, ProgramError> {
        self.platform_within(script, DEEPEST)
    }

    fn platform_within(&self, script: &Path, depth: usize) -> Result<Platform, ProgramError> {
        let host = Host::here();
        let absent = || self.absent(&script.to_string_lossy(), &self.interpreter);
        let file = host.open(&self.interpreter)?.ok_or_else(absent)?;
        let nested = Self::read(&file)
            .map_err(|cause| ClosureError::unreadable(&self.interpreter, cause))?;
        match nested {
            None => Ok(Program::from_file(Path::new(&self.interpreter))?.platform),
            Some(_) if depth == 0 => Err(absent().into()),
            Some(nested) => nested.platform_within(script, depth - 1),
        }
    }

    /// The programs that `script` needs: the interpreter, and with `env` the one that it starts.
    pub(super) fn programs(&self, host: &Host, script: &str) -> Result<Vec<String>, ClosureError> {
        let mut programs = vec![self.interpreter.clone()];
        if !host.is_file(&self.interpreter)? {
            return Err(self.absent(script, &self.interpreter));
        }
        if let Some(name) = self.started_by_env() {
            let mut there = None;
            for path in places(name) {
                if there.is_none() && host.is_file(&path)? {
                    there = Some(path);
                }
            }
            programs.push(there.ok_or_else(|| self.absent(script, name))?);
        }
        Ok(programs)
    }

    /// The program that `env` is to start: what is neither an option nor a variable.
    fn started_by_env(&self) -> Option<&str> {
        if self.interpreter.rsplit('/').next() != Some("env") {
            return None;
        }
        let argument = self.argument.as_deref()?;
        let split = ["-S", "--split-string="];
        let rest = split
            .iter()
            .find_map(|option| argument.strip_prefix(option));
        match rest {
            None => Some(argument),
            Some(words) => words
                .split_whitespace()
                .find(|word| !word.starts_with('-') && !word.contains('=')),
        }
    }

    fn absent(&self, script: &str, interpreter: &str) -> ClosureError {
        ClosureError::NoInterpreter {
            script: script.to_owned(),
            interpreter: interpreter.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> HashBang {
        HashBang::parse(line).unwrap()
    }

    #[test]
    fn a_line_has_an_interpreter_and_one_argument() {
        let line = parsed(" /usr/bin/guile -e main -s ");
        assert_eq!(line.interpreter, "/usr/bin/guile");
        assert_eq!(line.argument.as_deref(), Some("-e main -s"));
        // The kernel takes the carriage return of a DOS file for a part of the name, too.
        assert_eq!(parsed("/bin/sh\r").interpreter, "/bin/sh\r");
        assert_eq!(HashBang::parse("  "), None);
    }

    #[test]
    fn env_starts_what_is_neither_option_nor_variable() {
        for (line, started) in [
            ("/usr/bin/env python3", Some("python3")),
            ("/usr/bin/env -S guile -s", Some("guile")),
            ("/bin/env -S -i A=b guile -s", Some("guile")),
            ("/usr/bin/env", None),
            ("/bin/sh env", None),
        ] {
            assert_eq!(parsed(line).started_by_env(), started, "{line}");
        }
    }
}
