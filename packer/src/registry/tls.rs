//! Whom we trust: the certificates of the system and those of `certs.d`.
//!
//! For each registry there may be a folder `certs.d/HOST:PORT` with authorities (`*.crt`) and with
//! certificates of our own (`*.cert` and the key beside it, `*.key`).
//!
//! Source: containers-certs.d(5).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Where distributions keep the authorities that they trust, all in one file.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How TLS is spoken with `registry`. Without `verify` any certificate is accepted.
///
/// # Errors
/// A sentence about the file that cannot be used.
pub(super) fn config(
    registry: &str,
    folder: Option<&Path>,
    verify: bool,
) -> Result<ClientConfig, String> {
    let own = folder.map(Path::to_owned).or_else(|| folder_of(registry));
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if verify {
        let (mut roots, mut named) = (system_roots(), Vec::new());
        for path in own.iter().flat_map(|folder| files(folder, "crt")) {
            for certificate in certificates(&path)? {
                let added = roots.add(certificate.clone());
                added.map_err(|error| format!("{} is refused: {error}", path.display()))?;
                named.push(certificate);
            }
        }
        if roots.is_empty() {
            // Nobody is trusted, so every server is refused.
            builder.with_root_certificates(roots)
        } else {
            let authorities =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
            let authorities = authorities.build().map_err(|error| error.to_string())?;
            let verifier = Arc::new(Named { authorities, named });
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
    } else {
        let anyone = Arc::new(Anyone(provider));
        builder.dangerous().with_custom_certificate_verifier(anyone)
    };
    let ours = own.iter().flat_map(|folder| files(folder, "cert")).next();
    let mut config = match ours {
        Some(path) => {
            let key = path.with_extension("key");
            let secret = PrivateKeyDer::from_pem_file(&key)
                .map_err(|error| format!("{} cannot be read: {error}", key.display()))?;
            builder
                .with_client_auth_cert(certificates(&path)?, secret)
                .map_err(|error| format!("{} is refused: {error}", path.display()))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The first folder that there is for the registry; a user's own goes before the system's.
fn folder_of(registry: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let own = home.map(|home| home.join(".config/containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    own.into_iter()
        .chain(system)
        .map(|folder| folder.join(registry))
        .find(|folder| folder.is_dir())
}

/// The files of the folder that end so, in the order of their names.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let refuse = |reason: String| format!("{} cannot be read: {reason}", path.display());
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refuse(error.to_string()))?;
    match found.is_empty() {
        true => Err(refuse("there is no certificate in it".to_owned())),
        false => Ok(found),
    }
}

/// The system's authorities. One that is malformed is passed over, as others do: it is one of a
/// hundred, and nobody is trusted for it.
fn system_roots() -> RootCertStore {
    let variable = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty());
    let bundle = variable.map(PathBuf::from).or_else(|| {
        BUNDLES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
    });
    let mut roots = RootCertStore::empty();
    let found = bundle.and_then(|path| CertificateDer::pem_file_iter(path).ok());
    roots.add_parsable_certificates(found.into_iter().flatten().flatten());
    roots
}

/// Trusts the authorities, and the certificates of `certs.d` also when a server shows one of them as
/// its own: that is how most private registries are set up, and the rules of the web's PKI
/// have no place for it.
#[derive(Debug)]
struct Named {
    authorities: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self
            .authorities
            .verify_server_cert(certificate, chain, name, response, now);
        match verified {
            // An authority's certificate in a server's place: its dates were looked at before that.
            Err(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(_)))
                if self.named.iter().any(|named| named == certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Accepts every certificate; only for those who asked for it.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
