//! What hyper's README shows as a server, told its port: the server that people write first.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The argument that turns this benchmark into the example, followed by the port.
pub(crate) const FLAG: &str = "--hyper-example";

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from("Hello World!"))))
}

/// Serves for ever, on as many threads as this process may use cores.
pub(crate) fn serve(port: u16) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("to listen");
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            let served =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(hello));
            tokio::spawn(served);
        }
    })
}
