//! Progress on standard error: a bar where somebody looks and packing takes long, else plain lines.

use std::cell::OnceCell;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use packer::Progress;

/// What is over sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// Writes a line to standard error in one piece, so that nobody who reads along sees half of it.
/// Who closed standard error does not want to read it.
pub(super) fn tell(line: impl fmt::Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Reports on standard error.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// When packing began, and the bar once it takes long.
    packing: OnceCell<Instant>,
    bar: OnceCell<ProgressBar>,
}

impl Progress for Report {
    fn note(&self, line: &str) {
        tell(format_args!("packer: {line}"));
    }

    fn packed(&self, done: u64, total: u64) {
        let began = self.packing.get_or_init(Instant::now);
        if began.elapsed() < PATIENCE || !io::stderr().is_terminal() {
            return;
        }
        self.bar.get_or_init(|| bar(total)).set_position(done);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("packing {wide_bar} {bytes} of {total_bytes}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style)
}
