//! OpenPGP, as far as a claim about an image needs it: a message that is signed by one key.
//!
//! The packets and the arithmetic are rPGP's. Here it is decided which keys may sign: those that are
//! bound to their certificate by a good signature, are neither revoked nor expired, and are meant for
//! signing.
//!
//! Source: RFC 9580; container-signature(5), "OpenPGP signature verification".

use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use pgp::composed::{
    Message, MessageBuilder, PublicOrSecret, SignedPublicKey, SignedPublicSubKey, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Password, SigningKey, Tag, VerifyingKey};

/// What a signed claim may have, in bytes, when it is decompressed.
const MOST_PAYLOAD: u64 = 4 << 20;

/// Compressed messages in compressed messages.
const MOST_DEPTH: usize = 2;

/// A certificate whose keys may sign.
#[derive(Debug)]
pub struct Certificate(SignedPublicKey);

/// A key that signs.
pub struct SecretKey {
    key: SignedSecretKey,
    password: String,
}

impl Certificate {
    /// Whose it is: the address in its first user id, or the whole id, or the key's fingerprint.
    #[must_use]
    pub fn address(&self) -> String {
        let users = self.0.details.users.iter();
        let mut names = users.filter_map(|user| user.id.as_str());
        let Some(name) = names.next() else {
            return self.0.fingerprint().to_string();
        };
        let address = name
            .split_once('<')
            .and_then(|(_, rest)| rest.strip_suffix('>'));
        address.unwrap_or(name).to_owned()
    }
}

/// Reads the certificates of a file, binary or with armour.
///
/// # Errors
/// A sentence about what is wrong with it.
pub fn read_keys(bytes: &[u8]) -> Result<Vec<Certificate>, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("its keys are not understood: {error}");
    let (keys, _) = PublicOrSecret::from_reader_many(bytes).map_err(|error| unusable(&error))?;
    let keys = keys.map(|key| match key {
        Ok(PublicOrSecret::Public(key)) => Ok(Certificate(key)),
        Ok(PublicOrSecret::Secret(key)) => Ok(Certificate(key.to_public_key())),
        Err(error) => Err(unusable(&error)),
    });
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    match keys.is_empty() {
        true => Err("there is no key in its keys".to_owned()),
        false => Ok(keys),
    }
}

/// What a message says that one of `keys` has signed.
///
/// # Errors
/// A sentence about what is wrong with it.
pub fn verify(message: &[u8], keys: &[Certificate]) -> Result<Vec<u8>, String> {
    let malformed = |error: &dyn std::fmt::Display| format!("it is no OpenPGP message: {error}");
    let mut message = Message::from_bytes(message).map_err(|error| malformed(&error))?;
    for _ in 0..MOST_DEPTH {
        if message.is_compressed() {
            message = message.decompress().map_err(|error| malformed(&error))?;
        }
    }
    if !matches!(&message, Message::Signed { reader, .. } if reader.num_signatures() == 1) {
        return Err("it is not signed by one key".to_owned());
    }
    let mut payload = Vec::new();
    let read = (&mut message)
        .take(MOST_PAYLOAD + 1)
        .read_to_end(&mut payload);
    read.map_err(|error| malformed(&error))?;
    if payload.len() as u64 > MOST_PAYLOAD {
        return Err(format!("it has more than {} MiB", MOST_PAYLOAD >> 20));
    }
    let now = now();
    let mut reason = "it was not made by a key of this rule".to_owned();
    for Certificate(certificate) in keys {
        for (key, usable) in signing_keys(certificate, now) {
            match (message.verify(key), usable) {
                (Err(_), _) => {}
                (Ok(_), Err(why)) => why.clone_into(&mut reason),
                (Ok(signature), Ok(())) => match check_signature(signature, now) {
                    Ok(()) => return Ok(payload),
                    Err(why) => why.clone_into(&mut reason),
                },
            }
        }
    }
    Err(reason)
}

/// What holds for the signature itself.
fn check_signature(signature: &Signature, now: u64) -> Result<(), &'static str> {
    if !matches!(
        signature.typ(),
        Some(SignatureType::Binary | SignatureType::Text)
    ) {
        return Err("it signs something else than a document");
    }
    if !signature.hash_alg().is_some_and(is_strong) {
        return Err("its digest is one that can be forged (MD5, SHA-1, RIPEMD-160)");
    }
    let lifetime = signature
        .signature_expiration_time()
        .map(|time| time.as_secs());
    match has_expired(
        signature.created().map(|time| time.as_secs()),
        lifetime,
        now,
    ) {
        true => Err("it has expired"),
        false => Ok(()),
    }
}

fn is_strong(hash: HashAlgorithm) -> bool {
    !matches!(
        hash,
        HashAlgorithm::Md5 | HashAlgorithm::Sha1 | HashAlgorithm::Ripemd160
    )
}

/// Whether something that was made at `created` for `lifetime` seconds (0 for ever) is over. What
/// does not say when it was made is.
fn has_expired(created: Option<u32>, lifetime: Option<u32>, now: u64) -> bool {
    match (created, lifetime) {
        (None, _) => true,
        (_, None | Some(0)) => false,
        (Some(created), Some(lifetime)) => u64::from(created) + u64::from(lifetime) <= now,
    }
}

/// The keys of a certificate, and whether each may sign now.
fn signing_keys(
    certificate: &SignedPublicKey,
    now: u64,
) -> Vec<(&dyn VerifyingKey, Result<(), &'static str>)> {
    let primary = check_primary(certificate, now);
    let may_sign = primary.and_then(|own| match own.key_flags() {
        flags if flags.sign() => Ok(()),
        // Old keys say nothing about their purpose.
        flags if !flags.certify() && !flags.encrypt_comms() && !flags.encrypt_storage() => Ok(()),
        _ => Err("it was made by a key that is not meant for signing"),
    });
    let mut keys: Vec<(&dyn VerifyingKey, _)> = vec![(&certificate.primary_key, may_sign)];
    for subkey in &certificate.public_subkeys {
        let usable = primary.and_then(|_| check_subkey(certificate, subkey, now));
        keys.push((&subkey.key, usable));
    }
    keys
}

/// The newest signature by which the primary key speaks about itself.
fn check_primary(certificate: &SignedPublicKey, now: u64) -> Result<&Signature, &'static str> {
    let (key, details) = (&certificate.primary_key, &certificate.details);
    let is_revocation = |one: &&Signature| one.typ() == Some(SignatureType::KeyRevocation);
    let mut revocations = details.revocation_signatures.iter().filter(is_revocation);
    if revocations.any(|one| one.verify_key(key).is_ok()) {
        return Err("it was made by a key that is revoked");
    }
    let users = details.users.iter().flat_map(|user| {
        let good = user.signatures.iter().filter(|one| {
            one.is_certification() && one.verify_certification(key, Tag::UserId, &user.id).is_ok()
        });
        good.collect::<Vec<_>>()
    });
    let direct = details.direct_signatures.iter();
    let direct = direct.filter(|one| one.verify_key(key).is_ok());
    let newest = users
        .chain(direct)
        .max_by_key(|one| one.created().map(|time| time.as_secs()));
    let newest = newest.ok_or("it was made by a key that nothing is known about")?;
    check_age(key, newest, now)?;
    Ok(newest)
}

/// Whether a subkey may sign.
fn check_subkey(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: u64,
) -> Result<(), &'static str> {
    let (primary, key) = (&certificate.primary_key, &subkey.key);
    let bound = |one: &&Signature| one.verify_subkey_binding(primary, key).is_ok();
    let good: Vec<_> = subkey.signatures.iter().filter(bound).collect();
    if good
        .iter()
        .any(|one| one.typ() == Some(SignatureType::SubkeyRevocation))
    {
        return Err("it was made by a key that is revoked");
    }
    let newest = good
        .into_iter()
        .max_by_key(|one| one.created().map(|time| time.as_secs()));
    let newest = newest.ok_or("it was made by a key that is not bound to its certificate")?;
    // Without the way back, somebody could claim the signing key of another as his own.
    let back = newest.embedded_signature();
    let is_signing = newest.key_flags().sign()
        && back.is_some_and(|back| back.verify_primary_key_binding(key, primary).is_ok());
    match is_signing {
        true => check_age(key, newest, now),
        false => Err("it was made by a key that is not meant for signing"),
    }
}

fn check_age(key: &dyn KeyDetails, binding: &Signature, now: u64) -> Result<(), &'static str> {
    let lifetime = binding.key_expiration_time().map(|time| time.as_secs());
    match has_expired(Some(key.created_at().as_secs()), lifetime, now) {
        true => Err("it was made by a key that has expired"),
        false => Ok(()),
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretKey")
    }
}

impl SecretKey {
    /// Reads a key, as `gpg --export-secret-keys` writes it, binary or with armour.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn read(bytes: &[u8], password: &str) -> Result<Self, String> {
        let (keys, _) = PublicOrSecret::from_reader_many(bytes)
            .map_err(|error| format!("it is no OpenPGP key: {error}"))?;
        for key in keys {
            match key.map_err(|error| format!("it is no OpenPGP key: {error}"))? {
                PublicOrSecret::Secret(key) => {
                    let password = password.to_owned();
                    return Ok(Self { key, password });
                }
                PublicOrSecret::Public(_) => {}
            }
        }
        Err("there is no secret key in it".to_owned())
    }

    /// Signs a claim: a message with the claim and its signature.
    ///
    /// # Errors
    /// A sentence: the password is wrong, or no key may sign.
    pub fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, String> {
        let mut message = MessageBuilder::from_bytes("", payload.to_vec());
        let password = Password::from(self.password.as_str());
        message.sign(self.signing_key()?, password, HashAlgorithm::Sha512);
        message
            .to_vec(rand::thread_rng())
            .map_err(|error| format!("it cannot sign (is the passphrase right?): {error}"))
    }

    /// The subkey that may sign, or else the primary key.
    fn signing_key(&self) -> Result<&dyn SigningKey, String> {
        let public = self.key.to_public_key();
        let usable: Vec<_> = signing_keys(&public, now())
            .into_iter()
            .filter(|(_, usable)| usable.is_ok())
            .map(|(key, _)| key.fingerprint())
            .collect();
        let subkeys = self.key.secret_subkeys.iter();
        let subkeys = subkeys.map(|subkey| &subkey.key as &dyn SigningKey);
        subkeys
            .chain([&self.key.primary_key as &dyn SigningKey])
            .find(|key| usable.contains(&key.fingerprint()))
            .ok_or_else(|| "no key in it may sign now".to_owned())
    }
}
