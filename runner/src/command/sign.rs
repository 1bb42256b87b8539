//! `runner image sign`, and the signing of what is pushed.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail, ensure};
use packer::Digest;
use packer::image::Platform;
use packer::reference::Reference;
use packer::registry::{Access, Pull, Push, RETRIES};
use packer::transport::Found;

use super::Context;
use super::remote::RegistryArguments;
use crate::store::{Resolved, Store, StoreError};
use crate::trust::lookaside::{self, Lookaside};
use crate::trust::{Claim, Signature, openpgp, sigstore};

// Who signs.
#[derive(Debug, clap::Args)]
pub(super) struct Signer {
    /// Sign with this OpenPGP key: a file with a secret key, or the name of a key that gpg has
    #[arg(long, value_name = "KEY")]
    sign_by: Option<String>,

    /// Sign for sigstore with this key: ECDSA with the curve P-256, in PEM of PKCS#8
    #[arg(long, value_name = "FILE")]
    sign_by_sigstore_private_key: Option<PathBuf>,

    /// A file whose first line is the passphrase of the OpenPGP key in a file
    #[arg(long, value_name = "FILE")]
    sign_passphrase_file: Option<PathBuf>,
}

/// Sign images, so that others can tell whose they are
///
/// The signature says that the manifest of the image, as it is here or else in its registry, is the
/// image with this name.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The images; with docker:// the registry is asked in any case
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    signer: Signer,

    /// Keep OpenPGP signatures below this folder [default: what registries.d says]
    #[arg(short, long, value_name = "DIR")]
    directory: Option<PathBuf>,

    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    ensure!(
        arguments.signer.is_there(),
        "who signs? Give --sign-by KEY or --sign-by-sigstore-private-key FILE"
    );
    let store = context.store()?;
    let access = arguments.registry.access(None, RETRIES)?;
    for typed in &arguments.images {
        let (reference, digest) = find(typed, &store, &access)?;
        let places = arguments.signer.sign(
            (&reference, &digest),
            arguments.directory.as_deref(),
            &access,
        )?;
        for place in places {
            writeln!(stdout(), "{place}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The reference of an image, and the digest of the manifest that is to be signed.
fn find(typed: &str, store: &Store, access: &Access) -> anyhow::Result<(Reference, Digest)> {
    let in_registry = typed.strip_prefix("docker://");
    if in_registry.is_none() {
        match store.resolve(typed) {
            Ok(Resolved {
                image,
                name: Some(name),
            }) => return Ok((name, image.digest)),
            Ok(_) => bail!(
                "a signature is for a name, and {} is none: name the image as REGISTRY/REPOSITORY:TAG",
                typed.escape_debug()
            ),
            Err(StoreError::UnknownImage(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let typed = in_registry.unwrap_or(typed);
    let pull = Pull::find(access, typed, &Platform::host(), store.temporary_folder())?;
    let reference = pull.asked().clone();
    Ok((reference, Found::from(pull).image().digest()))
}

impl Signer {
    /// Whether somebody signs at all.
    pub(super) fn is_there(&self) -> bool {
        self.sign_by.is_some() || self.sign_by_sigstore_private_key.is_some()
    }

    /// Signs the claim that the manifest `digest` is `reference`; where the signatures are.
    pub(super) fn sign(
        &self,
        (reference, digest): (&Reference, &Digest),
        directory: Option<&Path>,
        access: &Access,
    ) -> anyhow::Result<Vec<String>> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or_default();
        let claim = |kind: Claim| kind.write(digest, &reference.to_string(), now);
        let mut places = Vec::new();
        if let Some(key) = &self.sign_by {
            let folder = match directory {
                Some(directory) => directory.join(lookaside::folder_name(reference, digest)),
                None => Lookaside::load()?.folder_for_writing(reference, digest)?,
            };
            let message = self.openpgp(key, &claim(Claim::Simple))?;
            let path = lookaside::add(&folder, &Signature::Simple(message))?;
            places.push(path.display().to_string());
        }
        if let Some(path) = &self.sign_by_sigstore_private_key {
            let shown = || format!("cannot sign with {}", path.display());
            let bytes = fs::read(path).with_context(shown)?;
            let signed =
                sigstore::PrivateKey::read(&bytes).and_then(|key| key.sign(claim(Claim::Sigstore)));
            let attachment = signed.map_err(anyhow::Error::msg).with_context(shown)?;
            Push::open(access, reference)?.attach(digest, &attachment)?;
            places.push(format!(
                "{}:sha256-{}.sig",
                reference.untagged(),
                digest.hex()
            ));
        }
        Ok(places)
    }

    fn openpgp(&self, key: &str, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
        let shown = || format!("cannot sign with {}", key.escape_debug());
        if !Path::new(key).is_file() {
            return by_gpg(key, payload).with_context(shown);
        }
        let password = match &self.sign_passphrase_file {
            Some(path) => fs::read_to_string(path)
                .with_context(|| format!("cannot read the passphrase in {}", path.display()))?,
            None => String::new(),
        };
        let password = password.lines().next().unwrap_or_default();
        let bytes = fs::read(key).with_context(shown)?;
        openpgp::SecretKey::read(&bytes, password)
            .and_then(|key| key.sign(payload))
            .map_err(anyhow::Error::msg)
            .with_context(shown)
    }
}

/// A key that only gpg and its agent have.
fn by_gpg(key: &str, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new("gpg")
        .args(["--quiet", "--local-user", key, "--sign", "--output", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| anyhow!("there is no such file, and gpg cannot be asked: {error}"))?;
    let mut input = child.stdin.take().context("gpg has no input")?;
    // A claim fits into the pipe; if gpg has ended, its exit code says why.
    let _ = input.write_all(payload);
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "there is no such file, and gpg has no such key"
    );
    Ok(output.stdout)
}
