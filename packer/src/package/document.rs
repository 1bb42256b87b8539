//! A TOML file whose values know where they stand, so that every error points into the file.
//!
//! [`Table`] and [`Value`] are what a definition is read through: each getter says what it expects,
//! and gives an [`InvalidDefinition`] with file, line and column when something else is there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::invalid::{Fault, InvalidDefinition, Location};
use super::nearest::nearest;

/// A TOML file that was read.
#[derive(Debug)]
pub(super) struct Document<'a> {
    /// What errors call it.
    file: String,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    /// Parses `text`, the content of `file`.
    pub(super) fn parse(file: &Path, text: &'a str) -> Result<Self, InvalidDefinition> {
        let file = file.display().to_string();
        match DeTable::parse(text) {
            Ok(root) => Ok(Self { file, text, root }),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                // The message can have several lines; the first says what is wrong.
                let message = error.message().lines().next().unwrap_or("it is no TOML");
                Err(invalid(&file, text, at, Fault::Syntax(message.to_owned())))
            }
        }
    }

    /// The whole file as one table.
    pub(super) fn root(&self) -> Table<'_> {
        Table {
            document: self,
            name: String::new(),
            at: 0,
            values: self.root.get_ref(),
        }
    }
}

fn invalid(file: &str, text: &str, at: usize, fault: Fault) -> InvalidDefinition {
    InvalidDefinition {
        location: location(file, text, at),
        fault,
    }
}

fn location(file: &str, text: &str, at: usize) -> Location {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Location {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// A table of a document.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    document: &'a Document<'a>,
    /// Its dotted name; empty for the whole file.
    name: String,
    at: usize,
    values: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Refuses a table with a key that is none of `known`.
    pub(super) fn allow(&self, known: &[&'static str]) -> Result<(), InvalidDefinition> {
        let unknown = self
            .values
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        let Some(key) = unknown else {
            return Ok(());
        };
        let fault = Fault::UnknownKey {
            key: self.dotted(key.get_ref()),
            nearest: nearest(key.get_ref(), known),
        };
        let Document { file, text, .. } = self.document;
        Err(invalid(file, text, key.span().start, fault))
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        let value = self.values.get(key)?;
        Some(Value {
            document: self.document,
            name: self.dotted(key),
            at: value.span(),
            value: value.get_ref(),
        })
    }

    /// The keys with their values, in alphabetical order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let keys = self.values.keys().map(|key| key.get_ref().as_ref());
        keys.filter_map(|key| Some((key, self.get(key)?)))
    }

    /// The table below a key, if it is there.
    pub(super) fn table(&self, key: &str) -> Result<Option<Table<'a>>, InvalidDefinition> {
        self.get(key).map(|value| value.table()).transpose()
    }

    /// The text below a key, if it is there.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, InvalidDefinition> {
        self.get(key).map(|value| value.text()).transpose()
    }

    /// What the text or the number below a key means, if it is there.
    pub(super) fn parsed<T>(&self, key: &str) -> Result<Option<T>, InvalidDefinition>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        self.get(key).map(|value| value.parsed()).transpose()
    }

    /// The switch below a key, if it is there.
    pub(super) fn switch(&self, key: &str) -> Result<Option<bool>, InvalidDefinition> {
        let switch = |value: Value<'a>| match value.value {
            DeValue::Boolean(switch) => Ok(*switch),
            _ => Err(value.wrong("true or false")),
        };
        self.get(key).map(switch).transpose()
    }

    /// The list below a key; nothing is an empty one.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Value<'a>>, InvalidDefinition> {
        self.get(key).map_or(Ok(Vec::new()), |value| value.list())
    }

    /// The list of texts below a key, if it is there.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, InvalidDefinition> {
        let texts = |value: Value<'a>| value.list()?.iter().map(Value::text).collect();
        self.get(key).map(texts).transpose()
    }

    /// The table of texts below a key; nothing is an empty one.
    pub(super) fn map(&self, key: &str) -> Result<BTreeMap<String, String>, InvalidDefinition> {
        let Some(table) = self.table(key)? else {
            return Ok(BTreeMap::new());
        };
        let pair = |(key, value): (&str, Value<'_>)| Ok((key.to_owned(), value.text()?));
        table.entries().map(pair).collect()
    }

    /// An error at the beginning of this table.
    pub(super) fn refuse(&self, fault: Fault) -> InvalidDefinition {
        let Document { file, text, .. } = self.document;
        invalid(file, text, self.at, fault)
    }

    fn dotted(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }
}

/// A value of a document.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    document: &'a Document<'a>,
    name: String,
    at: Range<usize>,
    value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    pub(super) fn text(&self) -> Result<String, InvalidDefinition> {
        match self.value {
            DeValue::String(text) if text.contains('\0') => Err(self.wrong("free of NUL")),
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(self.wrong("a string")),
        }
    }

    pub(super) fn table(&self) -> Result<Table<'a>, InvalidDefinition> {
        match self.value {
            DeValue::Table(values) => Ok(Table {
                document: self.document,
                name: self.name.clone(),
                at: self.at.start,
                values,
            }),
            _ => Err(self.wrong("a table")),
        }
    }

    pub(super) fn list(&self) -> Result<Vec<Value<'a>>, InvalidDefinition> {
        let DeValue::Array(items) = self.value else {
            return Err(self.wrong("a list"));
        };
        let item = |item: &'a Spanned<DeValue<'a>>| Value {
            document: self.document,
            name: self.name.clone(),
            at: item.span(),
            value: item.get_ref(),
        };
        Ok(items.iter().map(item).collect())
    }

    /// What a text, or a decimal number, means.
    pub(super) fn parsed<T>(&self) -> Result<T, InvalidDefinition>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let text = match self.value {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => return Err(self.wrong("a string or a number")),
        };
        text.parse().map_err(|error: T::Err| self.bad(error))
    }

    /// The permission bits that a text of octal digits (`"0755"`) or an octal number (`0o755`) says.
    pub(super) fn mode(&self) -> Result<u32, InvalidDefinition> {
        let digits = match self.value {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 8 => number.as_str(),
            _ => "",
        };
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(mode),
            _ => Err(self.wrong("permission bits in octal: \"0644\" or 0o644")),
        }
    }

    /// Where it stands.
    pub(super) fn location(&self) -> Location {
        let Document { file, text, .. } = self.document;
        location(file, text, self.at.start)
    }

    /// Whether this is a text.
    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// An error here: the value is none that the key can have.
    pub(super) fn bad(&self, cause: impl std::fmt::Display) -> InvalidDefinition {
        self.refuse(Fault::BadValue {
            key: self.name.clone(),
            cause: cause.to_string(),
        })
    }

    /// An error here: the value is of another kind.
    pub(super) fn wrong(&self, expected: &'static str) -> InvalidDefinition {
        self.refuse(Fault::WrongKind {
            key: self.name.clone(),
            expected,
        })
    }

    fn refuse(&self, fault: Fault) -> InvalidDefinition {
        InvalidDefinition {
            location: self.location(),
            fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, read: impl Fn(&Table<'_>) -> Result<(), InvalidDefinition>) -> String {
        let document = Document::parse(Path::new("p.toml"), text);
        let result = document.and_then(|document| read(&document.root()));
        result.unwrap_err().to_string()
    }

    #[test]
    fn errors_point_into_the_file() {
        let unknown = error("a = 1\n[t]\n  prts = []\n", |root| {
            root.table("t")?
                .expect("it is there")
                .allow(&["ports", "user"])
        });
        assert_eq!(
            unknown,
            "p.toml:3:3: there is no key \"t.prts\"; did you mean \"ports\"?"
        );
        let kind = error("\u{e4} = 1\nlist = [\"\u{fc}\", 7]", |_| Ok(()));
        assert!(kind.starts_with("p.toml:1:1: "), "{kind}");
        let kind = error("list = [\"\u{fc}\", 7]", |root| {
            root.texts("list").map(drop)
        });
        assert_eq!(kind, "p.toml:1:14: list must be a string");
    }

    #[test]
    fn text_that_is_no_toml_is_refused_with_its_place() {
        let words = error("a = 1\nb = [1,\n", |_| Ok(()));
        assert!(words.starts_with("p.toml:2:8: "), "{words}");
    }

    #[test]
    fn modes_are_octal() {
        let text = "a = \"0640\"\nb = 0o4755\nc = 644\nd = \"0888\"\ne = \"10000\"";
        let document = Document::parse(Path::new("p.toml"), text).unwrap();
        let mode = |key| document.root().get(key).unwrap().mode().ok();
        assert_eq!(mode("a"), Some(0o640));
        assert_eq!(mode("b"), Some(0o4755));
        assert_eq!([mode("c"), mode("d"), mode("e")], [None; 3]);
    }
}
