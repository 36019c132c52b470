//! JSON objects of responses whose values are not copied out of the body.

use std::collections::HashMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// A JSON object whose values are slices of its text. `null` counts as absent.
pub(in crate::secrets) struct JsonObject<'a>(HashMap<String, &'a RawValue>);

impl<'a> JsonObject<'a> {
    /// `None` if the text is not a JSON object.
    pub(in crate::secrets) fn parse(text: &'a [u8]) -> Option<JsonObject<'a>> {
        serde_json::from_slice(text).ok().map(JsonObject)
    }

    /// The members, in no order, with the JSON text of each, which may be `null`.
    pub(in crate::secrets) fn members(self) -> impl Iterator<Item = (String, &'a str)> {
        self.0.into_iter().map(|(name, raw)| (name, raw.get()))
    }

    /// The JSON text of a member.
    pub(in crate::secrets) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get()).filter(|raw| *raw != "null")
    }

    pub(in crate::secrets) fn object(&self, name: &str) -> Option<JsonObject<'a>> {
        JsonObject::parse(self.raw(name)?.as_bytes())
    }

    pub(in crate::secrets) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    pub(in crate::secrets) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// A string that is wiped when it is dropped.
    pub(in crate::secrets) fn secret(&self, name: &str) -> Option<Zeroizing<String>> {
        self.text(name).map(Zeroizing::new)
    }

    pub(in crate::secrets) fn number(&self, name: &str) -> Option<u64> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    pub(in crate::secrets) fn flag(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }

    /// A list of strings; `None` if the member is absent or anything else.
    pub(in crate::secrets) fn texts(&self, name: &str) -> Option<Vec<String>> {
        serde_json::from_str(self.raw(name)?).ok()
    }
}
