//! From the text of a template to its nodes.

use serde_json::Value;

use super::{Node, Operand, Pipeline, functions};

/// How deep actions and parentheses may be nested.
const DEPTH: usize = 64;

/// Reads `text`; the error is the end of a sentence that begins with the template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut parser = Parser {
        pieces: pieces(text)?,
        at: 0,
        variables: Vec::new(),
        depth: 0,
    };
    let (nodes, end) = parser.nodes()?;
    match end {
        None => Ok(nodes),
        Some(end) => Err(format!("has \"{}\" without a beginning", end.word())),
    }
}

/// A piece of the text: what is printed as it is, or the inside of an action.
enum Piece {
    Text(String),
    Action(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// `.A.B`, or `.` as an empty list.
    Fields(Vec<String>),
    /// `$x`, or `$` as an empty name.
    Variable(String),
    Literal(Value),
    Word(String),
    Pipe,
    Open,
    /// `)`, with the fields that follow at once.
    Close(Vec<String>),
    Comma,
    Define,
}

/// What ends a list of nodes.
enum Close {
    End,
    Else,
    ElseIf(Vec<Token>),
}

impl Close {
    fn word(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Else | Self::ElseIf(_) => "else",
        }
    }
}

/// Cuts the text into pieces; `{{-` and `-}}` take the white space before and after away.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    loop {
        let (before, after) = rest
            .split_once("{{")
            .map_or((rest, None), |(b, a)| (b, Some(a)));
        let mut before = if trim { before.trim_start() } else { before };
        let inside = after.map(|after| match after.strip_prefix("- ") {
            Some(inside) => {
                before = before.trim_end();
                inside
            }
            None => after,
        });
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let Some(inside) = inside else {
            return Ok(pieces);
        };
        let (tokens, left) = tokens(inside)?;
        if !tokens.is_empty() {
            pieces.push(Piece::Action(tokens));
        }
        trim = left.starts_with("- ") || left.starts_with('-');
        rest = left.strip_prefix('-').unwrap_or(left);
        rest = rest
            .strip_prefix("}}")
            .ok_or("has no \"}}\" after \"{{\"")?;
    }
}

/// The tokens up to `}}` or `-}}`, and what is left from there.
fn tokens(text: &str) -> Result<(Vec<Token>, &str), String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    if let Some(comment) = rest.strip_prefix("/*") {
        let (_, after) = comment
            .split_once("*/")
            .ok_or("has a comment without \"*/\"")?;
        return Ok((tokens, after.trim_start()));
    }
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            return Err("has no \"}}\" after \"{{\"".to_owned());
        };
        if rest.starts_with("}}") || rest.starts_with("-}}") {
            return Ok((tokens, rest));
        }
        let (token, after) = match first {
            '|' => (Token::Pipe, &rest[1..]),
            ',' => (Token::Comma, &rest[1..]),
            '(' => (Token::Open, &rest[1..]),
            ')' => {
                let (names, after) = fields(&rest[1..]);
                (Token::Close(names), after)
            }
            ':' if rest.starts_with(":=") => (Token::Define, &rest[2..]),
            '"' | '`' => quoted(rest)?,
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let (names, after) = fields(rest);
                let after = if names.is_empty() { &rest[1..] } else { after };
                (Token::Fields(names), after)
            }
            '$' => {
                let end = rest[1..]
                    .find(|c| !is_word(c))
                    .map_or(rest.len(), |end| end + 1);
                (Token::Variable(rest[1..end].to_owned()), &rest[end..])
            }
            '0'..='9' | '-' => number(rest)?,
            c if is_word(c) => word(rest),
            other => {
                return Err(format!(
                    "has a \"{}\" that means nothing",
                    other.escape_debug()
                ));
            }
        };
        tokens.push(token);
        rest = after;
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The names of `.A.B`.
fn fields(mut text: &str) -> (Vec<String>, &str) {
    let mut names = Vec::new();
    while let Some(after) = text.strip_prefix('.') {
        let end = after.find(|c| !is_word(c)).unwrap_or(after.len());
        if end == 0 {
            break;
        }
        names.push(after[..end].to_owned());
        text = &after[end..];
    }
    (names, text)
}

fn word(text: &str) -> (Token, &str) {
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let token = match &text[..end] {
        "true" => Token::Literal(Value::Bool(true)),
        "false" => Token::Literal(Value::Bool(false)),
        "nil" => Token::Literal(Value::Null),
        word => Token::Word(word.to_owned()),
    };
    (token, &text[end..])
}

fn number(text: &str) -> Result<(Token, &str), String> {
    let end = text[1..]
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .map_or(text.len(), |end| end + 1);
    let value: Value = serde_json::from_str(&text[..end])
        .map_err(|_| format!("has \"{}\", which is no number", &text[..end]))?;
    Ok((Token::Literal(value), &text[end..]))
}

fn quoted(text: &str) -> Result<(Token, &str), String> {
    const OPEN: &str = "has a text without its closing quote";
    if let Some(raw) = text.strip_prefix('`') {
        let (content, after) = raw.split_once('`').ok_or(OPEN)?;
        return Ok((Token::Literal(content.into()), after));
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                // The escapes of JSON are those that formats use of Go's; a real tab or line feed
                // may be there because `\t` and `\n` were replaced before.
                let literal = text[..=at].replace('\t', "\\t").replace('\n', "\\n");
                let value = serde_json::from_str(&literal)
                    .map_err(|_| format!("has {literal}, which is no text"))?;
                return Ok((Token::Literal(value), &text[at + 1..]));
            }
            _ => {}
        }
    }
    Err(OPEN.to_owned())
}

struct Parser {
    pieces: Vec<Piece>,
    at: usize,
    /// The variables that are known here.
    variables: Vec<String>,
    depth: usize,
}

impl Parser {
    /// Nodes up to an `end`, an `else` or the end of the text.
    fn nodes(&mut self) -> Result<(Vec<Node>, Option<Close>), String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("is nested too deeply".to_owned());
        }
        let known = self.variables.len();
        let mut nodes = Vec::new();
        let mut end = None;
        while end.is_none() && self.at < self.pieces.len() {
            let piece = std::mem::replace(&mut self.pieces[self.at], Piece::Text(String::new()));
            self.at += 1;
            match piece {
                Piece::Text(text) => nodes.push(Node::Text(text)),
                Piece::Action(tokens) => end = self.action(tokens, &mut nodes)?,
            }
        }
        self.variables.truncate(known);
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn action(
        &mut self,
        tokens: Vec<Token>,
        nodes: &mut Vec<Node>,
    ) -> Result<Option<Close>, String> {
        let word = match &tokens[0] {
            Token::Word(word) => word.as_str(),
            _ => "",
        };
        match (word, &tokens[1..]) {
            ("end", []) => return Ok(Some(Close::End)),
            ("else", []) => return Ok(Some(Close::Else)),
            ("else", [Token::Word(next), rest @ ..]) if next == "if" => {
                return Ok(Some(Close::ElseIf(rest.to_vec())));
            }
            ("if", rest) => nodes.push(self.condition(rest)?),
            ("with", rest) => {
                let pipeline = self.pipeline(rest)?;
                let (body, otherwise) = self.branches("with")?;
                nodes.push(Node::With(pipeline, body, otherwise));
            }
            ("range", rest) => nodes.push(self.range(rest)?),
            _ => nodes.push(self.simple(&tokens)?),
        }
        Ok(None)
    }

    fn simple(&mut self, tokens: &[Token]) -> Result<Node, String> {
        if let [Token::Variable(name), Token::Define, rest @ ..] = tokens {
            let pipeline = self.pipeline(rest)?;
            self.variables.push(name.clone());
            return Ok(Node::Assign(name.clone(), pipeline));
        }
        Ok(Node::Print(self.pipeline(tokens)?))
    }

    fn condition(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let pipeline = self.pipeline(tokens)?;
        let (body, otherwise) = self.branches("if")?;
        Ok(Node::If(pipeline, body, otherwise))
    }

    fn range(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let (variables, rest) = match tokens {
            [Token::Variable(value), Token::Define, rest @ ..] => (vec![value.clone()], rest),
            [
                Token::Variable(key),
                Token::Comma,
                Token::Variable(value),
                Token::Define,
                rest @ ..,
            ] => (vec![key.clone(), value.clone()], rest),
            rest => (Vec::new(), rest),
        };
        let over = self.pipeline(rest)?;
        let known = self.variables.len();
        self.variables.extend_from_slice(&variables);
        let (body, otherwise) = self.branches("range")?;
        self.variables.truncate(known);
        Ok(Node::Range {
            variables,
            over,
            body,
            otherwise,
        })
    }

    /// The nodes up to `end`, and those after an `else`.
    fn branches(&mut self, of: &str) -> Result<(Vec<Node>, Vec<Node>), String> {
        let missing = || format!("has \"{of}\" without \"end\"");
        let (body, end) = self.nodes()?;
        let otherwise = match end.ok_or_else(missing)? {
            Close::End => Vec::new(),
            Close::ElseIf(tokens) if of == "if" => {
                self.depth += 1;
                if self.depth > DEPTH {
                    return Err("is nested too deeply".to_owned());
                }
                let node = self.condition(&tokens)?;
                self.depth -= 1;
                vec![node]
            }
            Close::ElseIf(_) => return Err(format!("has \"else if\" in a \"{of}\"")),
            Close::Else => match self.nodes()? {
                (otherwise, Some(Close::End)) => otherwise,
                _ => return Err(missing()),
            },
        };
        Ok((body, otherwise))
    }

    fn pipeline(&self, tokens: &[Token]) -> Result<Pipeline, String> {
        let mut left = tokens;
        let pipeline = self.commands(&mut left, 0)?;
        match left {
            [] => Ok(pipeline),
            [Token::Close(_), ..] => Err("has a \")\" without \"(\"".to_owned()),
            _ => Err("has a word that is in the wrong place".to_owned()),
        }
    }

    /// Commands up to a `)` or the end of the tokens.
    fn commands(&self, left: &mut &[Token], depth: usize) -> Result<Pipeline, String> {
        if depth > DEPTH {
            return Err("is nested too deeply".to_owned());
        }
        let mut commands = vec![Vec::new()];
        while let [token, rest @ ..] = *left {
            let operand = match token {
                Token::Close(_) | Token::Comma | Token::Define => break,
                Token::Pipe => {
                    *left = rest;
                    commands.push(Vec::new());
                    continue;
                }
                Token::Open => {
                    *left = rest;
                    let group = Operand::Group(self.commands(left, depth + 1)?);
                    let [Token::Close(names), ..] = *left else {
                        return Err("has a \"(\" without \")\"".to_owned());
                    };
                    with_fields(group, names)
                }
                Token::Fields(names) => with_fields(Operand::Dot, names),
                Token::Variable(name) => self.variable(name, rest, left)?,
                Token::Literal(value) => Operand::Literal(value.clone()),
                Token::Word(name) if functions::is_function(name) => {
                    Operand::Function(name.clone())
                }
                Token::Word(name) => return Err(format!("has \"{name}\", which is no function")),
            };
            *left = &left[1..];
            if let Some(command) = commands.last_mut() {
                command.push(operand);
            }
        }
        if commands.iter().any(Vec::is_empty) {
            return Err("has an empty command".to_owned());
        }
        Ok(Pipeline(commands))
    }

    /// A variable and the fields that follow it at once; leaves `left` at its last token.
    fn variable<'a>(
        &self,
        name: &str,
        rest: &'a [Token],
        left: &mut &'a [Token],
    ) -> Result<Operand, String> {
        if !name.is_empty() && !self.variables.iter().any(|known| known == name) {
            return Err(format!("has ${name}, which was never set"));
        }
        let variable = Operand::Variable(name.to_owned());
        match rest {
            [Token::Fields(names), ..] if !names.is_empty() => {
                *left = rest;
                Ok(with_fields(variable, names))
            }
            _ => Ok(variable),
        }
    }
}

fn with_fields(operand: Operand, names: &[String]) -> Operand {
    if names.is_empty() {
        operand
    } else {
        Operand::Fields(Box::new(operand), names.to_vec())
    }
}
