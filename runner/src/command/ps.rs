//! `runner ps`.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::container_filter::Filter;
use super::sizes::Sizes;
use super::{Context, port, system, time};
use crate::container::state::Status;
use crate::container::{Container, Record};
use crate::human;
use crate::template::Template;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Every container, not only those that run.
    #[arg(short, long)]
    all: bool,

    /// Only ids.
    #[arg(short, long)]
    quiet: bool,

    /// Whole ids and commands.
    #[arg(long)]
    no_trunc: bool,

    /// No line of headings.
    #[arg(long)]
    noheading: bool,

    /// Only the container that was created last.
    #[arg(short, long)]
    latest: bool,

    /// Only so many of those that were created last.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    last: Option<usize>,

    /// Only containers that fit: id, name, status, label, ancestor or exited, as KEY=VALUE.
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,

    /// How much each wrote, and how large its image is.
    #[arg(short, long)]
    size: bool,

    /// Sort by command, created, id, image, names, runningfor, size or status.
    #[arg(long, value_enum, value_name = "FIELD")]
    sort: Option<Sort>,

    /// Print again every so many seconds.
    #[arg(short, long, value_name = "SECONDS")]
    watch: Option<u64>,

    /// Print with a Go template, or `json`.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    Command,
    Created,
    Id,
    Image,
    Names,
    Runningfor,
    Size,
    Status,
}

impl Sort {
    fn sort(self, rows: &mut [(Container, Status)]) {
        rows.sort_by_cached_key(|(container, status)| {
            let record = &container.record;
            match self {
                Self::Command => record.arguments.join(" "),
                // As wide as any, so that the letters are in the order of the numbers.
                Self::Created | Self::Runningfor => format!("{:020}", record.created),
                Self::Id => record.id.to_string(),
                Self::Image => record.image.clone(),
                Self::Names => record.name.to_string(),
                Self::Size => format!("{:020}", system::room(&container.folder().join("upper"))),
                Self::Status => container.word(status).to_owned(),
            }
        });
    }
}

const TABLE: &str =
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    loop {
        list(arguments, context)?;
        let Some(seconds) = arguments.watch else {
            return Ok(ExitCode::SUCCESS);
        };
        std::thread::sleep(Duration::from_secs(seconds.max(1)));
        // From the top of an empty screen.
        write!(stdout(), "\x1b[2J\x1b[H")?;
    }
}

fn list(arguments: &Arguments, context: &Context) -> anyhow::Result<()> {
    let containers = context.containers();
    containers.sweep();
    if arguments.size || arguments.sort == Some(Sort::Size) {
        // What containers wrote may be closed to everybody but their own root.
        super::image::enter(context)?;
    }
    let filters = Filter::parse_all(&arguments.filter)?;
    let by_status = filters
        .iter()
        .any(|filter| matches!(filter, Filter::Status(_) | Filter::Exited(_)));
    let last = if arguments.latest {
        Some(1)
    } else {
        arguments.last
    };
    let everything = arguments.all || by_status || last.is_some();
    let mut rows: Vec<(Container, Status)> = containers
        .all()?
        .into_iter()
        .map(|container| {
            let status = container.status();
            (container, status)
        })
        .filter(|(container, status)| {
            (everything || status.is_running())
                && filters.iter().all(|filter| filter.fits(container, status))
        })
        .collect();
    rows.reverse();
    if let Some(last) = last {
        rows.truncate(last);
    }
    if let Some(sort) = arguments.sort {
        sort.sort(&mut rows);
    }
    print(arguments, &rows, context)
}

fn print(
    arguments: &Arguments,
    rows: &[(Container, Status)],
    context: &Context,
) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if arguments.quiet {
        for (container, _) in rows {
            let id = &container.record.id;
            writeln!(
                out,
                "{}",
                if arguments.no_trunc {
                    id.as_str()
                } else {
                    id.short()
                }
            )?;
        }
        return Ok(());
    }
    let sizes = match arguments.size {
        true => {
            let store = context.store()?;
            let sizes = rows
                .iter()
                .map(|(container, _)| Sizes::of(container, &store));
            sizes.collect::<anyhow::Result<Vec<_>>>()?
        }
        false => Vec::new(),
    };
    let with_size = if arguments.size { "\t{{.Size}}" } else { "" };
    let table = format!("{TABLE}{with_size}");
    let format = arguments.format.as_deref().unwrap_or(&table);
    if format == "json" {
        let mut list: Vec<_> = rows
            .iter()
            .map(|(container, status)| as_json(container, status))
            .collect();
        for (value, sizes) in list.iter_mut().zip(&sizes) {
            value["Size"] = json!({"rootFsSize": sizes.image, "rwSize": sizes.written});
        }
        writeln!(out, "{:#}", Value::Array(list))?;
        return Ok(());
    }
    let template = Template::parse(format)?;
    let mut values: Vec<_> = rows
        .iter()
        .map(|(container, status)| row(container, status, arguments.no_trunc))
        .collect();
    for (value, sizes) in values.iter_mut().zip(&sizes) {
        value["Size"] = json!(sizes.text());
    }
    let text = template.render_rows(&values, &headings())?;
    let skip = usize::from(arguments.noheading && template.is_table());
    for line in text.lines().skip(skip) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn headings() -> Value {
    json!({
        "ID": "CONTAINER ID", "Image": "IMAGE", "ImageID": "IMAGE ID", "Command": "COMMAND",
        "CreatedAt": "CREATED AT", "RunningFor": "CREATED", "Status": "STATUS", "State": "STATE",
        "Ports": "PORTS", "Names": "NAMES", "Labels": "LABELS", "Pid": "PID", "ExitCode": "EXIT CODE",
        "Networks": "NETWORKS", "Size": "SIZE",
    })
}

/// A container as templates see it.
fn row(container: &Container, status: &Status, whole: bool) -> Value {
    let record = &container.record;
    let labels = record
        .labels
        .iter()
        .map(|(name, value)| human::escaped(&format!("{name}={value}")));
    json!({
        "ID": if whole { record.id.as_str() } else { record.id.short() },
        "Image": record.image,
        "ImageID": record.image_id.hex(),
        "Command": command(record, whole),
        "CreatedAt": time::rfc3339(record.created),
        "RunningFor": time::ago(record.created),
        "Status": describe(container, status),
        "State": container.word(status),
        "Ports": ports(container, status),
        "Names": record.name,
        "Labels": labels.collect::<Vec<_>>().join(","),
        "Pid": pid(status),
        "ExitCode": exit_code(status),
        "Networks": "",
        // Unless it was asked for.
        "Size": "",
    })
}

/// A container as podman's JSON has it.
fn as_json(container: &Container, status: &Status) -> Value {
    let record = &container.record;
    let state = container.state();
    let ports: Vec<_> = match status {
        Status::Running(_) => port::open_ports(container),
        _ => Vec::new(),
    };
    let ports: Vec<_> = ports
        .iter()
        .map(|mapping| {
            json!({
                "host_ip": mapping.address.map_or(String::new(), |address| address.to_string()),
                "container_port": mapping.container_port,
                "host_port": mapping.host_port,
                "range": 1,
                "protocol": mapping.protocol.to_string(),
            })
        })
        .collect();
    json!({
        "Id": record.id,
        "Names": [record.name],
        "Image": record.image,
        "ImageID": record.image_id.hex(),
        "Command": record.arguments,
        "Created": record.created / 1_000_000_000,
        "CreatedAt": time::ago(record.created),
        "StartedAt": state.as_ref().map_or(0, |state| state.started / 1_000_000_000),
        "ExitedAt": match status {
            Status::Exited(exit) => exit.finished / 1_000_000_000,
            _ => 0,
        },
        "Exited": matches!(status, Status::Exited(_)),
        "ExitCode": exit_code(status),
        "State": container.word(status),
        "Status": describe(container, status),
        "Pid": pid(status),
        "Ports": ports,
        "Labels": record.labels,
        "AutoRemove": record.remove,
        "Mounts": record.mounts.iter().map(|volume| volume.target()).collect::<Vec<_>>(),
        "Networks": [],
    })
}

fn pid(status: &Status) -> i32 {
    match status {
        Status::Running(handle) => handle.pid().as_raw_nonzero().get(),
        _ => 0,
    }
}

fn exit_code(status: &Status) -> u8 {
    match status {
        Status::Exited(exit) => exit.code,
        _ => 0,
    }
}

fn command(record: &Record, whole: bool) -> String {
    let all = human::escaped(&record.arguments.join(" "));
    if whole || all.chars().count() <= 20 {
        return all;
    }
    all.chars().take(17).chain("...".chars()).collect()
}

/// `Up 5 minutes`, `Exited (0) 5 minutes ago`, `Created`.
fn describe(container: &Container, status: &Status) -> String {
    match status {
        Status::Created => "Created".to_owned(),
        Status::Running(_) => {
            let started = container.state().map_or(0, |state| state.started);
            let paused = if container.is_paused() {
                " (Paused)"
            } else {
                ""
            };
            format!("Up {}{paused}", time::since(started))
        }
        Status::Exited(exit) if exit.finished == 0 => format!("Exited ({})", exit.code),
        Status::Exited(exit) => format!("Exited ({}) {}", exit.code, time::ago(exit.finished)),
    }
}

fn ports(container: &Container, status: &Status) -> String {
    if !status.is_running() {
        return String::new();
    }
    let ports = port::open_ports(container);
    let texts: Vec<_> = ports
        .iter()
        .map(|mapping| {
            let host = port::host_side(mapping);
            format!("{host}->{}/{}", mapping.container_port, mapping.protocol)
        })
        .collect();
    texts.join(", ")
}
