//! What the verbs that speak to registries have in common: their flags, and what they say while
//! images are on their way.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use packer::Digest;
use packer::credentials::Credentials;
use packer::image::{Descriptor, Platform};
use packer::place::Step;
use packer::registry::{Access, Options, Pushing, RETRIES, Verify};

use super::report;

// How registries are asked.
#[derive(Debug, clap::Args)]
pub(super) struct RegistryArguments {
    /// Whether the registry must prove who it is; false allows plain HTTP too [default: true, and
    /// plain HTTP on this machine]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) tls_verify: Option<bool>,

    /// Read credentials from this file and no other
    #[arg(long, value_name = "FILE")]
    pub(super) authfile: Option<PathBuf>,

    /// Use certificates from this folder
    #[arg(long, value_name = "DIR")]
    pub(super) cert_dir: Option<PathBuf>,

    /// Try so often again when the registry is busy or the connection breaks
    #[arg(long, value_name = "NUMBER", default_value_t = RETRIES)]
    pub(super) retry: u32,
}

impl RegistryArguments {
    /// The way to registries.
    pub(super) fn access(&self, credentials: Option<Credentials>) -> anyhow::Result<Access> {
        Ok(Access::new(self.options(credentials))?)
    }

    /// What was typed about them.
    pub(super) fn options(&self, credentials: Option<Credentials>) -> Options {
        Options {
            verify: match self.tls_verify {
                None => Verify::Default,
                Some(true) => Verify::Always,
                Some(false) => Verify::Never,
            },
            authfile: self.authfile.clone(),
            credentials,
            certificates: self.cert_dir.clone(),
            retries: self.retry,
            ..Options::default()
        }
    }
}

/// `OS/ARCHITECTURE[/VARIANT]` of a command line.
pub(super) fn platform(text: &str) -> Result<Platform, String> {
    Platform::parse(text)
}

/// Says what is on its way: podman's lines, and a bar a blob where somebody looks.
pub(super) struct Watcher {
    quiet: bool,
    bars: MultiProgress,
    running: Mutex<BTreeMap<Digest, ProgressBar>>,
}

impl Watcher {
    pub(super) fn new(quiet: bool) -> Self {
        let watcher = Self {
            quiet,
            bars: MultiProgress::new(),
            running: Mutex::default(),
        };
        watcher.say("Getting image source signatures");
        watcher
    }

    /// What a push does.
    pub(super) fn pushing(&self, what: Pushing<'_>) {
        match what {
            Pushing::Blob(blob) => self.begin(blob),
            Pushing::Present(blob) => {
                self.say(&format!("{} skipped: already exists", copying(blob)));
            }
            Pushing::Bytes(blob, sent) => {
                if let Some(bar) = self.running().get(&blob.digest) {
                    bar.set_position(sent);
                }
            }
            Pushing::Manifest => {
                self.end_all();
                self.say("Writing manifest to image destination");
            }
        }
    }

    /// What a copy into an archive does.
    pub(super) fn copying(&self, what: Step<'_>) {
        match what {
            Step::Layer { layer, present } => {
                self.end_all();
                match present {
                    true => self.say(&format!("{} skipped: already exists", copying(layer))),
                    false => self.begin(layer),
                }
            }
            Step::Bytes(count) => {
                for bar in self.running().values() {
                    bar.inc(count);
                }
            }
            Step::Config(digest) => {
                self.end_all();
                self.say(&format!("Copying config {digest}"));
            }
            Step::Manifest => self.say("Writing manifest to image destination"),
        }
    }

    fn begin(&self, blob: &Descriptor) {
        self.say(&copying(blob));
        if !self.quiet && io::stderr().is_terminal() {
            let bar = self.bars.add(bar(blob.size));
            self.running().insert(blob.digest, bar);
        }
    }

    fn end_all(&self) {
        for bar in std::mem::take(&mut *self.running()).into_values() {
            bar.finish_and_clear();
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Digest, ProgressBar>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.bars.suspend(|| report::tell(line));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end_all();
    }
}

fn copying(blob: &Descriptor) -> String {
    let kind = if blob.is_config() { "config" } else { "blob" };
    format!("Copying {kind} {}", blob.digest)
}

fn bar(size: u64) -> ProgressBar {
    let template = "  {bar:40} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(size).with_style(style)
}
