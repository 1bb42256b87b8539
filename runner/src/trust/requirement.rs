//! Whether an image meets one requirement.

use std::fs;
use std::path::{Path, PathBuf};

use packer::Digest;
use packer::credentials::base64;

use super::identity::{Identity, USUAL};
use super::payload::Claim;
use super::policy::Requirement;
use super::{Origin, Signature, openpgp, sigstore};

/// A file of keys may have so many bytes.
const MOST_KEYS: u64 = 16 << 20;

/// The keys of a requirement: each a file, or its content.
enum Key<'a> {
    Path(&'a Path),
    Data(&'a str),
}

impl Key<'_> {
    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Path(path) => read_key(path),
            Self::Data(text) => {
                let text: String = text.split_whitespace().collect();
                base64::decode(&text).ok_or_else(|| "its key data is no base64".to_owned())
            }
        }
    }
}

fn read_key(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable =
        |reason: String| format!("the key {} cannot be read: {reason}", path.display());
    let size = fs::metadata(path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if size > MOST_KEYS {
        return Err(unreadable("it is too big for one".to_owned()));
    }
    fs::read(path).map_err(|error| unreadable(error.to_string()))
}

fn keys<'a>(
    path: Option<&'a PathBuf>,
    paths: Option<&'a Vec<PathBuf>>,
    data: Option<&'a String>,
    datas: Option<&'a Vec<String>>,
) -> Vec<Key<'a>> {
    let paths = path.into_iter().chain(paths.into_iter().flatten());
    let datas = data.into_iter().chain(datas.into_iter().flatten());
    paths
        .map(|path| Key::Path(path))
        .chain(datas.map(|data| Key::Data(data)))
        .collect()
}

impl Requirement {
    /// What the file calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::InsecureAcceptAnything {} => "insecureAcceptAnything",
            Self::Reject {} => "reject",
            Self::SignedBy { .. } => "signedBy",
            Self::SigstoreSigned { .. } => "sigstoreSigned",
        }
    }

    /// What the syntax of the file alone does not say.
    pub(super) fn check_syntax(&self) -> Result<(), String> {
        let (given, wanted, identity) = match self {
            Self::InsecureAcceptAnything {} | Self::Reject {} => return Ok(()),
            Self::SignedBy {
                key_path,
                key_paths,
                key_data,
                signed_identity,
                ..
            } => (
                [
                    key_path.is_some(),
                    key_paths.is_some(),
                    key_data.is_some(),
                    false,
                ],
                "keyPath, keyPaths and keyData",
                signed_identity,
            ),
            Self::SigstoreSigned {
                key_path,
                key_paths,
                key_data,
                key_datas,
                signed_identity,
            } => (
                [
                    key_path.is_some(),
                    key_paths.is_some(),
                    key_data.is_some(),
                    key_datas.is_some(),
                ],
                "keyPath, keyPaths, keyData and keyDatas",
                signed_identity,
            ),
        };
        if given.into_iter().filter(|given| *given).count() != 1 {
            return Err(format!("{} needs exactly one of {wanted}", self.kind()));
        }
        identity.as_ref().map_or(Ok(()), Identity::check_syntax)
    }

    /// Whether an image with this manifest digest meets it; why not.
    pub(super) fn check(
        &self,
        image: &Digest,
        origin: &Origin,
        signatures: &[Signature],
    ) -> Result<(), String> {
        match self {
            Self::InsecureAcceptAnything {} => Ok(()),
            Self::Reject {} => Err("it accepts no image".to_owned()),
            Self::SignedBy {
                key_path,
                key_paths,
                key_data,
                signed_identity,
                ..
            } => {
                let mut rings = Vec::new();
                for key in keys(
                    key_path.as_ref(),
                    key_paths.as_ref(),
                    key_data.as_ref(),
                    None,
                ) {
                    rings.extend(openpgp::read_keys(&key.read()?)?);
                }
                let identity = signed_identity.as_ref().unwrap_or(&USUAL);
                one_of(signatures, |signature| match signature {
                    Signature::Simple(message) => {
                        let payload = match openpgp::verify(message, &rings) {
                            Ok(payload) => payload,
                            Err(reason) => return Some(Err(reason)),
                        };
                        Some(accept(Claim::Simple, &payload, image, origin, identity))
                    }
                    Signature::Sigstore(_) => None,
                })
            }
            Self::SigstoreSigned {
                key_path,
                key_paths,
                key_data,
                key_datas,
                signed_identity,
            } => {
                let keys = keys(
                    key_path.as_ref(),
                    key_paths.as_ref(),
                    key_data.as_ref(),
                    key_datas.as_ref(),
                );
                let keys = keys
                    .iter()
                    .map(|key| sigstore::PublicKey::read(&key.read()?));
                let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
                let identity = signed_identity.as_ref().unwrap_or(&USUAL);
                one_of(signatures, |signature| match signature {
                    Signature::Sigstore(attachment) => {
                        Some(sigstore::verify(attachment, &keys).and_then(|payload| {
                            accept(Claim::Sigstore, payload, image, origin, identity)
                        }))
                    }
                    Signature::Simple(_) => None,
                })
            }
        }
    }
}

fn accept(
    claim: Claim,
    payload: &[u8],
    image: &Digest,
    origin: &Origin,
    identity: &Identity,
) -> Result<(), String> {
    let signed = claim.read(payload, image)?;
    identity.check(origin.reference().as_ref(), &signed)
}

/// Whether one of the signatures that `check` speaks about is good.
fn one_of(
    signatures: &[Signature],
    check: impl Fn(&Signature) -> Option<Result<(), String>>,
) -> Result<(), String> {
    let mut reasons = Vec::new();
    for outcome in signatures.iter().filter_map(check) {
        match outcome {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(reason),
        }
    }
    match &reasons[..] {
        [] => Err("it has no such signature".to_owned()),
        [reason] => Err(format!("its signature is not accepted: {reason}")),
        _ => Err(format!(
            "none of its {} signatures is accepted: {}",
            reasons.len(),
            reasons.join("; ")
        )),
    }
}
