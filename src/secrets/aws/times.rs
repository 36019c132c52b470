//! Times as the AWS tools write them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::secrets::json::SecretObject;

/// Returns a time of this member: `2026-11-21T02:49:45.949991Z`.
pub(super) fn time(object: &SecretObject, name: &str) -> Option<SystemTime> {
    object.text(name).and_then(parse_time)
}

/// Returns a time in milliseconds since 1970.
pub(super) fn milliseconds(object: &SecretObject, name: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(object.number(name)?))
}

/// Converts other common forms of a time to RFC 3339: `20261121T024945Z`, `2026-11-21 02:49:45+0000`, and `UTC` for
/// `Z`, as older versions of botocore write it to their cache of logins.
fn to_rfc3339(text: &str) -> String {
    let mut text = text.replace("UTC", "Z");
    if !text.is_ascii() {
        return text;
    }
    let are_digits = |range: std::ops::Range<usize>| text.as_bytes()[range].iter().all(u8::is_ascii_digit);
    if text.len() > 15 && are_digits(0..8) && are_digits(9..15) {
        let part = |range: std::ops::Range<usize>| text[range].to_owned();
        let date = [part(0..4), part(4..6), part(6..8)].join("-");
        let clock = [part(9..11), part(11..13), part(13..15)].join(":");
        text = format!("{date}T{clock}{}", &text[15..]);
    }
    if text.len() > 19 && text.as_bytes()[10] == b' ' {
        text.replace_range(10..11, "T");
    }
    let zone = text.len().checked_sub(5).map(|at| text.split_at(at)).filter(|(date, _)| date.len() >= 19);
    match zone {
        Some((date, zone)) if zone.starts_with(['+', '-']) && zone[1..].bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{}{}:{}", date.trim_end(), &zone[..3], &zone[3..])
        }
        _ => text,
    }
}

/// Parses a time in RFC 3339 or one of the other forms that the AWS tools use.
pub(super) fn parse_time(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(&to_rfc3339(text.trim()), &Rfc3339).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_all_forms() {
        let object = SecretObject::parse(br#"{"T": "2026-11-21T02:49:45.949991Z", "M": 1000}"#).unwrap();
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since(super::time(&object, "T").unwrap()), Duration::from_nanos(1_795_229_385_949_991_000));
        assert_eq!(since(parse_time("2026-11-21T03:49:45+01:00").unwrap()), Duration::from_secs(1_795_229_385));
        for text in [
            "2026-11-21T02:49:45UTC",
            "2026-11-21T02:49:45+0000",
            "2026-11-21T03:49:45.0+0100",
            "2026-11-21 02:49:45Z",
            "2026-11-21 02:49:45 +0000",
            "20261121T024945Z",
            "20261121T014945-0100",
        ] {
            assert_eq!(parse_time(text).map(since), Some(Duration::from_secs(1_795_229_385)), "{text}");
        }
        for text in ["", "soon", "+0000", "20261121T024945", "2026-11-21T02:49:45\u{e9}0000", "2026-11-21"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
        assert_eq!(since(milliseconds(&object, "M").unwrap()), Duration::from_secs(1));
    }
}
