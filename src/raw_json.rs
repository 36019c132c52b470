//! JSON objects whose names and values are verbatim slices of the text.
//!
//! A name with a lone surrogate (`"\ud800"`) is valid, as in Python. No UTF-8 text equals it, so that member cannot be
//! looked up; it is kept, and does not hide another one.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) mod python;

/// The members of an object in order, including duplicate names. Each name is a slice of the text.
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

/// Decodes a name. A name with a lone surrogate becomes the string in Python's notation, including its quotes, whatever
/// its notation here.
pub(crate) fn name(quoted: &str) -> Cow<'_, str> {
    if !quoted.contains('\\') {
        return Cow::Borrowed(&quoted[1..quoted.len() - 1]);
    }
    Cow::Owned(serde_json::from_str(quoted).unwrap_or_else(|_| {
        let mut name = String::with_capacity(quoted.len());
        python::push_broken(&mut name, quoted);
        name
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_keeps_lone_surrogates() {
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
