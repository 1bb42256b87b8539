//! The program: reads what was asked for, opens the sockets, starts the workers, waits for a
//! signal, and sees the workers to their end.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::access::Log;
use server::config::{self, Command, Config};
use server::drain::Stage;
use server::signals::{self, Signal, Signals};
use server::worker::{self, Orders};
use server::{health, listen, ready, say, service};
use tokio::sync::watch;

/// The distance between two looks at whether the workers have ended.
const PATROL: Duration = Duration::from_millis(2);

/// Descriptors that are not for clients: the standard three, what each worker's runtime needs, and
/// a few to spare.
const OWN_DESCRIPTORS: usize = 32;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let command = match config::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(command) => command,
        Err(error) => {
            say(format_args!("{error}"));
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Serve(config) => serve(config),
        Command::Health(endpoint) => health::check(&endpoint).map_err(Into::into),
        Command::Help => print(config::HELP),
        Command::Version => print(concat!("server ", env!("CARGO_PKG_VERSION"), "\n")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(mut config: Config) -> Result<()> {
    // First of all: as PID 1 an earlier signal would be lost.
    let blocked = signals::block()?;
    let count = config
        .workers
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let opened = listen::open(&config.listen, count)?;
    let signals = blocked.open()?;
    let descriptors = raise_descriptor_limit();
    let own = OWN_DESCRIPTORS + count * (8 + 2 * opened.len());
    config.limits.connections = config
        .limits
        .connections
        .min(descriptors.saturating_sub(own).max(1));
    let ready: Vec<_> = opened.iter().map(listen::Listeners::url).collect();
    let files: Vec<_> = opened
        .iter()
        .filter_map(|listeners| listeners.file.clone())
        .collect();

    let (stage, receiver) = watch::channel(Stage::Open);
    let (log, writer) = config.access_log.then(Log::start).transpose()?.unzip();
    let orders = Orders {
        limits: config.limits,
        times: config.times,
        handler: service::status,
        log,
        connections: Arc::new(AtomicUsize::new(0)),
        stage: receiver,
    };
    let connections = orders.connections.clone();
    let mut threads = start(opened, count, orders)?;
    // When the last worker drops its end of the log, the writer comes to its own.
    threads.extend(writer);

    // The sockets are open: whoever connects from now on is answered.
    say(format_args!("listening on {}", ready.join(" and ")));
    tell_supervisor(ready::READY);
    await_signal(&signals)?;
    tell_supervisor(ready::STOPPING);
    drain(&signals, &config, &stage, &threads)?;
    match connections.load(Ordering::Relaxed) {
        0 => {}
        left => say(format_args!(
            "cut {left} connections that did not end within {} s",
            config.drain.as_secs()
        )),
    }
    for file in files {
        // Someone else may have removed it; either way it is gone.
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}

/// Raises the soft limit on open descriptors to the hard one, and returns the limit.
fn raise_descriptor_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = setrlimit(Resource::Nofile, raised).map_or(current, |()| maximum);
    // None is "unlimited".
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Starts `count` workers, each with its share of the sockets.
fn start(
    opened: Vec<listen::Listeners>,
    count: usize,
    orders: Orders,
) -> Result<Vec<JoinHandle<()>>> {
    let mut sockets: Vec<_> = opened
        .into_iter()
        .map(|listeners| listeners.sockets.into_iter())
        .collect();
    let mut workers = Vec::new();
    for number in 0..count {
        let share = sockets.iter_mut().filter_map(Iterator::next).collect();
        let orders = orders.clone();
        let worker = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                if let Err(error) = worker::run(share, orders) {
                    say(format_args!("worker {number} cannot start: {error}"));
                    std::process::exit(1);
                }
            });
        workers.push(worker?);
    }
    Ok(workers)
}

/// Waits until the server is to end.
fn await_signal(signals: &Signals) -> Result<()> {
    loop {
        match signals.wait(None)? {
            Some(Signal::Stop(_)) => return Ok(()),
            other => reap(other),
        }
    }
}

/// Leads the threads through the stages of the end, until they are there or time is up.
fn drain(
    signals: &Signals,
    config: &Config,
    stage: &watch::Sender<Stage>,
    threads: &[JoinHandle<()>],
) -> Result<()> {
    let start = Instant::now();
    loop {
        let now = Stage::after(start.elapsed(), config.drain);
        stage.send_if_modified(|stage| std::mem::replace(stage, now) != now);
        if now == Stage::Over || threads.iter().all(JoinHandle::is_finished) {
            return Ok(());
        }
        match signals.wait(Some(PATROL))? {
            Some(Signal::Stop(number)) => std::process::exit(128 + number),
            other => reap(other),
        }
    }
}

/// As PID 1 every orphan of the container is our child.
fn reap(signal: Option<Signal>) {
    if signal == Some(Signal::Child) && std::process::id() == 1 {
        signals::reap_children();
    }
}

fn tell_supervisor(state: &str) {
    let socket: Option<OsString> =
        std::env::var_os(ready::VARIABLE).filter(|socket| !socket.is_empty());
    if let Some(Err(error)) = socket.map(|socket| ready::notify(&socket, state)) {
        say(format_args!(
            "cannot tell {} that {state}: {error}",
            ready::VARIABLE
        ));
    }
}

/// Prints to standard output; a reader that went away is no error.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
