//! What the user asked for: flags and environment become one value, checked once, so that
//! nothing deeper inside ever looks at a string again.
//!
//! The parser is `lexopt`: one file and no dependencies. A derive-style parser would cost more
//! than the rest of the server, in bytes and in the compile time between a clone and the page.

use std::ffi::{OsStr, OsString};
use std::fmt;

use lexopt::prelude::*;

use crate::listen::Endpoint;

/// The text of `--help`.
pub const HELP: &str = "\
A small HTTP server: every path and every method gets `Hello World!`.

Usage: server [OPTIONS]

Options:
  -l, --listen <ADDRESS>  Where to listen; may be repeated [default: [::]:8080, with IPv4]
                            8080             every address, IPv6 and IPv4
                            127.0.0.1:8080   this address only; [::1]:8080 for IPv6
      --workers <N>       Threads that serve [default: one a core]
  -h, --help              Print this help
  -V, --version           Print the version

Environment:
  PORT                    The port to listen on where --listen is not given

TERM or INT ends the server. Exit codes: 0 ended by a signal, 1 could not serve, 2 bad usage.
";

/// The port that is listened on when nobody says otherwise.
pub const DEFAULT_PORT: u16 = 8080;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve until a signal comes.
    Serve(Config),
    /// Print [`HELP`].
    Help,
    /// Print name and version.
    Version,
}

/// How to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen; never empty.
    pub listen: Vec<Endpoint>,
    /// How many threads serve; `None` is one a core.
    pub workers: Option<usize>,
}

/// A command line or environment that makes no sense; prints as one line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; see server --help", self.0)
    }
}

impl std::error::Error for UsageError {}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        UsageError(error.to_string())
    }
}

/// Reads the arguments (without the program's name) and the environment.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut listen = Vec::new();
    let mut workers = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('l') | Long("listen") => listen.push(value(&mut parser, "--listen")?),
            Long("workers") => workers = Some(positive(&mut parser, "--workers")?),
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            other => return Err(other.unexpected().into()),
        }
    }
    if listen.is_empty() {
        let port = environment("PORT").filter(|port| !port.is_empty());
        listen.push(Endpoint::Any(
            port.map_or(Ok(DEFAULT_PORT), |port| port_from(&port))?,
        ));
    }
    Ok(Command::Serve(Config { listen, workers }))
}

fn value<T>(parser: &mut lexopt::Parser, flag: &str) -> Result<T, UsageError>
where
    T: std::str::FromStr<Err: fmt::Display>,
{
    let text = parser.value()?;
    let parsed = text.to_str().ok_or_else(|| "not UTF-8".to_owned());
    parsed
        .and_then(|text| text.parse().map_err(|error: T::Err| error.to_string()))
        .map_err(|error| UsageError(format!("{flag} {text:?}: {error}")))
}

fn positive(parser: &mut lexopt::Parser, flag: &str) -> Result<usize, UsageError> {
    match value(parser, flag)? {
        0 => Err(UsageError(format!("{flag} 0: must be at least 1"))),
        number => Ok(number),
    }
}

fn port_from(text: &OsStr) -> Result<u16, UsageError> {
    let port = text.to_str().and_then(|text| text.parse().ok());
    port.ok_or_else(|| {
        UsageError(format!(
            "the environment variable PORT is {text:?}, which is no port (0 to 65535)"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(arguments: &[&str], port: Option<&str>) -> Result<Config, String> {
        let environment = |name: &str| port.filter(|_| name == "PORT").map(OsString::from);
        match parse(arguments.iter().map(OsString::from), environment) {
            Ok(Command::Serve(config)) => Ok(config),
            Ok(other) => panic!("not a command to serve: {other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn listens_on_port_8080_of_every_address_by_default() {
        assert_eq!(serve(&[], None).unwrap().listen, [Endpoint::Any(8080)]);
        assert_eq!(serve(&[], Some("")).unwrap().listen, [Endpoint::Any(8080)]);
    }

    #[test]
    fn takes_the_port_from_the_environment_unless_a_flag_says_otherwise() {
        assert_eq!(
            serve(&[], Some("9000")).unwrap().listen,
            [Endpoint::Any(9000)]
        );
        let config = serve(&["--listen", "127.0.0.1:81", "-l82"], Some("9000")).unwrap();
        assert_eq!(
            config.listen,
            [
                Endpoint::Inet("127.0.0.1:81".parse().unwrap()),
                Endpoint::Any(82)
            ]
        );
    }

    #[test]
    fn refuses_nonsense_with_one_line_that_names_it() {
        for (arguments, port, named) in [
            (&["--lisen=1"][..], None, "--lisen"),
            (&["--listen=65536"], None, "65536"),
            (&["--workers=0"], None, "--workers"),
            (&["surplus"], None, "surplus"),
            (&[], Some("http"), "PORT"),
        ] {
            let error = serve(arguments, port).unwrap_err();
            assert!(
                error.contains(named) && !error.contains('\n'),
                "{arguments:?}: {error}"
            );
        }
    }
}
