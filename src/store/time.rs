//! Times in the format of Python's `datetime.isoformat`, in UTC.

use std::time::Duration;

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// The current time.
pub(super) fn now() -> String {
    iso(OffsetDateTime::now_utc())
}

/// The time this long ago. `None` if it is before the year 0.
pub(super) fn ago(time: Duration) -> Option<String> {
    let past = OffsetDateTime::now_utc().checked_sub(time.try_into().ok()?)?;
    (past.year() >= 0).then(|| iso(past))
}

/// Converts an ISO 8601 time to the format of the databases: `2026-08-22T17:32:24.123456+00:00`, without the fraction
/// if it is 0. A date is its midnight, and a time without an offset is in UTC, as SimpleTuner compares them. `None` if
/// the text is not a time.
pub(super) fn parse(text: &str) -> Option<String> {
    let date = date(text.get(..10)?)?;
    let Some(rest) = text[10..].strip_prefix(['T', 't', ' ']) else {
        return (text.len() == 10).then(|| iso(date.midnight().assume_utc()));
    };
    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], self::offset(&rest[at..])?),
        None => (rest, UtcOffset::UTC),
    };
    let time = PrimitiveDateTime::new(date, self::clock(clock)?).assume_offset(offset);
    time.checked_to_offset(UtcOffset::UTC).filter(|time| time.year() >= 0).map(iso)
}

/// `2026-08-22`
fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    parts.next().is_none().then_some(date)
}

/// `17:32`, `17:32:24`, or with a fraction of up to nine digits, of which six count.
fn clock(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once(['.', ',']).map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let mut parts = whole.split(':').map(|part| number(part, 2).and_then(|part| u8::try_from(part).ok()));
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next();
    let microsecond = match fraction {
        None => 0,
        Some(digits) if second.is_some() && (1..=9).contains(&digits.len()) => {
            number(digits, digits.len())?;
            number(&format!("{digits:0<6}")[..6], 6)?
        }
        Some(_) => return None,
    };
    let time = Time::from_hms_micro(hour, minute, second.unwrap_or(Some(0))?, microsecond).ok()?;
    parts.next().is_none().then_some(time)
}

/// `Z`, `+02`, `+0200`, `-02:00`
fn offset(text: &str) -> Option<UtcOffset> {
    let sign = match text.as_bytes().first()? {
        b'Z' | b'z' => return (text.len() == 1).then_some(UtcOffset::UTC),
        b'-' => -1,
        _ => 1,
    };
    let (hours, minutes) = match text.len() {
        3 => (&text[1..3], "00"),
        5 => (text.get(1..3)?, &text[3..5]),
        6 => text[1..].split_once(':')?,
        _ => return None,
    };
    let part = |text| number(text, 2).and_then(|part| i8::try_from(part).ok()).map(|part| part * sign);
    UtcOffset::from_hms(part(hours)?, part(minutes)?, 0).ok()
}

/// A number of exactly this many digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
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
            ("2026-08-22T17:32:24-0230", "2026-08-22T20:02:24+00:00"),
            ("2026-08-22T17:32:24+02", "2026-08-22T15:32:24+00:00"),
            ("2026-08-22T17:32:24.0000009Z", "2026-08-22T17:32:24+00:00"),
            ("2026-08-22", "2026-08-22T00:00:00+00:00"),
            ("2026-08-22T10:00:00", "2026-08-22T10:00:00+00:00"),
            ("2026-08-22 10:00", "2026-08-22T10:00:00+00:00"),
            ("2026-08-22T10:00:00.5", "2026-08-22T10:00:00.500000+00:00"),
            ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00+00:00"),
            ("2024-02-29", "2024-02-29T00:00:00+00:00"),
        ] {
            assert_eq!(parse(given).as_deref(), Some(expected), "{given}");
        }
    }

    #[test]
    fn parse_rejects_other_texts() {
        for text in [
            "",
            "yesterday",
            "2026",
            "2026-08",
            "2026-8-22",
            "2026-02-29",
            "2026-13-01",
            "2026-08-22T",
            "2026-08-22T10",
            "2026-08-22T10:00:",
            "2026-08-22T24:00",
            "2026-08-22T10:60",
            "2026-08-22T10:00:60",
            "2026-08-22T10:00.5",
            "2026-08-22T10:00:00.",
            "2026-08-22T10:00:00.1234567890",
            "2026-08-22T10:00:00:00",
            "2026-08-22T10:00:00+2:00",
            "2026-08-22T10:00:00+99:00",
            "2026-08-22T10:00:00+02:0\u{e9}",
            "2026-08-22T10:00:00ZZ",
            "2026-08-22Z",
            "2026-08-2\u{e9}",
            "0000-01-01T00:00:00+01:00",
            "-026-08-22",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn texts_sort_like_times() {
        let mut times = ["2026-08-22T17:32:24+00:00", "2026-08-22T17:32:24.000001+00:00", "2026-08-22T17:32:25+00:00"];
        let sorted = times;
        times.reverse();
        times.sort_unstable();
        assert_eq!(times, sorted);
    }

    #[test]
    fn ago_is_before_now() {
        assert!(ago(Duration::from_secs(86_400)).unwrap() < now());
        assert_eq!(ago(Duration::MAX), None);
    }
}
