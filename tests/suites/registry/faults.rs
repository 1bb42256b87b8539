//! A registry that breaks off, sends something else, sends too much, sends us elsewhere.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use packer::Digest;
use serde_json::json;
use tests::scripted::{Request, Scripted, reply};
use tests::{World, require};

use super::{archive, packer, to};

/// A registry with one image, `a/b:1`, as bytes.
#[derive(Clone)]
struct Image {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

impl Image {
    fn new() -> Self {
        let layer = tests::fixture::Layer::new()
            .file("a", 0o644, vec![7; 200_000])
            .tar();
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
        });
        let config = config.to_string().into_bytes();
        let descriptor = |kind: &str, content: &[u8]| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": Digest::of(content).to_string(),
                "size": content.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "config": descriptor("config.v1+json", &config),
            "layers": [descriptor("layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        Self {
            layer,
            config,
            manifest,
        }
    }

    fn layer_path(&self) -> String {
        format!("/v2/a/b/blobs/{}", Digest::of(&self.layer))
    }

    /// Answers as a registry should.
    fn answer(&self, request: &Request, stream: &mut TcpStream) {
        let config = format!("/v2/a/b/blobs/{}", Digest::of(&self.config));
        match request.path.as_str() {
            "/v2/a/b/manifests/1" => reply(
                stream,
                200,
                &[("Content-Type", MANIFEST_TYPE)],
                &self.manifest,
            ),
            path if path == config => reply(stream, 200, &[], &self.config),
            path if path == self.layer_path() => self.answer_layer(request, stream),
            _ => reply(stream, 404, &[], b""),
        }
    }

    fn answer_layer(&self, request: &Request, stream: &mut TcpStream) {
        let first = request.field("range").and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
        match first {
            None => reply(stream, 200, &[], &self.layer),
            Some(first) => {
                let total = self.layer.len();
                let range = format!("bytes {first}-{}/{total}", total - 1);
                reply(
                    stream,
                    206,
                    &[("Content-Range", &range)],
                    &self.layer[first..],
                );
            }
        }
    }
}

/// A registry that gives its layer with `fault` in the place of the right answer.
fn with_fault(
    fault: impl Fn(&Image, &Request, &mut TcpStream) + Send + Sync + 'static,
) -> Scripted {
    let image = Image::new();
    Scripted::start(
        move |request, stream| match request.path == image.layer_path() {
            true => fault(&image, request, stream),
            false => image.answer(request, stream),
        },
    )
}

/// Pulls from it, and says what went wrong; nothing may be left behind then.
fn refusal(world: &World, server: &Scripted) -> String {
    let words = [
        "pull",
        "--retry",
        "1",
        "-o",
        "pulled.tar",
        &server.reference("a/b:1"),
    ];
    let outcome = packer(world, &words).with_code(125);
    let left: Vec<_> = std::fs::read_dir(world.home())
        .expect("a home")
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
    outcome.only_error().to_owned()
}

fn succeeds(world: &World, server: &Scripted) {
    to(
        world,
        &["pull", "-q", "-o", "pulled.tar", &server.reference("a/b:1")],
    );
    assert_eq!(
        to(
            world,
            &["pull", "-q", "-o", "second.tar", &server.reference("a/b:1")]
        ),
        "second.tar"
    );
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let world = require!(World::of_a_user());
    let server = with_fault(|image, request, stream| match request.field("range") {
        Some(_) => image.answer_layer(request, stream),
        None => {
            let length = image.layer.len().to_string();
            reply(
                stream,
                200,
                &[("Content-Length", &length)],
                &image.layer[..150_000],
            );
        }
    });
    succeeds(&world, &server);
    let requests = server.requests();
    let ranges: Vec<_> = requests
        .iter()
        .filter_map(|request| request.field("range"))
        .collect();
    assert_eq!(ranges, ["bytes=150000-"; 2]);
}

#[test]
fn a_download_goes_on_from_a_server_that_knows_no_ranges() {
    let world = require!(World::of_a_user());
    let server = with_fault(|image, request, stream| {
        let length = image.layer.len().to_string();
        match request.field("range") {
            Some(_) => reply(stream, 200, &[], &image.layer),
            None => reply(
                stream,
                200,
                &[("Content-Length", &length)],
                &image.layer[..99],
            ),
        }
    });
    succeeds(&world, &server);
}

#[test]
fn a_blob_with_a_wrong_digest_length_or_no_end_is_refused() {
    let world = require!(World::of_a_user());
    let wrong = with_fault(|image, _, stream| {
        let mut layer = image.layer.clone();
        layer[1000] ^= 1;
        reply(stream, 200, &[], &layer);
    });
    assert!(refusal(&world, &wrong).contains("sent wrong bytes"));
    let short = with_fault(|image, _, stream| reply(stream, 200, &[], &image.layer[1..]));
    assert!(refusal(&world, &short).contains("wrong length"));
    let truncated = with_fault(|image, _, stream| {
        let length = image.layer.len().to_string();
        reply(stream, 200, &[("Content-Length", &length)], b"x");
    });
    assert!(refusal(&world, &truncated).contains("broke the connection off"));
    let endless = with_fault(|_, _, stream| {
        reply(stream, 200, &[("Transfer-Encoding", "chunked")], b"");
        let chunk = [b"10000\r\n".as_slice(), &[0; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    assert!(refusal(&world, &endless).contains("wrong length"));
}

#[test]
fn a_manifest_without_end_or_with_two_meanings_is_refused() {
    let world = require!(World::of_a_user());
    let endless = Scripted::start(|_, stream| {
        reply(stream, 200, &[("Transfer-Encoding", "chunked")], b"");
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    assert!(refusal(&world, &endless).contains("more than 4 MiB"));
    for (body, said) in [
        (
            r#"{"manifests":[],"layers":[],"config":{}}"#,
            "index and image at once",
        ),
        (r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1"),
        ("<html>", "no JSON"),
        (
            r#"{"manifests":[{"mediaType":"","digest":"sha256:../../x","size":1}]}"#,
            "no digest",
        ),
        (r#"{"schemaVersion":2,"manifests":[]}"#, "has no image for"),
    ] {
        let server = Scripted::start(move |_, stream| reply(stream, 200, &[], body.as_bytes()));
        let line = refusal(&world, &server);
        assert!(line.contains(said), "{said}: {line}");
    }
}

#[test]
fn a_busy_registry_is_asked_again_when_it_says_so() {
    let world = require!(World::of_a_user());
    let image = Image::new();
    let server = Scripted::start(move |request, stream| match request.number {
        0 => reply(stream, 429, &[("Retry-After", "1")], b""),
        1 => reply(stream, 503, &[], b""),
        2 => {}
        _ => image.answer(request, stream),
    });
    let began = Instant::now();
    to(
        &world,
        &["pull", "-q", "-o", "pulled.tar", &server.reference("a/b:1")],
    );
    assert!(began.elapsed() > Duration::from_secs(1));
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn a_registry_that_stays_busy_or_says_no_is_an_error() {
    let world = require!(World::of_a_user());
    for (status, said) in [
        (429, "asked too often, 2 times"),
        (500, "answered 500"),
        (403, "does not allow this"),
        (404, "has no image"),
        (401, "log in first"),
    ] {
        let server = Scripted::start(move |_, stream| {
            let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m"}]}"#;
            reply(stream, status, &[("Retry-After", "0")], body);
        });
        let line = refusal(&world, &server);
        assert!(line.contains(said) && !line.contains('\u{1b}'), "{line}");
    }
    let later = Scripted::start(|_, stream| reply(stream, 429, &[("Retry-After", "86400")], b""));
    let began = Instant::now();
    assert!(refusal(&world, &later).contains("asked too often"));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn credentials_do_not_follow_a_redirect() {
    let world = require!(World::of_a_user());
    let image = Image::new();
    let store = {
        let image = image.clone();
        Scripted::start(move |request, stream| image.answer_layer(request, stream))
    };
    let location = format!("http://127.0.0.1:{}/elsewhere?signed=1", store.port);
    let server = Scripted::start(
        move |request, stream| match request.field("authorization") {
            None => reply(
                stream,
                401,
                &[("WWW-Authenticate", "Basic realm=\"x\"")],
                b"",
            ),
            Some(_) if request.path == image.layer_path() => {
                reply(stream, 307, &[("Location", &location)], b"");
            }
            Some(_) => image.answer(request, stream),
        },
    );
    let reference = server.reference("a/b:1");
    to(
        &world,
        &[
            "pull",
            "-q",
            "--creds",
            "user:secret",
            "-o",
            "pulled.tar",
            &reference,
        ],
    );
    let asked = store.requests();
    assert_eq!(asked[0].line(), "GET /elsewhere?signed=1");
    assert_eq!(asked[0].field("authorization"), None);
    let first = &server.requests()[0];
    assert_eq!(
        first.field("authorization"),
        None,
        "before it was asked for"
    );
}

#[test]
fn a_redirect_to_a_file_or_to_nowhere_is_refused() {
    let world = require!(World::of_a_user());
    for location in ["file:///etc/passwd", "gopher://127.0.0.1/", "", "http://"] {
        let server =
            with_fault(move |_, _, stream| reply(stream, 302, &[("Location", location)], b""));
        let line = refusal(&world, &server);
        assert!(line.contains("leads to"), "{location}: {line}");
    }
    let around = with_fault(|image, _, stream| {
        reply(stream, 302, &[("Location", &image.layer_path())], b"");
    });
    assert!(refusal(&world, &around).contains("redirects"));
}

#[test]
fn a_token_is_fetched_once_and_again_when_it_is_refused() {
    let world = require!(World::of_a_user());
    let image = Image::new();
    let token = Scripted::start(|request, stream| {
        let token = json!({"token": format!("token-{}", request.number)}).to_string();
        reply(stream, 200, &[], token.as_bytes());
    });
    let realm = format!("http://127.0.0.1:{}/token", token.port);
    let server = Scripted::start(move |request, stream| {
        // The first token is good for one request only.
        match (request.field("authorization"), request.number) {
            (Some("Bearer token-0"), 0..=1) | (Some("Bearer token-1"), _) => {
                image.answer(request, stream);
            }
            _ => {
                let challenge =
                    format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:a/b:pull\"");
                reply(stream, 401, &[("WWW-Authenticate", &challenge)], b"");
            }
        }
    });
    let reference = server.reference("a/b:1");
    to(
        &world,
        &[
            "pull",
            "-q",
            "--creds",
            "user:secret",
            "-o",
            "pulled.tar",
            &reference,
        ],
    );
    let asked = token.requests();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(
        asked[0].path,
        "/token?service=s&scope=repository%3Aa%2Fb%3Apull&account=user"
    );
    // `user:secret` in Base64.
    assert_eq!(
        asked[0].field("authorization"),
        Some("Basic dXNlcjpzZWNyZXQ=")
    );
    assert!(server.requests().iter().all(|request| {
        request
            .field("authorization")
            .is_none_or(|value| value.starts_with("Bearer"))
    }));
}

#[test]
fn a_password_is_not_given_to_a_token_server_of_another_domain() {
    let world = require!(World::of_a_user());
    let token = Scripted::start(|_, stream| reply(stream, 200, &[], br#"{"token":"t"}"#));
    // The same machine under another name.
    let realm = format!("http://localhost:{}/token", token.port);
    let server = Scripted::start(move |_, stream| {
        let challenge = format!("Bearer realm=\"{realm}\"");
        reply(stream, 401, &[("WWW-Authenticate", &challenge)], b"");
    });
    let reference = server.reference("a/b:1");
    let words = [
        "pull",
        "--creds",
        "user:secret",
        "-o",
        "pulled.tar",
        &reference,
    ];
    let outcome = packer(&world, &words).with_code(125);
    assert!(
        outcome.only_error().contains("must not see the password"),
        "{outcome}"
    );
    assert!(token.requests().is_empty());
}

#[test]
fn an_upload_that_breaks_off_goes_on_where_the_registry_has_it() {
    let world = require!(World::of_a_user());
    archive(&world);
    let server = Scripted::start(|request, stream| match request.method.as_str() {
        "HEAD" => reply(stream, 404, &[], b""),
        "POST" => reply(stream, 202, &[("Location", "/v2/a/b/blobs/uploads/1")], b""),
        // The registry has 10 bytes of it.
        "GET" => {
            let fields = [("Location", "/v2/a/b/blobs/uploads/2"), ("Range", "0-9")];
            reply(stream, 204, &fields, b"");
        }
        // Nothing: the connection ends.
        "PUT" if request.path.starts_with("/v2/a/b/blobs/uploads/1") => {}
        _ => reply(stream, 201, &[], b""),
    });
    to(
        &world,
        &["push", "-q", "image.tar", &server.reference("a/b:1")],
    );
    let requests = server.requests();
    let rest = requests
        .iter()
        .filter(|request| request.path.starts_with("/v2/a/b/blobs/uploads/2?digest="));
    let mut count = 0;
    for request in rest {
        let range = request
            .field("content-range")
            .expect("where the rest belongs");
        let (first, last) = range.split_once('-').expect("a range");
        assert_eq!(first, "10");
        assert_eq!(
            last.parse::<usize>().expect("a number") - 9,
            request.body.len()
        );
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn nothing_is_sent_in_plain_text_to_another_machine() {
    let world = require!(World::of_a_user());
    let server = Scripted::start(|_, stream| reply(stream, 200, &[], b""));
    let reference = server.reference("a/b:1");
    let words = ["pull", "--tls-verify", "-o", "pulled.tar", &reference];
    let outcome = packer(&world, &words).with_code(125);
    assert!(
        outcome.only_error().contains("does not speak TLS"),
        "{outcome}"
    );
    assert!(server.requests().is_empty());
}
