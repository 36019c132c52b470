//! JSON objects that are kept verbatim, including Python's `NaN` and `Infinity`, and JSON text in Python's format.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::raw_json::{self, RawPairs, push_broken};

pub(super) use crate::raw_json::push_quoted;

/// The maximum length of a document, in bytes.
pub(super) const MAX_SIZE: usize = 1 << 20;
/// The maximum nesting depth of objects and arrays.
const MAX_DEPTH: usize = 100;

/// A JSON object whose members are slices of its text.
#[derive(Default)]
pub(super) struct Object<'a> {
    members: Vec<Member<'a>>,
    by_name: HashMap<Cow<'a, str>, usize, RandomState>,
}

pub(super) struct Member<'a> {
    pub(super) name: Cow<'a, str>,
    /// The name verbatim, including its quotes.
    key: &'a str,
    /// The value verbatim.
    pub(super) value: &'a str,
}

impl<'a> Object<'a> {
    /// Parses an object. The error says what is wrong and where, and quotes nothing.
    pub(super) fn parse(text: &'a str) -> Result<Object<'a>, String> {
        let plain = without_constants(text)?;
        let pairs: RawPairs<'_> = serde_json::from_str(&plain).map_err(|error| error.to_string())?;
        // Both texts have the same length, so a slice of one is a slice of the other.
        let slice = |raw: &RawValue| {
            let start = raw.get().as_ptr().addr() - plain.as_ptr().addr();
            &text[start..start + raw.get().len()]
        };
        let mut object = Object {
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
                    object.members.push(Member { name, key, value });
                }
            }
        }
        Ok(object)
    }

    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The value of this name, verbatim.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.by_name.get(name).map(|index| self.members[*index].value)
    }

    /// The text of an object with the members of both. Those of `changes` take precedence.
    pub(super) fn merged(&self, changes: &Object<'_>) -> Zeroizing<String> {
        let len = |object: &Object<'_>| -> usize {
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

/// Checks whether this text is an object. The error is that of [`Object::parse`].
pub(super) fn check(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(&without_constants(text)?).map(drop).map_err(|error| error.to_string())
}

/// Python's constants, and a replacement of the same length for each. A replacement is an array: it cannot be joined
/// with an adjacent digit, point or sign, and cannot be a member's name.
const CONSTANTS: [(&str, &str); 3] = [("-Infinity", "[1000000]"), ("Infinity", "[100000]"), ("NaN", "[0]")];

/// Replaces Python's constants by arrays of the same length, which any JSON parser accepts. Rejects texts that are too
/// long, too deeply nested, or not an object.
fn without_constants(text: &str) -> Result<Cow<'_, str>, String> {
    if text.len() > MAX_SIZE {
        return Err(format!("it is longer than {MAX_SIZE} bytes"));
    }
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err("it is not a JSON object".to_owned());
    }
    let bytes = text.as_bytes();
    let mut plain = Cow::Borrowed(text);
    let (mut depth, mut at, mut in_text) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => in_text = !in_text,
            b'\\' if in_text => at += 1,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'-' | b'I' | b'N' => {
                let constant = CONSTANTS.iter().find(|(constant, _)| bytes[at..].starts_with(constant.as_bytes()));
                if let Some((constant, replacement)) = constant {
                    plain.to_mut().replace_range(at..at + constant.len(), replacement);
                    at += constant.len() - 1;
                }
            }
            _ => {}
        }
        if depth > MAX_DEPTH as isize {
            return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
        }
        at += 1;
    }
    Ok(plain)
}

/// Formats valid JSON like Python's `json.dumps`: separators with a space, non-ASCII characters escaped, floating-point
/// numbers in their shortest form. Unlike Python, it keeps duplicate names.
pub(super) fn to_python(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut len = c.len_utf8();
        match c {
            '"' => {
                len = string_len(rest);
                match serde_json::from_str::<String>(&rest[..len]) {
                    Ok(decoded) => push_quoted(&mut out, &decoded),
                    Err(_) => push_broken(&mut out, &rest[..len]),
                }
            }
            ',' => out.push_str(", "),
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            '-' | '0'..='9' => {
                let is_numeric = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
                len = rest.find(|c| !is_numeric(c)).unwrap_or(rest.len());
                push_number(&mut out, &rest[..len]);
            }
            c => out.push(c),
        }
        rest = &rest[len..];
    }
    out
}

/// Appends a number in the format of Python's `repr`: integers of any length verbatim, others with the fewest digits
/// that give the same value, and with an exponent from 1e+16 upward and from 1e-05 downward.
fn push_number(to: &mut String, text: &str) {
    if !text.contains(['.', 'e', 'E']) {
        return to.push_str(if text == "-0" { "0" } else { text });
    }
    let shortest = match text.parse::<f64>() {
        Ok(f64::INFINITY) => return to.push_str("Infinity"),
        Ok(f64::NEG_INFINITY) => return to.push_str("-Infinity"),
        Ok(number) => format!("{number:e}"),
        Err(_) => return to.push_str(text),
    };
    let Some((digits, exponent)) = shortest.split_once('e') else { return to.push_str(text) };
    match exponent.parse::<i32>().unwrap_or(0) {
        exponent @ ..-4 => to.push_str(&format!("{digits}e-{:02}", -exponent)),
        exponent @ 16.. => to.push_str(&format!("{digits}e+{exponent:02}")),
        // In between, Rust uses no exponent either, and always writes a point.
        _ => to.push_str(&format!("{:?}", text.parse::<f64>().unwrap_or(0.0))),
    }
}

/// The length of the string at the start of the text, including its quotes.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        if byte == b'"' && !escaped {
            return at + 1;
        }
        escaped = byte == b'\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(text: &str, changes: &str) -> String {
        Object::parse(text).unwrap().merged(&Object::parse(changes).unwrap()).to_string()
    }

    #[test]
    fn object_keeps_values_verbatim() {
        let text =
            r#"{ "a" : 1.50, "b":-0.0e+10,"c": NaN, "d": [-Infinity, Infinity, "NaN Infinity"], "ä": "\u00e9\ud800" }"#;
        let object = Object::parse(text).unwrap();
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
            let problem = Object::parse(text).err().unwrap_or_else(|| panic!("{text} was accepted"));
            assert!(!problem.contains("CANARY"), "{problem}");
        }
        let deep = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(Object::parse(&deep(MAX_DEPTH - 1)).is_ok());
        assert!(Object::parse(&deep(MAX_DEPTH)).is_err());
        assert!(Object::parse(&deep(100_000)).is_err());
        assert!(Object::parse(&format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_SIZE))).is_err());
    }

    #[test]
    fn to_python_formats_like_json_dumps() {
        for (given, expected) in [
            (r#"{"a":[1,2.50,{"b":null}],"c":true}"#, r#"{"a": [1, 2.5, {"b": null}], "c": true}"#),
            (
                "[1e5,1e15,1e16,1.5e-4,1.50e-5,-0.0,1e-7,123456789012345678901234567890,1e308,-1.25E+2]",
                "[100000.0, 1000000000000000.0, 1e+16, 0.00015, 1.5e-05, -0.0, 1e-07, 123456789012345678901234567890, \
                 1e+308, -125.0]",
            ),
            ("{\n \"ä\\u00e9\" : \"😀\\/, : \\\"x\\\\\"\n}", "{\"\\u00e4\\u00e9\": \"\\ud83d\\ude00/, : \\\"x\\\\\"}"),
            ("[-0,1e400,-1e400,NaN,-Infinity,-1]", "[0, Infinity, -Infinity, NaN, -Infinity, -1]"),
            (
                r#"["\ud800é\/\n\u0041\u00E9😀\uD83D\ude00\"\\"]"#,
                r#"["\ud800\u00e9/\nA\u00e9\ud83d\ude00\ud83d\ude00\"\\"]"#,
            ),
            ("{\"\u{7f}\":\"\\b\\f\\n\\r\\t\\u0001\"}", "{\"\\u007f\": \"\\b\\f\\n\\r\\t\\u0001\"}"),
        ] {
            assert_eq!(to_python(given), expected);
        }
    }
}
