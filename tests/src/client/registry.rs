//! Debian's docker-registry on a port of this machine: one for everybody, and one with TLS and a
//! password.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::find;
use crate::command::Run;
use crate::{Missing, janitor, wait, world};

/// What htpasswd prints for this user and password.
const PASSWORDS: &str = "user:$2y$04$Ib62oCmjSJHzS1iQ16h1rOcjaLSAi/LETY3Ibch5DJlXpJOsd3y1u\n";

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    /// `localhost:PORT`.
    pub address: String,
    /// Where it keeps what it has, and its certificate.
    pub folder: PathBuf,
}

impl Registry {
    /// Who may use the one with a password.
    pub const USER: &str = "user";
    /// The password.
    pub const PASSWORD: &str = "secret";

    /// The registry of this suite that speaks plain HTTP to everybody.
    ///
    /// # Errors
    /// When docker-registry is not installed or does not start.
    pub fn plain() -> Result<&'static Self, Missing> {
        static PLAIN: OnceLock<Result<Registry, Missing>> = OnceLock::new();
        PLAIN
            .get_or_init(|| Self::start("registry", ""))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The registry of this suite that speaks TLS and wants a password.
    ///
    /// # Errors
    /// When docker-registry or openssl is not installed, or it does not start.
    pub fn secure() -> Result<&'static Self, Missing> {
        static SECURE: OnceLock<Result<Registry, Missing>> = OnceLock::new();
        SECURE
            .get_or_init(|| {
                let openssl = find("openssl")?;
                let folder = world::base().join("registry-tls");
                fs::create_dir(&folder).map_err(|error| Missing::because(error.to_string()))?;
                certify(&openssl, &folder);
                fs::write(folder.join("htpasswd"), PASSWORDS).expect("our own folder");
                let folder = folder.display();
                Self::start(
                    "registry-tls",
                    &format!(
                        ", tls: {{certificate: {folder}/cert.pem, key: {folder}/key.pem}}}}\n\
                         auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}"
                    ),
                )
            })
            .as_ref()
            .map_err(Clone::clone)
    }

    /// `more` goes on behind the address of the configuration's `http`.
    fn start(name: &str, more: &str) -> Result<Self, Missing> {
        let program = find("docker-registry")?;
        let folder = world::base().join(name);
        fs::create_dir_all(&folder).map_err(|error| Missing::because(error.to_string()))?;
        let port = wait::free_port();
        let settings = format!(
            "version: 0.1\nlog: {{level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {}/data}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:{port}'{more}}}\n",
            folder.display()
        );
        let path = folder.join("config.yml");
        fs::write(&path, settings).map_err(|error| Missing::because(error.to_string()))?;
        let running = Run::new(program).args([Path::new("serve"), &path]).spawn();
        janitor::at_the_end(&format!("kill {}", running.pid()));
        let accepts = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        if wait::poll(Duration::from_secs(20), accepts).is_none() {
            let said = running.stderr();
            return Err(Missing::because(format!(
                "docker-registry did not start: {said}"
            )));
        }
        // It is the janitor's now.
        std::mem::forget(running);
        let address = format!("localhost:{port}");
        Ok(Self { address, folder })
    }

    /// A reference in it.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// The folder with its certificate, for `--cert-dir`.
    #[must_use]
    pub fn certificates(&self) -> PathBuf {
        self.folder.join("certs")
    }
}

/// A key, and a certificate that it has signed itself, as the owner of a private registry makes
/// them.
fn certify(openssl: &Path, folder: &Path) {
    let path = |name: &str| folder.join(name).into_os_string();
    Run::new(openssl)
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args([
            "-keyout".into(),
            path("key.pem"),
            "-out".into(),
            path("cert.pem"),
        ])
        .succeed();
    let certificates = folder.join("certs");
    fs::create_dir(&certificates).expect("our own folder");
    fs::copy(folder.join("cert.pem"), certificates.join("ca.crt")).expect("our own folder");
}
