//! Small drawings of bars, for the README.

use std::fmt::Write;

const COLORS: [&str; 6] = [
    "#9aa0a6", "#d9480f", "#f2b01e", "#2b8a3e", "#00add8", "#364fc7",
];

/// A drawing; places and sizes are pixels, from its upper left corner.
#[derive(Debug)]
pub struct Svg(String);

impl Svg {
    /// An empty one of this size.
    #[must_use]
    pub fn new(width: f64, height: f64) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n"
        ))
    }

    /// A filled rectangle of the color of this number.
    pub fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), color: usize) {
        let color = COLORS[color % COLORS.len()];
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.0,
            "<rect x=\"{x:.0}\" y=\"{y:.1}\" width=\"{width:.0}\" height=\"{height:.1}\" fill=\"{color}\"/>"
        );
    }

    /// A text that begins there, with its base line at `y`.
    pub fn text(&mut self, x: f64, y: f64, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(self.0, "<text x=\"{x:.0}\" y=\"{y:.0}\">{text}</text>");
    }

    /// The whole file.
    #[must_use]
    pub fn finish(self) -> String {
        self.0 + "</svg>\n"
    }
}
