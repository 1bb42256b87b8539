//! In the steady state the server answers without allocating. A worker runs in this process, on a
//! thread whose allocations are counted, and more requests must not count more.

#![allow(
    unsafe_code,
    reason = "a global allocator is unsafe to implement; this one only counts"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;

use server::config::Config;
use server::drain::Stage;
use server::listen::{self, Endpoint};
use server::service;
use server::worker::{self, Orders};
use tokio::sync::watch;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and all memory is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often a worker allocates from its start to its end, with so many requests on one connection:
/// the same again and again, or each another than the one before.
fn allocations(requests: usize, pipeline: usize, alike: bool) -> u64 {
    let config = Config::default();
    let mut listeners = listen::open(&["127.0.0.1:0".parse().unwrap()], 1)
        .unwrap()
        .remove(0);
    let Endpoint::Inet(address) = listeners.address else {
        panic!("not TCP")
    };
    let (stage, receiver) = watch::channel(Stage::Open);
    let orders = Orders {
        limits: config.limits,
        times: config.times,
        handler: service::status,
        log: None,
        connections: Arc::new(AtomicUsize::new(0)),
        stage: receiver,
    };
    let worker = thread::spawn(move || {
        worker::run(vec![listeners.sockets.remove(0)], orders).unwrap();
        COUNT.get()
    });
    let mut client = TcpStream::connect(address).unwrap();
    let batches = ["/path?query", "/other?query"].map(|target| {
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n").repeat(pipeline)
    });
    let mut answers = vec![0; 64 * 1024];
    for number in 0..requests / pipeline {
        let batch = &batches[if alike { 0 } else { number % 2 }];
        client.write_all(batch.as_bytes()).unwrap();
        let mut whole = 0;
        while whole < pipeline {
            let length = client.read(&mut answers).unwrap();
            whole += answers[..length]
                .windows(12)
                .filter(|window| window == b"Hello World!")
                .count();
        }
    }
    drop(client);
    stage.send_replace(Stage::Shut);
    worker.join().unwrap()
}

#[test]
fn a_request_needs_no_allocation() {
    for (pipeline, alike) in [(1, true), (16, true), (1, false), (16, false)] {
        let count = |requests| allocations(requests, pipeline, alike);
        let (few, many) = (count(160), count(16_000));
        // The runtime itself may allocate now and then: a hundredth of an allocation a request.
        assert!(
            many <= few + 160,
            "{pipeline} at once, alike: {alike}: {few} allocations for 160 requests, {many} for 16,000"
        );
    }
}
