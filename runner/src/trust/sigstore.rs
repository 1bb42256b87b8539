//! Signatures of sigstore by a key: ECDSA with the curve P-256 and SHA-256 over the claim itself.
//!
//! Source: cosign, `specs/SIGNATURE_SPEC.md`; RFC 5480 for the keys.

use std::collections::BTreeMap;

use packer::credentials::base64;
use packer::registry::Attachment;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};

use super::signature::{MEDIA_TYPE, SIGNATURE};

/// What stands before the point in a `SubjectPublicKeyInfo` for the curve P-256 (RFC 5480).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key that signatures are checked with.
#[derive(Debug)]
pub struct PublicKey(UnparsedPublicKey<Vec<u8>>);

/// A key that signs.
#[derive(Debug)]
pub struct PrivateKey(EcdsaKeyPair);

impl PublicKey {
    /// Reads a key in PEM, as `cosign generate-key-pair` and `openssl ec -pubout` write it.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let der = from_pem(text, "PUBLIC KEY")?;
        let point = der.strip_prefix(&P256).filter(|point| point.len() == 65);
        let point = point.ok_or("a key is no ECDSA key with the curve P-256")?;
        Ok(Self(UnparsedPublicKey::new(
            &ECDSA_P256_SHA256_ASN1,
            point.to_owned(),
        )))
    }
}

impl PrivateKey {
    /// Reads a key in PEM of PKCS#8 without a password, as `openssl genpkey` writes it.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let der = from_pem(text, "PRIVATE KEY")?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, &SystemRandom::new());
        let pair =
            pair.map_err(|error| format!("it is no ECDSA key with the curve P-256 ({error})"))?;
        Ok(Self(pair))
    }

    /// Signs a claim.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn sign(&self, payload: Vec<u8>) -> Result<Attachment, String> {
        let signature = self.0.sign(&SystemRandom::new(), &payload);
        let signature = signature.map_err(|_| "there are no random numbers".to_owned())?;
        let encoded = base64::encode(signature.as_ref());
        Ok(Attachment {
            media_type: MEDIA_TYPE.to_owned(),
            payload,
            annotations: BTreeMap::from([(SIGNATURE.to_owned(), encoded)]),
        })
    }
}

/// The claim in an attachment that one of `keys` has signed.
pub(super) fn verify<'a>(
    attachment: &'a Attachment,
    keys: &[PublicKey],
) -> Result<&'a [u8], String> {
    if attachment.media_type != MEDIA_TYPE {
        let kind = attachment.media_type.escape_debug();
        return Err(format!("it has the type {kind}, which is not understood"));
    }
    let signature = attachment.annotations.get(SIGNATURE);
    let signature = signature.and_then(|text| base64::decode(text));
    let signature = signature.ok_or("there is no signature in it")?;
    let good = |key: &PublicKey| key.0.verify(&attachment.payload, &signature).is_ok();
    match keys.iter().any(good) {
        true => Ok(&attachment.payload),
        false => Err("it was not made by a key of this rule".to_owned()),
    }
}

fn from_pem(text: &[u8], label: &str) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "a key is no PEM".to_owned())?;
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let body = text
        .split_once(&begin)
        .and_then(|(_, rest)| rest.split_once(&end))
        .map(|(body, _)| body.split_whitespace().collect::<String>());
    body.and_then(|body| base64::decode(&body))
        .ok_or_else(|| format!("a key is no PEM with \"{begin}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::KeyPair;

    fn pair() -> (PrivateKey, PublicKey) {
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let private = pem("PRIVATE KEY", der.as_ref());
        let private = PrivateKey::read(private.as_bytes()).unwrap();
        let public = [&P256, private.0.public_key().as_ref()].concat();
        let public = PublicKey::read(pem("PUBLIC KEY", &public).as_bytes()).unwrap();
        (private, public)
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            base64::encode(der)
        )
    }

    #[test]
    fn a_signature_is_good_for_its_key_and_its_claim() {
        let (private, public) = pair();
        let (_, other) = pair();
        let attachment = private.sign(b"claim".to_vec()).unwrap();
        assert_eq!(verify(&attachment, &[pair().1, public]).unwrap(), b"claim");
        assert!(verify(&attachment, &[other]).is_err());
    }

    #[test]
    fn a_changed_claim_and_a_missing_signature_are_refused() {
        let (private, public) = pair();
        let good = private.sign(b"claim".to_vec()).unwrap();
        let mut bad = good.clone();
        bad.payload = b"clain".to_vec();
        assert!(verify(&bad, std::slice::from_ref(&public)).is_err());
        let mut bad = good.clone();
        bad.annotations.clear();
        assert!(verify(&bad, std::slice::from_ref(&public)).is_err());
        let mut bad = good;
        bad.media_type = "text/plain".to_owned();
        assert!(verify(&bad, std::slice::from_ref(&public)).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "x",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ] {
            assert!(PublicKey::read(text.as_bytes()).is_err());
            assert!(PrivateKey::read(text.as_bytes()).is_err());
        }
    }
}
