//! Showing how the copying of an image goes on: podman's lines, and on a terminal a bar for each
//! layer.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use packer::Digest;
use packer::image::Descriptor;
use packer::place::Step;
use packer::registry::Pushing;

use crate::human::tell;

/// Tells on standard error what is done, unless it is to be quiet.
#[derive(Debug)]
pub(super) struct Watch {
    quiet: bool,
    bar: ProgressBar,
}

impl Watch {
    /// For one image.
    pub(super) fn new(quiet: bool) -> Self {
        let watch = Self::of_a_save(quiet);
        watch.say("Getting image source signatures");
        watch
    }

    /// The same for an image that goes into an archive, of which podman asks no signatures.
    pub(super) fn of_a_save(quiet: bool) -> Self {
        let bar = ProgressBar::hidden();
        Self { quiet, bar }
    }

    pub(super) fn show(&mut self, step: Step<'_>) {
        match step {
            Step::Layer { layer, present } => {
                self.bar.finish_and_clear();
                let skipped = if present {
                    " skipped: already exists"
                } else {
                    ""
                };
                self.say(&format!("Copying blob {}{skipped}", layer.digest));
                if !self.quiet && !present && stderr().is_terminal() {
                    self.bar = bar(layer.size);
                }
            }
            Step::Bytes(bytes) => self.bar.inc(bytes),
            Step::Config(digest) => {
                self.bar.finish_and_clear();
                self.say(&format!("Copying config {digest}"));
            }
            Step::Manifest => {
                self.say("Writing manifest to image destination");
                self.say("Storing signatures");
            }
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            tell(line);
        }
    }
}

/// The same for a push, which sends several blobs at once, each with a bar of its own.
#[derive(Debug)]
pub(super) struct PushWatch {
    quiet: bool,
    bars: MultiProgress,
    running: Mutex<BTreeMap<Digest, ProgressBar>>,
}

impl PushWatch {
    pub(super) fn new(quiet: bool) -> Self {
        let watch = Self {
            quiet,
            bars: MultiProgress::new(),
            running: Mutex::default(),
        };
        watch.say("Getting image source signatures");
        watch
    }

    /// Is called from several threads.
    pub(super) fn show(&self, what: Pushing<'_>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Pushing::Blob(blob) => {
                self.say(&copying(blob));
                if !self.quiet && stderr().is_terminal() {
                    running.insert(blob.digest, self.bars.add(bar(blob.size)));
                }
            }
            Pushing::Bytes(blob, sent) => {
                if let Some(bar) = running.get(&blob.digest) {
                    bar.set_position(sent);
                }
            }
            Pushing::Present(blob) => {
                self.say(&format!("{} skipped: already exists", copying(blob)));
            }
            Pushing::Manifest => {
                for bar in std::mem::take(&mut *running).into_values() {
                    bar.finish_and_clear();
                }
                self.say("Writing manifest to image destination");
                self.say("Storing signatures");
            }
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.bars.suspend(|| tell(line));
        }
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
    let bar = ProgressBar::new(size).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
