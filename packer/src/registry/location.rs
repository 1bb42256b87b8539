//! Addresses as they stand in `Location` and `Link`.

use hyper::Uri;

/// An address as it stands in `Location`: complete, or without scheme and host.
pub(super) fn resolve(here: Option<&Uri>, location: &str) -> Option<Uri> {
    let uri: Uri = location.parse().ok()?;
    if uri.scheme().is_some() {
        return Some(uri);
    }
    let here = here?;
    let (scheme, authority) = (here.scheme_str()?, here.authority()?);
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}").parse().ok();
    }
    let folder = here
        .path()
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    format!("{scheme}://{authority}{folder}/{location}")
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_seen_from_where_it_was_given() {
        let here = "https://r.example:5000/v2/x/blobs/uploads/"
            .parse()
            .unwrap();
        let resolved = |location: &str| resolve(Some(&here), location).map(|uri| uri.to_string());
        assert_eq!(
            resolved("/v2/y?a=b").unwrap(),
            "https://r.example:5000/v2/y?a=b"
        );
        assert_eq!(
            resolved("https://s.example/z").unwrap(),
            "https://s.example/z"
        );
        assert_eq!(resolved("//s.example/z").unwrap(), "https://s.example/z");
        assert_eq!(resolved("").as_deref(), None);
    }
}
