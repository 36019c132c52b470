//! JSON objects that are kept verbatim, including Python's `NaN` and `Infinity`.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::raw_json::{self, RawPairs, python};

/// The maximum length of a document, in bytes.
pub(super) const MAX_SIZE: usize = 1 << 20;
/// The maximum nesting depth of objects and arrays.
const MAX_DEPTH: i32 = 100;

/// A JSON object whose members are slices of its text.
#[derive(Default)]
pub(super) struct ConfigObject<'a> {
    members: Vec<ConfigMember<'a>>,
    by_name: HashMap<Cow<'a, str>, usize, RandomState>,
}

pub(super) struct ConfigMember<'a> {
    pub(super) name: Cow<'a, str>,
    /// The name verbatim, including its quotes.
    key: &'a str,
    /// The value verbatim.
    pub(super) value: &'a str,
}

impl<'a> ConfigObject<'a> {
    /// Parses an object. The error says what is wrong and where, and quotes nothing.
    pub(super) fn parse(text: &'a str) -> Result<ConfigObject<'a>, String> {
        check_limits(text)?;
        let replaced = python::replace_constants(text);
        let plain = replaced.as_ref().map_or(text, |replaced| replaced.as_str());
        let pairs: RawPairs<'_> = serde_json::from_str(plain).map_err(|error| error.to_string())?;
        // Both texts have the same length, so a slice of one is a slice of the other.
        let slice = |raw: &RawValue| {
            let start = raw.get().as_ptr().addr() - plain.as_ptr().addr();
            &text[start..start + raw.get().len()]
        };
        let mut object = ConfigObject {
            members: Vec::with_capacity(pairs.0.len()),
            by_name: HashMap::with_capacity_and_hasher(pairs.0.len(), RandomState::default()),
        };
        for (key, value) in &pairs.0 {
            let (key, value) = (slice(key), slice(value));
            let name = raw_json::name(key);
            // As in Python, the last value of a name counts, in the position of the first.
            match object.by_name.get(&name) {
                Some(index) => object.members[*index].value = value,
                None => {
                    object.by_name.insert(name.clone(), object.members.len());
                    object.members.push(ConfigMember { name, key, value });
                }
            }
        }
        Ok(object)
    }

    pub(super) fn members(&self) -> &[ConfigMember<'a>] {
        &self.members
    }

    /// The value of this name, verbatim.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.by_name.get(name).map(|index| self.members[*index].value)
    }

    /// The text of an object with the members of both. Those of `changes` take precedence.
    pub(super) fn merged(&self, changes: &ConfigObject<'_>) -> Zeroizing<String> {
        let len = |object: &ConfigObject<'_>| -> usize {
            object.members.iter().map(|member| member.key.len() + member.value.len() + 4).sum()
        };
        // Allocated once: a reallocation would leave a copy of the text behind.
        let mut text = Zeroizing::new(String::with_capacity(len(self) + len(changes) + 2));
        text.push('{');
        let kept = self.members.iter().map(|member| (member.key, changes.get(&member.name).unwrap_or(member.value)));
        let added = changes.members.iter().filter(|member| self.get(&member.name).is_none());
        for (key, value) in kept.chain(added.map(|member| (member.key, member.value))) {
            let comma = if text.len() > 1 { ", " } else { "" };
            [comma, key, ": ", value].iter().for_each(|part| text.push_str(part));
        }
        text.push('}');
        text
    }
}

/// Checks whether this text is an object. The error is that of [`ConfigObject::parse`].
pub(super) fn check(text: &str) -> Result<(), String> {
    check_limits(text)?;
    let replaced = python::replace_constants(text);
    let plain = replaced.as_ref().map_or(text, |replaced| replaced.as_str());
    serde_json::from_str::<IgnoredAny>(plain).map(drop).map_err(|error| error.to_string())
}

/// Checks the size and the nesting of a text, and that it starts like an object.
fn check_limits(text: &str) -> Result<(), String> {
    if text.len() > MAX_SIZE {
        return Err(format!("it is longer than {MAX_SIZE} bytes"));
    }
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err("it is not a JSON object".to_owned());
    }
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(text: &str, changes: &str) -> String {
        ConfigObject::parse(text).unwrap().merged(&ConfigObject::parse(changes).unwrap()).to_string()
    }

    #[test]
    fn object_keeps_values_verbatim() {
        let text =
            r#"{ "a" : 1.50, "b":-0.0e+10,"c": NaN, "d": [-Infinity, Infinity, "NaN Infinity"], "ä": "\u00e9\ud800" }"#;
        let object = ConfigObject::parse(text).unwrap();
        let values: Vec<_> = object.members().iter().map(|member| (&*member.name, member.value)).collect();
        assert_eq!(
            values,
            [
                ("a", "1.50"),
                ("b", "-0.0e+10"),
                ("c", "NaN"),
                ("d", "[-Infinity, Infinity, \"NaN Infinity\"]"),
                ("ä", "\"\\u00e9\\ud800\"")
            ]
        );
    }

    #[test]
    fn merged_replaces_in_place_and_appends() {
        assert_eq!(merged("{}", "{}"), "{}");
        assert_eq!(merged(r#"{"a":1,"b":{"x":NaN}}"#, r#"{"b":2,"c":"é"}"#), r#"{"a": 1, "b": 2, "c": "é"}"#);
        assert_eq!(merged(r#"{"a":1,"\u0061":2}"#, "{}"), r#"{"a": 2}"#);
        // A lone surrogate is the same name in every notation.
        assert_eq!(merged(r#"{"\ud800":1}"#, r#"{"\uD800":2}"#), r#"{"\ud800": 2}"#);
        assert_eq!(merged(r#"{"\ud800a":1,"\uD800\u0061":3}"#, r#"{"\ud801a":2}"#), r#"{"\ud800a": 3, "\ud801a": 2}"#);
    }

    #[test]
    fn parse_rejects_other_texts_without_quoting_them() {
        for text in [
            "",
            "[]",
            "\"CANARY\"",
            "{\"a\": CANARY}",
            "{\"a\": NaNCANARY}",
            "{\"a\": 1NaN}",
            "{\"a\": -NaN}",
            "{\"a\": --Infinity}",
            "{\"a\": NaN1}",
            "{\"a\": 1.NaN}",
            "{\"a\": NaNInfinity}",
            "{\"a\": NaN-Infinity}",
            "{\"a\": 5Infinity}",
            "{\"a\": 5-Infinity}",
            "{\"a\": Infinity.5}",
            "{\"a\": Infinitye5}",
            "{NaN: 1}",
            "{\"a\" NaN}",
            "{\"a\": 1",
            "{\"a\": 1} x",
            "{a: 1}",
            "{'a': 1}",
        ] {
            let problem = ConfigObject::parse(text).err().unwrap_or_else(|| panic!("{text} was accepted"));
            assert!(!problem.contains("CANARY"), "{problem}");
        }
        let deep = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(ConfigObject::parse(&deep(MAX_DEPTH as usize - 1)).is_ok());
        assert!(ConfigObject::parse(&deep(MAX_DEPTH as usize)).is_err());
        assert!(ConfigObject::parse(&deep(100_000)).is_err());
        assert!(ConfigObject::parse(&format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_SIZE))).is_err());
    }
}
