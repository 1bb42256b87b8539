//! One blob on its way to us. A connection that breaks is made anew, and the blob goes on where it
//! stopped; length and digest are checked while it arrives.

use std::io::{self, Read, Write};
use std::thread::sleep;

use bytes::{Buf, Bytes};
use hyper::Method;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE};

use super::answer::Answer;
use super::error::{Error, Problem};
use super::patience::pause;
use super::repository::Repository;
use crate::digest::DigestWriter;
use crate::image::Descriptor;

/// The content of a blob. Its end is an error unless length and digest are right.
#[derive(Debug)]
pub(super) struct Download<'a> {
    repository: &'a Repository,
    blob: Descriptor,
    answer: Option<Answer<'a>>,
    /// What arrived and was not read yet.
    piece: Bytes,
    hash: DigestWriter<io::Sink>,
    received: u64,
    /// Bytes of this answer that we have already, from a server that does not know ranges.
    known: u64,
    failures: u32,
    is_complete: bool,
}

impl Repository {
    /// The content of a blob, checked while it is read.
    ///
    /// # Errors
    /// [`Error`] when the registry does not give it.
    pub(super) fn download(&self, blob: &Descriptor) -> Result<Download<'_>, Error> {
        let mut download = Download {
            repository: self,
            blob: blob.clone(),
            answer: None,
            piece: Bytes::new(),
            hash: DigestWriter::new(io::sink()),
            received: 0,
            known: 0,
            failures: 0,
            is_complete: false,
        };
        download.answer = Some(download.ask()?);
        Ok(download)
    }

    /// The whole content of a small blob.
    ///
    /// # Errors
    /// [`Error`].
    pub(super) fn small_blob(
        &self,
        what: &str,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        if blob.size > limit {
            return Err(self.problem(Problem::TooBig {
                what: what.to_owned(),
                limit: limit >> 20,
            }));
        }
        let (mut download, mut bytes) = (self.download(blob)?, Vec::new());
        while let Some(piece) = download.next()? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

impl<'a> Download<'a> {
    fn what(&self) -> String {
        format!("blob {}", self.blob.digest)
    }

    fn wrong_length(&self) -> Error {
        self.repository.problem(Problem::Length {
            what: self.what(),
            expected: self.blob.size,
        })
    }

    /// Asks for what is missing.
    fn ask(&mut self) -> Result<Answer<'a>, Error> {
        let repository = self.repository;
        let mut call = repository
            .blob(Method::GET, &self.blob.digest)
            .scope(&repository.to_pull());
        if self.received > 0 {
            call = call.starting_at(self.received);
        }
        let mut answer = repository.client.exchange(&call)?;
        answer.expect(&call, &[200, 206])?;
        let missing = match answer.status().as_u16() {
            206 => {
                let range = answer.field(&CONTENT_RANGE).unwrap_or_default();
                if !range.starts_with(&format!("bytes {}-", self.received)) {
                    let reason = "a range that was not asked for".to_owned();
                    return Err(repository.problem(Problem::Malformed(reason)));
                }
                self.known = 0;
                self.blob.size - self.received
            }
            _ => {
                self.known = self.received;
                self.blob.size
            }
        };
        let length = answer
            .field(&CONTENT_LENGTH)
            .and_then(|length| length.parse::<u64>().ok());
        match length {
            Some(length) if length != missing => Err(self.wrong_length()),
            _ => Ok(answer),
        }
    }

    /// The next piece; nothing at the end, which is right then.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while !self.is_complete {
            let answer = match &mut self.answer {
                Some(answer) => answer,
                None => {
                    let answer = self.ask()?;
                    self.answer.insert(answer)
                }
            };
            match answer.receive() {
                Ok(Some(mut piece)) => {
                    let known = usize::try_from(self.known)
                        .unwrap_or(usize::MAX)
                        .min(piece.len());
                    piece.advance(known);
                    self.known -= known as u64;
                    if !piece.is_empty() {
                        self.take(&piece)?;
                        return Ok(Some(piece));
                    }
                }
                Ok(None) if self.received == self.blob.size => self.check()?,
                Ok(None) => self.failed(Problem::Broken("a blob ended too early".to_owned()))?,
                Err(problem) => self.failed(problem)?,
            }
        }
        Ok(None)
    }

    fn take(&mut self, piece: &Bytes) -> Result<(), Error> {
        self.received += piece.len() as u64;
        if self.received > self.blob.size {
            return Err(self.wrong_length());
        }
        self.failures = 0;
        // A sink takes everything.
        let _ = self.hash.write_all(piece);
        Ok(())
    }

    fn check(&mut self) -> Result<(), Error> {
        self.is_complete = true;
        let hash = std::mem::replace(&mut self.hash, DigestWriter::new(io::sink()));
        let (_, found, _) = hash.finish();
        if found == self.blob.digest {
            return Ok(());
        }
        let (what, expected) = (self.what(), self.blob.digest);
        Err(self.repository.problem(Problem::Digest {
            what,
            expected,
            found,
        }))
    }

    /// Gives up, or waits before the next attempt.
    fn failed(&mut self, problem: Problem) -> Result<(), Error> {
        self.answer = None;
        if !problem.is_passing() || self.failures == self.repository.client.retries() {
            return Err(self.repository.problem(problem));
        }
        sleep(pause(self.failures));
        self.failures += 1;
        Ok(())
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            match self.next()? {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
