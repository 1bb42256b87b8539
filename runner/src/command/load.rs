//! `runner load`: images from an archive into the store.

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use packer::archive::Archive;
use packer::place::Source;

use crate::store::{Owners, Progress, Store};

/// Load images from an archive, or from standard input
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read this archive or folder and not standard input
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Print only the names of the loaded images
    #[arg(short, long)]
    pub quiet: bool,
}

/// Loads every image of the archive and prints its names to `out`. `enter` is called when the
/// archive is open: it moves this process to where the owners of the images' files exist.
///
/// # Errors
/// What reading the archive or writing the store gives; images that came before stay.
pub fn run(
    args: &Args,
    store: &Store,
    enter: impl FnOnce() -> anyhow::Result<Owners>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let archive = open(args, store)?;
    if archive.images().is_empty() {
        bail!("the archive holds no image: write one with `packer build` or `podman save`");
    }
    let mut writer = store.writer(enter()?)?;
    for image in archive.images() {
        let mut watch = Watch::new(args.quiet);
        let stored = writer.load(image, &archive, &mut |progress| watch.show(progress))?;
        if image.names.is_empty() {
            writeln!(out, "Loaded image: {}", stored.id)?;
        }
        for name in &image.names {
            writeln!(out, "Loaded image: {name}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(args: &Args, store: &Store) -> anyhow::Result<Archive> {
    // What has to be copied before it can be read goes where images have room.
    let temporary = store.temporary_folder();
    if let Some(path) = &args.input {
        return Ok(Archive::open_with(path, temporary)?);
    }
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        bail!("cannot read an archive from a terminal: name it with --input, or use a pipe");
    }
    let input: &mut dyn Read = &mut input;
    Ok(Archive::from_reader("standard input", input, temporary)?)
}

/// Shows how a load goes on: podman's lines, and on a terminal a bar for each layer.
struct Watch {
    quiet: bool,
    bar: ProgressBar,
}

impl Watch {
    fn new(quiet: bool) -> Self {
        let watch = Self {
            quiet,
            bar: ProgressBar::hidden(),
        };
        watch.say("Getting image source signatures");
        watch
    }

    fn show(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Layer { layer, present } => {
                self.bar.finish_and_clear();
                let skipped = if present {
                    " skipped: already exists"
                } else {
                    ""
                };
                self.say(&format!("Copying blob {}{skipped}", layer.digest));
                if !self.quiet && !present && io::stderr().is_terminal() {
                    self.bar = bar(layer.size);
                }
            }
            Progress::Bytes(bytes) => self.bar.inc(bytes),
            Progress::Config(digest) => {
                self.bar.finish_and_clear();
                self.say(&format!("Copying config {digest}"));
            }
            Progress::Manifest => self.say("Writing manifest to image destination"),
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            // Who closed standard error does not want to read it.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

fn bar(size: u64) -> ProgressBar {
    let template = "  {bar:40} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(size).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
