//! JSON objects as slices of their text: each key and value as it is written.
//!
//! A name with an unpaired surrogate (`"\ud800"`) is valid everywhere, as it is in Python. No UTF-8 text equals it, so
//! that member cannot be looked up; it is kept, and hides no other member.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in their order, including duplicates. Each name is a slice of the text.
pub(crate) struct Pairs<'a, V>(pub(crate) Vec<(&'a RawValue, V)>);

/// Names and values as slices of the text.
pub(crate) type RawPairs<'a> = Pairs<'a, &'a RawValue>;

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<'de, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'de, V>, D::Error> {
        struct PairsVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
            type Value = Pairs<'de, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de, V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

/// Decodes a JSON string. If it has an unpaired surrogate, the result is the string as Python writes it, including the
/// quotes.
pub(crate) fn name(quoted: &str) -> Cow<'_, str> {
    if !quoted.contains('\\') {
        return Cow::Borrowed(&quoted[1..quoted.len() - 1]);
    }
    Cow::Owned(serde_json::from_str(quoted).unwrap_or_else(|_| {
        let mut name = String::with_capacity(quoted.len());
        push_broken(&mut name, quoted);
        name
    }))
}

/// Appends a string as Python's `json.dumps` writes it, which escapes all characters that are not ASCII.
pub(crate) fn push_quoted(to: &mut String, text: &str) {
    to.push('"');
    text.chars().for_each(|c| push_char(to, c));
    to.push('"');
}

fn push_char(to: &mut String, c: char) {
    match c {
        '"' => to.push_str("\\\""),
        '\\' => to.push_str("\\\\"),
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        '\x08' => to.push_str("\\b"),
        '\x0c' => to.push_str("\\f"),
        ' '..='~' => to.push(c),
        _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| to.push_str(&format!("\\u{unit:04x}"))),
    }
}

/// Appends a string with an unpaired surrogate. Python keeps the surrogate, which a Rust string cannot hold.
pub(crate) fn push_broken(to: &mut String, quoted: &str) {
    let mut rest = &quoted[1..quoted.len() - 1];
    let mut units: Vec<u16> = Vec::with_capacity(rest.len());
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix("\\u").and_then(|rest| rest.get(..4));
        let (unit, len) = match hex.and_then(|hex| u16::from_str_radix(hex, 16).ok()) {
            Some(unit) => (Some(unit), 6),
            None if c == '\\' => (None, 2),
            None => (None, c.len_utf8()),
        };
        let piece = rest.get(..len).unwrap_or(rest);
        match (unit, serde_json::from_str::<String>(&format!("\"{piece}\""))) {
            (Some(unit), _) => units.push(unit),
            (None, Ok(decoded)) => units.extend(decoded.encode_utf16()),
            (None, Err(_)) => units.extend(piece.encode_utf16()),
        }
        rest = &rest[piece.len()..];
    }
    to.push('"');
    for c in char::decode_utf16(units) {
        match c {
            Ok(c) => push_char(to, c),
            Err(half) => to.push_str(&format!("\\u{:04x}", half.unpaired_surrogate())),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_keeps_an_unpaired_surrogate() {
        for (quoted, expected) in [
            (r#""a""#, "a"),
            (r#""\u00e9\n""#, "é\n"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\uD800""#, r#""\ud800""#),
            (r#""\ud800""#, r#""\ud800""#),
            (r#""a\udc00é\u0041""#, r#""a\udc00\u00e9A""#),
        ] {
            assert_eq!(name(quoted), expected, "{quoted}");
        }
    }
}
