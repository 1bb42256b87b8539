//! A file from a web server that is no registry: a signature from where they are kept, or what is to be
//! imported.

use std::io::{self, Read};

use bytes::{Buf, Bytes};

use hyper::body::Incoming;
use hyper::header::{HOST, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, Uri};

use super::PATIENCE;
use super::client::AGENT;
use super::connection::{Body, Connection};
use super::error::{Error, Problem, quoted};
use super::location::resolve;
use super::target::Target;
use super::tls;

/// Redirects that are followed one after the other.
const MOST_REDIRECTS: usize = 4;

/// What is at `url`, of at most `limit` bytes; nothing if the server has no such file.
///
/// # Errors
/// [`Error::Web`].
pub fn fetch(url: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let Some(mut download) = Download::open(url)? else {
        return Ok(None);
    };
    let read = read(&mut download, limit);
    read.map(Some).map_err(|problem| web(url, problem))
}

/// A file that is on its way.
#[derive(Debug)]
pub struct Download {
    url: String,
    connection: Connection,
    body: Incoming,
    /// What came and was not read yet.
    rest: Bytes,
}

impl Download {
    /// Begins to fetch what is at `url`; nothing if the server has no such file.
    ///
    /// # Errors
    /// [`Error::Web`].
    pub fn open(url: &str) -> Result<Option<Self>, Error> {
        let opened = open(url).map_err(|problem| web(url, problem))?;
        Ok(opened.map(|(connection, response)| Self {
            url: url.to_owned(),
            connection,
            body: response.into_body(),
            rest: Bytes::new(),
        }))
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            let piece = self.connection.receive(&mut self.body);
            let piece = piece.map_err(|problem| io::Error::other(web(&self.url, problem)))?;
            self.rest = piece.unwrap_or_default();
        }
        let count = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// The answer of the server that has the file, behind all redirects.
fn open(url: &str) -> Result<Option<(Connection, Response<Incoming>)>, Problem> {
    let mut uri: Uri = url
        .parse()
        .map_err(|_| Problem::Malformed(format!("{} is no address", quoted(url))))?;
    for _ in 0..=MOST_REDIRECTS {
        let (connection, response) = request(&uri)?;
        match response.status().as_u16() {
            200 => return Ok(Some((connection, response))),
            404 | 410 => return Ok(None),
            301 | 302 | 303 | 307 | 308 => uri = next(&uri, &response)?,
            _ => {
                return Err(Problem::Status {
                    status: response.status().to_string(),
                    what: quoted(url),
                    said: String::new(),
                });
            }
        }
    }
    Err(Problem::Malformed(format!(
        "more than {MOST_REDIRECTS} redirects for {}",
        quoted(url)
    )))
}

fn web(url: &str, problem: Problem) -> Error {
    Error::Web {
        url: quoted(url),
        problem: problem.into(),
    }
}

fn request(uri: &Uri) -> Result<(Connection, Response<Incoming>), Problem> {
    let no_address = || Problem::Malformed(format!("{uri} is no HTTP address"));
    let target = Target::of_uri(uri).ok_or_else(no_address)?;
    let tls = match target.tls {
        true => Some(tls::config(&target.authority(), None, true).map_err(Problem::Certificates)?),
        false => None,
    };
    let addresses = target.addresses()?;
    let mut connection = Connection::open(&target, &addresses, tls.map(Into::into), PATIENCE)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(HOST, target.authority())
        .header(USER_AGENT, AGENT)
        .body(Body::from(Bytes::new()))
        .map_err(|error| Problem::Malformed(error.to_string()))?;
    let response = connection.send(request)?;
    Ok((connection, response))
}

/// Where a redirect leads: never from TLS to plain HTTP.
fn next(here: &Uri, response: &Response<Incoming>) -> Result<Uri, Problem> {
    let field = response.headers().get(LOCATION);
    let to = field.and_then(|value| value.to_str().ok()).unwrap_or("");
    let next = resolve(Some(here), to).and_then(|uri| Some((Target::of_uri(&uri)?, uri)));
    match next {
        Some((target, uri)) if target.tls || here.scheme_str() == Some("http") => Ok(uri),
        Some(_) => Err(Problem::Redirect {
            to: quoted(to),
            why: "plain HTTP, which nobody protects",
        }),
        None => Err(Problem::Redirect {
            to: quoted(to),
            why: "which is no HTTP address",
        }),
    }
}

fn read(download: &mut Download, limit: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = download.connection.receive(&mut download.body)? {
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(Problem::TooBig {
                what: quoted(&download.url),
                limit: limit >> 20,
            });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
