//! When to ask again, and after how long.

use std::time::Duration;

use hyper::StatusCode;

/// The first pause before a second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// A registry that wants us to wait for longer is not waited for.
pub(super) const MOST_PAUSE: Duration = Duration::from_secs(60);

/// Whether the same request may get a better answer in a moment.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The pause behind an attempt, the first being 0.
pub(super) fn pause(attempt: u32) -> Duration {
    PAUSE * 2_u32.saturating_pow(attempt.min(6))
}

/// What `Retry-After` says: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn wait_for(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(
        date.duration_since(std::time::SystemTime::now())
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_a_registry_may_name_one() {
        assert_eq!(
            [pause(0), pause(1), pause(2)].map(|pause| pause.as_millis()),
            [500, 1000, 2000]
        );
        assert_eq!(wait_for("3"), Some(Duration::from_secs(3)));
        assert_eq!(
            wait_for("Thu, 01 Jan 1970 00:00:00 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(wait_for("soon"), None);
    }
}
