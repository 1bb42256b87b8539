//! The functions of a template, and how values are printed.

use std::cmp::Ordering;
use std::fmt::Write;

use serde_json::Value;

use super::time::Time;

const FUNCTIONS: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "join", "json", "le", "len", "lower", "lt", "ne",
    "not", "or", "pad", "print", "printf", "println", "slice", "split", "title", "truncate",
    "upper", "urlquery",
];

pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

/// Calls a function; the error is the end of a sentence that begins with the template.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let wrong = || Err(format!("gives \"{name}\" arguments that it does not take"));
    let compare = |fits: fn(Ordering) -> bool| match arguments {
        [left, right] => match order(left, right) {
            Some(order) => Ok(fits(order).into()),
            None => wrong(),
        },
        _ => wrong(),
    };
    match (name, arguments) {
        ("json", [value]) => Ok(match Time::of(value) {
            Some(time) => Value::from(time.json()).to_string().into(),
            None => value.to_string().into(),
        }),
        ("len", [Value::Array(items)]) => Ok(items.len().into()),
        ("len", [Value::Object(map)]) => Ok(map.len().into()),
        ("len", [Value::String(text)]) => Ok(text.len().into()),
        ("len", [Value::Null]) => Ok(0.into()),
        ("not", [value]) => Ok((!is_true(value)).into()),
        ("and", [values @ .., last]) => Ok(values
            .iter()
            .find(|value| !is_true(value))
            .unwrap_or(last)
            .clone()),
        ("or", [values @ .., last]) => Ok(values
            .iter()
            .find(|value| is_true(value))
            .unwrap_or(last)
            .clone()),
        ("eq", [first, others @ ..]) if !others.is_empty() => Ok(others.contains(first).into()),
        ("ne", [left, right]) => Ok((left != right).into()),
        ("lt", _) => compare(Ordering::is_lt),
        ("le", _) => compare(Ordering::is_le),
        ("gt", _) => compare(Ordering::is_gt),
        ("ge", _) => compare(Ordering::is_ge),
        ("index", [value, keys @ ..]) => index(value, keys),
        ("slice", [Value::String(text), bounds @ ..]) => slice(text, bounds),
        ("join", [Value::Array(items), Value::String(by)]) => {
            let items: Vec<_> = items.iter().map(raw_text).collect();
            Ok(items.join(by).into())
        }
        ("join", [Value::Null, _]) => Ok("".into()),
        ("split", [Value::String(value), Value::String(by)]) => {
            Ok(value.split(by.as_str()).collect())
        }
        ("lower", [Value::String(value)]) => Ok(value.to_lowercase().into()),
        ("upper", [Value::String(value)]) => Ok(value.to_uppercase().into()),
        ("title", [Value::String(value)]) => Ok(title(value).into()),
        ("truncate", [Value::String(value), length]) => match natural(length) {
            Some(length) => Ok(value.chars().take(length).collect::<String>().into()),
            None => wrong(),
        },
        ("pad", [Value::String(value), before, after]) => {
            match natural(before).zip(natural(after)) {
                Some((before, after)) => {
                    let [before, after] = [before, after].map(|count| " ".repeat(count.min(1000)));
                    Ok(format!("{before}{value}{after}").into())
                }
                None => wrong(),
            }
        }
        ("html", values) => Ok(html(&values.iter().map(raw_text).collect::<String>()).into()),
        ("urlquery", values) => {
            Ok(url_query(&values.iter().map(raw_text).collect::<String>()).into())
        }
        ("print", values) => Ok(values.iter().map(raw_text).collect::<String>().into()),
        ("println", values) => {
            let values: Vec<_> = values.iter().map(raw_text).collect();
            Ok(format!("{}\n", values.join(" ")).into())
        }
        ("printf", [Value::String(format), values @ ..]) => printf(format, values),
        _ => wrong(),
    }
}

/// Whether Go counts the value as true: everything but false, zero, nothing and what is empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// The value as it is printed; control characters, but for tab and line feed, are escaped.
pub(super) fn text(value: &Value) -> String {
    let raw = raw_text(value);
    if !raw.contains(is_unsafe) {
        return raw;
    }
    let mut safe = String::with_capacity(raw.len() + 16);
    for c in raw.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

fn is_unsafe(c: char) -> bool {
    c.is_control() && c != '\t' && c != '\n'
}

/// The value in the way of Go's `%v`.
fn raw_text(value: &Value) -> String {
    if let Some(time) = Time::of(value) {
        return time.text();
    }
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(item_text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let pairs: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", member_text(value)))
                .collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// An item of a list: what is an object here is a structure in podman, of ports or mounts, and Go
/// prints the values of those alone.
fn item_text(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields.values().map(raw_text).collect();
            format!("{{{}}}", fields.join(" "))
        }
        value => raw_text(value),
    }
}

/// A member of a map: ports and volumes of an image are a map to the empty structure, and ports of
/// a container that are not published one to an empty list.
fn member_text(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Null => "[]".to_owned(),
        value => raw_text(value),
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    let mut at = value;
    for key in keys {
        at = match (at, key) {
            (Value::Array(items), Value::Number(number)) => number
                .as_u64()
                .and_then(|number| items.get(usize::try_from(number).ok()?))
                .ok_or_else(|| format!("asks for item {number} of a list of {}", items.len()))?,
            (Value::Object(map), Value::String(key)) => map.get(key).unwrap_or(&Value::Null),
            (Value::Null, _) => &Value::Null,
            _ => return Err("has an \"index\" into something that is no list or map".to_owned()),
        };
    }
    Ok(at.clone())
}

fn slice(text: &str, bounds: &[Value]) -> Result<Value, String> {
    let bound = |at: usize, otherwise: usize| match bounds.get(at) {
        None => Some(otherwise),
        Some(value) => value.as_u64().and_then(|bound| usize::try_from(bound).ok()),
    };
    bound(0, 0)
        .zip(bound(1, text.len()))
        .and_then(|(from, to)| text.get(from..to))
        .map(Value::from)
        .ok_or_else(|| "has a \"slice\" outside of its text".to_owned())
}

fn natural(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// The text with what means something in HTML as Go's `html` writes it.
fn html(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\'' => out += "&#39;",
            '"' => out += "&#34;",
            other => out.push(other),
        }
    }
    out
}

/// The text as part of the query of an address.
fn url_query(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            other => out += &format!("%{other:02X}"),
        }
    }
    out
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let first = std::mem::replace(&mut start, c == ' ');
            if first { c.to_ascii_uppercase() } else { c }
        })
        .collect()
}

/// The verbs that formats use: `%s`, `%d`, `%v`, `%q` and `%%`, with a width and a precision as in
/// `%-12.12s`.
fn printf(format: &str, values: &[Value]) -> Result<Value, String> {
    let mut output = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        output.push_str(before);
        let digits = after.trim_start_matches(|c: char| "-.".contains(c) || c.is_ascii_digit());
        let flags = &after[..after.len() - digits.len()];
        let (width, precision) = flags.split_once('.').unwrap_or((flags, ""));
        let width = width.trim_start_matches('-').parse().unwrap_or(0).min(1000);
        let most = precision.parse().unwrap_or(usize::MAX);
        let mut letters = digits.chars();
        let text = match letters.next() {
            Some('%') => "%".to_owned(),
            Some(verb @ ('s' | 'd' | 'v' | 'q')) => {
                let value = values
                    .next()
                    .ok_or("has a \"printf\" with too few values")?;
                match verb {
                    'q' => format!("{:?}", raw_text(value)),
                    _ => raw_text(value).chars().take(most).collect(),
                }
            }
            _ => return Err("has a \"printf\" with a verb that is not known".to_owned()),
        };
        let written = if flags.starts_with('-') {
            write!(output, "{text:<width$}")
        } else {
            write!(output, "{text:>width$}")
        };
        written.map_err(|error| error.to_string())?;
        rest = letters.as_str();
    }
    output.push_str(rest);
    Ok(output.into())
}
