//! One client: requests in, answers out, in order, until one of the two has had enough.

use std::convert::Infallible;
use std::future;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;

use crate::io::Io;
use crate::service;

/// Serves a connection until it ends. A client that breaks the protocol or vanishes is its own
/// affair: nothing is reported.
pub async fn serve(stream: TcpStream) {
    let service =
        service_fn(|request| future::ready(Ok::<_, Infallible>(service::answer(request))));
    let mut http = http1::Builder::new();
    http.half_close(true).writev(false);
    drop(http.serve_connection(Io::new(stream), service).await);
}
