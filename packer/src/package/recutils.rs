//! A package as a record of recutils: the fields of `guix show`, in its order.
//!
//! A field is `name: value`; a line break in a value is a line that begins with `+ `.

use super::Package;

/// The record, with a line break at its end.
pub(super) fn record(package: &Package) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let fields = [
        ("name", package.name.clone()),
        ("version", text(&package.version)),
        ("outputs", "\nout: everything".to_owned()),
        ("systems", systems(package)),
        ("dependencies", wrapped(&package.dependencies.join(" "))),
        ("location", package.location.clone()),
        ("homepage", text(&package.home_page)),
        ("license", text(&package.license)),
        ("synopsis", text(&package.synopsis)),
        ("description", paragraphs(&text(&package.description))),
    ];
    fields
        .iter()
        .map(|(name, value)| field(name, value))
        .collect()
}

fn systems(package: &Package) -> String {
    let systems = package.systems.iter().map(ToString::to_string);
    systems.collect::<Vec<_>>().join(" ")
}

fn field(name: &str, value: &str) -> String {
    let value: String = value
        .chars()
        .filter(|&character| character == '\n' || !character.is_control())
        .collect();
    let line = format!("{name}: {}", value.replace('\n', "\n+ "));
    let trimmed: Vec<&str> = line.split('\n').map(str::trim_end).collect();
    trimmed.join("\n") + "\n"
}

/// The lines of a text, each as long as a reader likes it.
fn paragraphs(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(wrapped).collect();
    lines.join("\n")
}

fn wrapped(line: &str) -> String {
    const WIDTH: usize = 76;
    let mut lines = vec![String::new()];
    for word in line.split_whitespace() {
        let last = lines.last_mut().expect("there is a first line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= WIDTH {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_fields_are_those_of_guix_in_its_order() {
        let mut package = Package::of_file(Path::new("hello"), None).unwrap();
        package.version = Some("1.0".to_owned());
        package.systems = crate::package::System::usual();
        package.synopsis = Some("Says hello".to_owned());
        package.description = Some("One\u{1b}[1m line.\n\nAnother.".to_owned());
        assert_eq!(
            record(&package),
            "name: hello\nversion: 1.0\noutputs:\n+ out: everything\n\
             systems: x86_64-linux aarch64-linux\ndependencies:\nlocation: hello\nhomepage:\n\
             license:\nsynopsis: Says hello\ndescription: One[1m line.\n+\n+ Another.\n"
        );
    }

    #[test]
    fn long_lines_are_continued() {
        let text = "word ".repeat(40);
        let field = field("description", &paragraphs(&text));
        assert!(field.lines().count() > 1);
        assert!(field.lines().all(|line| line.len() < 95));
        assert!(field.lines().skip(1).all(|line| line.starts_with("+ ")));
    }
}
