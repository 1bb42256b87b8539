//! A worker: one thread with a single-threaded runtime and sockets of its own. Workers share
//! nothing but a count of connections, so a request never waits for a lock or wakes another core.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::accept::{Accepted, Acceptor};
use crate::access::Log;
use crate::config::Limits;
use crate::connection;
use crate::drain::Stage;
use crate::listen::Listener;
use crate::reaper::{Reaper, Times};
use crate::service::Handler;
use crate::timer::Timer;

/// How long accepting waits when it failed for want of descriptors or memory: long enough not to
/// spin, short enough that a client hardly notices.
const PAUSE: Duration = Duration::from_millis(50);

/// The distance between two looks at who has become silent, once the server is ending.
const PATROL: Duration = Duration::from_millis(10);

/// What every worker is told.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The limits of size and number.
    pub limits: Limits,
    /// The time limits.
    pub times: Times,
    /// Decides how a request is answered.
    pub handler: Handler,
    /// Where requests are logged, if they are.
    pub log: Option<Log>,
    /// How many connections all workers have.
    pub connections: Arc<AtomicUsize>,
    /// Where the server is on its way to its end.
    pub stage: watch::Receiver<Stage>,
}

/// What the connections of one worker share.
#[derive(Debug)]
pub struct Worker {
    /// The clocks of the connections.
    pub reaper: Rc<Reaper>,
    /// hyper's settings.
    pub http: http1::Builder,
    /// The limits of size and number.
    pub limits: Limits,
    /// Decides how a request is answered.
    pub handler: Handler,
    /// Where requests are logged, if they are.
    pub log: Option<Log>,
    connections: Arc<AtomicUsize>,
    draining: Cell<bool>,
}

impl Worker {
    /// Sets a worker up.
    pub fn new(orders: &Orders) -> Worker {
        Worker {
            reaper: Rc::new(Reaper::new(orders.times)),
            http: connection::http(&orders.limits),
            limits: orders.limits,
            handler: orders.handler,
            log: orders.log.clone(),
            connections: orders.connections.clone(),
            draining: Cell::new(false),
        }
    }

    /// Whether the server is ending, so that each answer is the last of its connection.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    fn is_full(&self) -> bool {
        self.connections.load(Ordering::Relaxed) >= self.limits.connections
    }
}

/// One of the connections that are counted; given back when it is dropped, by a panic too.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(connections: &Arc<AtomicUsize>) -> Place {
        connections.fetch_add(1, Ordering::Relaxed);
        Place(connections.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves on `listeners` until the server ends and the last connection of this worker is closed.
pub fn run(listeners: Vec<Listener>, orders: Orders) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let worker = Rc::new(Worker::new(&orders));
        let mut doors = Vec::new();
        for listener in listeners {
            let acceptor = Acceptor::new(listener)?;
            doors.push(spawn_local(attend(
                acceptor,
                Timer::new()?,
                worker.clone(),
                orders.stage.clone(),
            )));
        }
        let reaper = worker.reaper.clone();
        let timer = Timer::new()?;
        spawn_local(async move { reaper.run(timer).await });
        let mut timer = Timer::new()?;
        let mut stage = orders.stage;
        // An error would mean that the main thread is gone, and with it the process.
        let _ = stage.wait_for(|stage| *stage >= Stage::Announced).await;
        worker.draining.set(true);
        for door in doors {
            let _ = door.await;
        }
        while !worker.reaper.is_empty() {
            if *stage.borrow() >= Stage::Silenced {
                worker.reaper.close_idle();
            }
            timer.sleep(PATROL).await;
        }
        Ok(())
    })
}

/// Accepts connections until the server ends, and then those that had come before.
async fn attend(
    acceptor: Acceptor,
    mut timer: Timer,
    worker: Rc<Worker>,
    mut stage: watch::Receiver<Stage>,
) {
    let mut shut = pin!(stage.wait_for(|stage| *stage >= Stage::Shut));
    loop {
        let accepted = poll_fn(|cx| match shut.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => acceptor.poll_accept(cx).map(Some),
        });
        match accepted.await {
            None => break,
            Some(Ok(client)) => admit(client, &worker),
            Some(Err(error)) if concerns_one_client(&error) => {}
            Some(Err(_)) => make_room(&worker, &mut timer).await,
        }
        // Who wants to come in is only seen by letting them in, so one place is kept free for them.
        // Each worker may let in one too many; the limit on descriptors has room for that.
        while worker.is_full() && !worker.is_draining() {
            make_room(&worker, &mut timer).await;
        }
    }
    for client in acceptor.shut(&mut timer).await {
        admit(client, &worker);
    }
}

fn admit((stream, client): Accepted, worker: &Rc<Worker>) {
    let place = Place::take(&worker.connections);
    // A panic ends this task and no other; the runtime catches it.
    spawn_local(connection::serve(stream, client, worker.clone(), place));
}

/// Closes the connection that has been silent the longest, and waits a moment for its place.
async fn make_room(worker: &Worker, timer: &mut Timer) {
    worker.reaper.close_stalest();
    timer.sleep(PAUSE).await;
}

/// Whether the client went away before it was accepted, and the next one may be fine.
fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::Config;
    use crate::listen::{self, Endpoint};
    use crate::service;
    use hyper::StatusCode;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::thread::{self, JoinHandle};

    fn orders(stage: watch::Receiver<Stage>, handler: Handler) -> Orders {
        let config = Config::default();
        Orders {
            limits: config.limits,
            times: config.times,
            handler,
            log: None,
            connections: Arc::new(AtomicUsize::new(0)),
            stage,
        }
    }

    /// A worker that does nothing.
    pub(crate) fn idle() -> Worker {
        Worker::new(&orders(watch::channel(Stage::Open).1, service::status))
    }

    /// A worker that runs in a thread of its own.
    pub(crate) struct Running {
        pub(crate) address: SocketAddr,
        connections: Arc<AtomicUsize>,
        stage: watch::Sender<Stage>,
        thread: JoinHandle<io::Result<()>>,
    }

    impl Running {
        pub(crate) fn start(handler: Handler) -> Running {
            let mut listeners = listen::open(&["127.0.0.1:0".parse().unwrap()], 1)
                .unwrap()
                .remove(0);
            let Endpoint::Inet(address) = listeners.address else {
                panic!("not TCP")
            };
            let (stage, receiver) = watch::channel(Stage::Open);
            let orders = orders(receiver, handler);
            let connections = orders.connections.clone();
            let thread = thread::spawn(move || run(vec![listeners.sockets.remove(0)], orders));
            Running {
                address,
                connections,
                stage,
                thread,
            }
        }

        /// Ends the worker once its connections have ended, and says how many are still counted.
        pub(crate) fn end(self, stage: Stage) -> usize {
            self.stage.send_replace(stage);
            self.thread.join().unwrap().unwrap();
            self.connections.load(Ordering::Relaxed)
        }
    }

    fn panic_if_asked(head: service::Head<'_>, draining: bool) -> StatusCode {
        assert_ne!(head.uri.path(), "/panic", "as asked");
        service::status(head, draining)
    }

    #[test]
    fn a_panic_ends_one_connection_and_no_other() {
        let worker = Running::start(panic_if_asked);
        let mut bystander = TcpStream::connect(worker.address).unwrap();
        let mut victim = TcpStream::connect(worker.address).unwrap();
        victim
            .write_all(b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert_eq!(
            victim.read(&mut [0]).unwrap_or(0),
            0,
            "the victim got an answer"
        );
        bystander.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        bystander.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("Hello World!"), "{answer}");
        drop(bystander);
        // The place of the victim was given back too, or the worker would never end.
        assert_eq!(worker.end(Stage::Shut), 0);
    }
}
