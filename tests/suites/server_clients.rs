//! The server and clients that others wrote: curl, wget, wrk, and a browser with its whole engine.

use std::path::PathBuf;

use tests::client::find;
use tests::{Run, Running, World, binaries, require};

/// A server that logs its requests on standard output, and where it is.
fn start() -> (Running, String) {
    let words = ["--listen", "127.0.0.1:0", "--access-log"];
    let mut server = Run::new(binaries::path("server")).args(words).spawn();
    server.wait_for("http://");
    let said = server.stderr();
    let url = said
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let url = url.expect("an address").to_owned();
    (server, url)
}

fn expect_page(program: &PathBuf, words: &[&str]) {
    let (_server, url) = start();
    let output = Run::new(program).args(words).args([&url]).succeed();
    assert_eq!(output.stdout, "Hello World!", "{words:?}");
}

#[test]
fn curl_gets_the_page() {
    let curl = require!(find("curl"));
    expect_page(&curl, &["-fsS"]);
    expect_page(&curl, &["-fsS", "--http1.0"]);
    expect_page(&curl, &["-fsS", "-d", "body"]);
    let chunked = ["-fsS", "-H", "Transfer-Encoding: chunked", "-d", "body"];
    expect_page(&curl, &chunked);
}

#[test]
fn wget_gets_the_page() {
    let busybox = require!(find("busybox"));
    expect_page(&busybox, &["wget", "-q", "-O", "-"]);
}

#[test]
fn wrk_finds_no_error() {
    let wrk = require!(find("wrk"));
    let (_server, url) = start();
    let words = ["-t1", "-c32", "-d1", &url];
    let report = Run::new(wrk).args(words).succeed().stdout;
    assert!(report.contains("requests in"), "{report}");
    // It names them only if there are any.
    for wrong in ["Non-2xx", "Socket errors"] {
        assert!(!report.contains(wrong), "{report}");
    }
}

/// Chromium without a window: its own network stack, parser and layout.
#[test]
fn a_browser_engine_shows_the_page() {
    let chromium = require!(find("chromium-headless-shell"));
    let world = require!(World::of_a_user());
    let (mut server, url) = start();
    let profile = world.make_dir("browser", 0o700);
    let page = world
        .run(chromium)
        .args(["--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args([format!("--user-data-dir={}", profile.display())])
        .args([format!("{url}/page")])
        .succeed()
        .stdout;
    // An engine makes a document of plain text.
    assert!(page.contains(">Hello World!</pre></body>"), "{page}");
    server.wait_for("\"GET /page HTTP/1.1\" 200 12");
}
