//! `runner images` and `runner image ls`: what is in the store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::ensure;
use packer::Digest;
use packer::reference::Reference;
use serde::Serialize;
use serde_json::{Value, json};

use crate::human;
use crate::store::{ListedImage, Store};
use crate::template::{Template, align};

mod filter;

pub(super) use filter::{Filters, moment};

/// List images
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the images that have this name, with any tag if it has none, or this pattern or id
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
    /// Show all images (this program makes no intermediate ones, so nothing changes)
    #[arg(short, long)]
    pub all: bool,
    /// Print only ids; a format other than json counts for nothing then
    #[arg(short, long)]
    pub quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Show the digests of the manifests
    #[arg(long)]
    pub digests: bool,
    /// Print no header
    #[arg(short, long)]
    pub noheading: bool,
    /// Print `json`, a `table …` or a Go template
    #[arg(long)]
    pub format: Option<String>,
    /// Only images that fit: before, since, until, dangling, id, label, reference or containers, as
    /// KEY=VALUE or KEY!=VALUE; several with commas between
    #[arg(short, long = "filter", value_name = "FILTER", value_delimiter = ',')]
    pub filters: Vec<String>,
    /// What the list is sorted by
    #[arg(long, value_enum, default_value_t)]
    pub sort: Sort,
    /// Show all names of an image in one more column
    #[arg(long)]
    pub history: bool,
}

/// What a list of images is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// The newest first; an image without a date is as old as it is here
    #[default]
    Created,
    /// The id
    Id,
    /// The name without its tag
    Repository,
    /// The smallest first
    Size,
    /// The tag
    Tag,
}

/// An image as `--format json` prints it, with podman's names in podman's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    id: String,
    parent_id: &'static str,
    repo_tags: Vec<String>,
    repo_digests: BTreeSet<String>,
    size: u64,
    shared_size: u64,
    virtual_size: u64,
    /// None is `null`, as podman has it.
    labels: Option<BTreeMap<String, String>>,
    containers: usize,
    names: Vec<String>,
    digest: Digest,
    history: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dangling: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

/// Prints the images to `out`; `containers` counts those that use an image.
///
/// # Errors
/// What reading the store, the format or printing gives.
pub fn run(
    args: &Args,
    store: &Store,
    containers: &dyn Fn(&Digest) -> usize,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let images = wanted(args, store, containers)?;
    let text = match args.format.as_deref() {
        Some("json") => {
            let reports: Vec<_> = images
                .iter()
                .map(|image| report(image, containers))
                .collect();
            serde_json::to_string_pretty(&reports)? + "\n"
        }
        _ if args.quiet => ids(args, &images),
        Some(format) => {
            let template = Template::parse(format)?;
            let lines = lines(args, &images);
            let rows: Vec<_> = lines
                .iter()
                .map(|line| row(args, line, containers))
                .collect();
            let text = template.render_rows(&rows, &headers())?;
            match text.split_once('\n') {
                Some((_, rows)) if template.is_table() && args.noheading => rows.to_owned(),
                _ => text,
            }
        }
        None => table(args, &lines(args, &images)),
    };
    out.write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn wanted(
    args: &Args,
    store: &Store,
    containers: &dyn Fn(&Digest) -> usize,
) -> anyhow::Result<Vec<ListedImage>> {
    ensure!(
        args.image.is_none() || args.filters.is_empty(),
        "cannot specify an image and a filter(s): the image is one, as --filter reference=IMAGE"
    );
    let named = args.image.iter().map(|name| format!("reference={name}"));
    let filters: Vec<_> = named.chain(args.filters.iter().cloned()).collect();
    let filters = Filters::parse(&filters, store)?;
    let mut images = store.images()?;
    images.retain(|listed| filters.fit(listed, containers(&listed.id) > 0));
    match args.sort {
        Sort::Created => images.sort_by_cached_key(|listed| Reverse(filter::time(listed))),
        Sort::Id => images.sort_by_key(|listed| listed.id),
        Sort::Size => images.sort_by_key(|listed| listed.size),
        // These are about the rows.
        Sort::Repository | Sort::Tag => {}
    }
    Ok(images)
}

fn ids(args: &Args, images: &[ListedImage]) -> String {
    images
        .iter()
        .map(|listed| id(args, listed) + "\n")
        .collect()
}

fn id(args: &Args, listed: &ListedImage) -> String {
    if args.no_trunc {
        listed.id.to_string()
    } else {
        listed.short_id()
    }
}

/// A line of a list: an image under one of its names, or without any.
type Line<'a> = (&'a ListedImage, Option<&'a Reference>);

/// A line for each name with a tag. Where there is none, one for each other name, or one for an image
/// without any.
fn lines<'a>(args: &Args, images: &'a [ListedImage]) -> Vec<Line<'a>> {
    let each = images.iter().flat_map(|listed| {
        let (pinned, tagged): (Vec<_>, Vec<_>) =
            listed.names.iter().partition(|name| name.tag().is_none());
        let names = if tagged.is_empty() { pinned } else { tagged };
        let nameless = names.is_empty().then_some(None);
        let names = names.into_iter().map(Some);
        names.chain(nameless).map(move |name| (listed, name))
    });
    let mut lines: Vec<_> = each.collect();
    match args.sort {
        Sort::Repository => lines.sort_by_cached_key(|(_, name)| repository(*name)),
        Sort::Tag => lines.sort_by_key(|(_, name)| tag(*name)),
        Sort::Created | Sort::Id | Sort::Size => {}
    }
    lines
}

const NONE: &str = "<none>";

fn repository(name: Option<&Reference>) -> String {
    name.map_or_else(|| NONE.to_owned(), Reference::untagged)
}

fn tag(name: Option<&Reference>) -> &str {
    name.and_then(Reference::tag).unwrap_or(NONE)
}

/// How long ago an image was made. Reproducible images have no date; that is no reason to tell one
/// of 1970.
fn since(listed: &ListedImage) -> String {
    created(listed).map_or_else(|| "N/A".to_owned(), human::ago)
}

/// The names of an image in one column.
fn history(listed: &ListedImage) -> String {
    let names: Vec<_> = listed.names.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        return NONE.to_owned();
    }
    names.join(", ")
}

/// A column of the table.
#[derive(Debug, Clone, Copy)]
enum Column {
    Repository,
    Tag,
    Digest,
    Id,
    Created,
    Size,
    History,
}

impl Column {
    fn wanted(args: &Args) -> Vec<Self> {
        let mut columns = vec![Self::Repository, Self::Tag];
        columns.extend(args.digests.then_some(Self::Digest));
        columns.extend([Self::Id, Self::Created, Self::Size]);
        columns.extend(args.history.then_some(Self::History));
        columns
    }

    fn head(self) -> &'static str {
        match self {
            Self::Repository => "REPOSITORY",
            Self::Tag => "TAG",
            Self::Digest => "DIGEST",
            Self::Id => "IMAGE ID",
            Self::Created => "CREATED",
            Self::Size => "SIZE",
            Self::History => "HISTORY",
        }
    }

    fn cell(self, args: &Args, (listed, name): Line<'_>) -> String {
        match self {
            Self::Repository => repository(name),
            Self::Tag => tag(name).to_owned(),
            Self::Digest => listed.shown_digest().to_string(),
            Self::Id => id(args, listed),
            Self::Created => since(listed),
            Self::Size => human::size(listed.size),
            Self::History => history(listed),
        }
    }
}

fn table(args: &Args, lines: &[Line<'_>]) -> String {
    let columns = Column::wanted(args);
    let mut text = String::new();
    if !args.noheading {
        let heads: Vec<_> = columns.iter().map(|column| column.head()).collect();
        text += &(heads.join("\t") + "\n");
    }
    for &line in lines {
        let cells: Vec<_> = columns
            .iter()
            .map(|column| column.cell(args, line))
            .collect();
        text += &(cells.join("\t") + "\n");
    }
    align(&text)
}

fn headers() -> Value {
    json!({
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "ID": "IMAGE ID",
        "Id": "IMAGE ID",
        "Digest": "DIGEST",
        "Created": "CREATED",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "CreatedTime": "CREATED TIME",
        "Size": "SIZE",
        "VirtualSize": "VIRTUAL SIZE",
        "SharedSize": "SHARED SIZE",
        "Labels": "LABELS",
        "Containers": "CONTAINERS",
        "Names": "NAMES",
        "RepoTags": "REPO TAGS",
        "RepoDigests": "REPO DIGESTS",
        "History": "HISTORY",
        "ParentId": "PARENT ID",
        "Dangling": "DANGLING",
        "ReadOnly": "READONLY",
    })
}

/// A line as a template sees it.
fn row(args: &Args, line: &Line<'_>, containers: &dyn Fn(&Digest) -> usize) -> Value {
    let (listed, name) = *line;
    let report = report(listed, containers);
    let since = since(listed);
    let at = created(listed).map_or_else(|| "N/A".to_owned(), go_time);
    let size = human::size(listed.size);
    json!({
        "Repository": repository(name),
        "Tag": tag(name),
        "ID": id(args, listed),
        "Id": report.id,
        "Digest": report.digest,
        "Created": since,
        "CreatedSince": since,
        "CreatedAt": at,
        "CreatedTime": at,
        "Size": size,
        "VirtualSize": listed.size,
        "SharedSize": report.shared_size,
        "Labels": report.labels.unwrap_or_default(),
        "Containers": report.containers,
        "Names": report.names,
        "RepoTags": report.names,
        "RepoDigests": report.repo_digests,
        "History": history(listed),
        "ParentId": report.parent_id,
        "Dangling": name.is_none(),
        "ReadOnly": false,
        "IsReadOnly": false,
    })
}

fn report(listed: &ListedImage, containers: &dyn Fn(&Digest) -> usize) -> Report {
    let names: Vec<_> = listed.names.iter().map(ToString::to_string).collect();
    let since_1970 = created(listed)
        .and_then(|created| created.duration_since(SystemTime::UNIX_EPOCH).ok())
        .as_ref()
        .map(Duration::as_secs);
    Report {
        id: listed.id.hex(),
        parent_id: "",
        repo_tags: names.clone(),
        repo_digests: repo_digests(&listed.names, listed.digests()),
        size: listed.size,
        shared_size: 0,
        virtual_size: listed.size,
        labels: Some(listed.labels.clone()).filter(|labels| !labels.is_empty()),
        containers: containers(&listed.id),
        history: names.clone(),
        names,
        digest: listed.shown_digest(),
        dangling: listed.names.is_empty(),
        created: since_1970,
        created_at: created(listed).map(|time| humantime::format_rfc3339_seconds(time).to_string()),
    }
}

/// The image's repositories, each with all digests by which the image is known.
pub(super) fn repo_digests<'a>(
    names: &[Reference],
    digests: impl Iterator<Item = &'a Digest>,
) -> BTreeSet<String> {
    let every = digests.flat_map(|digest| {
        let names = names.iter();
        names.map(move |name| format!("{}@{digest}", name.untagged()))
    });
    every.collect()
}

fn created(listed: &ListedImage) -> Option<SystemTime> {
    human::parse_time(listed.created.as_deref()?)
}

/// A time as Go prints it: `2026-11-23 16:46:17 +0000 UTC`.
pub(super) fn go_time(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace('T', " ").replace('Z', " +0000 UTC")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::store::tests::{Home, Memory, tar};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn home() -> (Home, Digest) {
        let home = Home::new();
        let mut source = Memory::default();
        let image = source.add(&["server:1", "server:2"], "amd64", &[&tar(&[("a", "1")])]);
        home.load(&source).unwrap();
        (home, image.id())
    }

    fn images(home: &Home, line: &[&str]) -> String {
        let args = Line::parse_from([&["images"], line].concat()).args;
        let mut out = Vec::new();
        run(&args, &home.store, &|_| 3, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_has_podman_s_columns_and_a_row_for_each_name() {
        let (home, id) = home();
        let short = &id.hex()[..12];
        assert_eq!(
            images(&home, &[]),
            format!(
                "REPOSITORY        TAG         IMAGE ID      CREATED     SIZE\n\
                 localhost/server  1           {short}  N/A         2.05 kB\n\
                 localhost/server  2           {short}  N/A         2.05 kB\n"
            )
        );
        assert_eq!(images(&home, &["-n", "nothing"]), "");
        assert_eq!(images(&home, &["-q"]), format!("{short}\n"));
        assert_eq!(
            images(&home, &["-q", "--no-trunc", "server:1"]),
            format!("{id}\n")
        );
    }

    #[test]
    fn an_image_without_a_name_is_listed_too() {
        let home = Home::new();
        let mut source = Memory::default();
        source.add(&[], "amd64", &[]);
        home.load(&source).unwrap();
        assert!(images(&home, &["-n"]).starts_with("<none>      <none>      "));
    }

    #[test]
    fn formats_have_podman_s_fields() {
        let (home, id) = home();
        assert_eq!(
            images(
                &home,
                &["--format", "{{.Repository}}:{{.Tag}} {{.Containers}}"]
            ),
            "localhost/server:1 3\nlocalhost/server:2 3\n"
        );
        let table = images(
            &home,
            &["--noheading", "--format", r"table {{.Tag}}\t{{.Created}}"],
        );
        assert_eq!(table, "1           N/A\n2           N/A\n");
        let json: Value = serde_json::from_str(&images(&home, &["--format", "json"])).unwrap();
        assert_eq!(json[0]["Id"], id.hex());
        assert_eq!(json[0]["Names"][1], "localhost/server:2");
        assert!(json[0].get("Created").is_none(), "no date is not 1970");
    }
}
