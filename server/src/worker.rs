//! A worker: one thread with a single-threaded runtime and sockets of its own. Workers share
//! nothing, so a request never waits for a lock or wakes another core.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::connection;

/// How long accepting waits when it failed for want of descriptors or memory: long enough not to
/// spin, short enough that a client hardly notices.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves on `listeners` for as long as the process lives.
pub fn run(listeners: Vec<TcpListener>) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        for listener in listeners {
            spawn_local(accept(tokio::net::TcpListener::from_std(listener)?));
        }
        std::future::pending().await
    })
}

async fn accept(listener: tokio::net::TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(spawn_local(connection::serve(stream))),
            Err(error) if concerns_one_client(&error) => {}
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Whether the client went away before it was accepted, and the next one may be fine.
fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}
