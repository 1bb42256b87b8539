//! The prefixes of `registries.conf`: a registry, with a part of a path, or `*.` and a domain.

/// How much of `reference` the prefix matches, in bytes; nothing if it does not.
///
/// A prefix ends where a name does: `example.org/a` matches `example.org/a/b`, `example.org/a:1` and
/// not `example.org/ab`.
pub(super) fn matched(prefix: &str, reference: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host = reference.find(['/', ':']).unwrap_or(reference.len());
        let host = &reference[..host];
        return (host.ends_with(domain) && host.len() > domain.len()).then_some(host.len());
    }
    let rest = reference.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(prefix.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_name_does() {
        for (prefix, reference, length) in [
            ("example.org", "example.org/a:1", Some(11)),
            ("example.org/a", "example.org/a/b:1", Some(13)),
            ("example.org/a", "example.org/a:1", Some(13)),
            ("example.org/a", "example.org/ab:1", None),
            ("example.org", "example.org.evil.com/a:1", None),
            ("*.example.org", "a.b.example.org/x:1", Some(15)),
            ("*.example.org", "example.org/x:1", None),
            ("*.example.org", "a.example.org.evil.com/x:1", None),
        ] {
            assert_eq!(matched(prefix, reference), length, "{prefix} {reference}");
        }
    }
}
