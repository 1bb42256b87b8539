//! The pure function from a request to its answer: every path and every method is greeted, unless
//! the request breaks a rule of RFC 9110 or RFC 9112 that hyper leaves to its user.

use http_body_util::Full;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

/// The body of every answer: twelve bytes, no line end.
pub const HELLO: &str = "Hello World!";

/// Asks whether this server should get requests: `503` while it drains.
const READYZ: &str = "/readyz";

/// The methods that are greeted, for the answer to the two that are not.
const ALLOWED: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

/// An answer.
pub type Answer = Response<Full<&'static [u8]>>;

/// The head of a request, borrowed: to move a whole one costs as much as to decide.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// What is asked for.
    pub method: &'a Method,
    /// Of what.
    pub uri: &'a Uri,
    /// In which version of HTTP.
    pub version: Version,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// The head of `request`.
    pub fn of<B>(request: &'a Request<B>) -> Head<'a> {
        Head {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
        }
    }
}

/// What decides how a request is answered: its head, and whether the server is draining. There is
/// one, [`status`]; a test may put another in its place.
pub type Handler = fn(Head<'_>, bool) -> StatusCode;

/// Decides how a request is answered.
pub fn status(head: Head<'_>, draining: bool) -> StatusCode {
    if !has_valid_host(head) || !has_valid_target(head) {
        StatusCode::BAD_REQUEST
    } else if *head.method == Method::CONNECT || *head.method == Method::TRACE {
        StatusCode::METHOD_NOT_ALLOWED
    } else if draining && head.uri.path() == READYZ {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

/// Whether the body is coded in a way that we can take apart: not at all, or `chunked` alone. (RFC
/// 9112, section 6.1: other codings SHOULD get `501`. That the last one is `chunked`, hyper has
/// checked.)
pub fn knows_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    first.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// Builds the answer. `headers` are the request's: they are emptied and used again, so that the
/// answer needs no allocation. `last` says that the connection closes afterwards.
pub fn answer(status: StatusCode, mut headers: HeaderMap, last: bool) -> Answer {
    headers.clear();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain;charset=utf-8"),
    );
    if last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static(ALLOWED));
    }
    let text = match status {
        StatusCode::OK => HELLO,
        other => other.canonical_reason().unwrap_or_default(),
    };
    let mut answer = Response::new(Full::new(text.as_bytes()));
    *answer.status_mut() = status;
    // What was there is empty and owns nothing; to find that out would cost one part in a hundred of
    // what is done for a request.
    std::mem::forget(std::mem::replace(answer.headers_mut(), headers));
    answer
}

/// RFC 9112, section 3.2: exactly one valid `Host` in HTTP/1.1; in HTTP/1.0 it may be missing. In
/// HTTP/2 `:authority` takes its place.
fn has_valid_host(head: Head<'_>) -> bool {
    let mut found = None;
    for (name, value) in head.headers {
        if name == HOST && found.replace(value).is_some() {
            return false;
        }
    }
    match found {
        Some(host) => is_host(host.as_bytes()),
        None => head.version != Version::HTTP_11,
    }
}

/// RFC 9110, section 7.2: `uri-host [ ":" port ]`, with the characters of RFC 3986, section 3.2.2.
fn is_host(value: &[u8]) -> bool {
    let port = match value {
        [b'[', literal @ ..] => match literal.iter().position(|&byte| byte == b']') {
            Some(end) if is_ip_literal(&literal[..end]) => &literal[end + 1..],
            _ => return false,
        },
        _ => after_name(value),
    };
    match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The characters of a registered name that stand for themselves.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

/// What follows a registered name, which may be empty.
fn after_name(value: &[u8]) -> &[u8] {
    let mut rest = value;
    loop {
        let plain = rest.iter().take_while(|byte| NAME[usize::from(**byte)]);
        rest = match &rest[plain.count()..] {
            [b'%', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            rest => return rest,
        };
    }
}

fn is_ip_literal(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    match host.strip_prefix(['v', 'V']) {
        None => host.parse::<std::net::Ipv6Addr>().is_ok(),
        // An address of a version that is still to come: "v" 1*HEXDIG "." 1*( ... )
        Some(future) => future.split_once('.').is_some_and(|(version, address)| {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !address.is_empty()
        }),
    }
}

/// RFC 9112, section 3.2: an authority alone is for CONNECT, an asterisk for OPTIONS.
fn has_valid_target(head: Head<'_>) -> bool {
    let uri = head.uri;
    if *head.method == Method::CONNECT {
        return uri.scheme().is_none() && uri.port().is_some();
    }
    match uri.path() {
        "*" => *head.method == Method::OPTIONS,
        path => path.starts_with('/') || (path.is_empty() && uri.scheme().is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::builder().method(method).uri(target);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.body(()).unwrap()
    }

    fn status_of(method: &str, target: &str) -> u16 {
        status(Head::of(&head(method, target, &[("host", "a")])), false).as_u16()
    }

    #[test]
    fn every_path_and_method_is_greeted() {
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW",
        ] {
            for target in ["/", "/x?y", "http://a/x", "http://a"] {
                assert_eq!(status_of(method, target), 200, "{method} {target}");
            }
        }
        assert_eq!(status_of("OPTIONS", "*"), 200);
        assert_eq!(status_of("GET", "*"), 400);
        assert_eq!(status_of("GET", "a:80"), 400);
    }

    #[test]
    fn tunnels_and_echoes_are_not_allowed_and_the_answer_says_what_is() {
        assert_eq!(status_of("CONNECT", "a:80"), 405);
        assert_eq!(status_of("CONNECT", "http://a:80/"), 400);
        assert_eq!(status_of("TRACE", "/"), 405);
        let answer = answer(StatusCode::METHOD_NOT_ALLOWED, HeaderMap::new(), false);
        assert_eq!(answer.headers()[ALLOW], ALLOWED);
    }

    #[test]
    fn only_readiness_fails_while_draining() {
        for (path, draining, expected) in [
            ("/readyz", false, 200),
            ("/readyz", true, 503),
            ("/healthz", true, 200),
            ("/livez", true, 200),
        ] {
            assert_eq!(
                status(Head::of(&head("GET", path, &[("host", "a")])), draining),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn http_1_1_needs_exactly_one_host() {
        assert_eq!(status(Head::of(&head("GET", "/", &[])), false), 400);
        assert_eq!(
            status(
                Head::of(&head(
                    "GET",
                    "/",
                    &[("host", "a"), ("x", "y"), ("host", "a")]
                )),
                false
            ),
            400
        );
        let mut old = head("GET", "/", &[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(status(Head::of(&old), false), 200);
    }

    #[test]
    fn hosts_follow_the_grammar() {
        for host in [
            "a",
            "a.b:80",
            "127.0.0.1",
            "[::1]",
            "[::1]:8080",
            "a:",
            "",
            "%41",
            "[v1.x]",
            "a_b",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a b", "a:b", "a:80:80", "[::1", "::1", "[::1]x", "[a]", "a/", "u@a", "a,b/", "%4",
            "a:123456", "ä",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn only_chunked_alone_is_a_known_coding() {
        let known = |values: &[&str]| {
            let fields: Vec<_> = values
                .iter()
                .map(|value| ("transfer-encoding", *value))
                .collect();
            knows_coding(head("POST", "/", &fields).headers())
        };
        assert!(known(&[]) && known(&["chunked"]) && known(&["Chunked"]));
        assert!(
            !known(&["gzip, chunked"])
                && !known(&["gzip", "chunked"])
                && !known(&["chunked", "chunked"])
        );
    }

    #[test]
    fn an_answer_keeps_nothing_of_the_request() {
        let request = head("GET", "/", &[("cookie", "a=b"), ("host", "a")]);
        let answer = answer(StatusCode::OK, request.headers().clone(), true);
        assert_eq!(answer.headers().len(), 2);
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain;charset=utf-8");
        assert_eq!(answer.headers()[CONNECTION], "close");
    }
}
