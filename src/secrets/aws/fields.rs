//! JSON objects with secrets: every value is copied to secret memory.

use std::time::{Duration, SystemTime};

use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::secret_memory::SecretBytes;
use crate::secrets::entries::{Entries, Problem};
use crate::secrets::json;

/// More objects than a list of AWS has.
const MAX_OBJECTS: usize = 100;

/// The members of one JSON object.
pub(super) struct Fields(Entries);

impl Fields {
    /// Parses an object; `None` if the text is not a JSON object.
    pub(super) fn parse(bytes: &[u8]) -> Option<Fields> {
        json::parse(std::str::from_utf8(bytes).ok()?).ok().map(Fields)
    }

    /// As [`parse`](Fields::parse), for texts that may be large. `Err` if `is_late` returned true.
    pub(super) fn parse_within(bytes: &[u8], is_late: impl Fn() -> bool) -> Result<Option<Fields>, ()> {
        let Ok(text) = std::str::from_utf8(bytes) else { return Ok(None) };
        match json::parse_each(text, is_late) {
            Ok(each) => {
                Ok(Some(Fields(each.into_iter().filter_map(|(key, value)| Some((key, value.ok()?))).collect())))
            }
            Err(Problem::TimedOut) => Err(()),
            Err(_) => Ok(None),
        }
    }

    /// Returns a value as text, exactly as written; `None` for null.
    pub(super) fn get(&self, name: &str) -> Option<&SecretBytes> {
        self.0.iter().rfind(|(key, _)| key == name).and_then(|(_, value)| value.as_ref())
    }

    /// As [`get`](Fields::get); `None` for an empty text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty())
    }

    pub(super) fn object(&self, name: &str) -> Option<Fields> {
        Fields::parse(self.get(name)?)
    }

    /// Returns the objects of a list, at most [`MAX_OBJECTS`]. Other items are skipped.
    pub(super) fn objects(&self, name: &str) -> Vec<Fields> {
        let items: Option<Vec<&RawValue>> = self.text(name).and_then(|text| serde_json::from_str(text).ok());
        items.iter().flatten().take(MAX_OBJECTS).filter_map(|item| Fields::parse(item.get().as_bytes())).collect()
    }

    /// Returns a time as the AWS tools write it: `2026-11-21T02:49:45.949991Z`.
    pub(super) fn time(&self, name: &str) -> Option<SystemTime> {
        self.text(name).and_then(parse_time)
    }

    /// Returns a time in milliseconds since 1970.
    pub(super) fn milliseconds(&self, name: &str) -> Option<SystemTime> {
        let milliseconds = self.text(name)?.parse().ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
    }
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
    fn members_lists_and_times() {
        let fields = Fields::parse(
            br#"{"A": "x\/y", "E": "", "N": null, "T": "2026-11-21T02:49:45.949991Z", "O": {"M": 1000},
                "L": [{"A": "1"}, 2, {"A": "3"}]}"#,
        )
        .unwrap();
        assert_eq!(fields.text("A"), Some("x/y"));
        assert_eq!(fields.text("E"), None);
        assert!(fields.get("E").is_some() && fields.get("N").is_none());
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since(fields.time("T").unwrap()), Duration::from_nanos(1_795_229_385_949_991_000));
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
        assert_eq!(since(fields.object("O").unwrap().milliseconds("M").unwrap()), Duration::from_secs(1));
        let listed: Vec<_> = fields.objects("L").iter().map(|item| item.text("A").unwrap().to_owned()).collect();
        assert_eq!(listed, ["1", "3"]);
        assert!(fields.objects("A").is_empty() && fields.object("A").is_none());
        assert!(Fields::parse(b"[]").is_none());
    }
}
