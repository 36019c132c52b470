//! How far the clocks of AWS endpoints are ahead of ours. Signatures must be made with the endpoint's time.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use lru::LruCache;

use crate::fork_safe::Mutex;
use crate::http::{self, HttpResponse};

/// A difference of clocks that AWS tolerates in signatures.
const TOLERATED: Duration = Duration::from_secs(4 * 60);
/// A response that took longer says nothing about the time.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(15 * 60);
/// No clock is wrong by more. Such a date is invalid, and signing needs a year of four digits.
const MAX_OFFSET: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// More endpoints than a program uses.
const MAX_ENDPOINTS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// How far a server's clock is ahead of or behind ours, if that is more than AWS tolerates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClockOffset {
    ahead: Duration,
    behind: Duration,
}

impl ClockOffset {
    /// Returns the server's time at this time of ours.
    pub(super) fn apply(self, time: SystemTime) -> SystemTime {
        time.checked_add(self.ahead).and_then(|time| time.checked_sub(self.behind)).unwrap_or(time)
    }

    /// Returns the offset that a response shows, sent at this time and received after `took`; `None` if it shows none.
    pub(super) fn of(response: &HttpResponse, sent: SystemTime, took: Duration) -> Option<ClockOffset> {
        if response.header("age").is_some() || took > MAX_ROUND_TRIP {
            return None;
        }
        ClockOffset::checked(http::parse_date(response.header("date")?)?, sent + took / 2)
    }

    /// `None` if the server's time is invalid.
    fn checked(server: SystemTime, ours: SystemTime) -> Option<ClockOffset> {
        let offset = ClockOffset::between(server, ours);
        (offset.ahead.max(offset.behind) <= MAX_OFFSET).then_some(offset)
    }

    fn between(server: SystemTime, ours: SystemTime) -> ClockOffset {
        let ahead = server.duration_since(ours).unwrap_or_default();
        let behind = ours.duration_since(server).unwrap_or_default();
        if ahead.max(behind) > TOLERATED { ClockOffset { ahead, behind } } else { ClockOffset::default() }
    }
}

/// The clock offsets of the endpoints that were used last, by URL.
pub(super) struct ClockOffsets(Mutex<LruCache<String, ClockOffset>>);

impl Default for ClockOffsets {
    fn default() -> ClockOffsets {
        ClockOffsets(Mutex::new(LruCache::new(MAX_ENDPOINTS)))
    }
}

impl ClockOffsets {
    /// Returns the offset of an endpoint, zero if it is unknown.
    pub(super) fn get(&self, url: &str) -> ClockOffset {
        self.0.lock().get(url).copied().unwrap_or_default()
    }

    /// Stores the offset of an endpoint. Returns whether earlier signatures were made with a wrong time.
    pub(super) fn update(&self, url: &str, found: Option<ClockOffset>) -> bool {
        let Some(found) = found else { return false };
        let known = self.get(url);
        let base = SystemTime::UNIX_EPOCH + MAX_ROUND_TRIP + known.behind + found.behind;
        if ClockOffset::between(found.apply(base), known.apply(base)) == ClockOffset::default() {
            return false;
        }
        self.0.lock().put(url.to_owned(), found);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(seconds: i64) -> Option<ClockOffset> {
        let now = SystemTime::now();
        let distance = Duration::from_secs(seconds.unsigned_abs());
        Some(ClockOffset::between(if seconds > 0 { now + distance } else { now - distance }, now))
    }

    #[test]
    fn offset_is_stored_once_and_reset_when_the_clock_is_corrected() {
        let offsets = ClockOffsets::default();
        assert!(!offsets.update("https://a/", offset(200)), "AWS tolerates that");
        assert!(!offsets.update("https://a/", None));
        assert!(offsets.update("https://a/", offset(3600)));
        assert!(!offsets.update("https://a/", offset(3700)), "the known offset is close enough");
        assert!(offsets.update("https://a/", offset(-86_400)));
        assert!(offsets.update("https://a/", offset(1)), "the clock was corrected");
        assert_eq!(offsets.get("https://a/"), ClockOffset::default());
        assert_eq!(offsets.get("https://b/"), ClockOffset::default());
    }

    #[test]
    fn offsets_are_limited_and_the_least_recently_used_goes() {
        let offsets = ClockOffsets::default();
        let url = |number: usize| format!("https://{number}/");
        for number in 0..=MAX_ENDPOINTS.get() {
            assert!(offsets.update(&url(number), offset(3600)));
            offsets.get(&url(0));
        }
        assert_eq!(offsets.0.lock().len(), MAX_ENDPOINTS.get());
        assert_ne!(offsets.get(&url(0)), ClockOffset::default());
        assert_eq!(offsets.get(&url(1)), ClockOffset::default());
    }

    #[test]
    fn invalid_date_is_ignored() {
        // 2024-01-01
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200);
        let checked = |date| ClockOffset::checked(http::parse_date(date).unwrap(), now);
        assert_eq!(checked("Fri, 31 Dec 9999 23:59:59 GMT"), None);
        assert_eq!(checked("Thu, 01 Jan 1970 00:00:00 GMT"), None);
        let far = checked("Sun, 01 Jan 2023 00:00:00 GMT").unwrap();
        assert_eq!(far.behind, Duration::from_secs(365 * 24 * 60 * 60));
        let endless = ClockOffset { ahead: Duration::MAX, behind: Duration::ZERO };
        assert_eq!(endless.apply(now), now);
    }
}
