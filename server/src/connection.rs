//! One client: requests in, answers out, in order, until one of the two has had enough.
//!
//! A connection is either *parked*, which is a socket and some hundred bytes, or it is *driven* by
//! hyper, with buffers. It is driven from the moment when the client sends something until it has
//! been quiet for a while.

use std::convert::Infallible;
use std::fmt::Write;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Method, Request, StatusCode};

use crate::accept::Client;
use crate::access::Line;
use crate::io::{Io, Link, Stream};
use crate::reaper::{Phase, Verdict};
use crate::service::{self, Answer};
use crate::worker::Worker;

/// How a connection stopped being driven.
enum Stop {
    /// It is quiet; these bytes were received and are not yet a request.
    Quiet(Bytes),
    /// The last answer was given.
    Answered,
    /// A request came too slowly.
    Late,
    /// There is nobody to say anything to.
    Gone,
}

/// Serves a connection until it ends. A client that breaks the protocol or vanishes is its own
/// affair: nothing is reported.
pub async fn serve(stream: Stream, client: Client, worker: Rc<Worker>) {
    let link = Rc::new(Link::new(stream, worker.reaper.enter()));
    let mut received = Bytes::new();
    let stop = loop {
        if received.is_empty() && !wait_for_bytes(&link).await {
            break Stop::Gone;
        }
        match drive(&link, client, &worker, received).await {
            Stop::Quiet(rest) => received = rest,
            stop => break stop,
        }
    };
    match stop {
        Stop::Quiet(_) | Stop::Gone => return,
        Stop::Late => link.queue(too_late().as_bytes()),
        Stop::Answered => {}
    }
    say_goodbye(&link).await;
}

/// Waits without buffers. `false` if the connection is to be closed instead.
async fn wait_for_bytes(link: &Link) -> bool {
    let clock = &link.entry().clock;
    clock.settle(Phase::Parked);
    link.release();
    let readable = poll_fn(|cx| {
        let verdict = clock.verdict(cx.waker());
        match link.poll_readable(cx) {
            // Even if it was told to close: this is perhaps a request.
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending if verdict == Some(Verdict::Close) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    clock.settle(Phase::Idle);
    readable
}

/// Lets hyper serve requests until there is a reason to stop.
async fn drive(link: &Rc<Link>, client: Client, worker: &Rc<Worker>, received: Bytes) -> Stop {
    let clock = &link.entry().clock;
    let greeter = Greeter {
        link: link.clone(),
        client,
        worker: worker.clone(),
    };
    // On the heap, so that a parked connection does not hold the room for it.
    let mut http = Box::new(
        worker
            .http
            .serve_connection(Io::new(link.clone(), received), greeter),
    );
    let stop = poll_fn(|cx| {
        let verdict = clock.verdict(cx.waker());
        match verdict {
            Some(Verdict::Late) => return Poll::Ready(Stop::Late),
            Some(Verdict::Abort) => return Poll::Ready(Stop::Gone),
            Some(Verdict::Park | Verdict::Close) | None => {}
        }
        let done = http.poll_without_shutdown(cx);
        if let Poll::Ready(Err(_)) = link.poll_send(cx) {
            return Poll::Ready(Stop::Gone);
        }
        if done.is_ready() {
            // An error of hyper's is the client's, and it was told: 400 or 431.
            return Poll::Ready(Stop::Answered);
        }
        // A request may have come since the verdict.
        let is_idle = clock.phase() == Phase::Idle && link.is_sent();
        match verdict {
            Some(Verdict::Park) if is_idle => Poll::Ready(Stop::Quiet(Bytes::new())),
            Some(Verdict::Close) if is_idle => Poll::Ready(Stop::Gone),
            _ => Poll::Pending,
        }
    })
    .await;
    match stop {
        Stop::Quiet(_) => {
            let rest = http.into_parts().read_buf;
            if !rest.is_empty() {
                // The beginning of a request that came together with an earlier one.
                clock.settle(Phase::Head);
            }
            // A copy, because the rest would keep the whole buffer.
            Stop::Quiet(Bytes::copy_from_slice(&rest))
        }
        stop => stop,
    }
}

/// Sends what is left, says that nothing more will come, and gives the client the time to read it.
async fn say_goodbye(link: &Link) {
    let clock = &link.entry().clock;
    let shut = |cx: &mut Context<'_>| match clock.verdict(cx.waker()) {
        Some(Verdict::Abort) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        _ => link.poll_shutdown(cx),
    };
    if poll_fn(shut).await.is_err() {
        return;
    }
    link.release();
    clock.begin(Phase::Linger, link.entry().now());
    poll_fn(|cx| match clock.verdict(cx.waker()) {
        Some(Verdict::Abort) => Poll::Ready(()),
        _ => link.poll_discard(cx),
    })
    .await;
}

/// The answer to a request that did not arrive in time, of which hyper knows nothing.
fn too_late() -> String {
    let mut answer =
        String::from("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n");
    // Writing to a string cannot fail.
    let _ = write!(
        answer,
        "date: {}\r\n\r\n",
        httpdate::HttpDate::from(SystemTime::now())
    );
    answer
}

/// The service that hyper calls: decides by the worker's handler, and takes the body in first.
struct Greeter {
    link: Rc<Link>,
    client: Client,
    worker: Rc<Worker>,
}

impl Greeter {
    /// Ends a request with its answer.
    fn finish(
        &self,
        status: StatusCode,
        headers: HeaderMap,
        last: bool,
        line: Option<Line>,
    ) -> Answer {
        let entry = self.link.entry();
        entry.clock.begin(Phase::Idle, entry.now());
        if let (Some(log), Some(line)) = (&self.worker.log, line) {
            log.write(line, status);
        }
        service::answer(status, headers, last || self.worker.is_draining())
    }
}

impl Service<Request<Incoming>> for Greeter {
    type Response = Answer;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, request: Request<Incoming>) -> Reply {
        let (mut head, body) = request.into_parts();
        let line = self
            .worker
            .log
            .as_ref()
            .map(|_| Line::new(self.client, &head));
        let mut status = (self.worker.handler)(&head, self.worker.is_draining());
        if body.is_end_stream() {
            // After CONNECT a client takes what follows for the tunnel's, whatever the answer was.
            let last = status == StatusCode::BAD_REQUEST || head.method == Method::CONNECT;
            return Reply::Ready(Some(self.finish(status, head.headers, last, line)));
        }
        let limit = self.worker.limits.body;
        if !service::knows_coding(&head.headers) {
            status = StatusCode::NOT_IMPLEMENTED;
        } else if body.size_hint().lower() > limit {
            status = StatusCode::PAYLOAD_TOO_LARGE;
        }
        if status.is_client_error() || status.is_server_error() {
            // The body is not wanted, so there is no telling where the next request would begin.
            return Reply::Ready(Some(self.finish(status, head.headers, true, line)));
        }
        let entry = self.link.entry();
        entry.clock.begin(Phase::Body, entry.now());
        let greeter = Greeter {
            link: self.link.clone(),
            client: self.client,
            worker: self.worker.clone(),
        };
        let headers = std::mem::take(&mut head.headers);
        Reply::Taking(Box::new(Taking {
            body,
            left: limit,
            status,
            headers,
            line,
            greeter,
        }))
    }
}

/// An answer that is there, or will be when the body has been taken in.
enum Reply {
    Ready(Option<Answer>),
    Taking(Box<Taking>),
}

/// A request whose body is being received, checked and forgotten.
struct Taking {
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
            Reply::Ready(answer) => match answer.take() {
                Some(answer) => Poll::Ready(Ok(answer)),
                None => Poll::Pending,
            },
            Reply::Taking(taking) => {
                let status = ready!(taking.poll_body(cx));
                let headers = std::mem::take(&mut taking.headers);
                let last = status != taking.status;
                Poll::Ready(Ok(taking.greeter.finish(
                    status,
                    headers,
                    last,
                    taking.line.take(),
                )))
            }
        }
    }
}

/// The settings of hyper that hold for every connection of a worker.
pub fn http(limits: &crate::config::Limits) -> http1::Builder {
    /// hyper reads no less at a time.
    const SMALLEST_BUFFER: usize = 8 * 1024;
    /// hyper's own limit. Another one makes it allocate for each request, so it is not repeated.
    const MOST_HEADERS: usize = 100;
    let mut http = http1::Builder::new();
    http.half_close(true).writev(false);
    http.max_buf_size(limits.head.max(SMALLEST_BUFFER))
        .max_header_size(limits.head);
    if limits.headers != MOST_HEADERS {
        http.max_headers(limits.headers);
    }
    http
}
