//! A bill of materials as an SPDX document.
//!
//! Files are packages with the purpose "FILE": SPDX's own files must have a SHA-1, which nothing
//! else here is called by.
//!
//! Source: SPDX specification 2.3.

use serde_json::{Value, json};

use super::{Bill, Component, Kind, unique};

/// What stands for a date where there is none: one must be there (6.9).
const NO_DATE: &str = "1970-01-01T00:00:00Z";

pub(super) fn document(bill: &Bill) -> String {
    let id = |at: usize| format!("SPDXRef-{at}");
    let components = bill.components.iter().enumerate();
    let packages: Vec<Value> = components
        .clone()
        .map(|(at, component)| package(&id(at), component))
        .collect();
    let relation = |from: String, kind: &str, to: String| json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to });
    let mut relations = vec![relation("SPDXRef-DOCUMENT".into(), "DESCRIBES", id(0))];
    for (at, component) in components {
        let needs = component.needs.iter();
        relations.extend(needs.map(|&to| relation(id(at), "DEPENDS_ON", id(to))));
        let parts = component.parts.iter();
        relations.extend(parts.map(|&to| relation(id(at), "CONTAINS", id(to))));
    }
    let created = bill
        .epoch
        .map_or(NO_DATE.to_owned(), |epoch| epoch.to_string());
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": bill.components[0].name,
        "creationInfo": {
            "created": created,
            "creators": [concat!("Tool: packer-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relations,
    });
    let unique = unique(&document.to_string());
    document["documentNamespace"] = format!("urn:uuid:{unique}").into();
    format!("{document:#}")
}

fn package(id: &str, component: &Component) -> Value {
    let purpose = match component.kind {
        Kind::Program => "APPLICATION",
        Kind::Library => "LIBRARY",
        Kind::File => "FILE",
        Kind::Image => "CONTAINER",
    };
    let mut package = json!({
        "SPDXID": id,
        "name": component.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": purpose,
    });
    if let Some(version) = &component.version {
        package["versionInfo"] = version.as_str().into();
    }
    if let Some(license) = &component.license {
        package["licenseDeclared"] = license.as_str().into();
    }
    if let Some(digest) = &component.digest {
        package["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": digest.hex() }]);
    }
    if let Some(purl) = &component.purl {
        package["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }]);
    }
    package
}
