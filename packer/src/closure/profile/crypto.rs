//! What OpenSSL and GnuTLS open: settings, providers and engines, and the certificates that a
//! connection is checked with. Private keys lie beside them, and are left where they are.

use super::{Needs, Profile, compiled_texts};
use crate::closure::process::Process;

/// The file with all certificates: Debian and Alpine, Fedora, openSUSE.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// OpenSSL, which says in its own text where its folders are (`openssl version -a`).
pub(super) const OPENSSL: Profile = Profile {
    name: "openssl",
    applies: |process| process.named("libcrypto.so").is_some(),
    needs: |host, process| {
        let mut needs = Needs {
            certificates: bundles(),
            ..Needs::default()
        };
        if let Some(library) = process.named("libcrypto.so") {
            for folder in compiled_texts(host, library, openssl_folder)? {
                needs.data.extend(folder.data);
                needs.certificates.extend(folder.certificates);
            }
        }
        Ok(needs)
    },
};

/// GnuTLS, whose programs read the file of the distribution.
pub(super) const GNUTLS: Profile = Profile {
    name: "gnutls",
    applies: |process: &Process| process.named("libgnutls.so").is_some(),
    needs: |_, _| {
        Ok(Needs {
            certificates: bundles(),
            ..Needs::default()
        })
    },
};

fn bundles() -> Vec<String> {
    BUNDLES.map(str::to_owned).to_vec()
}

/// What lies in the folder that a text like `OPENSSLDIR: "/usr/lib/ssl"` names.
fn openssl_folder(text: &str) -> Option<Needs> {
    let (name, rest) = text.split_once(": \"")?;
    let folder = rest
        .strip_suffix('"')
        .filter(|path| path.starts_with('/'))?;
    let (data, certificates) = match name {
        "OPENSSLDIR" => (
            vec![format!("{folder}/openssl.cnf")],
            vec![format!("{folder}/cert.pem"), format!("{folder}/certs")],
        ),
        "ENGINESDIR" | "MODULESDIR" => (vec![folder.to_owned()], Vec::new()),
        _ => return None,
    };
    Some(Needs {
        data,
        certificates,
        ..Needs::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_openssl_are_read_in_its_text() {
        let own = openssl_folder("OPENSSLDIR: \"/usr/lib/ssl\"").unwrap();
        assert_eq!(own.data, ["/usr/lib/ssl/openssl.cnf"]);
        assert_eq!(
            own.certificates,
            ["/usr/lib/ssl/cert.pem", "/usr/lib/ssl/certs"]
        );
        let modules = openssl_folder("MODULESDIR: \"/usr/lib/m\"").unwrap();
        assert_eq!(modules.data, ["/usr/lib/m"]);
        assert!(openssl_folder("OPENSSLDIR: N/A").is_none());
        assert!(openssl_folder("CPUINFO: \"/x\"").is_none());
    }
}
