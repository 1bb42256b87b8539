//! The table of a benchmark: each figure of ours with its goal, and whether it is met.

use std::fmt::Write as _;

use crate::Missing;

/// What a figure has to be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// As much or more.
    AtLeast(f64),
    /// As much or less.
    AtMost(f64),
}

impl Goal {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Goal::AtLeast(least) => value >= least,
            Goal::AtMost(most) => value <= most,
        }
    }
}

/// What one part of a benchmark measures; its rows go into the table.
pub type Part = fn(&mut Figures) -> Result<(), Missing>;

/// Measures the parts that the command line names, or all of them, and prints the table.
pub fn measure(parts: &[(&str, Part)]) {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_named = |name: &str| wanted.iter().any(|word| word == name);
    // cargo adds a flag of its own.
    let all = !parts.iter().any(|(name, _)| is_named(name));
    let mut figures = Figures::begin();
    for (name, measure) in parts {
        if !all && !is_named(name) {
            continue;
        }
        if let Err(missing) = measure(&mut figures) {
            println!("| {name} | | | did not run, because {missing} |");
        }
    }
    figures.end();
}

/// The rows that were printed.
#[derive(Debug, Default)]
pub struct Figures {
    met: usize,
    missed: Vec<String>,
}

impl Figures {
    /// Prints the head of the table.
    #[must_use]
    pub fn begin() -> Figures {
        println!("| figure | goal | measured | |\n|---|---|---|---|");
        Figures::default()
    }

    /// Prints one row. A value that is not a number could not be measured, for want of a peer.
    pub fn row(&mut self, figure: &str, goal: Goal, value: f64, unit: &str) {
        let goal_text = match goal {
            Goal::AtLeast(least) => format!("≥ {}", short(least)),
            Goal::AtMost(most) => format!("≤ {}", short(most)),
        };
        let verdict = if value.is_nan() {
            "did not run"
        } else if goal.is_met_by(value) {
            self.met += 1;
            "met"
        } else {
            self.missed.push(figure.to_owned());
            "missed"
        };
        println!(
            "| {figure} | {goal_text}{unit} | {}{unit} | {verdict} |",
            short(value)
        );
    }

    /// Says how it went.
    pub fn end(self) {
        let mut line = format!("\n{} met, {} missed", self.met, self.missed.len());
        for figure in self.missed {
            // Writing to a string cannot fail.
            let _ = write!(line, "; {figure}");
        }
        println!("{line}");
    }
}

/// Two digits behind the point where they say something.
fn short(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
