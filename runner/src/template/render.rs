//! From nodes and a value to text.

use std::borrow::Cow;

use serde_json::Value;

use super::time::Time;
use super::{Node, Operand, Pipeline, Shape, functions};

/// Renders `nodes` with `value` as the dot; the error is the end of a sentence that begins with
/// the template.
pub(super) fn render(nodes: &[Node], value: &Value, shape: &Shape) -> Result<String, String> {
    let mut renderer = Renderer {
        output: String::new(),
        root: value,
        variables: Vec::new(),
        shape,
    };
    renderer.nodes(nodes, value)?;
    Ok(renderer.output)
}

struct Renderer<'a> {
    output: String,
    root: &'a Value,
    variables: Vec<(String, Value)>,
    shape: &'a Shape,
}

impl Renderer<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        let known = self.variables.len();
        for node in nodes {
            self.node(node, dot)?;
        }
        self.variables.truncate(known);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), String> {
        match node {
            Node::Text(text) => self.output.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.output.push_str(&functions::text(&value));
            }
            Node::Assign(name, pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.variables.push((name.clone(), value));
            }
            Node::If(condition, body, otherwise) => {
                let holds = functions::is_true(&self.pipeline(condition, dot)?);
                self.nodes(if holds { body } else { otherwise }, dot)?;
            }
            Node::With(pipeline, body, otherwise) => {
                let value = self.pipeline(pipeline, dot)?;
                if functions::is_true(&value) {
                    self.nodes(body, &value)?;
                } else {
                    self.nodes(otherwise, dot)?;
                }
            }
            Node::Range {
                variables,
                over,
                body,
                otherwise,
            } => {
                let items = items(self.pipeline(over, dot)?)?;
                if items.is_empty() {
                    self.nodes(otherwise, dot)?;
                }
                for (key, value) in items {
                    self.item(variables, key, &value, body)?;
                }
            }
        }
        Ok(())
    }

    fn item(
        &mut self,
        variables: &[String],
        key: Value,
        value: &Value,
        body: &[Node],
    ) -> Result<(), String> {
        let known = self.variables.len();
        match variables {
            [] => {}
            [name] => self.variables.push((name.clone(), value.clone())),
            [key_name, value_name, ..] => {
                self.variables.push((key_name.clone(), key));
                self.variables.push((value_name.clone(), value.clone()));
            }
        }
        self.nodes(body, value)?;
        self.variables.truncate(known);
        Ok(())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut last = None;
        for command in &pipeline.0 {
            last = Some(self.command(command, last, dot)?);
        }
        Ok(last.unwrap_or(Value::Null))
    }

    fn command(
        &self,
        command: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, String> {
        let (first, arguments) = match command {
            [Operand::Function(name), arguments @ ..] => (name, arguments),
            [operand] if piped.is_none() => return self.operand(operand, dot),
            _ if let Some(text) = self.formatted(command, dot)? => return Ok(text),
            _ => return Err("gives arguments to something that is no function".to_owned()),
        };
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            values.push(self.operand(argument, dot)?);
        }
        values.extend(piped);
        functions::call(first, &values)
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Variable(name) if name.is_empty() => Ok(self.root.clone()),
            Operand::Variable(name) => {
                let known = self.variables.iter().rev();
                let found = known.clone().find(|(known, _)| known == name);
                Ok(found.map_or(Value::Null, |(_, value)| value.clone()))
            }
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Function(name) => functions::call(name, &[]),
            Operand::Group(pipeline) => self.pipeline(pipeline, dot),
            // Only what is asked for is copied: the dot may be a large value.
            Operand::Fields(of, names) => match &**of {
                Operand::Dot => self.fields(dot, names),
                of => self.fields(&self.operand(of, dot)?, names),
            },
        }
    }

    /// The field of a field … of `value`. A name that the outermost object does not have is a mistake
    /// of the template; deeper inside may be maps of the user's own keys.
    fn fields(&self, value: &Value, names: &[String]) -> Result<Value, String> {
        let mut at = Cow::Borrowed(value);
        for (depth, name) in names.iter().enumerate() {
            let missing = || {
                format!(
                    "asks for .{}, which is not there",
                    names[..=depth].join(".")
                )
            };
            let next = match (Time::of(&at), &*at) {
                (Some(time), _) => Cow::Owned(time.method(name).ok_or_else(missing)?),
                (None, Value::Object(map)) => match self.shape.field(map, name) {
                    Some(value) => Cow::Owned(value.into_owned()),
                    None if depth == 0 || self.shape.is_closed && !map.is_empty() => {
                        return Err(missing());
                    }
                    None => return Ok(Value::Null),
                },
                (None, Value::Null) => return Ok(Value::Null),
                _ => return Err(format!("asks for .{name} of something that has no fields")),
            };
            at = next;
        }
        Ok(at.into_owned())
    }

    /// `.Created.Format "2006-01-02"`: the only method with an argument.
    fn formatted(&self, command: &[Operand], dot: &Value) -> Result<Option<Value>, String> {
        let [Operand::Fields(of, names), layout] = command else {
            return Ok(None);
        };
        let [names @ .., method] = &names[..] else {
            return Ok(None);
        };
        if method != "Format" {
            return Ok(None);
        }
        let time = self.fields(&self.operand(of, dot)?, names)?;
        let layout = self.operand(layout, dot)?;
        let text = Time::of(&time).zip(layout.as_str());
        Ok(text.map(|(time, layout)| time.format(layout).into()))
    }
}

fn items(value: Value) -> Result<Vec<(Value, Value)>, String> {
    match value {
        Value::Array(items) => Ok(items
            .into_iter()
            .enumerate()
            .map(|(at, item)| (at.into(), item))
            .collect()),
        Value::Object(map) => Ok(map
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect()),
        Value::Null => Ok(Vec::new()),
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        _ => Err("ranges over something that is no list".to_owned()),
    }
}
