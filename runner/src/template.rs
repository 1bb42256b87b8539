//! `--format`: the templates that scripts write for podman and docker, on JSON values.
//!
//! It is the part of Go's `text/template` that such formats use: fields, variables, pipelines,
//! `if`, `with`, `range`, and the functions of podman's report package. Control characters in a
//! value are printed as escapes, so that no label can play with a terminal.
//!
//! Source: Go's `text/template` package; `podman-images(1)`, "--format".

use serde_json::Value;

mod functions;
mod parse;
mod render;
mod shape;
mod table;
mod time;

pub use shape::Shape;
pub use table::align;

/// Why a template could not be read or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the format \"{template}\" {reason}")]
pub struct TemplateError {
    template: String,
    reason: String,
}

/// A format that was read.
#[derive(Debug)]
pub struct Template {
    text: String,
    nodes: Vec<Node>,
    is_table: bool,
}

/// One piece of a template.
#[derive(Debug)]
enum Node {
    Text(String),
    Print(Pipeline),
    Assign(String, Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range {
        /// None, the value's, or the key's and the value's.
        variables: Vec<String>,
        over: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug)]
struct Pipeline(Vec<Vec<Operand>>);

impl Pipeline {
    fn is_dot(&self) -> bool {
        matches!(&self.0[..], [command] if matches!(command[..], [Operand::Dot]))
    }
}

#[derive(Debug)]
enum Operand {
    Dot,
    Variable(String),
    Literal(Value),
    Function(String),
    Group(Pipeline),
    Fields(Box<Operand>, Vec<String>),
}

impl Template {
    /// Reads a template. `table ` in front asks for a header and aligned columns, and then a space
    /// between two fields divides columns too; `\t` and `\n` are a tab and a line feed.
    ///
    /// # Errors
    /// [`TemplateError`] that says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let (is_table, body) = match text.strip_prefix("table") {
            Some(rest) if rest.is_empty() || rest.starts_with([' ', '\t']) => (true, rest.trim()),
            _ => (false, text),
        };
        let body = body.replace("\\t", "\t").replace("\\n", "\n");
        match parse::parse(&body) {
            Ok(nodes) => Ok(Self {
                text: text.to_owned(),
                nodes: match is_table {
                    true => nodes.into_iter().map(with_columns).collect(),
                    false => nodes,
                },
                is_table,
            }),
            Err(reason) => Err(TemplateError {
                template: text.to_owned(),
                reason,
            }),
        }
    }

    /// Whether the template began with `table`.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.is_table
    }

    /// What the template makes of `value`.
    ///
    /// # Errors
    /// [`TemplateError`] for a field that `value` does not have or a function's wrong argument.
    pub fn render(&self, value: &Value) -> Result<String, TemplateError> {
        self.render_as(value, &Shape::default())
    }

    /// The same for a value of a known shape.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_as(&self, value: &Value, shape: &Shape) -> Result<String, TemplateError> {
        render::render(&self.nodes, value, shape).map_err(|reason| TemplateError {
            template: self.text.clone(),
            reason,
        })
    }

    /// A line for each row, under a line of `headers` (an object with the same fields) if the
    /// template is a table; the columns of a table are aligned. A template that begins with `range .`
    /// gets all rows at once, as podman does it.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_rows(&self, rows: &[Value], headers: &Value) -> Result<String, TemplateError> {
        if matches!(self.nodes.first(), Some(Node::Range { over, .. }) if over.is_dot()) {
            return self.render(&Value::Array(rows.to_vec()));
        }
        let header = self.is_table.then_some(headers);
        let mut lines = String::new();
        for row in header.into_iter().chain(rows) {
            lines.push_str(&self.render(row)?);
            lines.push('\n');
        }
        Ok(if self.is_table { align(&lines) } else { lines })
    }
}

/// The text between two fields of a table, with a tab for each space.
fn with_columns(node: Node) -> Node {
    match node {
        Node::Text(text) => Node::Text(text.replace(' ', "\t")),
        node => node,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(template: &str, value: &Value) -> String {
        Template::parse(template).unwrap().render(value).unwrap()
    }

    fn container() -> Value {
        json!({
            "ID": "abc",
            "Names": ["one", "two"],
            "State": {"Running": true, "Pid": 42, "Error": ""},
            "Labels": {"a.b": "x", "c": "y"},
            "Ports": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "81/tcp": null},
            "Exposed": {"80/tcp": {}},
            "Nothing": {},
        })
    }

    #[test]
    fn formats_that_scripts_use_are_rendered() {
        let cases = [
            ("{{.ID}}", "abc"),
            ("{{ .State.Pid }} {{.State.Running}}", "42 true"),
            (r"{{.ID}}\t{{.State.Pid}}\n", "abc\t42\n"),
            ("{{json .Names}}", r#"["one","two"]"#),
            ("{{.Names}}", "[one two]"),
            ("{{.Labels}}", "map[a.b:x c:y]"),
            ("{{.Ports}}", "map[80/tcp:[{ 8080}] 81/tcp:[]]"),
            ("{{.Exposed}} {{.Nothing}}", "map[80/tcp:{}] map[]"),
            ("{{.Names | json}}", r#"["one","two"]"#),
            ("{{range .Names}}<{{.}}>{{end}}", "<one><two>"),
            (
                "{{range $i, $n := .Names}}{{$i}}={{$n}};{{end}}",
                "0=one;1=two;",
            ),
            (
                "{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}",
                "a.b=x;c=y;",
            ),
            (r#"{{index .Labels "a.b"}}"#, "x"),
            ("{{index .Names 1}}", "two"),
            (r#"{{(index (index .Ports "80/tcp") 0).HostPort}}"#, "8080"),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            (
                "{{if .State.Error}}bad{{else if eq .ID `abc`}}good{{end}}",
                "good",
            ),
            ("{{with .State}}{{.Pid}}{{end}}", "42"),
            ("{{with .State.Error}}x{{else}}none{{end}}", "none"),
            ("{{range .State.Error}}x{{else}}none{{end}}", "none"),
            (r#"{{join .Names ", "}}"#, "one, two"),
            (r#"{{range split "a/b" "/"}}{{.}} {{end}}"#, "a b "),
            ("{{len .Names}} {{upper .ID}} {{.ID | title}}", "2 ABC Abc"),
            ("a {{- .ID -}} b", "aabcb"),
            ("{{/* nothing */}}{{`{{`}}", "{{"),
            ("{{$x := .State}}{{$x.Pid}} {{$.ID}}", "42 abc"),
            ("{{range .Names}}{{$.ID}}{{end}}", "abcabc"),
            (
                r#"{{printf "%s-%d-%v" .ID .State.Pid true}}"#,
                "abc-42-true",
            ),
            ("{{and .State.Running (not .State.Error)}}", "true"),
            ("{{if gt .State.Pid 41}}{{println .ID}}{{end}}", "abc\n"),
            (r#"{{.Labels.missing}}"#, "<no value>"),
        ];
        for (template, text) in cases {
            assert_eq!(render(template, &container()), text, "{template}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said() {
        for (template, word) in [
            ("{{.ID", "}}"),
            ("{{if .ID}}", "end"),
            ("{{end}}", "end"),
            ("{{nothing .ID}}", "nothing"),
            ("{{$x}}", "$x"),
            ("{{.ID | }}", "empty"),
            (r#"{{"open}}"#, "quote"),
            ("{{(.ID}}", ")"),
        ] {
            let error = Template::parse(template).unwrap_err().to_string();
            assert!(error.contains(word), "{template}: {error}");
            assert!(!error.contains('\n'), "{template}");
        }
        for (template, word) in [
            ("{{.Nope}}", "Nope"),
            ("{{.ID.Nope}}", "Nope"),
            ("{{index .Names 9}}", "9"),
            ("{{len 4}}", "len"),
        ] {
            let parsed = Template::parse(template).unwrap();
            let error = parsed.render(&container()).unwrap_err().to_string();
            assert!(error.contains(word), "{template}: {error}");
        }
    }

    #[test]
    fn a_table_has_a_header_and_aligned_columns() {
        let template = Template::parse(r"table {{.ID}}\t{{.Name}}\t{{.N}}").unwrap();
        assert!(template.is_table());
        let rows = [
            json!({"ID": "a-long-identifier", "Name": "x", "N": 1}),
            json!({"ID": "b", "Name": "y", "N": 2}),
        ];
        let headers = json!({"ID": "IMAGE ID", "Name": "NAME", "N": "N"});
        assert_eq!(
            template.render_rows(&rows, &headers).unwrap(),
            "IMAGE ID           NAME        N\n\
             a-long-identifier  x           1\n\
             b                  y           2\n"
        );
        let spaced = Template::parse("table {{.ID}} {{.N}}").unwrap();
        let text = spaced.render_rows(&rows[1..], &headers).unwrap();
        assert_eq!(text, "IMAGE ID    N\nb           2\n");
        let plain = Template::parse("{{.ID}}").unwrap();
        assert_eq!(
            plain.render_rows(&rows, &headers).unwrap(),
            "a-long-identifier\nb\n"
        );
        let ranged = Template::parse("{{range .}}{{.N}},{{end}}").unwrap();
        assert_eq!(ranged.render_rows(&rows, &headers).unwrap(), "1,2,");
    }

    #[test]
    fn no_value_can_send_escape_sequences_to_a_terminal() {
        let value = json!({"X": "\u{1b}[31mred\u{9b}\ttab"});
        let text = render("{{.X}}", &value);
        assert!(!text.contains(['\u{1b}', '\u{9b}']), "{text:?}");
        assert!(text.contains("[31mred") && text.contains('\t'));
    }
}
