//! The program: reads what was asked for, opens the sockets, starts the workers, and waits for a
//! signal.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use server::config::{self, Command, Config};
use server::sys::{self, Signal, Signals};
use server::{listen, worker};

fn main() -> ExitCode {
    let command = config::parse(std::env::args_os().skip(1), |name| std::env::var_os(name));
    let result = match command {
        Ok(Command::Serve(config)) => serve(&config),
        Ok(Command::Help) => print(config::HELP),
        Ok(Command::Version) => print(concat!("server ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => {
            eprintln!("server: {error}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn serve(config: &Config) -> Result<()> {
    // First of all: as PID 1 an earlier signal would be lost.
    let signals = Signals::block()?;
    sys::raise_descriptor_limit()?;
    let workers = match config.workers {
        Some(workers) => workers,
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let opened: Vec<_> = config
        .listen
        .iter()
        .map(|endpoint| listen::open(endpoint, workers))
        .collect::<std::result::Result<_, _>>()?;
    let ready: Vec<_> = opened.iter().map(|listeners| listeners.url()).collect();
    let mut sockets: Vec<_> = opened
        .into_iter()
        .map(|listeners| listeners.sockets.into_iter())
        .collect();
    for number in 0..workers {
        let share = sockets.iter_mut().filter_map(Iterator::next).collect();
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                if let Err(error) = worker::run(share) {
                    eprintln!("server: worker {number} cannot start: {error}");
                    std::process::exit(1);
                }
            })?;
    }
    // The sockets are open: whoever connects from now on is answered.
    eprintln!("server: listening on {}", ready.join(" and "));
    loop {
        match signals.wait(None)? {
            Some(Signal::Stop(_)) => return Ok(()),
            Some(Signal::Child) if std::process::id() == 1 => drop(sys::reap_children()),
            Some(Signal::Child) | None => {}
        }
    }
}

/// Prints to standard output; a reader that went away is no error.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
