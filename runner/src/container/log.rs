//! What a container printed, line by line, in the format that podman calls `k8s-file`:
//! `2026-01-02T03:04:05.000000006Z stdout F text`. `P` in place of `F` marks a line that goes on in
//! the next entry of its stream.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// One of the two streams of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Appends to a container's log.
#[derive(Debug)]
pub struct LogWriter(File);

impl LogWriter {
    /// Opens the log at `path` for appending.
    ///
    /// # Errors
    /// When it can not be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self(file))
    }

    /// Appends what the program printed in one go.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&mut self, stream: Stream, data: &[u8]) -> io::Result<()> {
        let time = humantime::format_rfc3339_nanos(SystemTime::now());
        let stream = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let mut text = Vec::with_capacity(data.len() + 64);
        for line in data.split_inclusive(|&byte| byte == b'\n') {
            let (line, mark) = match line.strip_suffix(b"\n") {
                Some(line) => (line, 'F'),
                None => (line, 'P'),
            };
            write!(text, "{time} {stream} {mark} ")?;
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        self.0.write_all(&text)
    }
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was printed, as it stands in the log.
    pub time: String,
    /// Where it was printed.
    pub stream: Stream,
    /// What was printed, with a newline at the end if the line is complete.
    pub text: Vec<u8>,
}

impl Entry {
    /// When it was printed.
    #[must_use]
    pub fn when(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.time).ok()
    }

    /// Whether its line ends here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.text.ends_with(b"\n")
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(4, |&byte| byte == b' ');
        let time = std::str::from_utf8(fields.next()?).ok()?.to_owned();
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let complete = match fields.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        let mut text = fields.next()?.to_vec();
        if complete {
            text.push(b'\n');
        }
        Some(Self { time, stream, text })
    }
}

/// Reads a container's log, and goes on reading while it grows.
#[derive(Debug)]
pub struct LogReader {
    file: BufReader<File>,
    partial: Vec<u8>,
}

impl LogReader {
    /// Opens the log at `path`.
    ///
    /// # Errors
    /// `NotFound` for a container that never started.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufReader::new(File::open(path)?),
            partial: Vec::new(),
        })
    }

    /// The next entry; `None` at the present end.
    ///
    /// # Errors
    /// What reading gives. A line that is no entry is passed over.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            self.file.read_until(b'\n', &mut self.partial)?;
            let Some(line) = self.partial.strip_suffix(b"\n") else {
                return Ok(None);
            };
            let entry = Entry::parse(line);
            self.partial.clear();
            if entry.is_some() {
                return Ok(entry);
            }
        }
    }

    /// Waits a moment for more.
    pub fn pause(&self) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_parts_of_lines_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut writer = LogWriter::open(&path).unwrap();
        writer.write(Stream::Stdout, b"one\ntwo").unwrap();
        writer.write(Stream::Stderr, b"oops\n").unwrap();
        writer.write(Stream::Stdout, b" more\n\n").unwrap();
        let mut reader = LogReader::open(&path).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(entry) = reader.next_entry().unwrap() {
            assert!(entry.when().is_some());
            match entry.stream {
                Stream::Stdout => out.extend(entry.text),
                Stream::Stderr => err.extend(entry.text),
            }
        }
        assert_eq!(out, b"one\ntwo more\n\n");
        assert_eq!(err, b"oops\n");
        writer.write(Stream::Stdout, b"later\n").unwrap();
        assert_eq!(reader.next_entry().unwrap().unwrap().text, b"later\n");
    }
}
