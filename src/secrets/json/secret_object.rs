//! JSON objects of responses and credential files whose values are copied to secret memory.

use serde_json::value::RawValue;

use crate::fork;
use crate::secret_memory::SecretBytes;
use crate::secrets::entries::{Entries, Problem};

use super::{parse, parse_each};

/// The members of one JSON object.
pub(in crate::secrets) struct SecretObject(Entries);

impl SecretObject {
    /// Parses an object while forks are allowed, as it may be large; `None` if the text is not a JSON object.
    pub(in crate::secrets) fn parse(bytes: &[u8]) -> Option<SecretObject> {
        fork::unprotected(|| SecretObject::parse_here(bytes))
    }

    /// The members of a document in another format, whose lists and maps are JSON.
    pub(in crate::secrets) fn from(entries: Entries) -> SecretObject {
        SecretObject(entries)
    }

    fn parse_here(bytes: &[u8]) -> Option<SecretObject> {
        parse(std::str::from_utf8(bytes).ok()?).ok().map(SecretObject)
    }

    /// Parses a text that may be large, until `is_late` returns true, which is an error. Unusable members are left out.
    /// The caller allows forks meanwhile.
    pub(in crate::secrets) fn parse_within(
        bytes: &[u8],
        is_late: impl Fn() -> bool,
    ) -> Result<Option<SecretObject>, ()> {
        let Ok(text) = std::str::from_utf8(bytes) else { return Ok(None) };
        match parse_each(text, is_late) {
            Ok(each) => {
                let members = each.into_iter().filter_map(|(name, value)| Some((name, value.ok()?)));
                Ok(Some(SecretObject(members.collect())))
            }
            Err(Problem::TimedOut) => Err(()),
            Err(_) => Ok(None),
        }
    }

    /// Returns a value as text, exactly as written; `None` for null.
    pub(in crate::secrets) fn get(&self, name: &str) -> Option<&SecretBytes> {
        self.0.iter().rfind(|(key, _)| key == name).and_then(|(_, value)| value.as_ref())
    }

    /// As [`get`](SecretObject::get); `None` for an empty text.
    pub(in crate::secrets) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty())
    }

    /// Returns a number that may be written as a text.
    pub(in crate::secrets) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub(in crate::secrets) fn object(&self, name: &str) -> Option<SecretObject> {
        SecretObject::parse_here(self.get(name)?)
    }

    /// Returns the objects of a list; `None` if there is no list. Other items are skipped.
    pub(in crate::secrets) fn objects(&self, name: &str) -> Option<Vec<SecretObject>> {
        let items: Vec<&RawValue> = serde_json::from_str(self.text(name)?).ok()?;
        Some(items.iter().filter_map(|item| SecretObject::parse_here(item.get().as_bytes())).collect())
    }

    /// Returns the members whose values are texts.
    pub(in crate::secrets) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_ref()?).ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_lists_and_numbers() {
        let object = SecretObject::parse(
            br#"{"A": "x\/y", "E": "", "N": null, "T": "12", "O": {"M": 3}, "L": [{"A": "1"}, 2, {}]}"#,
        );
        let object = object.unwrap();
        assert!(object.get("E").is_some());
        assert_eq!((object.text("A"), object.text("E"), object.get("N").is_none()), (Some("x/y"), None, true));
        assert_eq!((object.number("T"), object.object("O").unwrap().number("M")), (Some(12), Some(3)));
        assert_eq!(object.objects("L").unwrap().len(), 2);
        assert!(object.objects("A").is_none() && object.objects("X").is_none() && SecretObject::parse(b"[]").is_none());
    }
}
