//! What the user asked for: flags and environment become one value, checked once, so that
//! nothing deeper inside ever looks at a string again.
//!
//! The parser is `lexopt`: one file and no dependencies. A derive-style parser would cost more
//! than the rest of the server, in bytes and in the compile time between a clone and the page.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;

use crate::listen::Endpoint;
use crate::reaper::Times;

/// The text of `--help`.
pub const HELP: &str = "\
A small HTTP server: every path and every method gets `Hello World!`.

Usage: server [OPTIONS]
       server health [ADDRESS]   ask a running server; exit code 0 if it is well, else 1

Where:
  -l, --listen <ADDRESS>      may be repeated [default: [::]:8080, with IPv4]
                                8080             every address, IPv6 and IPv4
                                127.0.0.1:8080   this address; [::1]:8080 for IPv6
                                unix:/run/s.sock a unix socket
                                fd:3             a listening socket that was handed in

Limits (a request beyond one gets 413 or 431):
      --max-connections <N>   [default: what the limit on descriptors allows]
      --max-head <BYTES>      request line and headers together [default: 32768]
      --max-headers <N>       headers of a request [default: 100]
      --max-body <BYTES>      body of a request [default: 1048576]

Time limits in seconds:
      --head-timeout <S>      from the first byte of a request to its last header [default: 10]
      --idle-timeout <S>      between two requests [default: 75]
      --body-timeout <S>      for the body of a request [default: 30]
      --write-timeout <S>     for a client to take its answers [default: 30]
      --drain-timeout <S>     from TERM or INT to the end, whoever is still there [default: 8]

Other:
      --workers <N>           threads that serve [default: one a core]
      --access-log            write a line for each request to standard output
  -h, --help                  print this help
  -V, --version               print the version

Environment:
  PORT                        the port to listen on where --listen is not given
  LISTEN_FDS, LISTEN_PID      sockets handed in by systemd; they come before PORT
  NOTIFY_SOCKET               is told READY=1 and STOPPING=1

Paths: /healthz and /livez say that the server lives, /readyz that it wants requests (503 while it
drains). TERM or INT lets it answer what clients have sent and end; a second one ends it at once.
Exit codes: 0 ended by a signal, 1 could not serve or is not well, 2 bad usage, 128+n cut short.
";

/// The port that is listened on when nobody says otherwise.
pub const DEFAULT_PORT: u16 = 8080;

/// The first descriptor that systemd hands in (`sd_listen_fds(3)`).
const FIRST_HANDED_IN: i32 = 3;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve until a signal comes.
    Serve(Config),
    /// Ask the server at this place how it is.
    Health(Endpoint),
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
    /// How large and how many.
    pub limits: Limits,
    /// How long, for a connection.
    pub times: Times,
    /// How long, for the end of the server.
    pub drain: Duration,
    /// Whether each request is logged.
    pub access_log: bool,
}

/// How large things may be, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; `usize::MAX` is as many as there are descriptors for.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of a request's body.
    pub body: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: Vec::new(),
            workers: None,
            limits: Limits {
                connections: usize::MAX,
                head: 32 * 1024,
                headers: 100,
                body: 1024 * 1024,
            },
            times: Times {
                head: 10,
                idle: 75,
                body: 30,
                write: 30,
            },
            // Below the ten seconds after which podman and docker kill.
            drain: Duration::from_secs(8),
            access_log: false,
        }
    }
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
    let mut config = Config::default();
    while let Some(argument) = parser.next()? {
        let Config { limits, times, .. } = &mut config;
        match argument {
            Short('l') | Long("listen") => config.listen.push(value(&mut parser, "--listen")?),
            Long("workers") => config.workers = Some(positive(&mut parser, "--workers")?),
            Long("max-connections") => {
                limits.connections = positive(&mut parser, "--max-connections")?
            }
            Long("max-head") => limits.head = positive(&mut parser, "--max-head")?,
            Long("max-headers") => limits.headers = positive(&mut parser, "--max-headers")?,
            Long("max-body") => limits.body = value(&mut parser, "--max-body")?,
            Long("head-timeout") => times.head = positive(&mut parser, "--head-timeout")?,
            Long("idle-timeout") => times.idle = positive(&mut parser, "--idle-timeout")?,
            Long("body-timeout") => times.body = positive(&mut parser, "--body-timeout")?,
            Long("write-timeout") => times.write = positive(&mut parser, "--write-timeout")?,
            Long("drain-timeout") => {
                config.drain =
                    Duration::from_secs(u32::into(value(&mut parser, "--drain-timeout")?));
            }
            Long("access-log") => config.access_log = true,
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Value(command) if command == "health" && config == Config::default() => {
                return health(&mut parser, environment);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if config.listen.is_empty() {
        config.listen = handed_in(&environment)?;
    }
    if config.listen.is_empty() {
        config.listen.push(default_endpoint(&environment)?);
    }
    Ok(Command::Serve(config))
}

fn health(
    parser: &mut lexopt::Parser,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    let mut endpoint = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Value(text) if endpoint.is_none() => endpoint = Some(parse_value("health", &text)?),
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    match endpoint.map_or_else(|| default_endpoint(&environment), Ok)? {
        Endpoint::Fd(_) => Err(UsageError("health: a descriptor cannot be asked".into())),
        endpoint => Ok(Command::Health(endpoint)),
    }
}

fn default_endpoint(
    environment: &impl Fn(&str) -> Option<OsString>,
) -> Result<Endpoint, UsageError> {
    let port = environment("PORT").filter(|port| !port.is_empty());
    Ok(Endpoint::Any(
        port.map_or(Ok(DEFAULT_PORT), |port| port_from(&port))?,
    ))
}

/// The sockets of socket activation, if they are meant for this process.
fn handed_in(environment: &impl Fn(&str) -> Option<OsString>) -> Result<Vec<Endpoint>, UsageError> {
    let number = |name| environment(name).and_then(|text| text.to_str()?.parse::<u32>().ok());
    match (number("LISTEN_PID"), environment("LISTEN_FDS")) {
        (Some(pid), Some(text)) if pid == std::process::id() => match number("LISTEN_FDS") {
            Some(count @ ..1024) => Ok((FIRST_HANDED_IN..)
                .take(count as usize)
                .map(Endpoint::Fd)
                .collect()),
            _ => Err(UsageError(format!(
                "the environment variable LISTEN_FDS is {text:?}, which is no number"
            ))),
        },
        _ => Ok(Vec::new()),
    }
}

fn value<T: FromStr<Err: fmt::Display>>(
    parser: &mut lexopt::Parser,
    flag: &str,
) -> Result<T, UsageError> {
    parse_value(flag, &parser.value()?)
}

fn parse_value<T: FromStr<Err: fmt::Display>>(flag: &str, text: &OsStr) -> Result<T, UsageError> {
    let utf8 = text.to_str().ok_or_else(|| "is not UTF-8".to_owned());
    utf8.and_then(|text| text.parse().map_err(|error: T::Err| error.to_string()))
        .map_err(|error| UsageError(format!("{flag} {text:?}: {error}")))
}

fn positive<T: FromStr<Err: fmt::Display> + PartialEq + Default>(
    parser: &mut lexopt::Parser,
    flag: &str,
) -> Result<T, UsageError> {
    match value(parser, flag)? {
        number if number == T::default() => {
            Err(UsageError(format!("{flag} 0: must be at least 1")))
        }
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
    fn sockets_that_were_handed_in_come_before_the_port() {
        let environment = |pid: u32| {
            move |name: &str| match name {
                "LISTEN_PID" => Some(pid.to_string().into()),
                "LISTEN_FDS" => Some("2".into()),
                "PORT" => Some("9000".into()),
                _ => None,
            }
        };
        let listen = |pid| match parse([], environment(pid)) {
            Ok(Command::Serve(config)) => config.listen,
            other => panic!("not a command to serve: {other:?}"),
        };
        assert_eq!(
            listen(std::process::id()),
            [Endpoint::Fd(3), Endpoint::Fd(4)]
        );
        assert_eq!(listen(std::process::id() + 1), [Endpoint::Any(9000)]);
    }

    #[test]
    fn every_limit_has_a_flag() {
        let flags = "--max-connections 1 --max-head 2 --max-headers 3 --max-body 4 --head-timeout 5 \
                     --idle-timeout 6 --body-timeout 7 --write-timeout 8 --drain-timeout 9 --access-log";
        let config = serve(&flags.split_whitespace().collect::<Vec<_>>(), None).unwrap();
        assert_eq!(
            config.limits,
            Limits {
                connections: 1,
                head: 2,
                headers: 3,
                body: 4
            }
        );
        assert_eq!(
            config.times,
            Times {
                head: 5,
                idle: 6,
                body: 7,
                write: 8
            }
        );
        assert_eq!(config.drain, Duration::from_secs(9));
        assert!(config.access_log);
        for word in flags
            .split_whitespace()
            .filter(|word| word.starts_with("--"))
        {
            assert!(HELP.contains(word), "{word} is not in the help");
        }
    }

    #[test]
    fn health_asks_where_the_server_listens_by_default() {
        let health = |arguments: &[&str]| {
            parse(arguments.iter().map(OsString::from), |name| {
                (name == "PORT").then(|| "9000".into())
            })
        };
        assert_eq!(
            health(&["health"]),
            Ok(Command::Health(Endpoint::Any(9000)))
        );
        assert_eq!(
            health(&["health", "81"]),
            Ok(Command::Health(Endpoint::Any(81)))
        );
        assert!(health(&["health", "fd:3"]).is_err());
        assert!(health(&["health", "81", "82"]).is_err());
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
