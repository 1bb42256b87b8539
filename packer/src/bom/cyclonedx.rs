//! A bill of materials as a CycloneDX document.
//!
//! Source: CycloneDX specification 1.5, JSON schema.

use serde_json::{Value, json};

use super::{Bill, Kind, unique};

pub(super) fn document(bill: &Bill) -> String {
    let root = &bill.components[0];
    let is_part = |at: usize| bill.components.iter().any(|one| one.parts.contains(&at));
    // The parts of others stand in these, and those of the root beside it.
    let mut top: Vec<usize> = (1..bill.components.len())
        .filter(|&at| !is_part(at))
        .collect();
    top.extend(&root.parts);
    top.sort_unstable();
    let components: Vec<Value> = top.iter().map(|&at| component(bill, at)).collect();
    let dependencies: Vec<Value> = bill
        .components
        .iter()
        .enumerate()
        .filter(|(_, component)| component.kind != Kind::File)
        .map(|(at, component)| {
            let needs: Vec<String> = component.needs.iter().copied().map(reference).collect();
            json!({ "ref": reference(at), "dependsOn": needs })
        })
        .collect();
    let mut described = component(bill, 0);
    if let Some(described) = described.as_object_mut() {
        described.remove("components");
    }
    let mut metadata = json!({
        "tools": { "components": [{
            "type": "application", "name": "packer", "version": env!("CARGO_PKG_VERSION"),
        }] },
        "component": described,
    });
    if let Some(epoch) = bill.epoch {
        metadata["timestamp"] = epoch.to_string().into();
    }
    let mut document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": dependencies,
    });
    let unique = unique(&document.to_string());
    document["serialNumber"] = format!("urn:uuid:{unique}").into();
    format!("{document:#}")
}

fn reference(at: usize) -> String {
    format!("component-{at}")
}

fn component(bill: &Bill, at: usize) -> Value {
    let component_of = component;
    let component = &bill.components[at];
    let kind = match component.kind {
        Kind::Program => "application",
        Kind::Library => "library",
        Kind::File => "file",
        Kind::Image => "container",
    };
    let mut value = json!({ "type": kind, "bom-ref": reference(at), "name": component.name });
    if let Some(version) = &component.version {
        value["version"] = version.as_str().into();
    }
    if let Some(license) = &component.license {
        value["licenses"] = json!([{ "expression": license }]);
    }
    if let Some(digest) = &component.digest {
        value["hashes"] = json!([{ "alg": "SHA-256", "content": digest.hex() }]);
    }
    if let Some(purl) = &component.purl {
        value["purl"] = purl.as_str().into();
    }
    if !component.parts.is_empty() {
        let parts = component.parts.iter().map(|&part| component_of(bill, part));
        value["components"] = parts.collect();
    }
    value
}
