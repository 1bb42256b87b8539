//! The pure function from a request to its answer.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};

/// The body of every answer: twelve bytes, no line end.
pub const HELLO: &str = "Hello World!";

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// Answers a request. The request's header map is emptied and used again, so that an answer needs
/// no allocation.
pub fn answer<B>(request: Request<B>) -> Answer {
    let mut headers = request.into_parts().0.headers;
    headers.clear();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain;charset=utf-8"),
    );
    let mut answer = Response::new(Full::new(Bytes::from_static(HELLO.as_bytes())));
    *answer.headers_mut() = headers;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_nothing_of_the_request_but_hello() {
        let request = Request::builder().header("cookie", "a=b").body(()).unwrap();
        let answer = answer(request);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers().len(), 1);
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain;charset=utf-8");
    }
}
