//! One blob on its way to a registry: a session that is begun, gets the content, and is closed with
//! the digest. When the connection breaks, the registry is asked how much it has, and the rest
//! follows.

use std::io::{self, Read};
use std::thread::sleep;

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE, WWW_AUTHENTICATE};
use hyper::{Method, Uri};

use super::answer::Answer;
use super::auth::with_query;
use super::call::{Call, Place};
use super::challenge;
use super::connection::Wants;
use super::error::{Error, Problem};
use super::patience::pause;
use super::repository::{Mounted, Repository};
use crate::image::Descriptor;

/// What is read and sent at once.
const PIECE: usize = 256 << 10;

/// Opens the content of a blob, each time from its beginning.
pub(super) type Open<'a> = &'a (dyn Fn() -> io::Result<Box<dyn Read + 'a>> + Sync);

/// What came of one attempt.
enum Attempt {
    Done,
    /// It may go better the next time.
    Again(Error),
}

impl Repository {
    /// Uploads a blob that the registry does not have. `sent` is told how many bytes were sent, and
    /// less than before when an attempt has to be repeated.
    pub(super) fn upload(
        &self,
        blob: &Descriptor,
        mut place: Uri,
        open: Open<'_>,
        sent: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let (mut offset, mut attempt) = (0, 0);
        loop {
            match self.put_rest(blob, &place, offset, open, sent)? {
                Attempt::Done => return Ok(()),
                Attempt::Again(error) if attempt == self.client.retries() => return Err(error),
                Attempt::Again(_) => sleep(pause(attempt)),
            }
            attempt += 1;
            (place, offset) = match self.resume(blob, &place)? {
                Some(known) => known,
                None => match self.begin_upload(&blob.digest, None)? {
                    Mounted::Done => return Ok(()),
                    Mounted::Upload(place) => (place, 0),
                },
            };
        }
    }

    /// Where an upload goes on, and how many bytes are there; nothing if it must begin anew.
    fn resume(&self, blob: &Descriptor, place: &Uri) -> Result<Option<(Uri, u64)>, Error> {
        let what = format!("the state of an upload to {}", self.reference().untagged());
        let call = Call::new(Method::GET, Place::At(place.clone()), &what).scope(&self.to_push());
        let answer = self.client.exchange(&call)?;
        if answer.status() != 204 {
            answer.discard();
            return Ok(None);
        }
        // `0-N`, both ends included; `0-0` is also what an empty upload has.
        let last = answer
            .field(&RANGE)
            .and_then(|range| range.rsplit_once('-'));
        let last = last.and_then(|(_, last)| last.parse::<u64>().ok());
        let place = self.client.next_place(&answer)?;
        answer.discard();
        let known = last.map(|last| if last == 0 { 0 } else { last + 1 });
        Ok(known
            .filter(|&known| known <= blob.size)
            .map(|known| (place, known)))
    }

    /// Sends what is behind `offset` and closes the upload.
    fn put_rest(
        &self,
        blob: &Descriptor,
        place: &Uri,
        offset: u64,
        open: Open<'_>,
        sent: &dyn Fn(u64),
    ) -> Result<Attempt, Error> {
        let call = self.closing_call(blob, place, offset)?;
        let unreadable = |cause| Error::Read {
            what: format!("the blob {}", blob.digest),
            cause,
        };
        let mut content = open().map_err(unreadable)?;
        io::copy(&mut content.by_ref().take(offset), &mut io::sink()).map_err(unreadable)?;
        let (target, mut upload) = self.client.begin(&call, Some(blob.size - offset))?;
        let mut position = offset;
        while position < blob.size {
            let piece = read_piece(&mut *content, blob.size - position).map_err(unreadable)?;
            position += piece.len() as u64;
            match upload.write(piece) {
                Ok(Wants::More) => sent(position),
                Ok(Wants::NoMore) => break,
                Err(problem) => return Ok(Attempt::Again(self.problem(problem))),
            }
        }
        match upload.finish() {
            Ok((connection, response)) => self.judge(
                &call,
                Answer::new(&self.client, target, connection, response),
            ),
            Err(problem) => Ok(Attempt::Again(self.problem(problem))),
        }
    }

    fn closing_call(&self, blob: &Descriptor, place: &Uri, offset: u64) -> Result<Call, Error> {
        let digest = format!("digest={}", blob.digest);
        let place = with_query(place, &digest).map_err(|why| {
            let to = place.to_string();
            self.problem(Problem::Redirect { to, why })
        })?;
        let what = format!(
            "the upload of blob {} to {}",
            blob.digest,
            self.reference().untagged()
        );
        let mut call = Call::new(Method::PUT, Place::At(place), &what).scope(&self.to_push());
        let kind = HeaderValue::from_static("application/octet-stream");
        call.fields.push((CONTENT_TYPE, kind));
        if let (Some(last), 1..) = (blob.size.checked_sub(1), offset)
            && let Ok(range) = HeaderValue::from_str(&format!("{offset}-{last}"))
        {
            call.fields.push((CONTENT_RANGE, range));
        }
        Ok(call)
    }

    fn judge(&self, call: &Call, mut answer: Answer<'_>) -> Result<Attempt, Error> {
        let status = answer.status().as_u16();
        if status == 401 {
            let fields = answer.fields(&WWW_AUTHENTICATE);
            if let Some(challenge) = challenge::parse(fields.iter().map(String::as_str)) {
                self.client.learn(challenge, &call.scope);
            }
            let (what, hint) = (call.what.clone(), "the token has expired".to_owned());
            return Ok(Attempt::Again(
                self.problem(Problem::Unauthorized { what, hint }),
            ));
        }
        match answer.expect(call, &[201, 202, 204]) {
            Ok(()) => {
                answer.discard();
                Ok(Attempt::Done)
            }
            // 416: the registry has another part of it than we thought.
            Err(error) if matches!(status, 408 | 416 | 429 | 500..) => Ok(Attempt::Again(error)),
            Err(error) => Err(error),
        }
    }
}

/// A full piece, or what is left. The content must not end before its size.
fn read_piece(content: &mut dyn Read, left: u64) -> io::Result<Bytes> {
    let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
    let mut piece = BytesMut::zeroed(size);
    content.read_exact(&mut piece)?;
    Ok(piece.freeze())
}
