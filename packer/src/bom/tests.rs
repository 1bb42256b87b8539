//! What stands in a bill, and that it is the same each time.

use serde_json::Value;

use super::*;
use crate::rootfs::Entry;

/// A program of two crates, and a file.
fn bill() -> Bill {
    let library = |name: &str, needs: &[usize]| Component {
        version: Some("1.0.0".to_owned()),
        purl: Some(format!("pkg:cargo/{name}@1.0.0")),
        license: Some("MIT".to_owned()),
        needs: needs.iter().copied().collect(),
        ..Component::new(Kind::Library, name)
    };
    let mut bill = Bill {
        components: Vec::new(),
        epoch: None,
    };
    let graph = vec![
        library("tool", &[1, 2]),
        library("one", &[2]),
        library("two", &[]),
    ];
    bill.add_graph(graph, Some(Component::new(Kind::Program, "tool")));
    let mut tree = Tree::default();
    tree.insert(
        "etc/own",
        Entry::new(0o644, Content::Bytes(b"own".to_vec())),
    );
    bill.add_files(&tree, &BTreeMap::new()).unwrap();
    bill
}

fn json(format: Format) -> Value {
    serde_json::from_slice(&bill().document(format)).unwrap()
}

#[test]
fn spdx_names_packages_and_their_relations() {
    let document = json(Format::Spdx);
    assert_eq!(
        Format::of_document(document.to_string().as_bytes()),
        Some(Format::Spdx)
    );
    let names: Vec<_> = document["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["tool", "one", "two", "/etc/own"]);
    let relations: Vec<String> = document["relationships"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let part = |key: &str| {
                one[key]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("SPDXRef-")
                    .to_owned()
            };
            format!(
                "{} {} {}",
                part("spdxElementId"),
                part("relationshipType"),
                part("relatedSpdxElement")
            )
        })
        .collect();
    let expected = [
        "DOCUMENT DESCRIBES 0",
        "0 DEPENDS_ON 1",
        "0 DEPENDS_ON 2",
        "0 CONTAINS 3",
        "1 DEPENDS_ON 2",
    ];
    assert_eq!(relations, expected);
    assert_eq!(document["creationInfo"]["created"], "1970-01-01T00:00:00Z");
}

#[test]
fn cyclonedx_names_components_and_what_they_need() {
    let document = json(Format::CycloneDx);
    assert_eq!(
        Format::of_document(document.to_string().as_bytes()),
        Some(Format::CycloneDx)
    );
    let names: Vec<_> = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["one", "two", "/etc/own"]);
    assert_eq!(document["metadata"]["component"]["name"], "tool");
    assert_eq!(
        document["dependencies"][0]["dependsOn"],
        serde_json::json!(["component-1", "component-2"])
    );
    assert_eq!(document["metadata"]["timestamp"], Value::Null);
}

#[test]
fn the_same_image_has_the_same_bill_and_another_one_another_number() {
    for (format, key) in [
        (Format::Spdx, "documentNamespace"),
        (Format::CycloneDx, "serialNumber"),
    ] {
        assert_eq!(bill().document(format), bill().document(format));
        let mut other = bill();
        other.components[1].version = Some("1.0.1".to_owned());
        let other: Value = serde_json::from_slice(&other.document(format)).unwrap();
        assert_ne!(other[key], json(format)[key]);
    }
    let mut dated = bill();
    dated.epoch = Some("0".parse().unwrap());
    let dated: Value = serde_json::from_slice(&dated.document(Format::CycloneDx)).unwrap();
    assert_eq!(dated["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
}

#[test]
fn a_crate_of_two_programs_stands_once() {
    let mut bill = bill();
    let graph = vec![
        Component::new(Kind::Program, "second"),
        Component {
            version: Some("1.0.0".to_owned()),
            ..Component::new(Kind::Library, "two")
        },
    ];
    let before = bill.components.len();
    bill.add_graph(graph, None);
    assert_eq!(bill.components.len(), before + 1);
}
