//! `runner history`: how an image came to be, layer by layer; or what its name pointed at before.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Context as _;
use packer::ImageName;
use packer::image::History;
use serde_json::{Value, json};

use super::Context;
use super::images::go_time;
use crate::human;
use crate::store::{Generation, Resolved, Store};
use crate::template::Template;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// What the name has pointed at, and not how the image was made.
    #[arg(long)]
    generations: bool,

    /// Sizes and dates as people read them.
    #[arg(
        short = 'H', long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set
    )]
    human: bool,

    /// Do not shorten ids and commands.
    #[arg(long)]
    no_trunc: bool,

    /// Only ids; a format other than json counts for nothing then.
    #[arg(short, long)]
    quiet: bool,

    /// Print `json`, a `table …` or a Go template.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const LAYERS: &str = "table {{.ID}}\t{{.Created}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const GENERATIONS: &str =
    "table {{.Generation}}\t{{.ID}}\t{{.Since}}\t{{.Created}}\t{{.Size}}\t{{.Current}}";

/// The longest command that is not shortened, in characters.
const LONGEST_COMMAND: usize = 45;

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let store = context.store()?;
    let (rows, json) = if arguments.generations {
        let name: ImageName = arguments.image.parse()?;
        let generations = store.generations(&name)?;
        let rows = generations.iter().rev();
        let rows: Vec<Value> = rows.map(|one| generation(arguments, one)).collect();
        (rows.clone(), rows)
    } else {
        let steps = steps(&store, &store.resolve(&arguments.image)?)?;
        let rows = steps.iter().map(|step| step.row(arguments)).collect();
        (rows, steps.iter().map(Step::json).collect())
    };
    let default = match arguments.generations {
        true => GENERATIONS,
        false => LAYERS,
    };
    let text = match arguments.format.as_deref() {
        Some("json") => format!("{}\n", Value::Array(json)),
        _ if arguments.quiet => Template::parse("{{.ID}}")?.render_rows(&rows, &headers())?,
        format => Template::parse(format.unwrap_or(default))?.render_rows(&rows, &headers())?,
    };
    stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

fn headers() -> Value {
    json!({
        "ID": "ID", "Created": "CREATED", "CreatedAt": "CREATED AT", "CreatedSince": "CREATED",
        "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT", "Tags": "TAGS",
        "Generation": "GENERATION", "Since": "SINCE", "Current": "CURRENT",
    })
}

/// One step of the making of an image.
struct Step {
    /// The image, for the last step.
    id: Option<String>,
    size: u64,
    made: History,
}

/// The steps of an image, the last first. A layer of which its history says nothing is a step too.
fn steps(store: &Store, found: &Resolved) -> anyhow::Result<Vec<Step>> {
    let config = store.config(&found.image)?;
    let mut sizes = store.layer_sizes(&found.image)?.into_iter();
    let mut steps = Vec::new();
    for made in config.history {
        let size = match made.empty_layer {
            Some(true) => 0,
            _ => sizes.next().unwrap_or(0),
        };
        steps.push(Step {
            id: None,
            size,
            made,
        });
    }
    let created = config.created;
    steps.extend(sizes.map(|size| Step {
        id: None,
        size,
        made: History {
            created: created.clone(),
            ..History::default()
        },
    }));
    if let Some(last) = steps.last_mut() {
        last.id = Some(found.image.id.hex());
    }
    steps.reverse();
    Ok(steps)
}

impl Step {
    fn row(&self, arguments: &Arguments) -> Value {
        let at = self.made.created.as_deref().and_then(human::parse_time);
        let none = || "N/A".to_owned();
        let since = at.map_or_else(none, human::ago);
        let rfc3339 = at.map_or_else(none, |at| humantime::format_rfc3339_seconds(at).to_string());
        let command = self.made.created_by.clone().unwrap_or_default();
        json!({
            "ID": self.id.as_deref().map_or("<missing>", |id| shortened(id, arguments)),
            "Created": if arguments.human { &since } else { &rfc3339 },
            "CreatedSince": since,
            "CreatedAt": at.map_or_else(none, go_time),
            "CreatedBy": match command.char_indices().nth(LONGEST_COMMAND - 3) {
                Some((end, _)) if !arguments.no_trunc && command.chars().count() > LONGEST_COMMAND =>
                    format!("{}...", &command[..end]),
                _ => command,
            },
            "Size": if arguments.human { human::size(self.size) } else { self.size.to_string() },
            "Comment": self.made.comment.clone().unwrap_or_default(),
            "Tags": [],
        })
    }

    /// With podman's names, of which two differ only in a letter's case.
    fn json(&self) -> Value {
        let mut fields = json!({
            "id": self.id.as_deref().unwrap_or("<missing>"),
            "created": self.made.created,
            "CreatedBy": self.made.created_by.clone().unwrap_or_default(),
            "size": self.size,
            "Created": self.made.created.as_deref().and_then(human::parse_time)
                .map(|at| humantime::format_rfc3339_seconds(at).to_string()),
        });
        if let Some(comment) = &self.made.comment {
            fields["comment"] = json!(comment);
        }
        fields
    }
}

fn shortened<'a>(id: &'a str, arguments: &Arguments) -> &'a str {
    match arguments.no_trunc {
        true => id,
        false => &id[..12],
    }
}

fn generation(arguments: &Arguments, one: &Generation) -> Value {
    let created = one.image.config.created.as_deref();
    json!({
        "Generation": one.number,
        "ID": shortened(&one.image.id.hex(), arguments),
        "Since": human::ago(one.since),
        "Created": created.and_then(human::parse_time).map_or("N/A".to_owned(), human::ago),
        "Size": human::size(one.image.size),
        "Current": if one.is_current { "*" } else { "" },
    })
}
