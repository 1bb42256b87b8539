//! One client: requests in, answers out, in order, until one of the two has had enough.
//!
//! A connection is either *parked*, which is a socket and some hundred bytes, or it is *driven* by
//! hyper, with buffers. It is driven from the moment when the client sends something until it has
//! been quiet for a while.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::server::conn::http1;

use crate::accept::Client;
use crate::config::Limits;
use crate::greeter::Greeter;
#[cfg(feature = "h2c")]
use crate::h2c::drive as http2;
use crate::io::{Io, Link, Stream};
use crate::memory::Memory;
use crate::reaper::{Phase, Verdict};
use crate::worker::{Place, Worker};

/// How a connection stopped being driven.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is quiet; what was received is not yet a request.
    Quiet,
    /// The last answer was given.
    Answered,
    /// The last answer is there: that a head is too large.
    TooLarge,
    /// It turned out to be HTTP/2.
    Http2,
    /// A request came too slowly.
    Late,
    /// There is nobody to say anything to.
    Gone,
}

/// Serves a connection until it ends. A client that breaks the protocol or vanishes is its own
/// affair: nothing is reported. Its `_place` is given back at the end.
pub(crate) async fn serve(stream: Stream, client: Client, worker: Rc<Worker>, _place: Place) {
    let link = Link::new(stream, worker.reaper.enter(), Memory::new(&worker));
    let link = Rc::new(link);
    let stop = loop {
        if !link.has_received() && !wait_for_bytes(&link).await {
            break Stop::Gone;
        }
        match drive(&link, client, &worker).await {
            Stop::Quiet => {}
            stop => break stop,
        }
    };
    let stop = match stop {
        Stop::Http2 => http2(&link, Greeter::new(&link, client, &worker)).await,
        stop => stop,
    };
    match stop {
        Stop::Quiet | Stop::Gone | Stop::Http2 => return,
        Stop::Late => link.queue(refusal(StatusCode::REQUEST_TIMEOUT).as_bytes()),
        Stop::Answered | Stop::TooLarge => {}
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
async fn drive(link: &Rc<Link>, client: Client, worker: &Rc<Worker>) -> Stop {
    let clock = &link.entry().clock;
    let greeter = Greeter::new(link, client, worker);
    // On the heap, so that a parked connection does not hold the room for it.
    let mut http = Box::new(worker.http.serve_connection(Io::new(link.clone()), greeter));
    let stop = poll_fn(|cx| {
        let verdict = clock.verdict(cx.waker());
        match verdict {
            Some(Verdict::Late) => return Poll::Ready(Stop::Late),
            Some(Verdict::Abort) => return Poll::Ready(Stop::Gone),
            Some(Verdict::Park | Verdict::Close) | None => {}
        }
        let done = match link.poll_repeats(cx) {
            Poll::Pending if verdict.is_none() && link.is_sent() => return Poll::Pending,
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => http.poll_without_shutdown(cx),
            Poll::Ready(Err(_)) => return Poll::Ready(Stop::Gone),
        };
        if matches!(&done, Poll::Ready(Err(error)) if error.is_parse_too_large()) {
            return Poll::Ready(Stop::TooLarge);
        }
        if let Poll::Ready(Err(_)) = link.poll_send(cx) {
            return Poll::Ready(Stop::Gone);
        }
        match done {
            Poll::Ready(Err(error)) if error.is_parse_version_h2() => {
                return Poll::Ready(Stop::Http2);
            }
            // Any other error of hyper's is the client's, and it was told: 400.
            Poll::Ready(_) => return Poll::Ready(Stop::Answered),
            Poll::Pending => {}
        }
        // A request may have come since the verdict.
        let is_idle = || clock.phase() == Phase::Idle && link.is_sent();
        match verdict {
            Some(Verdict::Park) if is_idle() => Poll::Ready(Stop::Quiet),
            Some(Verdict::Close) if is_idle() => Poll::Ready(Stop::Gone),
            _ => Poll::Pending,
        }
    })
    .await;
    match stop {
        Stop::Quiet => {
            link.put_back(&http.into_parts().read_buf);
            if link.has_received() {
                // The beginning of a request that came together with an earlier one.
                clock.settle(Phase::Head);
            }
            Stop::Quiet
        }
        Stop::TooLarge => {
            // RFC 9112, section 3: if the target alone is too long, the answer has to say so.
            let head = http.into_parts().read_buf;
            let mut within = head.iter().take(worker.limits.head);
            if !within.any(|byte| *byte == b'\n') {
                link.replace_last(refusal(StatusCode::URI_TOO_LONG).as_bytes());
            }
            Stop::Answered
        }
        Stop::Http2 => {
            link.put_back(&http.into_parts().read_buf);
            Stop::Http2
        }
        stop => stop,
    }
}

/// Answers a client that speaks HTTP/2 to a server that does not.
#[cfg(not(feature = "h2c"))]
async fn http2(link: &Rc<Link>, _: Greeter) -> Stop {
    link.queue(refusal(StatusCode::HTTP_VERSION_NOT_SUPPORTED).as_bytes());
    Stop::Answered
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

/// An answer that hyper does not give: to a request that did not arrive in time, that it does not
/// understand, or whose target is too long.
fn refusal(status: StatusCode) -> String {
    let date = httpdate::HttpDate::from(SystemTime::now());
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: {date}\r\n\r\n")
}

/// The settings of hyper that hold for every connection of a worker.
pub fn http(limits: &Limits) -> http1::Builder {
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
