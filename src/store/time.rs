//! Times in the format of Python's `datetime.isoformat`, in UTC.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// The current time.
pub(super) fn now() -> String {
    iso(OffsetDateTime::now_utc())
}

/// Converts a time in RFC 3339 format to the format of the databases: `2026-08-22T17:32:24.123456+00:00`, without the
/// fraction if it is 0. `None` if the text is not a time with an offset.
pub(super) fn normalize(text: &str) -> Option<String> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(|time| iso(time.to_offset(UtcOffset::UTC)))
}

fn iso(time: OffsetDateTime) -> String {
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    let whole = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    match time.microsecond() {
        0 => format!("{whole}+00:00"),
        fraction => format!("{whole}.{fraction:06}+00:00"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_pythons_format() {
        for (given, expected) in [
            ("2026-08-22T17:32:24.123456Z", "2026-08-22T17:32:24.123456+00:00"),
            ("2026-08-22T17:32:24.000001+00:00", "2026-08-22T17:32:24.000001+00:00"),
            ("2026-08-22T17:32:24+02:00", "2026-08-22T15:32:24+00:00"),
            ("2026-08-22T17:32:24.0000009Z", "2026-08-22T17:32:24+00:00"),
        ] {
            assert_eq!(normalize(given).as_deref(), Some(expected), "{given}");
        }
        assert_eq!(normalize("yesterday"), None);
    }

    #[test]
    fn texts_sort_like_times() {
        let mut times = ["2026-08-22T17:32:24+00:00", "2026-08-22T17:32:24.000001+00:00", "2026-08-22T17:32:25+00:00"];
        let sorted = times;
        times.reverse();
        times.sort_unstable();
        assert_eq!(times, sorted);
    }
}
