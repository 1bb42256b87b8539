//! What the server's suites share: the built binary, a running server that ends with its test, and
//! a client that sends bytes as they are and reads answers by the rules.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each suite is a crate of its own that uses a part of it"
)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take that should be immediate, on a busy machine.
pub const SOON: Duration = Duration::from_secs(5);

/// The server's binary, built in the profile of this test.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        // target/PROFILE/deps/TEST
        let folder = test.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "-p", "server"])
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.env("CARGO_TARGET_DIR", folder.parent().unwrap());
        assert!(
            cargo.status().unwrap().success(),
            "the server does not compile"
        );
        folder.join("server")
    })
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
    /// How many sockets it has without a client.
    own_sockets: usize,
    /// Kept open, or the server would write into a closed pipe.
    stderr: BufReader<std::process::ChildStderr>,
}

impl Server {
    /// Starts the server on a free port of 127.0.0.1 and waits until it is ready.
    pub fn start(arguments: &[&str]) -> Server {
        let mut command = Command::new(binary());
        command
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::null());
        Server::spawn(command)
    }

    /// Starts a command that becomes a server which listens on TCP.
    pub fn spawn(mut command: Command) -> Server {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let url = line
            .trim_end()
            .rsplit_once("http://")
            .unwrap_or_else(|| panic!("not ready: {line:?}"))
            .1;
        let address = url.replace("localhost", "127.0.0.1").parse().unwrap();
        let mut server = Server {
            child,
            address,
            own_sockets: 0,
            stderr,
        };
        server.own_sockets = server.sockets();
        server
    }

    pub fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn signal(&self, signal: &str) {
        signal_process(self.pid(), signal);
    }

    /// Waits for the end.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return Some(status),
                None if start.elapsed() > limit => return None,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// What the server said after its first line; it must have ended.
    pub fn said(&mut self) -> String {
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        text
    }

    /// How many clients it has.
    pub fn connections(&self) -> usize {
        self.sockets().saturating_sub(self.own_sockets)
    }

    fn sockets(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        let links = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links
            .filter(|link| link.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// The CPU time that it has used, in ticks of 10 ms.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<_> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by its name.
pub fn signal_process(pid: i32, signal: &str) {
    let signal = match signal {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        other => panic!("no test sends {other}"),
    };
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn is_last(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A client that says exactly what it is told.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap()
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, SOON)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        // A server that has already refused may have closed; the answer is still to be read.
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
        self
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) -> &mut Client {
        let _ = self.stream.get_ref().shutdown(std::net::Shutdown::Write);
        self
    }

    pub fn get(&mut self, path: &str) -> Option<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .answer()
    }

    /// The next answer to a request that was not HEAD; `None` if the server has closed.
    pub fn answer(&mut self) -> Option<Answer> {
        self.try_answer(true)
            .unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The next answer, with or without the body that its length promises.
    pub fn try_answer(&mut self, has_body: bool) -> io::Result<Option<Answer>> {
        let wrong = |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{line:?}"));
        let first = self.line()?;
        if first.is_empty() {
            return Ok(None);
        }
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .or(first.strip_prefix("HTTP/1.0 "));
        let status = status
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| wrong(&first))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let field = line.strip_suffix("\r\n").ok_or_else(|| wrong(&line))?;
            if field.is_empty() {
                break;
            }
            let (name, value) = field.split_once(':').ok_or_else(|| wrong(field))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        if has_body && status >= 200 {
            answer.body.resize(length, 0);
            self.stream.read_exact(&mut answer.body)?;
        }
        Ok(Some(answer))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        String::from_utf8(line).map_err(io::Error::other)
    }

    /// Whether the server closes without another byte.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}
