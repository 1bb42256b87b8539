//! `runner image trust`: the policy, as podman shows and sets it.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use crate::human::escaped;
use crate::template::align;
use crate::trust::edit::{self, Kind};
use crate::trust::lookaside::Lookaside;
use crate::trust::{Policy, openpgp, sigstore};

/// The commands for the policy.
#[derive(Debug, clap::Subcommand)]
#[command(defer = true)]
pub(super) enum Verb {
    /// Show which images are accepted.
    Show(ShowArguments),
    /// Set which images are accepted from a registry, or by default.
    Set(SetArguments),
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArguments {
    /// Only what is said about this registry, namespace or repository
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,

    /// Print JSON
    #[arg(short, long)]
    json: bool,

    /// Print no headings
    #[arg(short, long)]
    noheading: bool,

    /// Print the file as it is
    #[arg(long)]
    raw: bool,

    /// Read this file
    #[arg(long = "policypath", value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct SetArguments {
    /// A registry, a namespace, a repository or an image in it; default for everything that has no
    /// rule of its own
    #[arg(value_name = "REGISTRY")]
    registry: String,

    /// What an image must fulfil
    #[arg(short = 't', long = "type", value_enum, default_value_t)]
    kind: Type,

    /// A file with public keys that sign; may be given several times, and then each must have signed
    #[arg(short = 'f', long = "pubkeysfile", value_name = "FILE")]
    keys: Vec<PathBuf>,

    /// Write this file [default: ~/.config/containers/policy.json; for root
    /// /etc/containers/policy.json]
    #[arg(long = "policypath", value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Type {
    /// A signature of OpenPGP
    #[default]
    #[value(name = "signedBy")]
    SignedBy,
    /// A signature of sigstore
    #[value(name = "sigstoreSigned")]
    SigstoreSigned,
    /// Nothing
    Accept,
    /// The impossible
    Reject,
}

impl From<Type> for Kind {
    fn from(typed: Type) -> Self {
        match typed {
            Type::SignedBy => Self::SignedBy,
            Type::SigstoreSigned => Self::SigstoreSigned,
            Type::Accept => Self::Accept,
            Type::Reject => Self::Reject,
        }
    }
}

pub(super) fn run(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Show(arguments) => show(arguments),
        Verb::Set(arguments) => set(arguments),
    }
}

fn show(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let path = arguments.policy.clone().unwrap_or_else(edit::path);
    let mut out = stdout().lock();
    if arguments.raw {
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        out.write_all(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let policy = Policy::read(&path)?;
    let mut lines = edit::lines(&policy, &Lookaside::load()?);
    if let Some(registry) = &arguments.registry {
        lines.retain(|line| line.repository == *registry);
    }
    if arguments.json {
        writeln!(out, "{:#}", serde_json::to_value(&lines)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    if !arguments.noheading {
        text += "TRANSPORT\tNAME\tTYPE\tID\tSTORE\n";
    }
    for line in &lines {
        let cells = [
            &line.transport,
            &line.repository,
            &line.kind,
            &line.ids,
            &line.store,
        ];
        text += &cells.map(|cell| escaped(cell)).join("\t");
        text.push('\n');
    }
    write!(out, "{}", align(&text))?;
    Ok(ExitCode::SUCCESS)
}

fn set(arguments: &SetArguments) -> anyhow::Result<ExitCode> {
    let (kind, keys) = (Kind::from(arguments.kind), &arguments.keys);
    let is_signed = matches!(kind, Kind::SignedBy | Kind::SigstoreSigned);
    ensure!(
        !is_signed || !keys.is_empty(),
        "a rule that wants signatures needs a public key: name a file with --pubkeysfile, or give \
         --type accept or reject"
    );
    ensure!(
        is_signed || keys.is_empty(),
        "--pubkeysfile is for rules that want signatures: leave it out"
    );
    let keys = keys.iter().map(|key| checked(key, kind));
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    let path = arguments
        .policy
        .clone()
        .unwrap_or_else(edit::path_for_writing);
    edit::set(&path, &arguments.registry, kind, &keys)?;
    Ok(ExitCode::SUCCESS)
}

/// A file of keys by its whole path. What holds no key would refuse every image.
fn checked(path: &Path, kind: Kind) -> anyhow::Result<PathBuf> {
    let shown = || format!("cannot trust {}", path.display());
    let bytes = fs::read(path).with_context(shown)?;
    let read = match kind {
        Kind::SigstoreSigned => sigstore::PublicKey::read(&bytes).map(drop),
        _ => openpgp::read_keys(&bytes).map(drop),
    };
    read.map_err(anyhow::Error::msg).with_context(shown)?;
    std::path::absolute(path).with_context(shown)
}
