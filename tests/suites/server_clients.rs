//! The server and clients that others wrote: curl, wget, wrk, and a browser with its whole engine.

#[path = "server_support.rs"]
mod support;

use std::path::Path;

use support::Server;
use tests::client::find;
use tests::{Run, World, require};

fn expect_page(program: &Path, words: &[&str]) {
    let server = Server::start(&[]);
    let url = format!("http://{}/", server.address);
    let output = Run::new(program).args(words).args([&url]).succeed();
    assert_eq!(output.stdout, "Hello World!", "{words:?}");
}

#[test]
fn curl_gets_the_page() {
    let curl = require!(find("curl"));
    let chunked = ["-fsS", "-H", "Transfer-Encoding: chunked", "-d", "body"];
    for words in [
        &["-fsS"][..],
        &["-fsS", "--http1.0"],
        &["-fsS", "-d", "body"],
        &chunked,
    ] {
        expect_page(&curl, words);
    }
}

#[test]
fn wget_gets_the_page() {
    let busybox = require!(find("busybox"));
    expect_page(&busybox, &["wget", "-q", "-O", "-"]);
}

#[test]
fn wrk_finds_no_error() {
    let wrk = require!(find("wrk"));
    let server = Server::start(&[]);
    let url = format!("http://{}/", server.address);
    let report = Run::new(wrk)
        .args(["-t1", "-c32", "-d1", &url])
        .succeed()
        .stdout;
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
    let log = world.path("requests");
    let log_file = std::fs::File::create(&log).expect("a new file");
    let mut command = std::process::Command::new(support::binary());
    command
        .args(["--listen", "127.0.0.1:0", "--access-log"])
        .stdout(log_file);
    let server = Server::spawn(command);
    let profile = world.make_dir("browser", 0o700);
    let page = world
        .run(chromium)
        .args(["--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args([format!("--user-data-dir={}", profile.display())])
        .args([format!("http://{}/page", server.address)])
        .succeed()
        .stdout;
    // An engine makes a document of plain text.
    assert!(page.contains(">Hello World!</pre></body>"), "{page}");
    drop(server);
    let log = std::fs::read_to_string(log).expect("the log");
    assert!(log.contains("\"GET /page HTTP/1.1\" 200 12"), "{log}");
}
