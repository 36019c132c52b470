//! Answers in JSON that may hold secrets: every value goes straight to secret memory.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::value::RawValue;

use crate::bytes::SecretBytes;
use crate::secrets::entries::Entries;
use crate::secrets::json;

/// The members of one JSON object.
pub(super) struct Fields(Entries);

impl Fields {
    /// `None` for what is no JSON object.
    pub(super) fn parse(bytes: &[u8]) -> Option<Fields> {
        json::parse(std::str::from_utf8(bytes).ok()?).ok().map(Fields)
    }

    /// The value as text, exactly as written; null counts as not there.
    pub(super) fn get(&self, name: &str) -> Option<&SecretBytes> {
        self.0.iter().rfind(|(key, _)| key == name).and_then(|(_, value)| value.as_ref())
    }

    /// As [`get`](Fields::get); an empty text counts as not there.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty())
    }

    pub(super) fn object(&self, name: &str) -> Option<Fields> {
        Fields::parse(self.get(name)?)
    }

    /// The objects of a list; what is none is passed over.
    pub(super) fn objects(&self, name: &str) -> Vec<Fields> {
        let items: Option<Vec<&RawValue>> = self.text(name).and_then(|text| serde_json::from_str(text).ok());
        items.iter().flatten().filter_map(|item| Fields::parse(item.get().as_bytes())).collect()
    }

    /// A time as the AWS tools write it: `2026-11-21T02:49:45.949991Z`.
    pub(super) fn time(&self, name: &str) -> Option<SystemTime> {
        self.text(name).and_then(time)
    }

    /// A time in milliseconds since 1970.
    pub(super) fn milliseconds(&self, name: &str) -> Option<SystemTime> {
        let milliseconds = self.text(name)?.parse().ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
    }
}

pub(super) fn time(text: &str) -> Option<SystemTime> {
    // botocore's cache of logins wrote `UTC` for `Z` once.
    let text = text.trim().replace("UTC", "Z");
    SystemTime::try_from(DateTime::from_str(&text, Format::DateTimeWithOffset).ok()?).ok()
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
        assert_eq!(since(time("2026-11-21T03:49:45+01:00").unwrap()), Duration::from_secs(1_795_229_385));
        assert_eq!(since(time("2026-11-21T02:49:45UTC").unwrap()), Duration::from_secs(1_795_229_385));
        assert_eq!(since(fields.object("O").unwrap().milliseconds("M").unwrap()), Duration::from_secs(1));
        let listed: Vec<_> = fields.objects("L").iter().map(|item| item.text("A").unwrap().to_owned()).collect();
        assert_eq!(listed, ["1", "3"]);
        assert!(fields.objects("A").is_empty() && fields.object("A").is_none());
        assert!(Fields::parse(b"[]").is_none());
    }
}
