use tar::{Builder, Header};

use super::*;

/// A tar of entries: type, path, link.
fn tar_of(entries: &[(u8, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, link) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::new(*kind));
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_link_name_literal(link).unwrap();
        header.set_mode(0o755);
        header.set_size(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn paths(layers: &[&[(u8, &str, &str)]]) -> io::Result<Vec<String>> {
    let mut reading = Reading::default();
    for (number, layer) in layers.iter().enumerate() {
        reading.layer(number, &mut tar_of(layer).as_slice())?;
    }
    let paths = reading.contents.into_keys();
    Ok(paths.map(|path| String::from_utf8(path).unwrap()).collect())
}

#[test]
fn whiteouts_take_away_what_lies_below_and_nothing_else() {
    let lower: &[_] = &[
        (b'5', "./d/", ""),
        (b'0', "d/a", ""),
        (b'0', "d/b", ""),
        (b'0', "e", ""),
        (b'0', "ef", ""),
    ];
    let upper: &[_] = &[
        (b'0', "d/.wh.a", ""),
        (b'0', ".wh.e", ""),
        (b'0', "d/c", ""),
    ];
    assert_eq!(paths(&[lower, upper]).unwrap(), ["d", "d/b", "d/c", "ef"]);
    let opaque: &[_] = &[(b'0', "d/c", ""), (b'0', "d/.wh..wh..opq", "")];
    assert_eq!(paths(&[lower, opaque]).unwrap(), ["d", "d/c", "e", "ef"]);
    let replaced: &[_] = &[(b'2', "d", "e")];
    assert_eq!(paths(&[lower, replaced]).unwrap(), ["d", "e", "ef"]);
}

#[test]
fn names_that_lead_out_are_refused() {
    assert!(paths(&[&[(b'0', "a/../../b", "")]]).is_err());
    assert!(paths(&[&[(b'1', "a", "../b")]]).is_err());
}
