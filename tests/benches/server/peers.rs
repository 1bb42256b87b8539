//! The servers that are compared, each with one thread on the first core and the same twelve bytes.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that can be started.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The command; `PORT` in it stands for the port.
    pub(crate) command: Vec<String>,
    /// Whether it runs in one process of its own, so that its instructions can be counted.
    pub(crate) is_native: bool,
}

impl Peer {
    fn new(name: &'static str, command: &[&str], is_native: bool) -> Peer {
        Peer {
            name,
            command: command.iter().map(|word| (*word).into()).collect(),
            is_native,
        }
    }
}

/// Every peer that is installed here; the raw loop comes first.
pub(crate) fn all() -> Vec<Peer> {
    let this = std::env::current_exe()
        .expect("this program")
        .display()
        .to_string();
    let nginx = nginx_configuration();
    let guile = "(use-modules (web server)) (run-server (lambda (request body) \
                 (values '((content-type . (text/plain))) \"Hello World!\")) 'http '(#:port PORT))";
    let mut peers = vec![
        Peer::new("raw loop", &[&this, super::raw::FLAG, "PORT"], true),
        Peer::new(
            "server",
            &[&build(), "--listen", "127.0.0.1:PORT", "--workers", "1"],
            true,
        ),
        Peer::new(
            "hyper example",
            &[&this, super::example::FLAG, "PORT"],
            true,
        ),
        Peer::new(
            "nginx",
            &[
                "nginx",
                "-c",
                &nginx,
                "-e",
                "/dev/null",
                "-g",
                "daemon off; master_process off;",
            ],
            true,
        ),
    ];
    match go_example() {
        Ok(example) => peers.push(Peer::new("go", &[&example, "PORT"], false)),
        Err(reason) => println!("go: did not run, because {reason}"),
    }
    peers.push(Peer::new("guile", &["guile", "-c", guile], false));
    peers.retain(|peer| {
        let program = &peer.command[0];
        let is_here = program.contains('/') || Command::new(program).arg("-v").output().is_ok();
        if !is_here {
            println!("{program}: did not run, because it is not installed");
        }
        is_here
    });
    peers
}

/// Compiles our server as a distribution would ship it: static where the musl target is installed.
fn build() -> String {
    let this = std::env::current_exe().expect("this program");
    // target/release/deps/server-HASH
    let target = this.ancestors().nth(3).expect("the target folder");
    let musl = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    for triple in [Some(&musl), None] {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--profile", "dist", "-p", "server"]);
        cargo.args(triple.map(|triple| format!("--target={triple}")));
        cargo
            .env("CARGO_TARGET_DIR", target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::null());
        if cargo.status().is_ok_and(|status| status.success()) {
            return target
                .join(triple.map_or("", String::as_str))
                .join("dist/server")
                .display()
                .to_string();
        }
    }
    panic!("the server does not compile");
}

/// Compiles the server that Go's documentation begins with.
fn go_example() -> Result<String, String> {
    const SOURCE: &str = r#"package main

import ("io"; "net/http"; "os")

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Hello World!") })
	http.ListenAndServe("127.0.0.1:" + os.Args[1], nil)
}
"#;
    let folder = std::env::temp_dir().join(format!("server-bench-go-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    fs::write(folder.join("main.go"), SOURCE).map_err(|error| error.to_string())?;
    let output = Command::new("go")
        .args(["build", "-o", "example", "main.go"])
        .env("GOCACHE", folder.join("cache"))
        .env("GO111MODULE", "off")
        .current_dir(&folder)
        .output()
        .map_err(|error| format!("go is not installed ({error})"))?;
    let compiled = folder.join("example");
    if output.status.success() {
        Ok(compiled.display().to_string())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Removes what the peers needed.
pub(crate) fn clean_up() {
    let of_this = |name: &str| std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(of_this("server-bench-go"));
    let _ = fs::remove_file(of_this("server-bench").with_extension("conf"));
    let _ = fs::remove_file(of_this("server-bench").with_extension("pid"));
}

/// nginx can only be told its port in a file, so it has a fixed one below those of clients.
const NGINX_PORT: u16 = 18_999;

fn nginx_configuration() -> String {
    let path: PathBuf =
        std::env::temp_dir().join(format!("server-bench-{}.conf", std::process::id()));
    // nginx removes its pid file when it ends, so that is nothing to share: for root, /dev/null would go.
    let text = format!(
        "worker_processes 1;
         pid {pid};
         events {{ worker_connections 20000; }}
         http {{
             access_log off;
             keepalive_requests 1000000000;
             default_type 'text/plain;charset=utf-8';
             server {{
                 listen 127.0.0.1:{NGINX_PORT} backlog=4096;
                 location / {{ return 200 'Hello World!'; }}
             }}
         }}",
        pid = path.with_extension("pid").display(),
    );
    fs::write(&path, text).expect("to write nginx's configuration");
    path.display().to_string()
}

/// A peer that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) port: u16,
}

impl Running {
    /// Starts a peer on the first core and waits until it answers.
    pub(crate) fn start(peer: &Peer) -> Running {
        let server = Running::spawn(peer, &["taskset", "-c", "0"]);
        server.wait();
        server
    }

    /// Starts a peer behind a `wrapper`, which may be empty.
    pub(crate) fn spawn(peer: &Peer, wrapper: &[&str]) -> Running {
        let free = || {
            TcpListener::bind("127.0.0.1:0")
                .and_then(|free| free.local_addr())
                .expect("a free port")
                .port()
        };
        let port = if peer.name == "nginx" {
            NGINX_PORT
        } else {
            free()
        };
        let own = peer
            .command
            .iter()
            .map(|word| word.replace("PORT", &port.to_string()));
        let words: Vec<_> = wrapper
            .iter()
            .map(|word| (*word).to_owned())
            .chain(own)
            .collect();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Running {
            child: command.spawn().expect("to start a peer"),
            port,
        }
    }

    /// Waits until the first answer has come.
    pub(crate) fn wait(&self) {
        let start = Instant::now();
        while !self.answers() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "a peer never answered on port {}",
                self.port
            );
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let request = stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        request.is_ok() && stream.read(&mut [0; 512]).is_ok_and(|length| length > 0)
    }

    /// Ends it as its user would, so that a wrapper writes its report.
    pub(crate) fn end(&mut self) {
        let own = self.processes().last().copied().unwrap_or(self.child.id());
        let _ = Command::new("kill").arg(own.to_string()).status();
        let _ = self.child.wait();
    }

    /// The process and its children.
    fn processes(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|child| child.parse().ok());
        [pid].into_iter().chain(children).collect()
    }

    /// Seconds of CPU that it has used, in the kernel too.
    pub(crate) fn cpu(&self) -> f64 {
        let nanoseconds = self.processes().into_iter().flat_map(|pid| {
            let threads = fs::read_dir(format!("/proc/{pid}/task"))
                .into_iter()
                .flatten()
                .flatten();
            threads.filter_map(|thread| {
                let statistics = fs::read_to_string(thread.path().join("schedstat")).ok()?;
                statistics.split_whitespace().next()?.parse::<u64>().ok()
            })
        });
        nanoseconds.sum::<u64>() as f64 / 1e9
    }

    /// The memory that is its own, in kB.
    pub(crate) fn pss_kb(&self) -> f64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))
            .expect("its memory");
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .expect("a line");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The parent first, or nginx's would start its child again.
        for process in self.processes() {
            let _ = Command::new("kill")
                .args(["-9", &process.to_string()])
                .stderr(Stdio::null())
                .status();
        }
        let _ = self.child.wait();
    }
}
