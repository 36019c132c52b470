//! Times as Python's `datetime.isoformat` writes them, in UTC.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Now.
pub(super) fn now() -> String {
    iso(OffsetDateTime::now_utc())
}

/// The same time as it stands in the databases: `2026-08-22T17:32:24.123456+00:00`, without a fraction where that is 0.
/// `None` for what is no time with an offset, as RFC 3339 writes them.
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
    fn times_are_written_as_python_writes_them() {
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
    fn the_order_of_texts_is_that_of_times() {
        let mut times = ["2026-08-22T17:32:24+00:00", "2026-08-22T17:32:24.000001+00:00", "2026-08-22T17:32:25+00:00"];
        let sorted = times;
        times.reverse();
        times.sort_unstable();
        assert_eq!(times, sorted);
    }
}
