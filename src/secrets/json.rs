//! Documents of secrets in JSON: values are read as written, and edits keep every other byte.

use std::collections::HashMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::entries::{Entries, Position, Problem};
use crate::raw_json::{self, RawPairs};
use crate::secret_memory::{SecretBuffer, SecretBytes};

mod object;
mod secret_object;

pub(super) use object::JsonObject;
pub(super) use secret_object::SecretObject;

/// One entry. The slices are parts of the text.
struct JsonEntry<'a> {
    raw_key: &'a str,
    raw_value: &'a str,
    key: String,
}

/// Parses a document: one object of names and values.
pub(super) fn parse(text: &str) -> Result<Entries, Problem> {
    entries(text)?.into_iter().map(|entry| Ok((entry.key, value(text, entry.raw_value)?))).collect()
}

/// A name with its value, or the reason why the value is unusable.
pub(super) type Each = (String, Result<Option<SecretBytes>, Problem>);

/// Parses a document as [`parse`] does, but an unusable entry (an escape that is not a character, `NaN` as Python
/// writes it) does not affect the others. Each name comes once, with its last value.
pub(super) fn parse_each(text: &str, has_timed_out: impl Fn() -> bool) -> Result<Vec<Each>, Problem> {
    let (edited, replaced) = match pairs(text) {
        Ok(_) => (None, Vec::new()),
        Err(problem) => match without_nan(text) {
            (Some(edited), replaced) => (Some(edited), replaced),
            (None, _) => return Err(problem),
        },
    };
    let text = edited.as_ref().map_or(text, |edited| edited.as_str());
    let mut indexes: HashMap<String, usize> = HashMap::new();
    let mut found: Vec<Each> = Vec::new();
    for (raw_key, raw_value) in pairs(text)?.0 {
        if has_timed_out() {
            return Err(Problem::TimedOut);
        }
        let JsonEntry { raw_value, key, .. } = entry(raw_key, raw_value);
        let start = offset(text, raw_value);
        let next_nan = replaced.get(replaced.partition_point(|at| *at < start));
        let value = match next_nan.filter(|at| **at < start + raw_value.len()) {
            Some(at) => Err(Problem::at(Position::of(text, *at), "NaN and Infinity are not JSON values")),
            None => value(text, raw_value),
        };
        match indexes.get(&key) {
            Some(index) => found[*index].1 = value,
            None => {
                indexes.insert(key.clone(), found.len());
                found.push((key, value));
            }
        }
    }
    Ok(found)
}

/// The text with `NaN`, `Infinity` and `-Infinity` replaced by strings of the same length, and their offsets. `None` if
/// there are none.
fn without_nan(text: &str) -> (Option<Zeroizing<String>>, Vec<usize>) {
    const WORDS: [(&str, &str); 3] = [("NaN", "\"N\""), ("-Infinity", "\"-Infini\""), ("Infinity", "\"Infini\"")];
    let mut edited = Zeroizing::new(String::with_capacity(text.len()));
    let mut replaced = Vec::new();
    let (mut in_text, mut escaped, mut copied) = (false, false, 0);
    let mut at = 0;
    while at < text.len() {
        let byte = text.as_bytes()[at];
        let word =
            WORDS.iter().filter(|_| !in_text).find(|(word, _)| text.as_bytes()[at..].starts_with(word.as_bytes()));
        if let Some((word, other)) = word {
            push_all(&mut edited, &[&text[copied..at], other]);
            replaced.push(at);
            at += word.len();
            copied = at;
            continue;
        }
        if byte == b'"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && byte == b'\\' && !escaped;
        at += 1;
    }
    push_all(&mut edited, &[&text[copied..]]);
    (Some(edited).filter(|_| !replaced.is_empty()), replaced)
}

/// Returns where in the text the value of this key is; `None` if the text has none.
pub(super) fn raw_value(text: &str, key: &str) -> Option<std::ops::Range<usize>> {
    let entries = entries(text).ok()?;
    let raw = entries.iter().rfind(|entry| entry.key == key)?.raw_value;
    let start = offset(text, raw);
    Some(start..start + raw.len())
}

/// Returns the text with `key` set to `value` and every other byte kept. An empty text becomes a new document.
pub(super) fn set(text: &str, key: &str, value: &str) -> Result<Zeroizing<String>, Problem> {
    let new_key = quote(key);
    let new_value = quote(value);
    let mut edited = Zeroizing::new(String::with_capacity(text.len() + new_key.len() + new_value.len() + 64));
    if text.is_empty() {
        push_all(&mut edited, &["{\n  ", &new_key, ": ", &new_value, "\n}\n"]);
        return Ok(edited);
    }
    let entries = entries(text)?;
    if let Some(entry) = entries.iter().rfind(|entry| entry.key == key) {
        let at = offset(text, entry.raw_value);
        push_all(&mut edited, &[&text[..at], &new_value, &text[at + entry.raw_value.len()..]]);
        return Ok(edited);
    }
    match entries.last() {
        Some(last) => {
            let end = offset(text, last.raw_value) + last.raw_value.len();
            let start = offset(text, last.raw_key);
            let before = text[..start].trim_end_matches([' ', '\t', '\r', '\n']).len();
            let colon = &text[start + last.raw_key.len()..offset(text, last.raw_value)];
            // The new entry has the layout of the last one. Without white space before that, there is none before it
            // either.
            let gap = if before < start { &text[before..start] } else { "" };
            push_all(&mut edited, &[&text[..end], ",", gap, &new_key, colon, &new_value, &text[end..]]);
        }
        None => {
            let open = text.find('{').unwrap_or(0) + 1;
            let close = text.rfind('}').unwrap_or(open);
            push_all(&mut edited, &[&text[..open], "\n  ", &new_key, ": ", &new_value, "\n", &text[close..]]);
        }
    }
    Ok(edited)
}

/// Returns the text without the entries of `key`; `None` if there are none.
pub(super) fn delete(text: &str, key: &str) -> Result<Option<Zeroizing<String>>, Problem> {
    let entries = entries(text)?;
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(None) };
    if entries.iter().all(|entry| entry.key != key) {
        return Ok(None);
    }
    let start_of = |entry: &JsonEntry<'_>| offset(text, entry.raw_key);
    let end_of = |entry: &JsonEntry<'_>| offset(text, entry.raw_value) + entry.raw_value.len();
    let mut edited = Zeroizing::new(String::with_capacity(text.len()));
    edited.push_str(&text[..start_of(first)]);
    let mut is_first = true;
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.key != key) {
        // The text between two entries, with the comma, belongs to the second one. The first entry that is kept has
        // none.
        let start = if is_first { start_of(entry) } else { end_of(&entries[index - 1]) };
        edited.push_str(&text[start..end_of(entry)]);
        is_first = false;
    }
    edited.push_str(&text[end_of(last)..]);
    Ok(Some(edited))
}

fn push_all(text: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| text.push_str(part));
}

/// The offset in `text` of `part`, a slice of it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

pub(super) fn quote(text: &str) -> Zeroizing<String> {
    // One byte becomes at most six (`\u0001`), so the buffer is never reallocated, which would leave a copy.
    let mut quoted = Vec::with_capacity(text.len() * 6 + 2);
    // Writing a string to memory cannot fail.
    let _ = serde_json::to_writer(&mut quoted, text);
    Zeroizing::new(String::from_utf8(quoted).unwrap_or_default())
}

/// The value of an entry: strings, numbers and booleans as written, lists and objects without white space; `None` for
/// null.
fn value(text: &str, raw: &str) -> Result<Option<SecretBytes>, Problem> {
    let bytes = match raw.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b'"') if raw.contains('\\') => {
            let unescaped: Zeroizing<String> = Zeroizing::new(serde_json::from_str(raw).map_err(|_| {
                let position = Position::of(text, offset(text, raw));
                Problem::at(position, "the string contains an escape that is not a character")
            })?);
            SecretBytes::copy_from(unescaped.as_bytes())
        }
        Some(b'"') => SecretBytes::copy_from(&raw.as_bytes()[1..raw.len() - 1]),
        Some(b'{' | b'[') => compact(raw),
        _ => SecretBytes::copy_from(raw.as_bytes()),
    };
    bytes.map(Some).map_err(Problem::OutOfMemory)
}

/// The JSON text without the white space between its tokens.
fn compact(raw: &str) -> crate::error::Result<SecretBytes> {
    let mut buffer = SecretBuffer::with_capacity(raw.len())?;
    let (mut in_text, mut escaped, mut start) = (false, false, 0);
    for (at, byte) in raw.bytes().enumerate() {
        if !in_text && byte.is_ascii_whitespace() {
            buffer.push(&raw.as_bytes()[start..at])?;
            start = at + 1;
        } else if byte == b'"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && byte == b'\\' && !escaped;
    }
    buffer.push(&raw.as_bytes()[start..])?;
    Ok(buffer.freeze())
}

fn entries(text: &str) -> Result<Vec<JsonEntry<'_>>, Problem> {
    Ok(pairs(text)?.0.into_iter().map(|(raw_key, raw_value)| entry(raw_key, raw_value)).collect())
}

/// The names and values of an object.
fn pairs(text: &str) -> Result<RawPairs<'_>, Problem> {
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        // The error of serde would quote the text.
        let message = if text.starts_with('\u{feff}') {
            // Python refuses it too, and editors do not show it.
            "the document begins with a byte order mark, which JSON does not allow; save it as UTF-8 without one"
        } else if text.trim().is_empty() {
            "the document is empty; it must be a JSON object such as {}"
        } else {
            "the document must be a JSON object of names and values"
        };
        return Err(Problem::at(Position::START, message));
    }
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        Problem::at(Position { line: error.line(), column: error.column() }, message.to_owned())
    })
}

fn entry<'a>(raw_key: &'a RawValue, raw_value: &'a RawValue) -> JsonEntry<'a> {
    let (raw_key, raw_value) = (raw_key.get(), raw_value.get());
    JsonEntry { raw_key, raw_value, key: raw_json::name(raw_key).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Option<String>)> {
        let text_of = |bytes: SecretBytes| String::from_utf8(bytes.to_vec()).unwrap();
        parse(text).unwrap().into_iter().map(|(key, value)| (key, value.map(text_of))).collect()
    }

    #[test]
    fn values_are_read_as_written() {
        for (written, expected) in [
            (r#""r8_token""#, Some("r8_token")),
            (r#""""#, Some("")),
            (r#""line\nbreak \u00e9 \ud83d\ude00""#, Some("line\nbreak é 😀")),
            ("1.50", Some("1.50")),
            ("12345678901234567890123", Some("12345678901234567890123")),
            ("-0.0e+10", Some("-0.0e+10")),
            ("true", Some("true")),
            ("null", None),
            ("{ \"a b\" : [1, \"x \\\" y\\\\\"],\n \"c\": null }", Some("{\"a b\":[1,\"x \\\" y\\\\\"],\"c\":null}")),
            ("[ ]", Some("[]")),
        ] {
            let entries = read(&format!("{{\"KEY\": {written}}}"));
            assert_eq!(entries, [("KEY".to_owned(), expected.map(str::to_owned))], "{written}");
        }
    }

    #[test]
    fn unusable_entry_does_not_affect_the_others() {
        let text = "{\"A\": \"\\ud800\", \"B\": \"1\", \"N\": NaN, \"L\": [1, -Infinity], \"\\ud800\": 1,\n\
            \"B\": \"NaN\", \"D\": NaN, \"D\": 2, \"A2\": 1, \"A2\": \"\\udc00\"}";
        let found = parse_each(text, || false).unwrap();
        let shown: Vec<(&str, Option<&[u8]>)> = found
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_ref().ok().map(|value| &**value.as_ref().unwrap())))
            .collect();
        let expected: [(&str, Option<&[u8]>); 7] = [
            ("A", None),
            ("B", Some(b"NaN")),
            ("N", None),
            ("L", None),
            ("\"\\ud800\"", Some(b"1")),
            ("D", Some(b"2")),
            ("A2", None),
        ];
        assert_eq!(shown, expected);
        let problem = found[2].1.as_ref().unwrap_err();
        let expected = Position { line: 1, column: 32 };
        assert!(matches!(problem, Problem::Text { position: Some(at), .. } if *at == expected), "{problem:?}");
        assert!(matches!(parse_each("{\"A\": NaN, }", || false), Err(Problem::Text { .. })));
        assert!(matches!(parse_each("{\"A\": 1}", || true), Err(Problem::TimedOut)));
    }

    #[test]
    fn edit_keeps_every_other_byte() {
        for (before, after) in [
            ("{\n  \"A\": 1.50,\n  \"B\": \"x\"\n}\n", "{\n  \"A\": 1.50,\n  \"B\": \"x\",\n  \"NEW\": \"v\"\n}\n"),
            ("{\"A\":1}", "{\"A\":1,\"NEW\":\"v\"}"),
            ("{ \"A\": 1, \"B\": 2 }", "{ \"A\": 1, \"B\": 2, \"NEW\": \"v\" }"),
            ("{}", "{\n  \"NEW\": \"v\"\n}"),
            ("{\"NEW\": {\"x\": [1]}, \"Z\": 0}", "{\"NEW\": \"v\", \"Z\": 0}"),
            ("{\"NEW\": 1, \"NEW\": 2}", "{\"NEW\": 1, \"NEW\": \"v\"}"),
            ("", "{\n  \"NEW\": \"v\"\n}\n"),
        ] {
            assert_eq!(*set(before, "NEW", "v").unwrap(), after, "{before}");
        }
    }

    #[test]
    fn name_with_half_of_a_surrogate_pair_is_kept() {
        let text = r#"{"\ud800": 1, "A": "x"}"#;
        assert_eq!(read(text)[1], ("A".to_owned(), Some("x".to_owned())));
        assert_eq!(*set(text, "A", "v").unwrap(), r#"{"\ud800": 1, "A": "v"}"#);
        assert_eq!(*delete(text, "A").unwrap().unwrap(), r#"{"\ud800": 1}"#);
    }

    #[test]
    fn deleted_entry_takes_its_comma() {
        for (before, after) in [
            ("{\n  \"A\": 1,\n  \"B\": 2\n}", Some("{\n  \"B\": 2\n}")),
            ("{\n  \"B\": 2,\n  \"A\": 1\n}", Some("{\n  \"B\": 2\n}")),
            ("{\"B\": 2, \"A\": 1, \"C\": 3}", Some("{\"B\": 2, \"C\": 3}")),
            ("{\"A\": 1}", Some("{}")),
            ("{\"A\": 1, \"B\": 2, \"\\u0041\": 3}", Some("{\"B\": 2}")),
            ("{\"B\": 1}", None),
        ] {
            assert_eq!(delete(before, "A").unwrap().as_ref().map(|text| text.as_str()), after, "{before}");
        }
    }

    #[test]
    fn invalid_document_is_located_and_not_quoted() {
        for (text, line, column) in [
            ("{\n  \"A\": \"CANARY\",\n}", 3, 1),
            ("{\n  \"A\": \"CANARY\" \"B\": 2}", 2, 17),
            ("{\"A\": CANARY}", 1, 7),
            ("\"CANARY\"", 1, 1),
            ("[\"CANARY\"]", 1, 1),
            ("", 1, 1),
            ("{\"A\": \"CANARY\\ud800\"}", 1, 7),
            ("{\"A\": \"CANARY", 1, 13),
        ] {
            let problem = parse(text).unwrap_err();
            let Problem::Text { position, message } = problem else { panic!("{text}: {problem:?}") };
            assert_eq!(position, Some(Position { line, column }), "{text}: {message}");
            assert!(!message.contains("CANARY"), "{message}");
        }
    }
}
