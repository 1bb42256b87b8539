//! The service that hyper calls for each request: it asks the worker's handler how to answer, and
//! takes the body in first, if there is one.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::HeaderMap;
use hyper::service::Service;
use hyper::{Method, Request, StatusCode};

use crate::accept::Client;
use crate::access::Line;
#[cfg(feature = "h2c")]
use crate::config::Limits;
use crate::io::Link;
use crate::reaper::Phase;
use crate::service::{self, Answer, Head};
use crate::worker::Worker;

/// The service of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Greeter {
    link: Rc<Link>,
    client: Client,
    worker: Rc<Worker>,
    /// What the connection does when it has answered.
    rest: Phase,
}

impl Greeter {
    /// The service of a connection over HTTP/1.
    pub(crate) fn new(link: &Rc<Link>, client: Client, worker: &Rc<Worker>) -> Greeter {
        Greeter {
            link: link.clone(),
            client,
            worker: worker.clone(),
            rest: Phase::Idle,
        }
    }

    /// The same service for a connection that rests in another phase.
    #[cfg(feature = "h2c")]
    pub(crate) fn resting(self, rest: Phase) -> Greeter {
        Greeter { rest, ..self }
    }

    /// The limits of size and number.
    #[cfg(feature = "h2c")]
    pub(crate) fn limits(&self) -> Limits {
        self.worker.limits
    }

    /// Ends a request whose answer will have this status. Returns whether it is the last answer.
    fn finish(&self, status: StatusCode, last: bool, line: Option<Line>) -> bool {
        let entry = self.link.entry();
        entry.clock.begin(self.rest, entry.now());
        self.link.owe();
        if let (Some(log), Some(line)) = (&self.worker.log, line) {
            log.write(line, status);
        }
        last || self.worker.is_draining()
    }
}

impl Service<Request<Incoming>> for Greeter {
    type Response = Answer;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, request: Request<Incoming>) -> Reply {
        let head = Head::of(&request);
        let line = self
            .worker
            .log
            .as_ref()
            .map(|_| Line::new(self.client, head));
        let mut status = (self.worker.handler)(head, self.worker.is_draining());
        if request.body().is_end_stream() {
            // After CONNECT a client takes what follows for the tunnel's, whatever the answer was.
            let last = status == StatusCode::BAD_REQUEST || request.method() == Method::CONNECT;
            let last = self.finish(status, last, line);
            return Reply::Ready(status, last, Some(request.into_parts().0.headers));
        }
        let (head, body) = request.into_parts();
        let limit = self.worker.limits.body;
        if !service::knows_coding(&head.headers) {
            status = StatusCode::NOT_IMPLEMENTED;
        } else if body.size_hint().lower() > limit {
            status = StatusCode::PAYLOAD_TOO_LARGE;
        }
        if status.is_client_error() || status.is_server_error() {
            // The body is not wanted, so there is no telling where the next request would begin.
            let last = self.finish(status, true, line);
            return Reply::Ready(status, last, Some(head.headers));
        }
        let entry = self.link.entry();
        if self.rest == Phase::Idle {
            entry.clock.begin(Phase::Body, entry.now());
        }
        let greeter = self.clone();
        Reply::Taking(Box::new(Taking {
            body,
            left: limit,
            status,
            headers: head.headers,
            line,
            greeter,
        }))
    }
}

/// An answer that is there, or will be when the body has been taken in.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The status, whether the connection ends with it, and the headers of the request, to be used
    /// again. The answer itself is larger and would be moved once more.
    Ready(StatusCode, bool, Option<HeaderMap>),
    Taking(Box<Taking>),
}

/// A request whose body is being received, checked and forgotten.
#[derive(Debug)]
pub(crate) struct Taking {
    body: Incoming,
    left: u64,
    status: StatusCode,
    headers: HeaderMap,
    line: Option<Line>,
    greeter: Greeter,
}

impl Taking {
    /// Takes in what has come of the body; ready when it is known how the request ends.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<StatusCode> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(self.status),
                Some(Err(_)) => return Poll::Ready(StatusCode::BAD_REQUEST),
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                    match self.left.checked_sub(length) {
                        Some(left) => self.left = left,
                        None => return Poll::Ready(StatusCode::PAYLOAD_TOO_LARGE),
                    }
                }
            }
        }
    }
}

impl Future for Reply {
    type Output = Result<Answer, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Reply::Ready(status, last, headers) => match headers.take() {
                Some(headers) => Poll::Ready(Ok(service::answer(*status, headers, *last))),
                None => Poll::Pending,
            },
            Reply::Taking(taking) => {
                let status = ready!(taking.poll_body(cx));
                let headers = std::mem::take(&mut taking.headers);
                let last = status != taking.status;
                let last = taking.greeter.finish(status, last, taking.line.take());
                Poll::Ready(Ok(service::answer(status, headers, last)))
            }
        }
    }
}
