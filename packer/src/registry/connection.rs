//! One HTTP/1.1 connection, used like a file: calls block until they are done.
//!
//! Each connection has a runtime of its own that works only inside those calls, in the thread that
//! makes them. So transfers run in parallel on as many threads as somebody starts, and no thread
//! is there that nobody started.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::{Problem, quoted};
use super::stream::{Buffered, Stream};
use super::target::Target;

/// How long an address may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(15);

/// Chunks of an upload that wait for the network.
const QUEUE: usize = 4;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    runtime: Runtime,
    sender: SendRequest<Body>,
    /// How long the other side may be silent.
    patience: Duration,
}

impl Connection {
    /// Connects to the first of `addresses` that accepts, with TLS if `tls` says how.
    pub(super) fn open(
        target: &Target,
        addresses: &[SocketAddr],
        tls: Option<Arc<ClientConfig>>,
        patience: Duration,
    ) -> Result<Self, Problem> {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| Problem::Unreachable(error.to_string()))?;
        let sender = runtime.block_on(async {
            let stream = connect(addresses).await?;
            let stream = match tls {
                Some(config) => secure(target, stream, config, patience).await?,
                None => Stream::Plain(stream),
            };
            let (sender, connection) = handshake(Buffered::new(stream)).await.map_err(broken)?;
            // What goes wrong with the connection is told to whoever waits for an answer.
            tokio::spawn(async { drop(connection.await) });
            Ok(sender)
        })?;
        Ok(Self {
            runtime,
            sender,
            patience,
        })
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Problem> {
        let (sender, patience) = (&mut self.sender, self.patience);
        self.runtime.block_on(async {
            let answer = async {
                sender.ready().await?;
                sender.send_request(request).await
            };
            within(patience, answer).await?.map_err(broken)
        })
    }

    /// The next piece of an answer's body; nothing at its end.
    pub(super) fn receive(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Problem> {
        let patience = self.patience;
        self.runtime.block_on(async {
            loop {
                let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
                match within(patience, frame).await? {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(broken(error)),
                    // Trailers say nothing that matters here.
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            }
        })
    }

    /// Begins a request whose body is written piece by piece.
    pub(super) fn begin(mut self, head: Request<()>, size: Option<u64>) -> Upload {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let request = head.map(|()| Body::Pieces {
            receiver,
            left: size,
        });
        let answer = self.sender.send_request(request);
        let answered = Arc::new(Notify::new());
        let notify = Arc::clone(&answered);
        let answer = self.runtime.spawn(async move {
            let answer = answer.await;
            notify.notify_one();
            answer
        });
        Upload {
            connection: self,
            pieces: sender,
            answer,
            answered,
        }
    }
}

/// A request whose body is being written.
pub(super) struct Upload {
    connection: Connection,
    pieces: mpsc::Sender<Bytes>,
    answer: JoinHandle<hyper::Result<Response<Incoming>>>,
    /// Told when the answer is there, which may be before the body is sent.
    answered: Arc<Notify>,
}

/// Whether the other side wants more of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    More,
    /// It has answered already, or is gone: [`Upload::finish`] tells.
    NoMore,
}

impl Upload {
    /// Sends a piece; waits while the network is busy.
    pub(super) fn write(&mut self, piece: Bytes) -> Result<Wants, Problem> {
        let (connection, pieces) = (&self.connection, &self.pieces);
        connection.runtime.block_on(async {
            let mut answered = pin!(self.answered.notified());
            let mut sending = pin!(pieces.send(piece));
            let sent = poll_fn(|context| {
                if answered.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Wants::NoMore);
                }
                sending.as_mut().poll(context).map(|sent| match sent {
                    Ok(()) => Wants::More,
                    Err(_) => Wants::NoMore,
                })
            });
            within(connection.patience, sent).await
        })
    }

    /// Ends the body and waits for the head of the answer.
    pub(super) fn finish(self) -> Result<(Connection, Response<Incoming>), Problem> {
        let Self {
            connection,
            pieces,
            answer,
            ..
        } = self;
        drop(pieces);
        let answered = connection
            .runtime
            .block_on(async { within(connection.patience, answer).await })?;
        match answered {
            Ok(Ok(response)) => Ok((connection, response)),
            Ok(Err(error)) => Err(broken(error)),
            Err(error) => Err(Problem::Broken(error.to_string())),
        }
    }
}

/// The body of a request.
#[derive(Debug)]
pub(super) enum Body {
    /// All of it; nothing when it was sent.
    Whole(Option<Bytes>),
    /// Piece by piece, of a length that may be known.
    Pieces {
        receiver: mpsc::Receiver<Bytes>,
        left: Option<u64>,
    },
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces { receiver, left } => receiver.poll_recv(context).map(|piece| {
                if let (Some(left), Some(piece)) = (left, &piece) {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                piece.map(|piece| Ok(Frame::data(piece)))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Pieces { left: Some(0), .. })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pieces {
                left: Some(left), ..
            } => SizeHint::with_exact(*left),
            Self::Pieces { left: None, .. } => SizeHint::default(),
        }
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Problem> {
    let mut reason = String::new();
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is written at once; nothing is gained by waiting for more.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => reason = format!("{address}: {error}"),
            Err(_) => reason = format!("{address}: no answer for {} seconds", CONNECT.as_secs()),
        }
    }
    Err(Problem::Unreachable(reason))
}

async fn secure(
    target: &Target,
    stream: TcpStream,
    config: Arc<ClientConfig>,
    patience: Duration,
) -> Result<Stream, Problem> {
    let name = ServerName::try_from(target.host.clone())
        .map_err(|error| Problem::Tls(error.to_string()))?;
    let connector = TlsConnector::from(config);
    match within(patience, connector.connect(name, stream)).await? {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(not_secured(&error)),
    }
}

/// Why there is no TLS. A server of plain HTTP answers in letters, or not at all.
fn not_secured(error: &io::Error) -> Problem {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => Problem::NotTls,
        Some(rustls::Error::InvalidCertificate(error)) => Problem::Tls(invalid_certificate(error)),
        Some(error) => Problem::Tls(quoted(&error.to_string())),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Problem::NotTls,
        None => Problem::Broken(error.to_string()),
    }
}

fn invalid_certificate(error: &rustls::CertificateError) -> String {
    use rustls::CertificateError as Is;
    match error {
        Is::UnknownIssuer => {
            "nobody whom this machine trusts has signed its certificate".to_owned()
        }
        Is::Expired | Is::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        Is::NotValidForName | Is::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        Is::Other(error) if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "it has signed its certificate itself".to_owned()
        }
        Is::Other(error) => quoted(&format!("its certificate is not accepted: {error}")),
        other => quoted(&format!("its certificate is not accepted: {other}")),
    }
}

/// Waits for something, and not for ever.
async fn within<T>(patience: Duration, waiting: impl Future<Output = T>) -> Result<T, Problem> {
    let waited = timeout(patience, waiting).await;
    waited.map_err(|_| Problem::Stalled(patience.as_secs()))
}

#[allow(clippy::needless_pass_by_value)]
fn broken(error: hyper::Error) -> Problem {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    match error.is_parse() {
        true => Problem::Malformed(quoted(&text)),
        false => Problem::Broken(quoted(&text)),
    }
}
